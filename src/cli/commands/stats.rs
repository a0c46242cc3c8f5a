//! `stats`: the sizes of a store.

use clap::Args;
use serde_json::{Value, json};

use super::keys::keys_request;
use crate::cli::failure::{CliFailure, CliFinding};
use crate::cli::output::{Grid, GridColumn, age, key_json, shown, shown_id, shown_key, size};
use crate::cli::session::CliSession;
use crate::service::{SnapshotSizes, store_sizes};

/// Show what the snapshots of each tenant and kind take, and the largest aggregates
///
/// Sizes are those of the records, in bytes; K is 1,024. RAW is before compression. The database or
/// the file system needs some more. Reads no payloads.
#[derive(Args)]
#[command(after_help = "Example: snapfold --store file:DIR stats --largest 20")]
pub(crate) struct StatsArguments {
    /// How many of the largest aggregates to list
    #[arg(long, value_name = "N", default_value_t = 5)]
    largest: usize,
    /// Also count snapfold's own documents, such as the audit trail
    #[arg(long)]
    all: bool,
}

impl StatsArguments {
    pub(super) async fn run(self, session: &mut CliSession) -> Result<CliFinding, CliFailure> {
        let opened = session.store().await?;
        let request = keys_request(session, None, self.all);
        let sizes = store_sizes(&*opened.store, request, self.largest.min(10_000)).await?;
        if session.json {
            let kinds = sizes.by_kind.iter().map(|((tenant, kind), sizes)| {
                json!({ "tenant": tenant, "kind": kind, "sizes": sizes_json(sizes) })
            });
            let largest = sizes
                .largest
                .iter()
                .map(|(key, sizes)| json!({ "key": key_json(key), "sizes": sizes_json(sizes) }));
            let document = json!({
                "kinds": kinds.collect::<Vec<_>>(),
                "largest": largest.collect::<Vec<_>>(),
                "total": sizes_json(&sizes.total()),
            });
            session.screen.json(&document)?;
            return Ok(CliFinding::Fine);
        }
        let now = session.now;
        let mut grid = Grid::new(&[
            GridColumn::Text("KIND"),
            GridColumn::Number("SNAPSHOTS"),
            GridColumn::Number("STORED"),
            GridColumn::Number("RAW"),
            GridColumn::Number("DELTAS"),
            GridColumn::Number("PINNED"),
            GridColumn::Number("RETIRED"),
            GridColumn::Number("OLDEST"),
        ]);
        let mut row = |name: String, sizes: &SnapshotSizes| {
            grid.row([
                name,
                sizes.snapshots.to_string(),
                size(sizes.stored_bytes),
                size(sizes.raw_bytes),
                sizes.deltas.to_string(),
                sizes.pinned.to_string(),
                sizes.retired.to_string(),
                sizes.oldest.map_or_else(String::new, |oldest| age(oldest, now)),
            ]);
        };
        for ((tenant, kind), sizes) in &sizes.by_kind {
            row(kind_name(tenant, kind), sizes);
        }
        row("total".to_owned(), &sizes.total());
        grid.write(&mut session.screen)?;
        if !sizes.largest.is_empty() {
            let mut grid = Grid::new(&[
                GridColumn::Text("LARGEST AGGREGATES"),
                GridColumn::Number("SNAPSHOTS"),
                GridColumn::Number("STORED"),
                GridColumn::Number("RAW"),
            ]);
            for (key, sizes) in &sizes.largest {
                let stored = size(sizes.stored_bytes);
                grid.row([
                    shown_key(key),
                    sizes.snapshots.to_string(),
                    stored,
                    size(sizes.raw_bytes),
                ]);
            }
            session.screen.line("")?;
            grid.write(&mut session.screen)?;
        }
        Ok(CliFinding::Fine)
    }
}

/// Returns the name of a kind, with its tenant.
pub(super) fn kind_name(tenant: &str, kind: &str) -> String {
    let kind = shown_id(kind);
    if tenant.is_empty() { kind } else { format!("{kind} of tenant {}", shown(tenant)) }
}

pub(super) fn sizes_json(sizes: &SnapshotSizes) -> Value {
    json!({
        "aggregates": sizes.aggregates,
        "snapshots": sizes.snapshots,
        "stored_bytes": sizes.stored_bytes,
        "raw_bytes": sizes.raw_bytes,
        "deltas": sizes.deltas,
        "delta_bytes": sizes.delta_bytes,
        "duplicates": sizes.duplicates,
        "with_dictionary": sizes.with_dictionary,
        "dictionary_bytes": sizes.dictionary_bytes,
        "pinned": sizes.pinned,
        "retired": sizes.retired,
        "oldest": sizes.oldest.map(|time| time.to_string()),
        "newest": sizes.newest.map(|time| time.to_string()),
    })
}
