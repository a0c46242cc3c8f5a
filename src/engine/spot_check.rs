//! Comparing some background snapshots with the events: see [`SpotChecks`](super::SpotChecks).

use std::sync::Arc;

use super::audited::audited;
use super::compare_fold::Recent;
use super::core::{EngineCore, caught};
use super::observer::Observation;
use super::save_queue::{Forgets, SharedQueue};
use super::spot_checks::{SpotChecks, SpotTurn};
use super::statistics::Trouble;
use crate::error::Error;
use crate::key::AggregateKey;
use crate::ledger::cut;
use crate::manager::{AdminContext, FoldCause};
use crate::record::SnapshotMeta;
use crate::state::Aggregate;

const NAME: &str = "check a snapshot against the events";
/// The actor in the audit trail.
const SPOT_CHECK: &str = "spot-check";

/// Starts to check a snapshot that was just stored, if its turn has come.
pub(super) fn start<A: Aggregate>(
    core: &Arc<EngineCore<A>>,
    shared: &Arc<SharedQueue>,
    meta: &SnapshotMeta,
) {
    let Some(turn) = core.spot_turns.as_ref().and_then(|turns| turns.take(meta, &core.clock))
    else {
        return;
    };
    let (core, shared) = (Arc::clone(core), Arc::clone(shared));
    let (key, version) = (meta.key.clone(), meta.version);
    // Not a task of the saver, so that a flush does not wait for it.
    tokio::spawn(async move { core.spot_check(&shared, &key, version, turn).await });
}

impl<A: Aggregate> EngineCore<A> {
    async fn spot_check(
        self: &Arc<Self>,
        shared: &SharedQueue,
        key: &AggregateKey,
        version: u64,
        turn: SpotTurn,
    ) {
        let checks = turn.checks();
        let check = self.check_and_retire(shared, key, version, checks);
        match caught(NAME, check).await.unwrap_or_else(Err) {
            Ok(Recent::Compared(comparison)) => {
                self.counters.spot_checked();
                self.report(&Observation::SpotChecked { key, comparison: &comparison });
            }
            Ok(Recent::Nothing) => {}
            Ok(Recent::Busy) => turn.postpone(),
            Err(error) => {
                let what = format!("the snapshots of {key} were not checked against the events");
                self.failed(Trouble::SpotCheckFailed, &what, Some(&error));
                self.report(&Observation::SpotCheckFailed { key, error: &error });
            }
        }
    }

    async fn check_and_retire(
        self: &Arc<Self>,
        shared: &SharedQueue,
        key: &AggregateKey,
        version: u64,
        checks: SpotChecks,
    ) -> Result<Recent, Error> {
        let compare = || self.compare_recent(key, version, checks.max_events);
        let mut comparison = match compare().await? {
            Recent::Compared(comparison) if !comparison.is_clean() => comparison,
            compared => return Ok(compared),
        };
        // The events, or what is stored, may have changed during the comparison.
        let again = match compare().await? {
            Recent::Compared(again) => again,
            nothing => return Ok(nothing),
        };
        comparison.different.retain(|different| {
            // The events may come from a replica that lags, and loads notice this by themselves.
            different.cause != FoldCause::Ahead && again.different.contains(different)
        });
        for different in &comparison.different {
            let what = format!("a snapshot of {key} differs from the events: {different}");
            self.failed(Trouble::SnapshotDiffers, &what, None);
        }
        if !comparison.is_clean() && self.store.capabilities().marks {
            let context = AdminContext::new(SPOT_CHECK)
                .reason(cut(comparison.to_string(), AdminContext::MAX_REASON_BYTES));
            let _forgets = Forgets { shared, key };
            let retire = self.retire_different(key, &comparison, &context);
            audited(self, "retire_different", key, None, &context).make(retire).await?;
        }
        Ok(Recent::Compared(comparison))
    }
}
