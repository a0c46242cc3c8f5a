//! `erase`: everything that a store has of an aggregate.

use clap::Args;
use serde_json::json;

use super::changes::audited;
use crate::cli::failure::{CliFailure, CliFinding};
use crate::cli::output::{count, key_json, shown_key, size, tell};
use crate::cli::session::CliSession;
use crate::key::AggregateKey;
use crate::store::{Erased, ListRequest, Remains, SnapshotStoreExt as _};

/// Erase all snapshots of an aggregate, pinned ones too; only count them without --yes
///
/// A store in files rewrites the files that contain them, so that no file does any more. The receipt
/// says what was removed, and where parts of the data may still be: events, backups, freed blocks of
/// the disk. The audit trail keeps the key.
#[derive(Args)]
#[command(after_help = "Example: snapfold --store file:DIR erase account alice \
                        --reason 'request of 2026-11-30' --yes")]
pub(crate) struct EraseArguments {
    /// The kind of aggregate
    kind: String,
    /// The id of the aggregate
    id: String,
    /// Why, for the audit trail
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Erase them
    #[arg(long)]
    yes: bool,
}

impl EraseArguments {
    pub(super) async fn run(self, session: &mut CliSession) -> Result<CliFinding, CliFailure> {
        let key = session.key_to_change(&self.kind, &self.id)?;
        session.context = session.context.clone().reason(self.reason.as_str());
        if !self.yes {
            let opened = session.store().await?;
            let snapshots = opened.store.count(ListRequest::new(&key)).await?;
            if session.json {
                let document =
                    json!({ "key": key_json(&key), "dry_run": true, "snapshots": snapshots });
                session.screen.json(&document)?;
                return Ok(CliFinding::Fine);
            }
            let what = count(snapshots, "snapshot", "snapshots");
            let text = format!("dry run: would erase {what} of {}", shown_key(&key));
            session.screen.paragraph(&text)?;
            session.screen.flush()?;
            tell("nothing was erased: repeat the command with --yes to erase");
            return Ok(CliFinding::Fine);
        }
        let erased = if let Some(admin) = session.admin(key.kind()) {
            admin.erase(&key, &session.context).await?
        } else {
            let opened = session.store_to_change().await?;
            let erasing = opened.store.erase(&key).await;
            let erased = audited(session, &opened, ("erase", &key, None), erasing).await?;
            erased.with_remains([Remains::Ledger, Remains::Events])
        };
        report(session, &key, &erased)?;
        Ok(CliFinding::Fine)
    }
}

fn report(session: &mut CliSession, key: &AggregateKey, erased: &Erased) -> Result<(), CliFailure> {
    let Erased { snapshots, bytes, rewritten_files, remains } = erased;
    if session.json {
        let remains: Vec<_> = remains.iter().map(ToString::to_string).collect();
        let document = json!({
            "key": key_json(key),
            "dry_run": false,
            "snapshots": snapshots,
            "bytes": bytes,
            "rewritten_files": rewritten_files,
            "not_erased": remains,
        });
        return Ok(session.screen.json(&document)?);
    }
    let what = count(*snapshots, "snapshot", "snapshots");
    let files = count(*rewritten_files, "file", "files");
    let text = format!("erased {what} of {}, {}; rewrote {files}", shown_key(key), size(*bytes));
    session.screen.paragraph(&text)?;
    for remains in remains {
        session.screen.paragraph(&format!("not erased: {remains}"))?;
    }
    Ok(())
}
