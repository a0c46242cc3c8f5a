//! [`Run`]: a workload on a simulated disk, and what must be there afterwards.

use std::sync::Arc;

use super::super::super::disk::sim::{SimDisk, Survival};
use super::super::core::Core;
use super::super::entry::{self, daily_bytes, schedule_bytes};
use super::super::maps::Change;
use super::super::open::open;
use super::workload::{Model, Step, at, key};
use crate::error::{Error, Retry};
use crate::ledger::{AuditEntry, Day, Schedule};
use crate::timestamp::Timestamp;

/// Everything in a ledger, by each way there is to find it.
pub(super) fn content(core: &Core) -> Model {
    let mut model = Model::default();
    let maps = core.maps.read().unwrap();
    model.schedules = maps.schedules.clone();
    for (key, days) in &maps.daily {
        let all = maps.days(key, Day::new(i32::MIN)..=Day::new(i32::MAX));
        assert_eq!(all.len(), days.len());
        model.daily.extend(all.into_iter().map(|(day, sum)| ((key.clone(), day), sum)));
    }
    let mut due: Vec<_> =
        model.schedules.values().filter(|it| it.enabled && it.next_run.is_some()).collect();
    due.sort_by_key(|schedule| schedule.next_run);
    assert!(maps.due(Timestamp::MAX, usize::MAX).iter().eq(due));
    let live = model.schedules.values().map(schedule_bytes).sum::<u64>()
        + model.daily.keys().map(|(key, _)| daily_bytes(key)).sum::<u64>();
    assert_eq!(maps.live_bytes, live);
    let mut after = Some(0);
    while let Some(sequence) = after {
        let page = core.entries(None, sequence, 3).unwrap();
        for record in page.items {
            model.audit.push(record.entry);
            assert_eq!(record.sequence, model.audit.len() as u64);
        }
        after = page.next;
    }
    model
}

pub(super) fn opened(disk: &SimDisk, seed: u64) -> Result<Core, Error> {
    // Some write their log anew at almost every step, some never.
    let slack = [0, 100, 500, 1 << 20][usize::try_from(seed % 4).unwrap()];
    open(Arc::new(disk.clone()), "/ledger".as_ref(), slack)
}

/// A run of a workload: what must be there, and what may be.
pub(super) struct Run {
    pub(super) model: Model,
    /// What it was with each further part of a group whose outcome is not known.
    maybe: Vec<Model>,
    pub(super) core: Option<Core>,
}

impl Run {
    pub(super) fn of(disk: &SimDisk, seed: u64, steps: &[Step]) -> Self {
        let mut run =
            Self { model: Model::default(), maybe: Vec::new(), core: opened(disk, seed).ok() };
        for step in steps {
            let Some(core) = &run.core else { break };
            match step {
                Step::Append(entries) => {
                    let bodies: Vec<_> = entries.iter().map(entry::audit).collect();
                    let outcome = core.append_all(&mut core.audit(), &bodies);
                    run.ended(outcome, entries, |model, entry| {
                        model.audit.push(entry.clone());
                        model.audit.len() as u64
                    });
                }
                Step::Change(changes) => {
                    let outcome = core.change_all(&mut core.state(), changes.clone());
                    run.ended(outcome, changes, Model::change);
                }
                Step::Reopen => {
                    run.core = None;
                    run.core = opened(disk, seed).ok();
                    if let Some(core) = &run.core {
                        let found = content(core);
                        assert!(run.allows(&found), "a reopened ledger differs");
                        run.model = found;
                        run.maybe.clear();
                    }
                }
            }
        }
        run
    }

    /// Takes note of what became of a group.
    fn ended<W, A: PartialEq + std::fmt::Debug>(
        &mut self,
        outcome: Result<Vec<A>, Error>,
        works: &[W],
        apply: impl Fn(&mut Model, &W) -> A,
    ) {
        match outcome {
            Ok(answers) => {
                assert!(self.maybe.is_empty(), "it goes on although it is poisoned");
                let expected: Vec<_> =
                    works.iter().map(|work| apply(&mut self.model, work)).collect();
                assert_eq!(answers, expected);
            }
            Err(error) if error.retry() == Retry::Unknown => {
                let mut model = self.model.clone();
                for work in works {
                    apply(&mut model, work);
                    self.maybe.push(model.clone());
                }
            }
            Err(_) => {}
        }
    }

    fn allows(&self, found: &Model) -> bool {
        *found == self.model || self.maybe.contains(found)
    }
}

/// Opens what a crash has left, checks it, and goes on using it.
pub(super) fn check_recovery(run: &Run, disk: &SimDisk, seed: u64, what: &dyn Fn() -> String) {
    let core = opened(disk, seed).unwrap_or_else(|error| panic!("{}: {error:?}", what()));
    let mut expected = content(&core);
    assert!(run.allows(&expected), "{}: the ledger is not what was acknowledged", what());
    let mut dice = 5;
    let entry = AuditEntry::new(at(&mut dice), "after", "", key(&mut dice));
    let change = Change::Put(Schedule::new(key(&mut dice), "after").unwrap());
    let sequence = core.append(entry::audit(&entry));
    expected.audit.push(entry);
    assert_eq!(sequence.ok(), Some(expected.audit.len() as u64), "{}", what());
    assert!(core.change(change.clone()).is_ok_and(|done| done), "{}", what());
    expected.change(&change);
    assert!(content(&core) == expected, "{}", what());
    let left = disk.after_crash(Survival::Nothing);
    drop(core);
    for disk in [left, disk.clone()] {
        let core = opened(&disk, seed);
        let core = core.unwrap_or_else(|error| panic!("{} and again: {error:?}", what()));
        assert!(content(&core) == expected, "{}: the second opening differs", what());
    }
}
