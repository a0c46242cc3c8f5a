//! `prune`: deletes what a retention policy drops.

use std::fmt::Write as _;
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use super::changes::audited;
use super::keys::{known_keys, no_snapshots, snapshots_of_each, stored_keys};
use super::ls_snapshots::{generations_of, letter};
use super::prune_plan::plan_without_code;
use crate::cli::failure::{CliFailure, CliFinding};
use crate::cli::output::{
    Grid, GridColumn, count, generation_json, key_json, one_line, shown, shown_key, size, tell,
};
use crate::cli::session::{CliSession, OpenStore};
use crate::key::AggregateKey;
use crate::manager::SnapshotAdmin;
use crate::record::Generation;
use crate::retention::{Action, Policy, RetentionPlan};
use crate::store::{Cursor, DeleteOptions, Deleted, Selection};

/// Show which snapshots a retention policy drops and why; delete them with --yes
///
/// POLICY consists of rules that add up, separated by commas:
///
///   last N                  the newest N snapshots
///   within D                those of the last D, such as 30d or 12h
///   hourly N, daily N, weekly N, monthly N, yearly N
///                           the newest one of each of the newest N hours (days,
///                           weeks, months, years) that have one
///   every N versions        the first one at or above each multiple of N
///   label X                 those with the label X
///   all, nothing            every snapshot; no snapshot
///
/// Whatever the policy, these are kept: pinned snapshots, the newest undamaged one
/// of each generation, and the bases of deltas. Nothing is deleted without --yes.
///
/// Without the application's code it is not known whether a state can be decoded
/// and whether its events still exist. If events were deleted, pass the lowest
/// version from which they exist with --floor, or use a binary with the
/// application's kinds, where the plan is that of the application.
#[derive(Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Example: snapfold --store file:DIR prune account --keep 'last 4, daily 7'"
)]
pub(crate) struct PruneArguments {
    /// The kind of aggregate
    kind: String,
    /// The id of an aggregate; without it, all of the kind
    id: Option<String>,
    /// Which snapshots to keep, such as 'last 4, daily 7, monthly 12'
    #[arg(long, value_name = "POLICY")]
    keep: Policy,
    /// Delete what the plan drops
    #[arg(long)]
    yes: bool,
    /// Delete nothing, as without --yes
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Print one line per aggregate, without its snapshots
    #[arg(long)]
    summary: bool,
    /// The lowest version from which the events still exist, the same for all aggregates
    #[arg(long, value_name = "VERSION")]
    floor: Option<u64>,
    /// Why, for the audit trail
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
}

/// What was planned and deleted so far.
#[derive(Default)]
struct PruneTotals {
    aggregates: u64,
    kept: u64,
    kept_bytes: u64,
    dropped: u64,
    dropped_bytes: u64,
    deleted: Deleted,
}

impl PruneArguments {
    pub(super) async fn run(self, session: &mut CliSession) -> Result<CliFinding, CliFailure> {
        // snapfold's own documents are refused.
        session.key_to_change(&self.kind, self.id.as_deref().unwrap_or_default())?;
        session.context = session.context.clone().reason(self.reason.as_str());
        let mut totals = PruneTotals::default();
        if session.json {
            session.screen.bytes(b"{\"aggregates\":[")?;
        }
        match session.admin(&self.kind) {
            Some(admin) => self.with_code(session, &admin, &mut totals).await?,
            None => self.without_code(session, &mut totals).await?,
        }
        self.end(session, &totals)?;
        Ok(CliFinding::Fine)
    }

    /// Plans and deletes through the engine of the kind.
    async fn with_code(
        &self,
        session: &mut CliSession,
        admin: &Arc<dyn SnapshotAdmin>,
        totals: &mut PruneTotals,
    ) -> Result<(), CliFailure> {
        let mut cursor: Option<Cursor> = None;
        loop {
            let id = self.id.as_deref();
            let (keys, next) = known_keys(session, &**admin, id, cursor.as_ref()).await?;
            for key in keys {
                let (plan, deleted) = if self.yes {
                    let context = session.context.clone();
                    let retained = admin.apply_retention(&key, &self.keep, &context).await?;
                    (retained.plan, Some(retained.deleted))
                } else {
                    (admin.plan_retention(&key, &self.keep).await?, None)
                };
                self.report(session, &key, &plan, deleted, totals)?;
            }
            if next.is_none() {
                return Ok(());
            }
            cursor = next;
        }
    }

    async fn without_code(
        &self,
        session: &mut CliSession,
        totals: &mut PruneTotals,
    ) -> Result<(), CliFailure> {
        let opened = session.open(self.yes).await?;
        let store = &*opened.store;
        let (kind, id) = (Some(self.kind.as_str()), self.id.as_deref());
        let mut after: Option<Cursor> = None;
        loop {
            let (keys, next) = stored_keys(session, store, kind, id, after.as_ref()).await?;
            for (key, metas) in keys.iter().zip(snapshots_of_each(store, &keys).await?) {
                if metas.is_empty() && self.id.is_some() {
                    return Err(no_snapshots(key));
                }
                let plan =
                    plan_without_code(store, &metas, &self.keep, session.now, self.floor).await?;
                let mut deleted = None;
                if self.yes {
                    deleted = Some(delete(session, &opened, key, &plan).await?);
                }
                self.report(session, key, &plan, deleted, totals)?;
            }
            if next.is_none() {
                break;
            }
            after = next;
        }
        if let Some(file) = opened.file.as_ref().filter(|_| totals.deleted.snapshots > 0) {
            // Deletes alone free no space on the disk.
            file.compact()?;
        }
        Ok(())
    }

