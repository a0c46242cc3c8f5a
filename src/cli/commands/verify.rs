//! `verify`: whether the application can use what is stored.

use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};

use super::keys::known_keys;
use super::rebuild::engine_of;
use crate::cli::failure::{CliFailure, CliFinding};
use crate::cli::output::{Tone, count, key_json, shown, shown_key, snapshots_progress};
use crate::cli::session::CliSession;
use crate::manager::{SnapshotAdmin, Verified};
use crate::store::Cursor;

/// The most rejected snapshots that JSON lists. All are counted.
const MAX_LISTED: usize = 10_000;

/// Decode all stored snapshots with the application's code, and compare them with their digests
///
/// Needs a binary with the application's kinds. Changes nothing. Ends with exit code 1 if a snapshot
/// is rejected.
#[derive(Args)]
#[command(after_help = "Example: app-snapfold verify account")]
pub(crate) struct VerifyArguments {
    /// The kind of aggregate
    kind: String,
    /// The id of an aggregate; without it, all of the kind in the tenant
    id: Option<String>,
}

#[derive(Default)]
struct VerifyTotals {
    aggregates: u64,
    proved: u64,
    unproved: u64,
    rejected: u64,
    listed: Vec<Value>,
}

impl VerifyArguments {
    pub(super) async fn run(self, session: &mut CliSession) -> Result<CliFinding, CliFailure> {
        let admin = engine_of(session, &self.kind)?;
        let totals = self.verify(session, &admin).await?;
        let VerifyTotals { aggregates, proved, unproved, rejected, listed } = totals;
        if session.json {
            session.screen.json(&json!({
                "aggregates": aggregates,
                "proved": proved,
                "unproved": unproved,
                "rejected_count": rejected,
                "rejected": listed,
            }))?;
        } else {
            let of = count(aggregates, "aggregate", "aggregates");
            let tone = if rejected > 0 { Tone::Bad } else { Tone::Good };
            let end = session.screen.toned(tone, &format!("{rejected} rejected"));
            session
                .screen
                .line(format_args!("{of}: {proved} proved, {unproved} not proved, {end}"))?;
        }
        Ok(CliFinding::wrong_if(rejected > 0))
    }

    async fn verify(
        &self,
        session: &mut CliSession,
        admin: &Arc<dyn SnapshotAdmin>,
    ) -> Result<VerifyTotals, CliFailure> {
        let bar = snapshots_progress();
        let mut totals = VerifyTotals::default();
        let mut cursor: Option<Cursor> = None;
        loop {
            let id = self.id.as_deref();
            let (keys, next) = known_keys(session, &**admin, id, cursor.as_ref()).await?;
            for key in keys {
                let Verified { proved, unproved, rejected } = admin.verify(&key).await?;
                totals.aggregates += 1;
                totals.proved += proved;
                totals.unproved += unproved;
                totals.rejected += rejected.len() as u64;
                bar.inc(proved + unproved + rejected.len() as u64);
                for rejected in rejected {
                    let message = rejected.to_string();
                    if !session.json {
                        let text = format!("{}: {}", shown_key(&key), shown(&message));
                        bar.suspend(|| session.screen.paragraph(&text))?;
                    } else if totals.listed.len() < MAX_LISTED {
                        totals.listed.push(json!({ "key": key_json(&key), "message": message }));
                    }
                }
            }
            if next.is_none() {
                return Ok(totals);
            }
            cursor = next;
        }
    }
}
