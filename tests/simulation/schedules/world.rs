//! What the simulated nodes share: time, a ledger that keeps a log, and aggregates whose only
//! property is that work on them takes time.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use snapfold::engine::Clock;
use snapfold::ledger::{
    AuditEntry, AuditRecord, AuditRequest, Claim, DailyStatistics, Day, Ledger, Schedule,
    ScheduleKey, StoreLedger,
};
use snapfold::manager::{
    AdminContext, AggregateStats, CreateOptions, CreateOutcome, CreateRequest, Inspect, Rebuilt,
    Retained,
};
use snapfold::record::SnapshotMeta;
use snapfold::retention::{Retention, RetentionPlan};
use snapfold::store::{Cursor, Deleted, Page};
use snapfold::{AggregateKey, Error, ErrorKind, Retry, SnapshotAdmin, Timestamp};
use tokio::time::Instant;

pub(super) const KIND: &str = "sleeper";
pub(super) const START: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// Follows the paused time of tokio, ahead of it or behind by a fixed difference.
#[derive(Clone, Debug)]
pub(super) struct SimClock {
    pub(super) origin: Instant,
    pub(super) ahead_micros: i64,
}

impl SimClock {
    pub(super) fn right(origin: Instant) -> Self {
        Self { origin, ahead_micros: 0 }
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        let now = START.saturating_add(self.origin.elapsed());
        Timestamp::from_micros(now.as_micros() + self.ahead_micros)
    }

    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }
}

/// One attempt, by a clock that is right.
#[derive(Clone, Copy, Debug)]
pub(super) struct Worked {
    pub(super) began: Timestamp,
    /// When it was done, had failed, or was dropped.
    pub(super) ended: Option<Timestamp>,
    pub(super) end: End,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum End {
    Done,
    Failed,
    Dropped,
}

/// Notes when an attempt ends, however it ends.
struct Attempt {
    clock: SimClock,
    logs: Logs,
    key: ScheduleKey,
    token: u64,
    end: End,
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let mut logs = self.logs.lock().unwrap();
        let work = logs.entry(self.key.clone()).or_default().work.get_mut(&self.token).unwrap();
        (work.ended, work.end) = (Some(self.clock.now()), self.end);
    }
}

/// What really happened to one schedule.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// Work by token.
    pub(super) work: BTreeMap<u64, Worked>,
    /// The last claim and renewal: the run, the token, and the end of the lease.
    pub(super) held: Option<(Timestamp, u64, Timestamp)>,
    /// Completed runs, and the next one that was set.
    pub(super) completed: Vec<(Timestamp, u64, Option<Timestamp>)>,
    pub(super) repeated: u64,
}

pub(super) type Logs = Arc<Mutex<HashMap<ScheduleKey, Log>>>;

/// A node's ledger, which checks each claim against what it knows of leases.
#[derive(Clone)]
pub(super) struct Logged {
    pub(super) ledger: StoreLedger,
    pub(super) logs: Logs,
    /// Calls hang until then.
    pub(super) hangs_until: Arc<Mutex<Option<Instant>>>,
}

impl Logged {
    pub(super) fn new(ledger: StoreLedger, logs: Logs) -> Self {
        Self { ledger, logs, hangs_until: Arc::default() }
    }

    fn log<T>(&self, key: &ScheduleKey, note: impl FnOnce(&mut Log) -> T) -> T {
        note(self.logs.lock().unwrap().entry(key.clone()).or_default())
    }

    async fn hang(&self) {
        let until = *self.hangs_until.lock().unwrap();
        if let Some(until) = until {
            tokio::time::sleep_until(until).await;
        }
    }
}

impl fmt::Debug for Logged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Logged")
    }
}

#[async_trait]
impl Ledger for Logged {
    async fn put_schedule(&self, schedule: &Schedule) -> Result<(), Error> {
        self.ledger.put_schedule(schedule).await
    }

    async fn schedule(&self, key: &ScheduleKey) -> Result<Option<Schedule>, Error> {
        self.ledger.schedule(key).await
    }

    async fn remove_schedule(&self, key: &ScheduleKey) -> Result<bool, Error> {
        self.ledger.remove_schedule(key).await
    }