    /// Prints what becomes of one aggregate.
    fn report(
        &self,
        session: &mut CliSession,
        key: &AggregateKey,
        plan: &RetentionPlan,
        deleted: Option<Deleted>,
        totals: &mut PruneTotals,
    ) -> Result<(), CliFailure> {
        if session.json {
            if totals.aggregates > 0 {
                session.screen.bytes(b",")?;
            }
            session.screen.bytes(one_line(&plan_json(key, plan, deleted)).as_bytes())?;
        }
        let (kept, dropped) = (plan.kept().count() as u64, plan.dropped().count() as u64);
        totals.aggregates += 1;
        totals.kept += kept;
        totals.kept_bytes = totals.kept_bytes.saturating_add(plan.kept_bytes());
        totals.dropped += dropped;
        totals.dropped_bytes = totals.dropped_bytes.saturating_add(plan.freed_bytes());
        totals.deleted = [totals.deleted, deleted.unwrap_or_default()].into_iter().sum();
        if session.json {
            return Ok(());
        }
        let title = format!(
            "{}: keep {kept} ({}), drop {dropped} ({})",
            shown_key(key),
            size(plan.kept_bytes()),
            size(plan.freed_bytes())
        );
        session.screen.heading(&title)?;
        if self.summary {
            return Ok(());
        }
        let generations: Vec<Generation> =
            generations_of(plan.judged.iter().map(|judged| judged.id.generation));
        if generations.len() > 1 {
            for (at, generation) in generations.iter().enumerate() {
                session.screen.paragraph(&format!("generation {}: {generation}", letter(at)))?;
            }
        }
        let mut grid = Grid::new(&[
            GridColumn::Word("ACTION"),
            GridColumn::Number("VERSION"),
            GridColumn::Word("GEN"),
            GridColumn::Number("STORED"),
            GridColumn::Text("REASON"),
        ]);
        for judged in &plan.judged {
            let generation = generations.iter().position(|of| *of == judged.id.generation);
            grid.row([
                judged.action.to_string(),
                judged.id.version.to_string(),
                generation.map_or_else(String::new, letter),
                size(judged.stored_bytes),
                shown(&judged.reason),
            ]);
        }
        grid.write(&mut session.screen)?;
        Ok(session.screen.line("")?)
    }

    fn end(&self, session: &mut CliSession, totals: &PruneTotals) -> Result<(), CliFailure> {
        let PruneTotals { aggregates, kept, kept_bytes, dropped, dropped_bytes, deleted } = totals;
        if session.json {
            let end = json!({
                "policy": self.keep.to_string(),
                "dry_run": !self.yes,
                "kept": kept,
                "kept_bytes": kept_bytes,
                "dropped": dropped,
                "dropped_bytes": dropped_bytes,
                "deleted": deleted.snapshots,
                "deleted_bytes": deleted.bytes,
            });
            let end = one_line(&end);
            // The members of the document that began with the aggregates.
            session.screen.bytes(b"],")?;
            return Ok(session.screen.line(end.strip_prefix('{').unwrap_or_default())?);
        }
        let of = count(*aggregates, "aggregate", "aggregates");
        if self.yes {
            let snapshots = count(deleted.snapshots, "snapshot", "snapshots");
            let mut text = format!("deleted {snapshots} of {of}, {}", size(deleted.bytes));
            if deleted.pinned + deleted.needed > 0 {
                let kept = deleted.pinned + deleted.needed;
                let _ = write!(text, "; {kept} were pinned or needed meanwhile, and kept");
            }
            return Ok(session.screen.line(text)?);
        }
        let snapshots = count(*dropped, "snapshot", "snapshots");
        let text = format!("dry run: would delete {snapshots} of {of}, {}", size(*dropped_bytes));
        session.screen.line(text)?;
        if *dropped > 0 {
            session.screen.flush()?;
            tell("nothing was deleted: repeat the command with --yes to delete");
        }
        Ok(())
    }
}

async fn delete(
    session: &CliSession,
    opened: &OpenStore,
    key: &AggregateKey,
    plan: &RetentionPlan,
) -> Result<Deleted, CliFailure> {
    let ids: Vec<_> = plan.dropped().map(|judged| judged.id).collect();
    if ids.is_empty() {
        return Ok(Deleted::default());
    }
    // Pins and bases are respected by the store, also those that were set since the plan was made.
    let deleting = opened.store.delete(key, Selection::Ids(&ids), DeleteOptions::default()).await;
    audited(session, opened, ("apply_retention", key, None), deleting).await
}

fn plan_json(
    key: &AggregateKey,
    plan: &RetentionPlan,
    deleted: Option<Deleted>,
) -> serde_json::Value {
    let judged = plan.judged.iter().map(|judged| {
        json!({
            "version": judged.id.version,
            "generation": generation_json(judged.id.generation),
            "stored_bytes": judged.stored_bytes,
            "action": if judged.action == Action::Drop { "drop" } else { "keep" },
            "reason": judged.reason,
        })
    });
    json!({
        "key": key_json(key),
        "snapshots": judged.collect::<Vec<_>>(),
        "deleted": deleted.map(|deleted| deleted.snapshots),
    })
}
