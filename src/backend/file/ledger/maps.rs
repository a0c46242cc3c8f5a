//! [`Maps`]: schedules and statistics, as the entries of their log make them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, RangeInclusive};

use super::entry::{Fact, daily_bytes, schedule_bytes};
use crate::key::AggregateKey;
use crate::ledger::{DailyStatistics, Day, Schedule};
use crate::store::Page;
use crate::timestamp::Timestamp;

/// The most days of one answer.
const MAX_DAYS: usize = 10_000;

/// What is to be changed.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Put(Schedule),
    Remove(AggregateKey),
    Claim(AggregateKey, Timestamp, Option<Timestamp>),
    Add(AggregateKey, Day, DailyStatistics),
}

impl Change {
    /// About what it takes in its log.
    pub(super) fn bytes(&self) -> usize {
        let bytes = match self {
            Self::Put(schedule) => schedule_bytes(schedule),
            Self::Remove(key) | Self::Claim(key, ..) | Self::Add(key, ..) => daily_bytes(key),
        };
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }
}

/// Schedules and statistics, all durable.
#[derive(Debug, Default)]
pub(super) struct Maps {
    pub(super) schedules: BTreeMap<AggregateKey, Schedule>,
    /// The schedules in force that have a next run.
    due: BTreeSet<(Timestamp, AggregateKey)>,
    pub(super) daily: BTreeMap<AggregateKey, BTreeMap<Day, DailyStatistics>>,
    /// What they would take in a log that holds nothing else.
    pub(super) live_bytes: u64,
}

impl Maps {
    pub(super) fn apply(&mut self, fact: Fact) {
        match fact {
            Fact::Schedule(schedule) => {
                self.forget(&schedule.key.clone());
                self.live_bytes += schedule_bytes(&schedule);
                self.due.extend(due(&schedule));
                self.schedules.insert(schedule.key.clone(), schedule);
            }
            Fact::NoSchedule(key) => self.forget(&key),
            Fact::Daily(key, day, sum) => {
                let bytes = daily_bytes(&key);
                if self.daily.entry(key).or_default().insert(day, sum).is_none() {
                    self.live_bytes += bytes;
                }
            }
        }
    }

    fn forget(&mut self, key: &AggregateKey) {
        if let Some(schedule) = self.schedules.remove(key) {
            self.live_bytes = self.live_bytes.saturating_sub(schedule_bytes(&schedule));
            if let Some(due) = due(&schedule) {
                self.due.remove(&due);
            }
        }
    }

    pub(super) fn due(&self, now: Timestamp, limit: usize) -> Vec<Schedule> {
        let due = self.due.iter().take_while(|(at, _)| *at <= now).take(limit.max(1));
        due.filter_map(|(_, key)| self.schedules.get(key).cloned()).collect()
    }

    pub(super) fn page(
        &self,
        after: Option<&AggregateKey>,
        limit: usize,
    ) -> Page<Schedule, AggregateKey> {
        let lower = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = self.schedules.range::<AggregateKey, _>((lower, Bound::Unbounded));
        let items: Vec<_> =
            rest.by_ref().take(limit.max(1)).map(|(_, schedule)| schedule.clone()).collect();
        let next = items.last().map(|schedule| schedule.key.clone());
        Page::new(items, next.filter(|_| rest.next().is_some()))
    }

    pub(super) fn days(
        &self,
        key: &AggregateKey,
        days: RangeInclusive<Day>,
    ) -> Vec<(Day, DailyStatistics)> {
        let Some(daily) = self.daily.get(key).filter(|_| !days.is_empty()) else {
            return Vec::new();
        };
        daily.range(days).take(MAX_DAYS).map(|(day, sum)| (*day, *sum)).collect()
    }
}

fn due(schedule: &Schedule) -> Option<(Timestamp, AggregateKey)> {
    let at = schedule.next_run.filter(|_| schedule.enabled)?;
    Some((at, schedule.key.clone()))
}

/// What the maps will be once the changes of a group are durable.
pub(super) struct Pending<'a> {
    maps: &'a Maps,
    schedules: BTreeMap<AggregateKey, Option<Schedule>>,
    daily: BTreeMap<(AggregateKey, Day), DailyStatistics>,
}

impl<'a> Pending<'a> {
    pub(super) const fn on(maps: &'a Maps) -> Self {
        Self { maps, schedules: BTreeMap::new(), daily: BTreeMap::new() }
    }

    /// What `change` comes to, if to anything, and whether it found what it was looking for.
    pub(super) fn decide(&mut self, change: Change) -> (Option<Fact>, bool) {
        match change {
            Change::Put(schedule) => {
                self.schedules.insert(schedule.key.clone(), Some(schedule.clone()));
                (Some(Fact::Schedule(schedule)), true)
            }
            Change::Remove(key) => {
                if self.schedule(&key).is_none() {
                    return (None, false);
                }
                self.schedules.insert(key.clone(), None);
                (Some(Fact::NoSchedule(key)), true)
            }
            Change::Claim(key, due, next) => {
                let schedule = self.schedule(&key).filter(|schedule| schedule.enabled);
                let Some(schedule) = schedule.filter(|it| it.next_run == Some(due)) else {
                    return (None, false);
                };
                self.decide(Change::Put(schedule.clone().next_run(next)))
            }
            Change::Add(key, day, more) => {
                let stored = || self.maps.daily.get(&key)?.get(&day).copied();
                let place = (key.clone(), day);
                let before = self.daily.get(&place).copied().or_else(stored).unwrap_or_default();
                let sum = before.plus(more);
                self.daily.insert(place, sum);
                (Some(Fact::Daily(key, day, sum)), true)
            }
        }
    }

    fn schedule(&self, key: &AggregateKey) -> Option<&Schedule> {
        match self.schedules.get(key) {
            Some(pending) => pending.as_ref(),
            None => self.maps.schedules.get(key),
        }
    }
}
