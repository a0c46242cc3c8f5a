//! Loads by the real engine over the store under test equal a full replay.

mod tally;

use std::time::Duration;

use crate::backend::memory::MemoryEvents;
use crate::clock::ManualClock;
use crate::compress::Compression;
use crate::conformance::case::{Context, cases, needs};
use crate::conformance::failure::{Failure, Stop, ensure, shown};
use crate::conformance::probe::Probe;
use crate::conformance::samples::at;
use crate::engine::{EngineBuilder, ReplayLoader, SnapshotEngine};
use crate::error::{Error, ErrorKind};
use crate::key::AggregateKey;
use crate::manager::{CreateOptions, Loaded, Loader};
use crate::record::Record;
use crate::retention::keep_last;
use crate::snapshot_id::SnapshotId;
use crate::state::Aggregate;
use crate::store::{PutOptions, Query};
use crate::trigger::every_events;
use tally::EngineTally;

cases! { Engine:
    "a load of any version or time equals a full replay", ["R1"], every_point;
    "after retention is applied, every load equals a full replay", ["R1"], compacted;
    "after a rebuild, every load equals a full replay", ["R1"], repaired;
    "with damaged snapshots, every load equals a full replay", ["R1"], damaged;
    "with background snapshots, every load equals a full replay", ["R1"], in_the_background;
    "with old and new code on one store, loads equal a full replay", ["R1"], generations;
    "a snapshot replaces truncated events", ["R1"], above_floor;
}

type Old = EngineTally<1>;
type NewState = EngineTally<2>;

/// An engine over the store under test, and one without snapshots.
struct World<A: Aggregate> {
    events: MemoryEvents<i64>,
    engine: SnapshotEngine<A>,
    replay: ReplayLoader<A>,
    key: AggregateKey,
}

impl<const G: u32> World<EngineTally<G>> {
    fn new(store: &Probe, events: MemoryEvents<i64>) -> Result<Self, Stop> {
        Self::with(store, events, |builder| builder)
    }

    fn with(
        store: &Probe,
        events: MemoryEvents<i64>,
        change: impl FnOnce(EngineBuilder<EngineTally<G>>) -> EngineBuilder<EngineTally<G>>,
    ) -> Result<Self, Stop> {
        let builder = SnapshotEngine::builder(events.clone(), store.store())
            .compression(Compression::none())
            .clock(ManualClock::at(at(1_000)));
        Ok(Self {
            engine: change(builder).build()?,
            replay: ReplayLoader::new(events.clone()),
            events,
            key: EngineTally::<G>::key("a")?,
        })
    }

    /// Appends events, with times that sometimes run backwards.
    fn grow(&self, random: &mut fastrand::Rng, events: u64) {
        for event in 0..events {
            let time = at(1_000 + event * 3 + random.u64(0..20));
            let amount = random.i64(-1_000..1_000);
            self.events.append_anchored(&self.key, time, &amount.to_le_bytes(), amount);
        }
    }

    async fn snapshot(&self, version: u64) -> Result<(), Stop> {
        let options = CreateOptions::new().at_version(version);
        match self.engine.create_with(&self.key, options).await {
            Ok(_) => Ok(()),
            Err(error) => Err(blame(&format!("create a snapshot at version {version}"), &error)),
        }
    }

    /// Checks that the engine returns the same result, or fails with the same kind of error, as a
    /// replay without snapshots.
    fn same(
        what: &str,
        loaded: Result<Loaded<EngineTally<G>>, Error>,
        replayed: Result<Loaded<EngineTally<G>>, Error>,
    ) -> Result<(), Stop> {
        let (loaded, replayed) = match (loaded, replayed) {
            (Ok(loaded), Ok(replayed)) => (loaded, replayed),
            (Err(one), Err(other)) if one.kind() == other.kind() => return Ok(()),
            (Err(error), _) => return Err(blame(what, &error)),
            (Ok(loaded), Err(error)) => {
                let failure = Failure::new("R1", what).expected(shown(&error));
                return Err(failure.got(shown(&loaded)).into());
            }
        };
        let point = |loaded: &Loaded<EngineTally<G>>| (loaded.version, loaded.as_of, *loaded.state);
        ensure(point(&loaded) == point(&replayed), || {
            Failure::new("R1", what).expected(shown(&point(&replayed))).got(format!(
                "{} {}",
                shown(&point(&loaded)),
                loaded.provenance
            ))
        })
    }

    async fn load_is_right(&self) -> Result<(), Stop> {
        let key = &self.key;
        Self::same(
            "load the current state",
            self.engine.load(key).await,
            self.replay.load(key).await,
        )
    }

    /// Checks that loads of every version, of the next one, and of times throughout the history
    /// equal a replay.
    async fn all_is_right(&self, versions: u64) -> Result<(), Stop> {
        let key = &self.key;
        self.load_is_right().await?;
        for version in 0..=versions + 1 {
            let what = format!("load version {version}");
            let loaded = self.engine.at_version(key, version).await;
            Self::same(&what, loaded, self.replay.at_version(key, version).await)?;
        }
        for time in (990..1_030 + versions * 3).step_by(2) {
            let what = format!("load the state at {}", at(time));
            let loaded = self.engine.at_time(key, at(time)).await;
            Self::same(&what, loaded, self.replay.at_time(key, at(time)).await)?;
        }
        Ok(())
    }
}

