//! `rebuild`: replaces a snapshot by what the events say.

use std::sync::Arc;

use clap::Args;
use serde_json::json;

use crate::cli::failure::{CliFailure, CliFinding};
use crate::cli::output::{key_json, shown_key};
use crate::cli::session::CliSession;
use crate::manager::SnapshotAdmin;

/// Fold the events up to a version again, and replace the snapshot there
///
/// Needs a binary with the application's kinds. The snapshot is replaced whatever it contains, even if
/// it is pinned. Its marks are kept.
#[derive(Args)]
#[command(after_help = "Example: app-snapfold rebuild account alice 1200 --reason 'wrong refunds'")]
pub(crate) struct RebuildArguments {
    /// The kind of aggregate
    kind: String,
    /// The id of the aggregate
    id: String,
    /// The version of the snapshot
    version: u64,
    /// Why, for the audit trail
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

impl RebuildArguments {
    pub(super) async fn run(self, session: &mut CliSession) -> Result<CliFinding, CliFailure> {
        let admin = engine_of(session, &self.kind)?;
        let key = session.key_to_change(&self.kind, &self.id)?;
        let context = session.context.clone().reason(self.reason);
        let rebuilt = admin.rebuild(&key, self.version, &context).await?;
        if session.json {
            let document = json!({
                "key": key_json(&key),
                "version": self.version,
                "replaced": rebuilt.replaced,
            });
            session.screen.json(&document)?;
        } else {
            let what = if rebuilt.replaced { "was replaced" } else { "was missing, and is stored" };
            let text = format!("{} at version {} {what}", shown_key(&key), self.version);
            session.screen.paragraph(&text)?;
        }
        Ok(CliFinding::Fine)
    }
}

/// Returns the application's engine of a kind.
pub(super) fn engine_of(
    session: &CliSession,
    kind: &str,
) -> Result<Arc<dyn SnapshotAdmin>, CliFailure> {
    let kinds: Vec<_> = session.kinds.iter().map(|admin| admin.kind().to_owned()).collect();
    session.admin(kind).ok_or_else(|| {
        CliFailure::Usage(if kinds.is_empty() {
            "this binary does not know the application: run the command in a binary with its \
             kinds, see the guide to the command line"
                .to_owned()
        } else {
            format!("this binary does not know that kind, but only: {}", kinds.join(", "))
        })
    })
}
