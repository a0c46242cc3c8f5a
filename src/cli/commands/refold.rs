//! `refold`: whether the events still give what the snapshots contain.

use clap::Args;
use serde_json::json;

use super::keys::known_keys;
use super::rebuild::engine_of;
use crate::cli::failure::{CliFailure, CliFinding};
use crate::cli::output::{Tone, count, key_json, shown, shown_key, snapshots_progress};
use crate::cli::session::CliSession;
use crate::manager::FoldComparison;

/// Fold the events again, and compare each snapshot with the result
///
/// Needs a binary with the application's kinds. Finds what no checksum can: code that folds
/// differently than before, and events that were edited. Reads all events. Changes nothing without
/// --retire. Ends with exit code 1 if a snapshot differs or cannot be read.
#[derive(Args)]
#[command(
    after_help = "Example: app-snapfold refold account alice --retire --reason 'ticket 4711'"
)]
pub(crate) struct RefoldArguments {
    /// The kind of aggregate
    kind: String,
    /// The id of an aggregate; without it, all of the kind in the tenant
    id: Option<String>,
    /// Retire the snapshots that differ, so that no load uses them; they stay as evidence
    #[arg(long, requires = "reason")]
    retire: bool,
    /// Why, for the audit trail
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

impl RefoldArguments {
    pub(super) async fn run(self, session: &mut CliSession) -> Result<CliFinding, CliFailure> {
        let admin = engine_of(session, &self.kind)?;
        let context = session.context.clone().reason(self.reason.clone().unwrap_or_default());
        let bar = snapshots_progress();
        let (mut aggregates, mut equal, mut wrong, mut skipped) = (0_u64, 0_u64, 0_u64, 0_u64);
        let mut cursor = None;
        loop {
            let id = self.id.as_deref();
            let (keys, next) = known_keys(session, &*admin, id, cursor.as_ref()).await?;
            for key in keys {
                let compared = admin.compare_with_events(&key).await?;
                let found = (compared.different.len() + compared.unreadable.len()) as u64;
                aggregates += 1;
                equal += compared.equal.len() as u64;
                skipped += compared.skipped;
                wrong += found;
                bar.inc(compared.equal.len() as u64 + found + compared.skipped);
                if found == 0 {
                    continue;
                }
                if self.retire && !compared.is_clean() {
                    admin.retire_different(&key, &compared, &context).await?;
                }
                if session.json {
                    let document = json!({ "key": key_json(&key), "wrong": messages(&compared) });
                    bar.suspend(|| session.screen.json(&document))?;
                } else {
                    for message in messages(&compared) {
                        let text = format!("{}: {}", shown_key(&key), shown(&message));
                        bar.suspend(|| session.screen.paragraph(&text))?;
                    }
                }
            }
            if next.is_none() {
                break;
            }
            cursor = next;
        }
        if session.json {
            session.screen.json(&json!({
                "aggregates": aggregates,
                "equal": equal,
                "wrong_count": wrong,
                "skipped": skipped,
            }))?;
        } else {
            let of = count(aggregates, "aggregate", "aggregates");
            let tone = if wrong > 0 { Tone::Bad } else { Tone::Good };
            let end = session.screen.toned(tone, &format!("{wrong} wrong"));
            session.screen.line(format_args!("{of}: {equal} equal, {skipped} skipped, {end}"))?;
        }
        Ok(CliFinding::wrong_if(wrong > 0))
    }
}

fn messages(compared: &FoldComparison) -> Vec<String> {
    let different = compared.different.iter().map(ToString::to_string);
    different.chain(compared.unreadable.iter().map(ToString::to_string)).collect()
}
