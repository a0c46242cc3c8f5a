//! Work over the aggregates of a project.

use std::sync::Arc;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::answer::{WriteAnswer, WriteOutcome};
use super::asked::PruneWish;
use super::jobs::{WriteJob, counts_value};
use super::prune::{MAX_LISTED, plan_value};
use super::writing::Writing;
use crate::error::{Error, ErrorKind};
use crate::ledger::Task;
use crate::manager::{AdminContext, SnapshotAdmin};
use crate::retention::Policy;
use crate::service::http::problem::HttpProblem;
use crate::service::{Batch, BatchReport, RunCounts};

/// How many aggregates are planned at the same time.
const PLANNED_AT_ONCE: usize = 8;

impl Writing {
    /// Applies a policy to the aggregates of these kinds; refolds them without one.
    pub(super) async fn each_kind(
        &self,
        kinds: &[Arc<dyn SnapshotAdmin>],
        policy: Option<&Policy>,
        context: &AdminContext,
        job: Option<&Arc<WriteJob>>,
    ) -> WriteOutcome {
        let mut total = RunCounts::default();
        let mut failures: Vec<Value> = Vec::new();
        let mut first = None;
        for admin in kinds {
            let batch = Batch::new(Arc::clone(admin));
            let mut batch = batch.tenant(self.tenant.as_str()).context(context.clone());
            if let Some(job) = job.map(Arc::clone) {
                batch = batch.on_progress(move |done| job.tell(sum(total, done.counts)));
            }
            let report = match policy {
                Some(policy) => batch.apply_retention(policy.clone()).await,
                None => batch.run(Task::Refold).await,
            };
            let BatchReport { counts, failures: failed, error, .. } = report;
            total = sum(total, counts);
            if let Some(job) = job {
                job.tell(total);
            }
            if let Some(error) = error {
                return Err(error.into());
            }
            for (key, error) in failed {
                first.get_or_insert_with(|| error.clone());
                let error = HttpProblem::from(error).to_value(&self.served.prefix);
                failures.push(json!({ "kind": key.kind(), "id": key.id(), "error": error }));
            }
        }
        match first {
            // Nothing worked, so this is no success with details.
            Some(error) if total.failed == total.aggregates => Err(error.into()),
            _ => {
                let about = json!({ "counts": counts_value(total), "failures": failures });
                Ok(WriteAnswer::ok(&json!({ "jsonapi": { "version": "1.1" }, "meta": about })))
            }
        }
    }

    /// Shows what a policy would do to the aggregates of these kinds.
    pub(super) async fn plan_all(
        &self,
        kinds: &[Arc<dyn SnapshotAdmin>],
        wish: &PruneWish,
        job: Option<&Arc<WriteJob>>,
    ) -> WriteOutcome {
        let mut counts = RunCounts::default();
        let (mut kept, mut dropped, mut bytes) = (0_u64, 0_u64, 0_u64);
        let (mut plans, mut room) = (Vec::new(), MAX_LISTED);
        for admin in kinds {
            let mut cursor = None;
            loop {
                let page = admin.keys(&self.tenant, cursor.as_ref(), 256).await?;
                for keys in page.items.chunks(PLANNED_AT_ONCE) {
                    let each = keys.iter().map(|key| admin.plan_retention(key, &wish.policy));
                    for (key, plan) in keys.iter().zip(join_all(each).await) {
                        let plan = plan?;
                        counts.aggregates = counts.aggregates.saturating_add(1);
                        kept = kept.saturating_add(plan.kept().count() as u64);
                        for judged in plan.dropped() {
                            dropped = dropped.saturating_add(1);
                            bytes = bytes.saturating_add(judged.stored_bytes);
                        }
                        if room > 0 {
                            plans.push(plan_value(key, &plan, room));
                            // A plan without snapshots takes room as well.
                            room = room.saturating_sub(plan.judged.len().max(1));
                        }
                    }
                }
                if let Some(job) = job {
                    job.tell(counts);
                }
                if page.next.is_some() && page.next == cursor {
                    let message = "the next page of aggregates does not advance";
                    return Err(Error::new(ErrorKind::Store, "plan retention", message).into());
                }
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
        }
        let about = json!({
            "policy": wish.policy.to_string(),
            "dryRun": true,
            "aggregates": counts.aggregates,
            "kept": kept,
            "dropped": dropped,
            "droppedBytes": bytes,
        });
        let answer = json!({ "jsonapi": { "version": "1.1" }, "data": plans, "meta": about });
        Ok(WriteAnswer::ok(&answer))
    }
}

fn sum(one: RunCounts, other: RunCounts) -> RunCounts {
    RunCounts {
        aggregates: one.aggregates.saturating_add(other.aggregates),
        changed: one.changed.saturating_add(other.changed),
        failed: one.failed.saturating_add(other.failed),
        deleted: one.deleted.saturating_add(other.deleted),
        rejected: one.rejected.saturating_add(other.rejected),
    }
}
