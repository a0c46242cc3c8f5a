//! Applying a retention policy to one aggregate, and showing what it would do.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::answer::{WriteAnswer, WriteOutcome};
use super::asked::PruneWish;
use super::delete::deleted_value;
use super::writing::Writing;
use crate::hex::hex;
use crate::key::AggregateKey;
use crate::manager::AdminContext;
use crate::retention::{Judged, RetentionPlan};
use crate::service::http::problem::HttpProblem;
use crate::service::http::snapshot_document::id_text;

/// How many snapshots an answer lists.
pub(super) const MAX_LISTED: usize = 1_000;

impl Writing {
    /// Plans, and applies the plan unless it is a dry run.
    pub(super) async fn prune(&self, wish: &PruneWish, context: &AdminContext) -> WriteOutcome {
        let (key, admin) = self.aggregate()?;
        let plan = admin.plan_retention(key, &wish.policy).await?;
        if wish.plan.as_ref().is_some_and(|seen| *seen != plan_id(key, &plan)) {
            return Err(HttpProblem::plan_changed());
        }
        let mut data = plan_value(key, &plan, MAX_LISTED);
        let mut about = json!({ "policy": wish.policy.to_string(), "dryRun": wish.is_dry });
        if !wish.is_dry {
            // At most what the plan drops, and less if something must stay by now.
            let retained = admin.apply_plan(key, &plan, context).await?;
            put(&mut about, "deleted", deleted_value(&retained.deleted));
            let refused = retained.refused.iter().take(MAX_LISTED).map(judged_value).collect();
            put(&mut data, "refused", refused);
        }
        let answer = json!({ "jsonapi": { "version": "1.1" }, "data": data, "meta": about });
        Ok(WriteAnswer::ok(&answer))
    }
}

/// Sets an attribute of a resource, or a member of another object.
fn put(value: &mut Value, name: &str, member: Value) {
    let object = match value.get("attributes") {
        Some(_) => value.get_mut("attributes"),
        None => Some(value),
    };
    if let Some(object) = object.and_then(Value::as_object_mut) {
        object.insert(name.to_owned(), member);
    }
}

/// Identifies what a plan drops.
fn plan_id(key: &AggregateKey, plan: &RetentionPlan) -> String {
    let dropped: Vec<_> = plan.dropped().map(|judged| id_text(judged.id)).collect();
    let text = json!([key.tenant(), key.kind(), key.id(), dropped]).to_string();
    let hash: [u8; 32] = Sha256::digest(text).into();
    hex(hash.split_at(16).0)
}

/// A plan as a resource, with the first `listed` of its snapshots.
pub(super) fn plan_value(key: &AggregateKey, plan: &RetentionPlan, listed: usize) -> Value {
    let bytes = |sum: u64, judged: &Judged| sum.saturating_add(judged.stored_bytes);
    json!({
        "type": "plans",
        "id": plan_id(key, plan),
        "attributes": {
            "kind": key.kind(),
            "id": key.id(),
            "kept": plan.kept().count(),
            "dropped": plan.dropped().count(),
            "droppedBytes": plan.dropped().fold(0, bytes),
            "snapshots": plan.judged.iter().take(listed).map(judged_value).collect::<Value>(),
        },
    })
}

fn judged_value(judged: &Judged) -> Value {
    json!({
        "snapshot": id_text(judged.id),
        "version": judged.id.version,
        "storedBytes": judged.stored_bytes,
        "action": judged.action.to_string(),
        "reason": judged.reason,
    })
}