/// Attributes an engine error to R1 if only a wrong answer from the store can cause it, and
/// otherwise to C-02.
fn blame(what: &str, error: &Error) -> Stop {
    let broken = match error.kind() {
        ErrorKind::Unrecoverable | ErrorKind::BrokenHistory | ErrorKind::BeyondHead => "R1",
        _ => "C-02",
    };
    Failure::new(broken, what).expected("the result of a full replay").got(shown(error)).into()
}

/// Creates a history of this many events, with up to one snapshot per three events.
async fn history(cx: &mut Context, store: &Probe, versions: u64) -> Result<World<NewState>, Stop> {
    let world = World::new(store, MemoryEvents::new())?;
    world.grow(&mut cx.random, versions);
    for _ in 0..versions / 3 {
        world.snapshot(cx.random.u64(1..=versions)).await?;
    }
    Ok(world)
}

async fn every_point(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let world = history(cx, &store, 40).await?;
    world.all_is_right(40).await?;
    // Adds events, and older and newer snapshots, in between.
    for versions in [43, 50] {
        world.grow(&mut cx.random, versions - if versions == 43 { 40 } else { 43 });
        world.snapshot(versions - 1).await?;
        world.snapshot(cx.random.u64(1..10)).await?;
        world.all_is_right(versions).await?;
    }
    Ok(())
}

async fn compacted(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let world = history(cx, &store, 30).await?;
    for keep in [5, 2, 0] {
        if let Err(error) = world.engine.apply_retention(&world.key, &keep_last(keep)).await {
            return Err(blame("apply retention", &error));
        }
        world.all_is_right(30).await?;
    }
    Ok(())
}

async fn repaired(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let world = history(cx, &store, 20).await?;
    for version in [20, 7, 1] {
        if let Err(error) = world.engine.rebuild(&world.key, version).await {
            return Err(blame("rebuild the state", &error));
        }
        world.all_is_right(20).await?;
    }
    Ok(())
}

async fn damaged(cx: &mut Context) -> Result<(), Stop> {
    let mut store = cx.open().await?;
    let mut world = history(cx, &store, 20).await?;
    for version in [20, 13] {
        world.snapshot(version).await?;
        let query = Query::latest(&world.key, world.engine.generation()).at_most(version);
        let Some(record) = store.get(query).await?.into_record() else { continue };
        let mut bytes = record.as_bytes().to_vec();
        if let Some(last) = bytes.last_mut() {
            *last ^= 0x20;
        }
        let options = PutOptions::default().replace(true);
        let answer = store.try_put(vec![Record::from_bytes(bytes)], options).await?;
        if answer.is_err() {
            // The store verifies its input, so it must be damaged behind the store's back.
            let events = world.events.clone();
            let id = SnapshotId { generation: world.engine.generation(), version };
            let key = world.key.clone();
            drop((world, store));
            needs(cx.site.damage(&key, id).await?, "Site::damage")?;
            store = cx.again("C-22", "open a store with a damaged snapshot").await?;
            world = World::new(&store, events)?;
        }
        let query = Query::latest(&world.key, world.engine.generation()).at_most(version);
        store.blaming("C-22").get(query).await?;
        world.all_is_right(20).await?;
    }
    Ok(())
}

async fn in_the_background(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let world: World<NewState> =
        World::with(&store, MemoryEvents::new(), |builder| builder.trigger(every_events(4)))?;
    let mut version = 0;
    for _ in 0..25 {
        let loaded = match world.engine.load(&world.key).await {
            Ok(loaded) => loaded,
            Err(error) => return Err(blame("load the current state", &error)),
        };
        let more = cx.random.u64(1..4);
        world.grow(&mut cx.random, more);
        version += more;
        world.engine.committed(&loaded, version);
        world.load_is_right().await?;
        if cx.random.bool() {
            // A failed save does not affect the load (R12). The kit enforces the time limit.
            let _ = world.engine.flush(Duration::from_secs(20)).await;
        }
    }
    world.all_is_right(version).await
}

async fn generations(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let old: World<Old> = World::new(&store, MemoryEvents::new())?;
    let new: World<NewState> = World::new(&store, old.events.clone())?;
    old.grow(&mut cx.random, 24);
    for version in [3, 9, 10, 24] {
        old.snapshot(version).await?;
        old.all_is_right(24).await?;
        new.all_is_right(24).await?;
        new.snapshot(version - 1).await?;
        new.all_is_right(24).await?;
    }
    if let Err(error) = new.engine.apply_retention(&new.key, &keep_last(1)).await {
        return Err(blame("apply retention", &error));
    }
    old.all_is_right(24).await?;
    new.all_is_right(24).await
}

async fn above_floor(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let world: World<NewState> = World::new(&store, MemoryEvents::new())?;
    for version in 1..=12_u32 {
        let amount = i64::from(version) * 7;
        world.events.append(&world.key, at(version.into()), amount);
    }
    let replayed = world.replay.load(&world.key).await;
    world.snapshot(10).await?;
    world.events.truncate_below(&world.key, 10);
    World::same(
        "load after the first events were truncated",
        world.engine.load(&world.key).await,
        replayed,
    )
}
