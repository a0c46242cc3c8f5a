//! Deleting snapshots of one aggregate.

use serde_json::json;

use super::answer::{WriteAnswer, WriteOutcome};
use super::preconditions::check_conditions;
use super::writing::Writing;
use crate::manager::AdminContext;
use crate::service::http::problem::HttpProblem;
use crate::service::http::snapshot_document::{document, find, tag_of};
use crate::store::Deleted;

impl Writing {
    /// Deletes one snapshot, if the conditions hold.
    pub(super) async fn delete(&self, context: &AdminContext) -> WriteOutcome {
        let none = || HttpProblem::not_found("there is no such snapshot: list the snapshots");
        let (key, admin) = self.aggregate()?;
        let id = self.snapshot.ok_or_else(none)?;
        let meta = find(admin, key, id).await?.ok_or_else(none)?;
        let tag = tag_of(&document(&meta, &self.served.links(key)));
        check_conditions(&self.headers, &tag)?;
        let deleted = admin.delete_snapshot(key, id, context).await?;
        match deleted {
            Deleted { pinned: 1.., .. } => {
                Err(HttpProblem::conflict("the snapshot is pinned: clear its pins first"))
            }
            Deleted { needed: 1.., .. } => Err(HttpProblem::conflict(
                "a newer snapshot is stored as a difference to this one: delete that one first",
            )),
            // Somebody else was faster.
            Deleted { snapshots: 0, .. } => Err(none()),
            deleted => Ok(answer(&deleted)),
        }
    }

    /// Deletes the snapshots below a version. What must stay is counted.
    pub(super) async fn delete_before(&self, version: u64, context: &AdminContext) -> WriteOutcome {
        let (key, admin) = self.aggregate()?;
        Ok(answer(&admin.delete_before(key, version, context).await?))
    }
}

fn answer(deleted: &Deleted) -> WriteAnswer {
    WriteAnswer::ok(&json!({ "jsonapi": { "version": "1.1" }, "meta": deleted_value(deleted) }))
}

/// What was deleted, and how much of it must stay.
pub(super) fn deleted_value(deleted: &Deleted) -> serde_json::Value {
    json!({
        "deleted": deleted.snapshots,
        "bytes": deleted.bytes,
        "pinned": deleted.pinned,
        "needed": deleted.needed,
    })
}
