//! `savepoint`: one name for a pinned snapshot of each of many aggregates.

use std::fmt::Write as _;

use clap::{Args, Subcommand};
use serde_json::json;

use super::rebuild::engine_of;
use super::savepoint_members::{list, release, show};
use crate::cli::failure::{CliFailure, CliFinding};
use crate::cli::output::{count, key_json, shown, shown_error, shown_key};
use crate::cli::session::CliSession;
use crate::error::ErrorKind;
use crate::service::{Batch, BatchReport, progress_bar, savepoint_pin};
use crate::timestamp::Timestamp;

/// Take, list, show and release savepoints: one name for a snapshot of each of many aggregates
///
/// The snapshots of a savepoint are pinned, so that nothing deletes them until it is released. Each
/// tenant has savepoints of its own. Taking one needs a binary with the application's kinds; the other
/// commands work on any store.
#[derive(Args)]
#[command(after_help = "Example: snapfold --store file:DIR savepoint ls")]
pub(crate) struct SavepointArguments {
    #[command(subcommand)]
    command: SavepointCommand,
}

#[derive(Subcommand)]
enum SavepointCommand {
    /// Take and pin a snapshot of the current state of each aggregate of these kinds
    ///
    /// Needs a binary with the application's kinds. Aggregates that are part of the savepoint already
    /// are left as they are, so the same command completes one that was interrupted. The states are
    /// those at which each aggregate was reached: stop commits meanwhile if they must belong to one
    /// moment. Ends with exit code 1 if an aggregate failed.
    #[command(after_help = "Example: app-snapfold savepoint take before-release-42 account order")]
    Take {
        /// The name of the savepoint
        name: String,
        /// The kinds of aggregates
        #[arg(required = true, value_name = "KIND")]
        kinds: Vec<String>,
        /// Only this aggregate of the kind; may be repeated
        #[arg(long = "id", value_name = "ID")]
        ids: Vec<String>,
        /// Take the states at this time (RFC 3339) instead of the current ones: one cut of all
        #[arg(long, value_name = "TIME")]
        at: Option<Timestamp>,
        /// Why, for the audit trail
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
    },
    /// List the savepoints, with the number and the size of their snapshots
    #[command(after_help = "Example: snapfold --store file:DIR savepoint ls")]
    Ls,
    /// List the snapshots of a savepoint
    ///
    /// Without --tenant, it is the savepoint of the default tenant.
    #[command(after_help = "Example: snapfold --store file:DIR savepoint show before-release-42")]
    Show {
        /// The name of the savepoint
        name: String,
    },
    /// Release a savepoint: clear its pins; only count them without --yes
    ///
    /// The snapshots become ordinary ones, which a retention policy may drop. Without --tenant, it is
    /// the savepoint of the default tenant.
    #[command(
        after_help = "Example: snapfold --store file:DIR savepoint release before-release-42 --yes"
    )]
    Release {
        /// The name of the savepoint
        name: String,
        /// Release it
        #[arg(long)]
        yes: bool,
        /// Why, for the audit trail
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
    },
}

impl SavepointArguments {
    pub(super) async fn run(self, session: &mut CliSession) -> Result<CliFinding, CliFailure> {
        match self.command {
            SavepointCommand::Ls => list(session).await,
            SavepointCommand::Show { name } => show(session, &name).await,
            SavepointCommand::Release { name, yes, reason } => {
                session.context = session.context.clone().reason(reason);
                release(session, &name, yes).await
            }
            SavepointCommand::Take { name, kinds, ids, at, reason } => {
                session.context = session.context.clone().reason(reason);
                take(session, &name, &kinds, &ids, at).await
            }
        }
    }
}

async fn take(
    session: &mut CliSession,
    name: &str,
    kinds: &[String],
    ids: &[String],
    at: Option<Timestamp>,
) -> Result<CliFinding, CliFailure> {
    // Whatever can be refused is refused before the first snapshot is taken.
    let mut admins = Vec::with_capacity(kinds.len());
    for kind in kinds {
        admins.push(engine_of(session, kind)?);
    }
    savepoint_pin(name)?;
    let mut keys = Vec::with_capacity(ids.len());
    for id in ids {
        let [kind] = kinds else {
            let message = "--id names an aggregate of one kind: pass one KIND".to_owned();
            return Err(CliFailure::Usage(message));
        };
        keys.push(session.key_to_change(kind, id)?);
    }
    let mut taken = Vec::with_capacity(kinds.len());
    for (kind, admin) in kinds.iter().zip(admins) {
        let bar = progress_bar(None);
        let mut batch = Batch::new(admin)
            .tenant(session.tenant.clone().unwrap_or_default())
            .context(session.context.clone())
            .show_progress(bar.clone());
        if let Some(time) = at {
            batch = batch.savepoint_time(time);
        }
        let report = if keys.is_empty() {
            batch.savepoint(name).await
        } else {
            batch.savepoint_of(name, &keys).await
        };
        bar.finish_and_clear();
        if !session.json && (report.error.is_none() || report.counts.aggregates > 0) {
            print_taken(session, kind, &report)?;
        }
        match report.error {
            // The event source does not list its aggregates.
            Some(error) if error.kind() == ErrorKind::Unsupported && keys.is_empty() => {
                let message = format!("{}; or name aggregates with --id", shown_error(&error));
                return Err(CliFailure::Failed(message));
            }
            Some(error) => return Err(error.into()),
            None => {}
        }
        taken.push((kind, report));
    }
    if session.json {
        print_json(session, name, &taken)?;
    }
    Ok(CliFinding::wrong_if(taken.iter().any(|(_, report)| report.counts.failed > 0)))
}

fn print_taken(
    session: &mut CliSession,
    kind: &str,
    report: &BatchReport,
) -> Result<(), CliFailure> {
    for (key, error) in &report.failures {
        let text = format!("{} failed: {}", shown_key(key), shown_error(error));
        session.screen.paragraph(&text)?;
    }
    let counts = &report.counts;
    let of = count(counts.aggregates, "aggregate", "aggregates");
    let mut text = format!("{}: pinned {} of {of}", shown(kind), counts.changed);
    let rest = counts.aggregates.saturating_sub(counts.changed).saturating_sub(counts.failed);
    if rest > 0 {
        let _ = write!(text, "; {rest} already part of it, or without events");
    }
    if counts.failed > 0 {
        let _ = write!(text, "; {} failed", counts.failed);
    }
    Ok(session.screen.paragraph(&text)?)
}

fn print_json(
    session: &mut CliSession,
    name: &str,
    taken: &[(&String, BatchReport)],
) -> Result<(), CliFailure> {
    let kinds = taken.iter().map(|(kind, report)| {
        let failures = report
            .failures
            .iter()
            .map(|(key, error)| json!({ "key": key_json(key), "message": shown_error(error) }));
        json!({
            "kind": kind,
            "aggregates": report.counts.aggregates,
            "pinned": report.counts.changed,
            "failed": report.counts.failed,
            "failures": failures.collect::<Vec<_>>(),
        })
    });
    let kinds: Vec<_> = kinds.collect();
    Ok(session.screen.json(&json!({ "name": name, "kinds": kinds }))?)
}
