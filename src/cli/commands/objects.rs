//! `objects`: the upkeep of a store in object storage.

use clap::{Args, Subcommand};
use serde_json::json;

use crate::cli::bucket::{BucketUse, open_bucket};
use crate::cli::failure::{CliFailure, CliFinding};
use crate::cli::output::{count, size};
use crate::cli::session::CliSession;
use crate::cli::store_url::StoreUrl;

/// Sweep or repair the objects of a store in object storage
#[derive(Args)]
#[command(after_help = "Example: snapfold --store s3://BUCKET/ROOT objects sweep")]
pub(crate) struct ObjectsArguments {
    #[command(subcommand)]
    command: ObjectsCommand,
}

#[derive(Subcommand)]
enum ObjectsCommand {
    /// Delete records that no index names and that are at least an hour old
    ///
    /// Interrupted puts and deletes leave them behind. Run this daily. It may run beside anything else.
    Sweep,
    /// Make missing and damaged indexes again from their records
    ///
    /// Pins and retirements of these aggregates are lost. Snapshots whose records are missing are removed from
    /// their index.
    Repair,
}

impl ObjectsArguments {
    pub(super) async fn run(self, session: &mut CliSession) -> Result<CliFinding, CliFailure> {
        let StoreUrl::Bucket(url) = session.url()? else {
            let message = "only a store in object storage has objects: use s3://, gs:// or az://";
            return Err(CliFailure::Usage(message.to_owned()));
        };
        let store = open_bucket(&url, session.options.timeout, BucketUse::Change).await?;
        match self.command {
            ObjectsCommand::Sweep => {
                let swept = store.sweep().await?;
                if session.json {
                    session.screen.json(&json!({
                        "listed": swept.listed,
                        "deleted": swept.deleted,
                        "bytes": swept.bytes,
                        "without_index": swept.without_index,
                    }))?;
                } else {
                    session.screen.line(format_args!(
                        "{} listed, {} deleted, {}",
                        count(swept.listed, "record", "records"),
                        swept.deleted,
                        size(swept.bytes),
                    ))?;
                    if swept.without_index > 0 {
                        let kept = count(swept.without_index, "record has", "records have");
                        let text = format!("{kept} no index and were kept: use objects repair");
                        session.screen.paragraph(&text)?;
                    }
                }
                Ok(CliFinding::wrong_if(swept.without_index > 0))
            }
            ObjectsCommand::Repair => {
                let repaired = store.repair().await?;
                if session.json {
                    session.screen.json(&json!({
                        "aggregates": repaired.aggregates,
                        "rebuilt": repaired.rebuilt,
                        "restored": repaired.restored,
                        "removed": repaired.removed,
                        "unreadable": repaired.unreadable,
                    }))?;
                } else {
                    session.screen.paragraph(&format!(
                        "{} examined, {} rebuilt with {}; {} removed; {} could not be read",
                        count(repaired.aggregates, "aggregate", "aggregates"),
                        count(repaired.rebuilt, "index", "indexes"),
                        count(repaired.restored, "snapshot", "snapshots"),
                        count(repaired.removed, "lost snapshot", "lost snapshots"),
                        count(repaired.unreadable, "record", "records"),
                    ))?;
                }
                Ok(CliFinding::Fine)
            }
        }
    }
}
