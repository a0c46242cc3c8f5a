//! What the fault suite does to a ledger, drawn from a seed, and what it should hold then.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::super::disk::sim::random;
use super::super::maps::Change;
use crate::key::AggregateKey;
use crate::ledger::{AuditEntry, DailyStatistics, Day, Schedule};
use crate::timestamp::Timestamp;

/// What a ledger should hold, kept in the simplest way.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Model {
    pub(super) schedules: BTreeMap<AggregateKey, Schedule>,
    pub(super) daily: BTreeMap<(AggregateKey, Day), DailyStatistics>,
    pub(super) audit: Vec<AuditEntry>,
}

impl Model {
    pub(super) fn change(&mut self, change: &Change) -> bool {
        match change {
            Change::Put(schedule) => {
                self.schedules.insert(schedule.key.clone(), schedule.clone());
                true
            }
            Change::Remove(key) => self.schedules.remove(key).is_some(),
            Change::Claim(key, due, next) => match self.schedules.get_mut(key) {
                Some(schedule) if schedule.enabled && schedule.next_run == Some(*due) => {
                    schedule.next_run = *next;
                    true
                }
                _ => false,
            },
            Change::Add(key, day, more) => {
                let sum = self.daily.entry((key.clone(), *day)).or_default();
                *sum = sum.plus(*more);
                true
            }
        }
    }
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    /// What several callers append at the same time.
    Append(Vec<AuditEntry>),
    /// What several callers change at the same time.
    Change(Vec<Change>),
    Reopen,
}

pub(super) fn key(dice: &mut u64) -> AggregateKey {
    let id = ["a", "b", "c\0"][usize::try_from(random(dice) % 3).unwrap()];
    AggregateKey::from_parts("t", "k", id).unwrap()
}

pub(super) fn at(dice: &mut u64) -> Timestamp {
    Timestamp::from_seconds(i64::try_from(random(dice) % 3).unwrap())
}

fn change(dice: &mut u64) -> Change {
    let key = key(dice);
    match random(dice) % 8 {
        0..3 => {
            let cron = "*".repeat(usize::try_from(random(dice) % 300).unwrap());
            let next = random(dice).is_multiple_of(2).then(|| at(dice));
            let schedule = Schedule::new(key, cron).unwrap();
            Change::Put(schedule.enabled(!random(dice).is_multiple_of(4)).next_run(next))
        }
        3 => Change::Remove(key),
        4 => Change::Claim(key, at(dice), Some(at(dice))),
        _ => {
            let day = Day::new(i32::try_from(random(dice) % 2).unwrap());
            let took = Duration::from_micros(random(dice) % 100);
            Change::Add(key, day, DailyStatistics::created(random(dice) % 900, took))
        }
    }
}

pub(super) fn workload(seed: u64) -> Vec<Step> {
    let mut dice = seed;
    let dice = &mut dice;
    (0..20)
        .map(|_| match random(dice) % 9 {
            0..3 => {
                let entries = (0..=random(dice) % 3).map(|_| {
                    let reason = "why ".repeat(usize::try_from(random(dice) % 200).unwrap());
                    AuditEntry::new(at(dice), "ops", "delete", key(dice)).reason(reason)
                });
                Step::Append(entries.collect())
            }
            8 => Step::Reopen,
            _ => Step::Change((0..=random(dice) % 4).map(|_| change(dice)).collect()),
        })
        .collect()
}