    async fn schedules(
        &self,
        after: Option<&ScheduleKey>,
        limit: usize,
    ) -> Result<Page<Schedule, ScheduleKey>, Error> {
        self.ledger.schedules(after, limit).await
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Schedule>, Error> {
        self.hang().await;
        self.ledger.due(now, limit).await
    }

    async fn claim(
        &self,
        key: &ScheduleKey,
        due: Timestamp,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Claim>, Error> {
        self.hang().await;
        let claim = self.ledger.claim(key, due, holder, now, until).await?;
        if let Some(claim) = &claim {
            self.log(key, |log| {
                if let Some((run, token, lease)) = log.held {
                    assert!(claim.token > token, "{key}: tokens rise");
                    assert!(lease <= now, "{key} is claimed at {now}, leased until {lease}");
                    assert_eq!(run, due, "{key}: a run that did not end is repeated");
                    log.repeated += 1;
                }
                log.held = Some((due, claim.token, until));
            });
        }
        Ok(claim)
    }

    async fn renew(&self, claim: &Claim, until: Timestamp) -> Result<bool, Error> {
        self.hang().await;
        let renewed = self.ledger.renew(claim, until).await?;
        if renewed {
            self.log(&claim.key, |log| log.held = Some((claim.due, claim.token, until)));
        }
        Ok(renewed)
    }

    async fn release(&self, claim: &Claim) -> Result<bool, Error> {
        self.hang().await;
        let released = self.ledger.release(claim).await?;
        if released {
            self.log(&claim.key, |log| log.held = None);
        }
        Ok(released)
    }

    async fn complete(&self, claim: &Claim, next: Option<Timestamp>) -> Result<bool, Error> {
        self.hang().await;
        let completed = self.ledger.complete(claim, next).await?;
        if completed {
            self.log(&claim.key, |log| {
                log.held = None;
                log.completed.push((claim.due, claim.token, next));
            });
        }
        Ok(completed)
    }

    async fn add_statistics(
        &self,
        batch: &[(AggregateKey, Day, DailyStatistics)],
    ) -> Result<(), Error> {
        self.ledger.add_statistics(batch).await
    }

    async fn daily(
        &self,
        key: &AggregateKey,
        days: RangeInclusive<Day>,
    ) -> Result<Vec<(Day, DailyStatistics)>, Error> {
        self.ledger.daily(key, days).await
    }

    async fn append_all(&self, entries: &[AuditEntry]) -> Result<Vec<u64>, Error> {
        self.ledger.append_all(entries).await
    }

    async fn entries(&self, request: AuditRequest<'_>) -> Result<Page<AuditRecord, u64>, Error> {
        self.ledger.entries(request).await
    }
}

/// Aggregates that take time, and fail now and then.
#[derive(Clone, Debug)]
pub(super) struct Sleepers {
    pub(super) clock: SimClock,
    pub(super) logs: Logs,
    pub(super) random: Arc<Mutex<fastrand::Rng>>,
    /// In milliseconds.
    pub(super) takes: RangeInclusive<u64>,
    /// Of a hundred.
    pub(super) fails: u8,
}

impl Inspect for Sleepers {}

#[async_trait]
impl SnapshotAdmin for Sleepers {
    fn kind(&self) -> &str {
        KIND
    }

    async fn create(
        &self,
        key: &AggregateKey,
        options: CreateOptions,
        context: &AdminContext,
    ) -> Result<CreateOutcome, Error> {
        assert!(options.if_changed, "an unchanged aggregate is left alone");
        let run = context.idempotency_key.as_deref().unwrap();
        let token: u64 = run.strip_prefix("run ").unwrap().parse().unwrap();
        let (key, clock) = (ScheduleKey::aggregate(key.clone()), self.clock.clone());
        let worked = Worked { began: clock.now(), ended: None, end: End::Dropped };
        let again = {
            let mut logs = self.logs.lock().unwrap();
            logs.entry(key.clone()).or_default().work.insert(token, worked)
        };
        assert!(again.is_none(), "{key}: one attempt for each claim");
        let mut attempt =
            Attempt { clock, logs: Arc::clone(&self.logs), key, token, end: End::Dropped };
        let (takes, fails) = {
            let mut random = self.random.lock().unwrap();
            (random.u64(self.takes.clone()), random.u8(..100) < self.fails)
        };
        tokio::time::sleep(Duration::from_millis(takes)).await;
        if fails {
            attempt.end = End::Failed;
            let error = Error::new(ErrorKind::Store, "take a snapshot", "the store is down");
            return Err(error.with_retry(Retry::Later));
        }
        attempt.end = End::Done;
        Ok(CreateOutcome::Empty)
    }

    async fn create_many(
        &self,
        _: &[CreateRequest],
        _: &AdminContext,
    ) -> Vec<Result<CreateOutcome, Error>> {
        Vec::new()
    }

    async fn keys(
        &self,
        _: &str,
        _: Option<&Cursor>,
        _: usize,
    ) -> Result<Page<AggregateKey, Cursor>, Error> {
        Ok(Page::new(Vec::new(), None))
    }

    async fn snapshots(
        &self,
        _: &AggregateKey,
        _: RangeInclusive<u64>,
    ) -> Result<Vec<SnapshotMeta>, Error> {
        Ok(Vec::new())
    }

    async fn delete(&self, _: &AggregateKey, _: u64, _: &AdminContext) -> Result<Deleted, Error> {
        Ok(Deleted::default())
    }

    async fn delete_before(
        &self,
        _: &AggregateKey,
        _: u64,
        _: &AdminContext,
    ) -> Result<Deleted, Error> {
        Ok(Deleted::default())
    }

    async fn rebuild(&self, _: &AggregateKey, _: u64, _: &AdminContext) -> Result<Rebuilt, Error> {
        Err(Error::new(ErrorKind::Unsupported, "rebuild", "nothing is here"))
    }

    async fn stats(&self, _: &AggregateKey) -> Result<AggregateStats, Error> {
        Ok(AggregateStats::default())
    }

    async fn plan_retention(
        &self,
        _: &AggregateKey,
        _: &dyn Retention,
    ) -> Result<RetentionPlan, Error> {
        Ok(RetentionPlan::default())
    }

    async fn apply_retention(
        &self,
        _: &AggregateKey,
        _: &dyn Retention,
        _: &AdminContext,
    ) -> Result<Retained, Error> {
        Ok(Retained::default())
    }
}
