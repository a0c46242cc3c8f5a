//! Retention after background snapshots: which aggregates it is due for.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tokio::task::Id;
use twox_hash::XxHash3_64;

use super::core::EngineCore;
use super::observer::Observation;
use super::statistics::Trouble;
use crate::error::Error;
use crate::key::AggregateKey;
use crate::manager::Retained;
use crate::snapshot_id::SnapshotId;
use crate::state::Aggregate;

/// The policy is applied to an aggregate after this many of its snapshots. One fewer than this many
/// may therefore be stored in addition to those that the policy keeps.
pub(super) const EVERY: u32 = 4;
/// The maximum number of aggregates that wait for the policy. An aggregate that finds the queue
/// full is due again at its next snapshot.
const MAX_WAITING: usize = 1_024;

/// The aggregates to which the policy is being applied, and those that wait for it.
#[derive(Default)]
pub(super) struct RetentionWork {
    /// Each aggregate with its most recently stored snapshot.
    waiting: VecDeque<(AggregateKey, SnapshotId)>,
    running: HashMap<Id, AggregateKey>,
}

impl RetentionWork {
    /// Adds an aggregate to the queue. Returns false if the queue is full.
    pub(super) fn push(&mut self, key: &AggregateKey, saved: SnapshotId) -> bool {
        let has_place = self.waiting.len() < MAX_WAITING;
        if has_place {
            self.waiting.push_back((key.clone(), saved));
        }
        has_place
    }

    /// Returns the next aggregate if fewer than `parallel` are in progress.
    pub(super) fn next(&mut self, parallel: usize) -> Option<(AggregateKey, SnapshotId)> {
        if self.running.len() < parallel { self.waiting.pop_front() } else { None }
    }

    pub(super) fn started(&mut self, task: Id, key: AggregateKey) {
        self.running.insert(task, key);
    }

    /// Removes a task that has ended. Returns its aggregate if the task was applying the policy.
    pub(super) fn ended(&mut self, task: Id) -> Option<AggregateKey> {
        self.running.remove(&task)
    }
}

/// Returns the number of snapshots since the policy was last applied to their aggregate, including
/// this one. If the number is unknown, as after a start, the count begins at a number that depends
/// on the version. The aggregates of a process that has just started therefore do not all become
/// due at once, and in short-lived processes each of them becomes due from time to time.
pub(super) fn count(known: Option<u32>, saved: SnapshotId) -> u32 {
    let spread = || {
        let hash = XxHash3_64::oneshot(&saved.version.to_le_bytes());
        u32::try_from(hash % u64::from(EVERY)).unwrap_or(0)
    };
    known.unwrap_or_else(spread).saturating_add(1)
}

impl<A: Aggregate> EngineCore<A> {
    /// Counts and reports the result of applying the policy in the background.
    pub(super) fn note_retention(
        self: &Arc<Self>,
        key: &AggregateKey,
        retained: Result<Retained, Error>,
    ) {
        match retained {
            Ok(retained) => {
                self.record_deleted(key, &retained.deleted);
                self.counters.retained(retained.deleted.snapshots);
                if retained.deleted.snapshots > 0 {
                    self.report(&Observation::Retained { key, retained: &retained });
                }
            }
            Err(error) => {
                let what = format!("the retention policy was not applied to {key}");
                self.failed(Trouble::RetentionFailed, &what, Some(&error));
                self.report(&Observation::RetentionFailed { key, error: &error });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generation::Generation;

    #[test]
    fn every_fourth_snapshot_is_due_also_where_processes_live_shortly() {
        let generation = Generation { schema_version: 1, fingerprint: 1 };
        let first = |version| count(None, SnapshotId { generation, version });
        for step in [1, 7, 34, 89, 100, 144, 377, 987, 1_000, 1 << 20] {
            let due = (1..=400).filter(|snapshot| first(snapshot * step) >= EVERY).count();
            assert!((70..=130).contains(&due), "every {step}: {due}");
            let most = (1..=400_u64).fold((0, 0), |(most, run), snapshot| {
                let run = if first(snapshot * step) >= EVERY { 0 } else { run + 1 };
                (run.max(most), run)
            });
            assert!(most.0 <= 30, "every {step}: {} in a row are not due", most.0);
        }
        assert!((1..=400).all(|snapshot| (1..=EVERY).contains(&first(snapshot * 100))));
        assert_eq!(count(Some(0), SnapshotId { generation, version: 100 }), 1);
    }
}
