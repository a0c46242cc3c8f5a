//! `explain`: which snapshot a load uses, and why not another.

use clap::Args;
use serde_json::json;

use super::point::PointArgument;
use super::rebuild::engine_of;
use crate::cli::failure::{CliFailure, CliFinding};
use crate::cli::output::{Grid, GridColumn, key_json, meta_json, shown, shown_key};
use crate::cli::session::CliSession;
use crate::manager::{Explained, ExplainedSnapshot};

/// Explain a load: the snapshot it starts from, the events it folds, and why not another snapshot
///
/// Needs a binary with the application's kinds. The load is carried out.
#[derive(Args)]
#[command(after_help = "Example: app-snapfold explain account alice 2026-11-30T08:00:00Z")]
pub(crate) struct ExplainArguments {
    /// The kind of aggregate
    kind: String,
    /// The id of the aggregate
    id: String,
    /// The point to load: a version, a time (RFC 3339), or now
    #[arg(default_value = "now")]
    point: PointArgument,
}

impl ExplainArguments {
    pub(super) async fn run(self, session: &mut CliSession) -> Result<CliFinding, CliFailure> {
        let admin = engine_of(session, &self.kind)?;
        let key = session.key(&self.kind, &self.id)?;
        let explained = admin.explain(&key, self.point.0).await?;
        let Explained { version, provenance, snapshots, .. } = &explained;
        if session.json {
            let snapshots: Vec<_> = snapshots
                .iter()
                .map(|of| json!({ "snapshot": meta_json(&of.meta), "role": of.role.to_string() }))
                .collect();
            session.screen.json(&json!({
                "key": key_json(&key),
                "version": version,
                "events": provenance.events_replayed,
                "provenance": provenance.to_string(),
                "snapshots": snapshots,
            }))?;
            return Ok(CliFinding::Fine);
        }
        session.screen.heading(&format!("{} at version {version}", shown_key(&key)))?;
        session.screen.paragraph(&shown(&provenance.to_string()))?;
        let columns = [
            GridColumn::Word("SNAPSHOT"),
            GridColumn::Text("GENERATION"),
            GridColumn::Text("ROLE"),
        ];
        let mut grid = Grid::new(&columns);
        for ExplainedSnapshot { meta, role } in snapshots {
            let role = shown(&role.to_string());
            grid.row([meta.version.to_string(), meta.generation.to_string(), role]);
        }
        grid.write(&mut session.screen)?;
        Ok(CliFinding::Fine)
    }
}
