//! The moves of `archive`, by [`TieredStore`].

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::json;

use super::changes::audited;
use super::keys::{no_snapshots, snapshots_of, snapshots_of_each, stored_keys};
use super::prune_plan::plan_without_code;
use crate::cli::failure::{CliFailure, CliFinding};
use crate::cli::output::{count, key_json, one_line, shown_key, size, snapshots_progress, tell};
use crate::cli::session::{CliSession, OpenStore};
use crate::key::AggregateKey;
use crate::layer::TieredStore;
use crate::record::SnapshotMeta;
use crate::retention::Policy;
use crate::snapshot_id::SnapshotId;
use crate::store::Selection;

/// `archive move`.
pub(super) struct ArchiveMove {
    pub(super) kind: String,
    pub(super) id: Option<String>,
    pub(super) to: String,
    pub(super) keep: Policy,
    pub(super) yes: bool,
}

/// `archive restore`.
pub(super) struct ArchiveRestore {
    pub(super) kind: String,
    pub(super) id: Option<String>,
    pub(super) from: String,
    pub(super) version: Option<u64>,
    pub(super) yes: bool,
}

/// What was moved so far, or would be.
#[derive(Clone, Copy, Default)]
struct MoveTotals {
    aggregates: u64,
    snapshots: u64,
    bytes: u64,
    /// Those that were selected, but stay.
    kept: u64,
}

impl ArchiveMove {
    pub(super) async fn run(self, session: &mut CliSession) -> Result<CliFinding, CliFailure> {
        // snapfold's own documents are refused.
        session.key_to_change(&self.kind, self.id.as_deref().unwrap_or_default())?;
        let opened = session.open(self.yes).await?;
        let second = session.open_second(&self.to, self.yes, true).await?;
        let archive = second.as_ref().map(|opened| opened.store.clone());
        // An archive that does not exist yet has none of the snapshots. In a plan the store itself
        // can stand for it, because a plan asks only for what the store does not have.
        let cold = archive.clone().unwrap_or_else(|| opened.store.clone());
        let tiers = TieredStore::new(opened.store.clone(), cold);
        let (store, bar) = (&*opened.store, snapshots_progress());
        let mut totals = MoveTotals::default();
        begin(session)?;
        let mut after = None;
        loop {
            let (kind, id) = (Some(self.kind.as_str()), self.id.as_deref());
            let (keys, next) = stored_keys(session, store, kind, id, after.as_ref()).await?;
            for (key, metas) in keys.iter().zip(snapshots_of_each(store, &keys).await?) {
                if metas.is_empty() && self.id.is_some() {
                    return Err(no_snapshots(key));
                }
                let plan = plan_without_code(store, &metas, &self.keep, session.now, None).await?;
                let ids: Vec<_> = plan.dropped().map(|judged| judged.id).collect();
                if ids.is_empty() {
                    continue;
                }
                if let Some(archive) = &archive {
                    let there = snapshots_of(&**archive, key).await?;
                    if contains(&there, &metas) {
                        return Err(same_store(key));
                    }
                }
                let selection = Selection::Ids(&ids);
                let report = if self.yes {
                    let moving = tiers.archive_selected(key, selection).await;
                    audited(session, &opened, ("archive", key, None), moving).await?
                } else {
                    tiers.plan_archive(key, selection).await?
                };
                bar.inc(report.moved);
                let of = MoveTotals {
                    aggregates: 1,
                    snapshots: report.moved,
                    bytes: report.moved_bytes,
                    kept: report.kept,
                };
                bar.suspend(|| add(session, key, of, &mut totals))?;
            }
            if next.is_none() {
                break;
            }
            after = next;
        }
        drop(bar);
        end(session, totals, !self.yes, "to the archive")?;
        freed(&opened, totals, self.yes)
    }
}

