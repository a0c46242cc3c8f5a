//! `timeline`: a picture of the snapshots of an aggregate.

use std::collections::BTreeSet;

use clap::Args;
use serde_json::json;

use super::keys::{no_snapshots, snapshots_of};
use super::ls_snapshots::generations_of;
use super::picture::{Picture, VersionAxis};
use super::prune_plan::plan_without_code;
use crate::cli::failure::{CliFailure, CliFinding};
use crate::cli::output::{
    Tone, age, count, generation_json, key_json, meta_json, minute, shown_key, size,
};
use crate::cli::session::CliSession;
use crate::key::AggregateKey;
use crate::record::SnapshotMeta;
use crate::retention::{Policy, RetentionPlan};
use crate::snapshot_id::SnapshotId;

/// The width of a picture that is not for a terminal.
const WIDTH: usize = 80;

/// Draw the snapshots of an aggregate along an axis of versions
///
/// Each generation has a line of its own. A snapshot is a mark: . o O by its size, d a delta,
/// P pinned, R retired. If several fall on one column, the most important one is drawn; narrow the
/// range with --from and --to. With --keep, a second line has an x where a retention policy drops
/// all snapshots of the column, and a / where it drops some.
#[derive(Args)]
#[command(after_help = "Example: snapfold --store file:DIR timeline account alice --keep 'last 4'")]
pub(crate) struct TimelineArguments {
    /// The kind of aggregate
    kind: String,
    /// The id of the aggregate
    id: String,
    /// The lowest version to draw
    #[arg(long, value_name = "VERSION", default_value_t = 0)]
    from: u64,
    /// The highest version to draw; that of the newest snapshot by default
    #[arg(long, value_name = "VERSION")]
    to: Option<u64>,
    /// Also show what this retention policy would drop: see `prune --help`
    #[arg(long, value_name = "POLICY")]
    keep: Option<Policy>,
}

impl TimelineArguments {
    pub(super) async fn run(self, session: &mut CliSession) -> Result<CliFinding, CliFailure> {
        let key = session.key(&self.kind, &self.id)?;
        let admin = session.admin(key.kind());
        let all = match &admin {
            Some(admin) => admin.snapshots(&key, 0..=u64::MAX).await?,
            None => snapshots_of(&*session.store().await?.store, &key).await?,
        };
        if all.is_empty() {
            return Err(no_snapshots(&key));
        }
        let plan = match (&self.keep, &admin) {
            (None, _) => None,
            (Some(policy), Some(admin)) => Some(admin.plan_retention(&key, policy).await?),
            (Some(policy), None) => {
                let opened = session.store().await?;
                let now = session.now;
                Some(plan_without_code(&*opened.store, &all, policy, now, None).await?)
            }
        };
        let newest = all.first().map_or(0, |meta| meta.version);
        let (first, last) = (self.from, self.to.unwrap_or(newest));
        if first > last {
            let message = format!("--from {first} is above the last version, {last}");
            return Err(CliFailure::Usage(message));
        }
        let metas: Vec<_> =
            all.into_iter().filter(|meta| (first..=last).contains(&meta.version)).collect();
        if session.json {
            let document = json!({
                "key": key_json(&key),
                "snapshots": metas.iter().map(meta_json).collect::<Vec<_>>(),
                "dropped": plan.as_ref().map(|plan| {
                    let dropped = plan.dropped().map(|judged| json!({
                        "version": judged.id.version,
                        "generation": generation_json(judged.id.generation),
                        "reason": judged.reason,
                    }));
                    dropped.collect::<Vec<_>>()
                }),
            });
            session.screen.json(&document)?;
            return Ok(CliFinding::Fine);
        }
        let columns = session.screen.width().unwrap_or(WIDTH).saturating_sub(4).max(2);
        let axis = VersionAxis { first, last, columns };
        draw(session, &key, &metas, plan.as_ref(), &axis)?;
        Ok(CliFinding::Fine)
    }
}

fn draw(
    session: &mut CliSession,
    key: &AggregateKey,
    metas: &[SnapshotMeta],
    plan: Option<&RetentionPlan>,
    axis: &VersionAxis,
) -> Result<(), CliFailure> {
    let bytes = metas.iter().fold(0_u64, |sum, meta| sum.saturating_add(meta.stored_bytes));
    let title = format!(
        "{}: {}, {}",
        shown_key(key),
        count(metas.len() as u64, "snapshot", "snapshots"),
        size(bytes)
    );
    session.screen.heading(&title)?;
    if let (Some(newest), Some(oldest)) = (metas.first(), metas.last()) {
        session.screen.paragraph(&format!(
            "as of {} to {} UTC; the newest was created {} ago",
            minute(oldest.as_of),
            minute(newest.as_of),
            age(newest.created_at, session.now)
        ))?;
    }
    let largest = metas.iter().map(|meta| meta.stored_bytes).max().unwrap_or(0);
    for generation in generations_of(metas.iter().map(|meta| meta.generation)) {
        let own = || metas.iter().filter(|meta| meta.generation == generation);
        let number = count(own().count() as u64, "snapshot", "snapshots");
        session.screen.line("")?;
        session.screen.paragraph(&format!("{generation}, {number}"))?;
        let mut line = "    ".to_owned();
        for (tone, text) in Picture::new(axis, own(), largest).runs() {
            line.push_str(&session.screen.toned(tone, &text));
        }
        session.screen.line(line)?;
        if let Some(plan) = plan {
            let dropped: BTreeSet<_> = plan.dropped().map(|judged| judged.id).collect();
            let drops = dropped_line(axis, own(), &dropped);
            let line = session.screen.toned(Tone::Notable, &drops);
            session.screen.line(format_args!("{line}"))?;
        }
    }
    let (ticks, labels) = axis.lines();
    session.screen.line(format_args!("    {ticks}\n    {labels}"))?;
    let legend = format!("size: . o O, up to {}; d delta, P pinned, R retired", size(largest));
    session.screen.paragraph(&legend)?;
    if let Some(plan) = plan {
        session.screen.paragraph(&format!(
            "the policy drops {} of {}: x all of a column, / some",
            plan.dropped().count(),
            count(plan.judged.len() as u64, "snapshot", "snapshots")
        ))?;
    }
    Ok(())
}

/// Returns the line that shows where snapshots are dropped.
fn dropped_line<'m>(
    axis: &VersionAxis,
    metas: impl Iterator<Item = &'m SnapshotMeta>,
    dropped: &BTreeSet<SnapshotId>,
) -> String {
    let mut cells = vec![' '; axis.columns];
    let mut is_kept = vec![false; axis.columns];
    for meta in metas {
        let column = axis.column(meta.version);
        let is_dropped = dropped.contains(&meta.id());
        if let (Some(cell), Some(kept)) = (cells.get_mut(column), is_kept.get_mut(column)) {
            *kept |= !is_dropped;
            if is_dropped {
                *cell = 'x';
            }
            if *kept && *cell == 'x' {
                *cell = '/';
            }
        }
    }
    let line: String = cells.into_iter().collect();
    let line = line.trim_end();
    if line.is_empty() { "    (drops none)".to_owned() } else { format!("    {line}") }
}
