//! `bench`: what snapshots are worth, measured with the application's code, events and store.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::bench_report::{BenchRow, BenchSample, report};
use super::keys::known_keys;
use super::rebuild::engine_of;
use crate::cli::failure::{CliFailure, CliFinding};
use crate::cli::output::{shown_error, shown_key, tell};
use crate::cli::session::CliSession;
use crate::clock::{Clock as _, SystemClock};
use crate::error::{Error, ErrorKind};
use crate::key::AggregateKey;
use crate::manager::{CreateOptions, CreateOutcome, Explained, Origin, Point, SnapshotAdmin};
use crate::service::progress_bar;

/// Measure full replays against loads from snapshots, and from how many events a snapshot pays
///
/// Needs a binary with the application's kinds. For each aggregate, the newest state is loaded several
/// times by folding all events, and several times from its newest usable snapshot and the events after
/// it, without the hot cache. The first load of each is not counted. The columns are medians, with the
/// lowest and the highest time. TAIL is the number of events after the snapshot, and FASTER how many
/// times faster the load from it is.
///
/// Nothing is changed without --save. With it, snapshots are taken at the newest versions that have
/// none, and deleted again, to measure what one costs; only their entries in the audit
/// trail remain.
#[derive(Args)]
#[command(after_help = "Example: app-snapfold bench account --aggregates 3 --repeat 9")]
pub(crate) struct BenchArguments {
    /// The kind of aggregate
    kind: String,
    /// The ids of aggregates; without them, the first ones of the kind in the order of the store
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    /// How many aggregates to measure if no ID is given
    #[arg(
        long,
        value_name = "N",
        default_value_t = 5,
        value_parser = clap::value_parser!(u16).range(1..=1_000)
    )]
    aggregates: u16,
    /// How often each measurement is repeated
    #[arg(
        long,
        value_name = "N",
        default_value_t = 5,
        value_parser = clap::value_parser!(u16).range(1..=1_000)
    )]
    repeat: u16,
    /// Also measure how long it takes to save a snapshot: takes some and deletes them again
    #[arg(long)]
    save: bool,
}

impl BenchArguments {
    pub(super) async fn run(self, session: &mut CliSession) -> Result<CliFinding, CliFailure> {
        let admin = engine_of(session, &self.kind)?;
        let keys = self.keys(session, &*admin).await?;
        session.context = session.context.clone().reason("bench");
        let bar = progress_bar(keys.len() as u64);
        bar.tick();
        let mut rows = Vec::with_capacity(keys.len());
        for key in keys {
            match self.measure(session, &admin, &key).await {
                Ok(Some(row)) => rows.push(row),
                Ok(None) => {
                    let text = format!("{} is left out: it has no events", shown_key(&key));
                    bar.suspend(|| tell(&text));
                }
                // The first events are gone, so there is nothing to compare with.
                Err(error) if error.kind() == ErrorKind::Unrecoverable => {
                    let text = format!("{} is left out: {}", shown_key(&key), shown_error(&error));
                    bar.suspend(|| tell(&text));
                }
                Err(error) => {
                    bar.finish_and_clear();
                    return Err(error.into());
                }
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        if rows.is_empty() {
            let message = "there is nothing to measure: name an aggregate that has events";
            return Err(CliFailure::Absent(message.to_owned()));
        }
        report(session, &self.kind, self.repeat, &rows)?;
        Ok(CliFinding::Fine)
    }

    async fn keys(
        &self,
        session: &CliSession,
        admin: &dyn SnapshotAdmin,
    ) -> Result<Vec<AggregateKey>, CliFailure> {
        let mut keys = Vec::new();
        for id in &self.ids {
            keys.push(session.key_to_change(&self.kind, id)?);
        }
        let (wanted, mut after) = (usize::from(self.aggregates), None);
        while self.ids.is_empty() && keys.len() < wanted {
            let (page, next) = known_keys(session, admin, None, after.as_ref()).await?;
            keys.extend(page);
            if next.is_none() {
                break;
            }
            after = next;
        }
        if self.ids.is_empty() {
            keys.truncate(wanted);
        }
        if keys.is_empty() {
            let message = "no aggregate of this kind has a snapshot: name one by its id, or take \
                           snapshots first";
            return Err(CliFailure::Absent(message.to_owned()));
        }
        Ok(keys)
    }

    /// Measures one aggregate. Returns `None` if it has no events.
    async fn measure(
        &self,
        session: &CliSession,
        admin: &Arc<dyn SnapshotAdmin>,
        key: &AggregateKey,
    ) -> Result<Option<BenchRow>, Error> {
        let first = admin.explain_replay(key, Point::Now).await?;
        let version = first.version;
        if version == 0 {
            return Ok(None);
        }
        // All at one version, whatever is committed meanwhile.
        let head = Point::Version(version);
        let mut replays = Vec::new();
        for _ in 0..self.repeat {
            replays.push(took(&admin.explain_replay(key, head).await?));
        }
        let explained = admin.explain(key, head).await?;
        let used = explained.provenance.snapshot;
        let used = used.filter(|_| explained.provenance.origin == Origin::Snapshot);
        let (mut loads, mut bare) = (Vec::new(), Vec::new());
        if let Some(used) = used {
            let own = Point::Version(used.id.version);
            for _ in 0..self.repeat {
                loads.push(took(&admin.explain(key, head).await?));
                // The snapshot alone, without the events after it.
                bare.push(took(&admin.explain(key, own).await?));
            }
        }
        let saves = if self.save { self.saves(session, admin, &first).await? } else { Vec::new() };
        Ok(Some(BenchRow {
            key: key.clone(),
            events: first.provenance.events_replayed,
            tail: explained.provenance.events_replayed,
            snapshot: used,
            replay: BenchSample::of(&replays),
            load: BenchSample::of(&loads),
            bare: BenchSample::of(&bare),
            save: BenchSample::of(&saves),
        }))
    }

    /// Takes snapshots at the newest versions that have none, deletes them, and returns how long the
    /// encoding and storing took.
    async fn saves(
        &self,
        session: &CliSession,
        admin: &Arc<dyn SnapshotAdmin>,
        at: &Explained,
    ) -> Result<Vec<Duration>, Error> {
        let clock = SystemClock::new();
        let mut saves = Vec::new();
        let is_free = |version: &u64| at.snapshots.iter().all(|of| of.meta.version != *version);
        let free = (1..=at.version).rev().filter(is_free).take(usize::from(self.repeat));
        for version in free {
            // Taking a snapshot begins with the same load.
            let load = took(&admin.explain(&at.key, Point::Version(version)).await?);
            let options = CreateOptions::new().at_version(version);
            let started = clock.monotonic();
            let created = admin.create(&at.key, options, &session.context).await?;
            let all = clock.monotonic().saturating_sub(started);
            // One that somebody else stored meanwhile is not this command's to delete.
            if matches!(created, CreateOutcome::Stored(_)) {
                admin.delete(&at.key, version, &session.context).await?;
                saves.push(all.saturating_sub(load));
            }
        }
        Ok(saves)
    }
}

/// Returns how long a load took, by the engine's clock.
fn took(explained: &Explained) -> Duration {
    explained.provenance.timings.total()
}
