//! `diff`: what changed between two points.

use clap::Args;
use serde_json::json;

use super::point::PointArgument;
use super::rebuild::engine_of;
use crate::cli::failure::{CliFailure, CliFinding};
use crate::cli::output::{Tone, clean, key_json, shown_key};
use crate::cli::session::CliSession;
use crate::manager::StateChange;

/// Show what changed in a state between two points
///
/// Needs a binary with the application's kinds. A line for each part: + added, ~ changed, - removed.
#[derive(Args)]
#[command(after_help = "Example: app-snapfold diff account alice 1200 now")]
pub(crate) struct DiffArguments {
    /// The kind of aggregate
    kind: String,
    /// The id of the aggregate
    id: String,
    /// The earlier point: a version, or a time (RFC 3339)
    earlier: PointArgument,
    /// The later point: a version, a time, or now
    #[arg(default_value = "now")]
    later: PointArgument,
}

impl DiffArguments {
    pub(super) async fn run(self, session: &mut CliSession) -> Result<CliFinding, CliFailure> {
        let admin = engine_of(session, &self.kind)?;
        let key = session.key(&self.kind, &self.id)?;
        let diff = admin.diff(&key, self.earlier.0, self.later.0).await?;
        if session.json {
            let document = json!({ "key": key_json(&key), "diff": diff });
            session.screen.json(&document)?;
            return Ok(CliFinding::Fine);
        }
        session.screen.heading(&shown_key(&key))?;
        for change in &diff.changes {
            let tone = match change {
                StateChange::Added { .. } => Tone::Good,
                StateChange::Removed { .. } => Tone::Bad,
                StateChange::Changed { .. } => Tone::Plain,
            };
            session.screen.toned_paragraph(tone, &clean(&change.to_string()))?;
        }
        let (added, changed, removed) = (diff.added, diff.changed, diff.removed);
        session.screen.line(format_args!("{added} added, {changed} changed, {removed} removed"))?;
        if !diff.is_complete() {
            session.screen.paragraph("Only the first of them are listed.")?;
        }
        Ok(CliFinding::Fine)
    }
}
