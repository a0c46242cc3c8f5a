//! [`MemoryLedger`]: schedules, statistics and an audit trail in maps.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Bound, RangeInclusive};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::error::Error;
use crate::key::AggregateKey;
use crate::ledger::{
    AuditEntry, AuditLog, AuditRecord, AuditRequest, DailyStatistics, Day, Schedule, ScheduleStore,
    StatisticsStore,
};
use crate::store::Page;
use crate::timestamp::Timestamp;

/// Schedules, statistics and an audit trail in memory: the reference for what they do. Clones
/// share everything.
#[derive(Clone, Default)]
pub struct MemoryLedger {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    schedules: BTreeMap<AggregateKey, Schedule>,
    daily: BTreeMap<(AggregateKey, Day), DailyStatistics>,
    audit: Vec<AuditEntry>,
}

impl MemoryLedger {
    /// Nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    // A panic cannot leave the maps half changed: each change is one insert or remove.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl ScheduleStore for MemoryLedger {
    async fn put_schedule(&self, schedule: &Schedule) -> Result<(), Error> {
        schedule.check()?;
        self.lock().schedules.insert(schedule.key.clone(), schedule.clone());
        Ok(())
    }

    async fn schedule(&self, key: &AggregateKey) -> Result<Option<Schedule>, Error> {
        Ok(self.lock().schedules.get(key).cloned())
    }

    async fn remove_schedule(&self, key: &AggregateKey) -> Result<bool, Error> {
        Ok(self.lock().schedules.remove(key).is_some())
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Schedule>, Error> {
        let inner = self.lock();
        let mut due: Vec<_> = inner
            .schedules
            .values()
            .filter(|schedule| schedule.enabled && schedule.next_run.is_some_and(|at| at <= now))
            .collect();
        // The map is in the order of keys, and the sort is stable.
        due.sort_by_key(|schedule| schedule.next_run);
        Ok(due.into_iter().take(limit.max(1)).cloned().collect())
    }

    async fn claim(
        &self,
        key: &AggregateKey,
        due: Timestamp,
        next: Option<Timestamp>,
    ) -> Result<bool, Error> {
        let mut inner = self.lock();
        let schedule = inner.schedules.get_mut(key).filter(|s| s.enabled);
        let Some(schedule) = schedule.filter(|s| s.next_run == Some(due)) else {
            return Ok(false);
        };
        schedule.next_run = next;
        Ok(true)
    }

    async fn schedules(
        &self,
        after: Option<&AggregateKey>,
        limit: usize,
    ) -> Result<Page<Schedule, AggregateKey>, Error> {
        let inner = self.lock();
        let lower = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = inner.schedules.range::<AggregateKey, _>((lower, Bound::Unbounded));
        let items: Vec<_> =
            rest.by_ref().take(limit.max(1)).map(|(_, schedule)| schedule.clone()).collect();
        let next = items.last().map(|schedule| schedule.key.clone());
        Ok(Page::new(items, next.filter(|_| rest.next().is_some())))
    }
}

#[async_trait]
impl StatisticsStore for MemoryLedger {
    async fn add(&self, key: &AggregateKey, day: Day, more: DailyStatistics) -> Result<(), Error> {
        let mut inner = self.lock();
        let statistics = inner.daily.entry((key.clone(), day)).or_default();
        *statistics = statistics.plus(more);
        Ok(())
    }

    async fn daily(
        &self,
        key: &AggregateKey,
        days: RangeInclusive<Day>,
    ) -> Result<Vec<(Day, DailyStatistics)>, Error> {
        if days.is_empty() {
            return Ok(Vec::new());
        }
        let inner = self.lock();
        let range = (key.clone(), *days.start())..=(key.clone(), *days.end());
        let found = inner.daily.range(range).take(10_000);
        Ok(found.map(|((_, day), statistics)| (*day, *statistics)).collect())
    }
}

#[async_trait]
impl AuditLog for MemoryLedger {
    async fn append(&self, entry: &AuditEntry) -> Result<u64, Error> {
        entry.check()?;
        let mut inner = self.lock();
        inner.audit.push(entry.clone());
        Ok(inner.audit.len() as u64)
    }

    async fn entries(&self, request: AuditRequest<'_>) -> Result<Page<AuditRecord, u64>, Error> {
        let inner = self.lock();
        let mut rest = (1_u64..)
            .zip(&inner.audit)
            .skip(usize::try_from(request.after).unwrap_or(usize::MAX))
            .filter(|(_, entry)| request.key.is_none_or(|key| *key == entry.key))
            .map(|(sequence, entry)| AuditRecord::new(sequence, entry.clone()));
        let items: Vec<_> = rest.by_ref().take(request.limit.max(1)).collect();
        let next = items.last().map(|record| record.sequence);
        Ok(Page::new(items, next.filter(|_| rest.next().is_some())))
    }
}

impl fmt::Debug for MemoryLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLedger").finish_non_exhaustive()
    }
}
