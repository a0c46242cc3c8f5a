//! `rollback`: lets loads start from an older snapshot.

use clap::Args;
use serde_json::json;

use super::rebuild::engine_of;
use crate::cli::failure::{CliFailure, CliFinding};
use crate::cli::output::{count, key_json, shown_key};
use crate::cli::session::CliSession;

/// Retire all snapshots above a version, so that loads start from the one there
///
/// Needs a binary with the application's kinds. States do not change, because they follow from the
/// events. The snapshots stay readable, and --undo makes loads use them again.
#[derive(Args)]
#[command(after_help = "Example: app-snapfold rollback account alice 1200 --reason 'ticket 4711'")]
pub(crate) struct RollbackArguments {
    /// The kind of aggregate
    kind: String,
    /// The id of the aggregate
    id: String,
    /// The version of the snapshot to start from
    #[arg(required_unless_present = "undo")]
    version: Option<u64>,
    /// Undo all rollbacks of the aggregate
    #[arg(long, conflicts_with = "version")]
    undo: bool,
    /// Why, for the audit trail
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

impl RollbackArguments {
    pub(super) async fn run(self, session: &mut CliSession) -> Result<CliFinding, CliFailure> {
        let admin = engine_of(session, &self.kind)?;
        let key = session.key_to_change(&self.kind, &self.id)?;
        let context = session.context.clone().reason(self.reason);
        let changed = match self.version {
            Some(version) => admin.rollback(&key, version, &context).await?,
            None => admin.undo_rollback(&key, &context).await?,
        };
        if session.json {
            let document = json!({
                "key": key_json(&key),
                "version": self.version,
                "changed": changed,
            });
            session.screen.json(&document)?;
        } else {
            let of = count(changed, "snapshot is", "snapshots are");
            let what = if self.undo { "no longer retired" } else { "retired" };
            session.screen.paragraph(&format!("{}: {of} {what}", shown_key(&key)))?;
        }
        Ok(CliFinding::Fine)
    }
}
