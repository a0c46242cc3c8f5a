//! When snapshots are due by the clock: [`ScheduleStore`].

use std::fmt;

use async_trait::async_trait;

use crate::error::{Error, ErrorKind};
use crate::key::AggregateKey;
use crate::store::Page;
use crate::timestamp::Timestamp;

/// When snapshots of one aggregate are taken by the clock.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Schedule {
    /// The aggregate.
    pub key: AggregateKey,
    /// The cron expression, as the application wrote it; the store does not interpret it.
    pub cron: String,
    /// Whether it is in force.
    pub enabled: bool,
    /// When it is due next; `None` if never.
    pub next_run: Option<Timestamp>,
}

impl Schedule {
    /// The longest cron expression, in bytes (inclusive).
    pub const MAX_CRON_BYTES: usize = 1_000;

    /// A schedule in force that is not due yet.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if `cron` is longer than [`Schedule::MAX_CRON_BYTES`].
    pub fn new(key: AggregateKey, cron: impl Into<String>) -> Result<Self, Error> {
        let schedule = Self { key, cron: cron.into(), enabled: true, next_run: None };
        schedule.check()?;
        Ok(schedule)
    }

    /// For implementers: whether the cron expression is within its limit.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if it is not.
    pub fn check(&self) -> Result<(), Error> {
        let (bytes, limit) = (self.cron.len(), Self::MAX_CRON_BYTES);
        if bytes <= limit {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::InvalidInput,
            "make a schedule",
            format!("the cron expression has {bytes} bytes, the limit is {limit}"),
        ))
    }

    /// The same with another [`next_run`](Self::next_run).
    pub fn next_run(mut self, at: Option<Timestamp>) -> Self {
        self.next_run = at;
        self
    }

    /// The same, in force or not.
    pub fn enabled(mut self, enabled: bool) -> Self {
        self.enabled = enabled;
        self
    }
}

/// Keeps schedules, one per aggregate at most. Object-safe; safe to use from several nodes.
#[async_trait]
pub trait ScheduleStore: fmt::Debug + Send + Sync {
    /// Stores `schedule`, in place of any other of the same aggregate.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if the cron expression or the key is too long.
    async fn put_schedule(&self, schedule: &Schedule) -> Result<(), Error>;

    /// The schedule of `key`.
    async fn schedule(&self, key: &AggregateKey) -> Result<Option<Schedule>, Error>;

    /// Removes the schedule of `key`; tells whether there was one.
    async fn remove_schedule(&self, key: &AggregateKey) -> Result<bool, Error>;

    /// The schedules in force whose next run is at or before `now`, longest overdue first, then by
    /// key; at most `limit` (0 is taken for 1).
    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Schedule>, Error>;

    /// Claims a run: if the schedule of `key` is in force and its next run still is `due`, that
    /// becomes `next`, and the answer is true. Of several nodes that claim the same run, exactly
    /// one gets true.
    async fn claim(
        &self,
        key: &AggregateKey,
        due: Timestamp,
        next: Option<Timestamp>,
    ) -> Result<bool, Error>;

    /// All schedules, by key, after the key `after`; at most `limit` (0 is taken for 1).
    async fn schedules(
        &self,
        after: Option<&AggregateKey>,
        limit: usize,
    ) -> Result<Page<Schedule, AggregateKey>, Error>;
}