impl ArchiveRestore {
    pub(super) async fn run(self, session: &mut CliSession) -> Result<CliFinding, CliFailure> {
        session.key_to_change(&self.kind, self.id.as_deref().unwrap_or_default())?;
        let opened = session.open(self.yes).await?;
        let Some(second) = session.open_second(&self.from, self.yes, false).await? else {
            return Err(CliFailure::Absent("there is no such archive store".to_owned()));
        };
        let tiers = TieredStore::new(opened.store.clone(), second.store.clone());
        let (archive, bar) = (&*second.store, snapshots_progress());
        let mut totals = MoveTotals::default();
        begin(session)?;
        let mut after = None;
        loop {
            let (kind, id) = (Some(self.kind.as_str()), self.id.as_deref());
            let (keys, next) = stored_keys(session, archive, kind, id, after.as_ref()).await?;
            for (key, metas) in keys.iter().zip(snapshots_of_each(archive, &keys).await?) {
                let is_wanted =
                    |meta: &&SnapshotMeta| self.version.is_none_or(|v| v == meta.version);
                let wanted: Vec<_> = metas.iter().filter(is_wanted).collect();
                if wanted.is_empty() {
                    if self.id.is_some() {
                        let message = format!("the archive store has no such snapshot of {key}");
                        return Err(CliFailure::Absent(message));
                    }
                    continue;
                }
                let there = snapshots_of(&*opened.store, key).await?;
                if contains(&there, &metas) && contains(&metas, &there) {
                    return Err(same_store(key));
                }
                let of = if self.yes {
                    let ids: Vec<_> = wanted.iter().map(|meta| meta.id()).collect();
                    let moving = tiers.restore(key, Selection::Ids(&ids)).await;
                    let action = ("restore_archived", key, self.version);
                    let report = audited(session, &opened, action, moving).await?;
                    MoveTotals {
                        aggregates: 1,
                        snapshots: report.deleted,
                        bytes: report.deleted_bytes,
                        kept: (ids.len() as u64).saturating_sub(report.deleted),
                    }
                } else {
                    let bytes = wanted.iter().map(|meta| meta.stored_bytes);
                    MoveTotals {
                        aggregates: 1,
                        snapshots: wanted.len() as u64,
                        bytes: bytes.fold(0, u64::saturating_add),
                        kept: 0,
                    }
                };
                bar.inc(of.snapshots);
                bar.suspend(|| add(session, key, of, &mut totals))?;
            }
            if next.is_none() {
                break;
            }
            after = next;
        }
        drop(bar);
        end(session, totals, !self.yes, "back to the store")?;
        freed(&second, totals, self.yes)
    }
}

/// Returns whether `all` contains each snapshot of `some`, of which there is at least one.
fn contains(all: &[SnapshotMeta], some: &[SnapshotMeta]) -> bool {
    let all: BTreeSet<SnapshotId> = all.iter().map(SnapshotMeta::id).collect();
    !some.is_empty() && some.iter().all(|meta| all.contains(&meta.id()))
}

/// Two URLs may be of one database. A move within one store would delete what it moves, so it is
/// refused where both have the same snapshots. Between two stores that happens only if `archive
/// restore` was interrupted.
fn same_store(key: &AggregateKey) -> CliFailure {
    CliFailure::Usage(format!(
        "both stores have the same snapshots of {key}: are the two URLs of one store? Nothing of \
         it was moved"
    ))
}

/// Frees the space of the snapshots that were deleted from a store in files.
fn freed(from: &OpenStore, totals: MoveTotals, yes: bool) -> Result<CliFinding, CliFailure> {
    if let Some(file) = from.file.as_ref().filter(|_| yes && totals.snapshots > 0) {
        file.compact()?;
    }
    Ok(CliFinding::Fine)
}

fn begin(session: &mut CliSession) -> Result<(), CliFailure> {
    if session.json {
        session.screen.bytes(b"{\"aggregates\":[")?;
    }
    Ok(())
}

/// Prints and counts what was moved of one aggregate.
fn add(
    session: &mut CliSession,
    key: &AggregateKey,
    of: MoveTotals,
    totals: &mut MoveTotals,
) -> Result<(), CliFailure> {
    if session.json {
        if totals.aggregates > 0 {
            session.screen.bytes(b",")?;
        }
        let document = json!({
            "key": key_json(key),
            "snapshots": of.snapshots,
            "bytes": of.bytes,
            "kept": of.kept,
        });
        session.screen.bytes(one_line(&document).as_bytes())?;
    } else {
        let snapshots = count(of.snapshots, "snapshot", "snapshots");
        let text = format!("{}: {snapshots}, {}", shown_key(key), size(of.bytes));
        session.screen.paragraph(&text)?;
    }
    totals.aggregates += 1;
    totals.snapshots = totals.snapshots.saturating_add(of.snapshots);
    totals.bytes = totals.bytes.saturating_add(of.bytes);
    totals.kept = totals.kept.saturating_add(of.kept);
    Ok(())
}

fn end(
    session: &mut CliSession,
    totals: MoveTotals,
    dry_run: bool,
    whither: &str,
) -> Result<(), CliFailure> {
    let MoveTotals { aggregates, snapshots, bytes, kept } = totals;
    if session.json {
        let end = json!({
            "dry_run": dry_run,
            "snapshots": snapshots,
            "bytes": bytes,
            "kept": kept,
        });
        let end = one_line(&end);
        // The members of the document that began with the aggregates.
        session.screen.bytes(b"],")?;
        return Ok(session.screen.line(end.strip_prefix('{').unwrap_or_default())?);
    }
    let what = format!(
        "{} of {} {whither}, {}",
        count(snapshots, "snapshot", "snapshots"),
        count(aggregates, "aggregate", "aggregates"),
        size(bytes)
    );
    let start = if dry_run { "dry run: would move" } else { "moved" };
    let mut text = format!("{start} {what}");
    if kept > 0 {
        let stay = "stay: they are damaged, needed as a base, or too large for the other store";
        let _ = write!(text, "; {kept} {stay}");
    }
    session.screen.paragraph(&text)?;
    if dry_run && snapshots > 0 {
        session.screen.flush()?;
        tell("nothing was moved: repeat the command with --yes to move");
    }
    Ok(())
}
