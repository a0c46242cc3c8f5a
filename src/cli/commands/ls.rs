//! `ls`: what a store contains, at three depths.

use clap::Args;
use serde_json::json;

use super::keys::keys_request;
use super::ls_aggregates::ls_aggregates;
use super::ls_snapshots::ls_snapshots;
use super::stats::{kind_name, sizes_json};
use crate::cli::failure::{CliFailure, CliFinding};
use crate::cli::output::{Grid, GridColumn, age, size};
use crate::cli::session::CliSession;
use crate::service::{SnapshotSizes, store_sizes};

/// List the kinds of a store, the aggregates of a kind, or the snapshots of an aggregate
///
/// Without arguments: each kind of aggregate, with counts and sizes. With KIND: its aggregates, in the
/// order of the store. With KIND and ID: the snapshots of one aggregate, highest version first.
/// Reads no payloads. Sizes are in bytes; K is 1,024. RAW is the size before compression.
#[derive(Args)]
#[command(after_help = "Example: snapfold --store file:DIR ls account --prefix al --limit 20")]
pub(crate) struct LsArguments {
    /// A kind of aggregate
    kind: Option<String>,
    /// The id of an aggregate; a list continues with the options below
    id: Option<String>,
    /// How many aggregates or snapshots to list at most
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = limit)]
    limit: usize,
    /// Continue the list of aggregates: the cursor that the previous list ended with
    #[arg(long, value_name = "CURSOR", conflicts_with = "id")]
    after: Option<String>,
    /// List only the aggregates whose id begins with PREFIX
    #[arg(long, value_name = "PREFIX", conflicts_with = "id")]
    prefix: Option<String>,
    /// List only the snapshots below VERSION: continues a list of snapshots
    #[arg(long, value_name = "VERSION", requires = "id")]
    below: Option<u64>,
    /// Also list snapfold's own documents, such as the audit trail
    #[arg(long)]
    all: bool,
}

impl LsArguments {
    pub(super) async fn run(self, session: &mut CliSession) -> Result<CliFinding, CliFailure> {
        match (&self.kind, &self.id) {
            (Some(kind), Some(id)) => {
                let key = session.key(kind, id)?;
                ls_snapshots(session, &key, self.limit, self.below).await
            }
            (Some(kind), None) => {
                let (after, prefix) = (self.after.as_deref(), self.prefix.as_deref());
                ls_aggregates(session, kind, self.limit, after, prefix.unwrap_or_default()).await
            }
            (None, _) if self.after.is_some() || self.prefix.is_some() => {
                let message =
                    "--after and --prefix are for the aggregates of a kind: name the kind";
                Err(CliFailure::Usage(message.to_owned()))
            }
            (None, _) => self.kinds(session).await,
        }
    }

    async fn kinds(self, session: &mut CliSession) -> Result<CliFinding, CliFailure> {
        let opened = session.store().await?;
        let sizes = store_sizes(&*opened.store, keys_request(session, None, self.all), 0).await?;
        if session.json {
            let kinds = sizes.by_kind.iter().map(|((tenant, kind), sizes)| {
                json!({ "tenant": tenant, "kind": kind, "sizes": sizes_json(sizes) })
            });
            let document = json!({
                "kinds": kinds.collect::<Vec<_>>(),
                "total": sizes_json(&sizes.total()),
            });
            session.screen.json(&document)?;
            return Ok(CliFinding::Fine);
        }
        if sizes.by_kind.is_empty() {
            session.screen.line("no snapshots")?;
            return Ok(CliFinding::Fine);
        }
        let now = session.now;
        let mut grid = Grid::new(&[
            GridColumn::Text("KIND"),
            GridColumn::Number("AGGREGATES"),
            GridColumn::Number("SNAPSHOTS"),
            GridColumn::Number("STORED"),
            GridColumn::Number("RAW"),
            GridColumn::Number("NEWEST"),
        ]);
        let mut row = |name: String, sizes: &SnapshotSizes| {
            grid.row([
                name,
                sizes.aggregates.to_string(),
                sizes.snapshots.to_string(),
                size(sizes.stored_bytes),
                size(sizes.raw_bytes),
                sizes.newest.map_or_else(String::new, |newest| age(newest, now)),
            ]);
        };
        for ((tenant, kind), sizes) in &sizes.by_kind {
            row(kind_name(tenant, kind), sizes);
        }
        if sizes.by_kind.len() > 1 {
            row("total".to_owned(), &sizes.total());
        }
        grid.write(&mut session.screen)?;
        Ok(CliFinding::Fine)
    }
}

/// Parses the number of items in a list: 1 to 100,000, because a list is held in memory.
pub(super) fn limit(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(limit @ 1..=100_000) => Ok(limit),
        _ => Err("use a number from 1 to 100000".to_owned()),
    }
}
