//! Judges snapshots by the rules of a [`Policy`].

mod calendar;
mod judging;
mod reach;

use std::time::Duration;

use self::judging::Judging;
use super::{Disposition, Retention};
use crate::policy::Policy;
use crate::record::SnapshotMeta;
use crate::timestamp::Timestamp;

/// The reason for a snapshot lists each rule that keeps it, in the order of the policy, in the words
/// of the text form: `last 4: number 2; daily 7: the newest of 2026-11-28`.
///
/// The time for `n` snapshots grows with `n log n` for calendar rules, and with `n` for all others.
impl Retention for Policy {
    fn judge(&self, snapshots: &[SnapshotMeta], now: Timestamp) -> Vec<Disposition> {
        let mut judging = Judging::new(snapshots, now, self.zone());
        for rule in self.rules() {
            judging.apply(rule);
        }
        judging.finish()
    }

    fn keep_superseded(&self) -> Duration {
        self.superseded()
    }
}
