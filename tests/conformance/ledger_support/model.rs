//! What a ledger does, in a few maps.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use snapfold::ledger::{AuditEntry, Claim, DailyStatistics, Day, Lease, Schedule, ScheduleKey};
use snapfold::{AggregateKey, Timestamp};

#[derive(Default)]
pub struct Model {
    pub schedules: BTreeMap<ScheduleKey, Schedule>,
    pub trails: BTreeMap<String, Vec<AuditEntry>>,
    daily: BTreeMap<(AggregateKey, Day), DailyStatistics>,
    tokens: BTreeMap<ScheduleKey, u64>,
}

impl Model {
    pub fn put(&mut self, mut schedule: Schedule) {
        if let Some(old) = self.schedules.get(&schedule.key) {
            (schedule.created_at, schedule.lease) = (old.created_at, old.lease.clone());
        }
        self.schedules.insert(schedule.key.clone(), schedule);
    }

    /// Whether a claim is to be granted; takes the token that was given.
    pub fn claim(
        &mut self,
        key: &ScheduleKey,
        due: Timestamp,
        now: Timestamp,
        until: Timestamp,
        claim: Option<&Claim>,
    ) -> bool {
        let Some(schedule) = self.schedules.get_mut(key) else { return false };
        let free = schedule.lease.as_ref().is_none_or(|lease| lease.until <= now);
        if !(schedule.enabled && free && due <= now && schedule.next_run == Some(due)) {
            return false;
        }
        let token = claim.map_or(0, |claim| claim.token);
        let last = self.tokens.insert(key.clone(), token);
        assert!(last.is_none_or(|last| last < token), "tokens rise");
        schedule.lease = Some(Lease::new("node", until, token));
        true
    }

    pub fn leased(&mut self, claim: &Claim, change: impl FnOnce(&mut Schedule)) -> bool {
        let held = |schedule: &&mut Schedule| {
            schedule.lease.as_ref().is_some_and(|lease| lease.token == claim.token)
        };
        let schedule = self.schedules.get_mut(&claim.key).filter(held);
        schedule.map(change).is_some()
    }

    pub fn due(&self, now: Timestamp, limit: usize) -> Vec<Schedule> {
        let due = |it: &&Schedule| {
            let free = it.lease.as_ref().is_none_or(|lease| lease.until <= now);
            it.enabled && free && it.next_run.is_some_and(|at| at <= now)
        };
        let mut due: Vec<_> = self.schedules.values().filter(due).cloned().collect();
        // The map is in the order of keys, and the sort is stable.
        due.sort_by_key(|schedule| schedule.next_run);
        due.truncate(limit.max(1));
        due
    }

    pub fn add(&mut self, batch: &[(AggregateKey, Day, DailyStatistics)]) {
        for (key, day, more) in batch {
            let sum = self.daily.entry((key.clone(), *day)).or_default();
            *sum = sum.plus(*more);
        }
    }

    pub fn days(
        &self,
        key: &AggregateKey,
        days: RangeInclusive<Day>,
    ) -> Vec<(Day, DailyStatistics)> {
        let own = self.daily.iter().filter(|((of, day), _)| of == key && days.contains(day));
        own.map(|((_, day), sum)| (*day, *sum)).collect()
    }

    pub fn append(&mut self, entry: AuditEntry) -> u64 {
        let trail = self.trails.entry(entry.tenant().to_owned()).or_default();
        trail.push(entry);
        trail.len() as u64
    }
}
