//! What a hostile review of retention, of loads of many and of reports found, each as a test.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use snapfold::engine::{Observation, Observer};
use snapfold::events::KeyedReplay;
use snapfold::manager::{AdminContext, CreateOptions};
use snapfold::record::SnapshotMeta;
use snapfold::retention::keep_last;
use snapfold::store::ListRequest;
use snapfold::trigger::every_events;
use snapfold::{
    AggregateKey, BoxError, EventRange, EventSource, MemoryEvents, MemoryStore, Replay,
    SnapshotEngine, SnapshotStore,
};

use crate::support::{Account, Event, OldAccount, Op, Source, Store, World, at, key};

const LONG: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

async fn save(world: &World, key: &AggregateKey, by: u64) {
    let loaded = world.engine.load(key).await.unwrap();
    let version = loaded.version + by;
    world.grow(key, version);
    let decision = world.engine.committed(&loaded, version);
    assert!(decision.is_queued(), "{decision:?}");
    world.engine.flush(LONG).await.unwrap();
}

/// after a rewind, the newest four are unusable and unread, and the acknowledged one goes.
#[tokio::test]
async fn what_was_just_saved_is_not_deleted_by_the_policy() {
    let world = World::with(|b| b.trigger(every_events(1)).retention(keep_last(4)));
    let key = key("a");
    world.grow(&key, 50);
    world.snapshots_at(&key, &[10, 20, 30, 40, 50]).await;
    // The event store is restored to an older point.
    world.source.events.rewind(&key, 15);
    save(&world, &key, 1).await;
    // Retention has deleted 10, the only usable one, and 16, which was just acknowledged. It has
    // kept 20 to 50, none of which can be used.
    let stored = world.store.versions(&key).await;
    eprintln!("head {}: stored {stored:?}", world.truth_version(&key).await);
    let truth = world.truth(&key).await;
    // The application was told that 16 is stored, so it truncates the events up to there.
    assert_eq!(world.engine.statistics().saved, 1);
    world.source.events.truncate_below(&key, 16);
    let loaded = world.engine.load(&key).await;
    let loaded = loaded.unwrap_or_else(|error| panic!("stored {stored:?}: {error:#}"));
    assert_eq!(*loaded.state, truth);
}

impl World {
    async fn truth_version(&self, key: &AggregateKey) -> u64 {
        EventSource::<Account>::head(&self.source.events, key).await.unwrap().unwrap()
    }
}

fn version(version: u64) -> CreateOptions {
    CreateOptions::new().at_version(version)
}

/// new code ran once, was rolled back, and comes again months later.
#[tokio::test]
async fn a_deploy_after_a_rollback_leaves_old_code_its_snapshots_for_a_week() {
    let (source, store, key) = (Source::default(), Store::default(), key("a"));
    source.grow(&key, 100);
    let events = source.events.clone();
    let world = World::over(source, store, |b| b.trigger(every_events(10)));
    let old = SnapshotEngine::<OldAccount>::builder(events, world.store.clone());
    let old = old.clock(world.clock.clone()).build().unwrap();
    // A canary of the new code takes one snapshot, and is rolled back.
    world.engine.create_with(&key, version(65)).await.unwrap();
    world.clock.advance(DAY);
    for v in [50, 60, 70] {
        old.create_with(&key, version(v)).await.unwrap();
    }
    // The old code has relied on its snapshots, and the first events were truncated.
    world.source.events.truncate_below(&key, 62);
    // Two weeks later the new code is deployed again. Old nodes still run.
    world.clock.advance(DAY * 14);
    world.engine.create(&key).await.unwrap();
    assert!(old.load(&key).await.is_ok());
    for _ in 0..8 {
        save(&world, &key, 10).await;
    }
    let metas = world.store.inner.schemas_of(&key).await;
    eprintln!("{metas:?}");
    old.load(&key).await.expect("the snapshots of old code were deleted on the day of the deploy");
}

#[async_trait]
trait Listed {
    async fn schemas_of(&self, key: &AggregateKey) -> Vec<(u32, u64)>;
}

#[async_trait]
impl<S: SnapshotStore> Listed for S {
    async fn schemas_of(&self, key: &AggregateKey) -> Vec<(u32, u64)> {
        let page = self.list(ListRequest::new(key)).await.unwrap();
        page.items.iter().map(|m| (m.generation.schema_version, m.version)).collect()
    }
}

/// the lowest usable one above the floor is of a generation that this code cannot read.
#[tokio::test]
async fn the_lowest_one_above_the_floor_is_kept_for_each_generation() {
    let (source, store, key) = (Source::default(), Store::default(), key("a"));
    source.grow(&key, 100);
    let events = source.events.clone();
    let world = World::over(source, store, |b| b.trigger(every_events(10)).retention(keep_last(1)));
    let old = SnapshotEngine::<OldAccount>::builder(events, world.store.clone());
    let old = old.clock(world.clock.clone()).build().unwrap();
    world.snapshots_at(&key, &[60, 72]).await;
    old.create_with(&key, version(70)).await.unwrap();
    world.source.events.truncate_below(&key, 65);
    assert_eq!(world.engine.at_version(&key, 75).await.unwrap().version, 75);
    for _ in 0..8 {
        save(&world, &key, 10).await;
    }
    eprintln!("{:?}", world.store.inner.schemas_of(&key).await);
    let loaded = world.engine.at_version(&key, 75).await;
    assert_eq!(loaded.expect("the version was loadable before retention").version, 75);
}

/// Fails for aggregates whose id begins with "bad", as an event that cannot be decoded does.
#[derive(Clone, Default)]
struct Poisoned(MemoryEvents<Event>);

#[async_trait]
impl EventSource<Account> for Poisoned {
    async fn read(
        &self,
        key: &AggregateKey,
        range: EventRange,
        replay: &mut Replay<'_, Account>,
    ) -> Result<(), BoxError> {
        if key.id().starts_with("bad") {
            return Err(format!("event 7 of {} cannot be decoded", key.id()).into());
        }
        self.0.read(key, range, replay).await
    }
}

/// three poisoned aggregates, and the others fail with the error of one of these.
#[tokio::test]
async fn load_many_returns_no_error_of_another_aggregate() {
    let events = Poisoned::default();
    let engine =
        SnapshotEngine::<Account>::builder(events.clone(), MemoryStore::new()).build().unwrap();
    let keys: Vec<_> = ["bad1", "bad2", "bad3", "good"].map(key).to_vec();
    for key in &keys {
        events.0.append(key, at(1), Event::Deposited(1));
    }
    assert!(engine.load(&keys[3]).await.is_ok());
    let loaded = engine.load_many(&keys).await;
    let good = loaded[3].as_ref();
    assert!(good.is_ok(), "{:#}", good.unwrap_err());
}

/// Fails to tell the floor of aggregates whose id begins with "x".
struct Flaky(Source);

#[async_trait]
impl EventSource<Account> for Flaky {
    async fn read(
        &self,
        key: &AggregateKey,
        range: EventRange,
        replay: &mut Replay<'_, Account>,
    ) -> Result<(), BoxError> {
        self.0.read(key, range, replay).await
    }
    async fn floor(&self, key: &AggregateKey) -> Result<u64, BoxError> {
        if key.id().starts_with('x') { Err("a shard is down".into()) } else { Ok(0) }
    }
}

/// the failures are not in a row. Between them, aggregates were loaded together.
#[tokio::test]
async fn load_many_counts_only_failures_in_a_row() {
    let world = World::new();
    let ids = ["x0", "good1", "x1", "good2", "x2", "good3", "new"];
    let keys: Vec<_> = ids.map(key).to_vec();
    for key in keys.iter().filter(|key| key.id().starts_with("good")) {
        world.grow(key, 5);
    }
    // Three loads alone fail: of aggregates without events, which are always loaded alone.
    let engine =
        SnapshotEngine::<Account>::builder(Flaky(world.source.clone()), MemoryStore::new());
    let engine = engine.build().unwrap();
    let loaded = engine.load_many(&keys).await;
    let is_ok: Vec<_> = loaded.iter().map(Result::is_ok).collect();
    assert_eq!(
        is_ok,
        [false, true, false, true, false, true, true],
        "{:?}",
        loaded[6].as_ref().err()
    );
}

/// "The policy is applied again after the aggregate's next snapshot."
#[tokio::test]
async fn a_failed_policy_is_applied_again_after_the_next_snapshot() {
    let world = World::with(|b| b.trigger(every_events(10)).retention(keep_last(1)));
    let key = key("a");
    world.store.fail(Op::List, 1);
    while world.engine.statistics().retention_failures == 0 {
        save(&world, &key, 10).await;
    }
    let lists = world.store.calls(Op::List);
    save(&world, &key, 10).await;
    assert_eq!(world.store.calls(Op::List), lists + 1);
}

/// `Display` of an observation is one line, and refused strings are not shown.
#[tokio::test]
async fn an_actor_does_not_forge_lines_of_the_log() {
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<String>>>);
    impl Observer for Lines {
        fn observe(&self, observation: &Observation<'_>) {
            self.0.lock().unwrap().push(observation.to_string());
        }
    }
    let lines = Lines::default();
    let observer = lines.clone();
    let world = World::with(|b| b.observer(observer));
    let key = key("a");
    world.grow(&key, 5);
    let actor = "eve\n2026-11-29 INFO delete account \"b\" by alice in 1.0ms".to_owned();
    world.engine.admin().delete(&key, 3, &AdminContext::new(actor)).await.unwrap();
    let huge = AdminContext::new("x".repeat(1 << 20));
    world.engine.admin().delete(&key, 3, &huge).await.unwrap_err();
    for line in lines.0.lock().unwrap().iter() {
        assert!(!line.contains('\n'), "{line}");
        assert!(line.len() < 10_000, "{} bytes", line.len());
    }
}

/// a clock that was behind on the day of the deploy.
#[tokio::test]
async fn one_snapshot_by_a_clock_that_is_behind_supersedes_nothing() {
    let (source, store, key) = (Source::default(), Store::default(), key("a"));
    source.grow(&key, 100);
    let events = source.events.clone();
    let world = World::over(source, store, |b| b.trigger(every_events(10)));
    world.clock.advance(DAY * 300);
    let old = SnapshotEngine::<OldAccount>::builder(events.clone(), world.store.clone());
    let old = old.clock(world.clock.clone()).build().unwrap();
    old.create_with(&key, version(70)).await.unwrap();
    world.clock.advance(DAY * 30);
    // A node without a clock battery: its clock stands at the beginning.
    let node = World::over(world.source.clone(), world.store.clone(), |b| b);
    node.engine.create_with(&key, version(90)).await.unwrap();
    for _ in 0..4 {
        save(&world, &key, 10).await;
    }
    let stored = world.store.inner.schemas_of(&key).await;
    assert!(stored.contains(&(0, 70)), "{stored:?}");
}

/// the same refusal is reported for `create`, but not for `create_many`.
#[tokio::test(start_paused = true)]
async fn new_aggregates_and_create_many_report_refusals() {
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<String>>>);
    impl Observer for Lines {
        fn observe(&self, observation: &Observation<'_>) {
            if matches!(observation, Observation::Managed { .. }) {
                self.0.lock().unwrap().push(observation.to_string());
            }
        }
    }
    let lines = Lines::default();
    let observer = lines.clone();
    let world = World::with(|b| b.observer(observer));
    let context = AdminContext::new("eve").expect_version(7);
    let keys = [key("a")];
    world.grow(&keys[0], 5);
    world.engine.admin().create(&keys[0], CreateOptions::new(), &context).await.unwrap_err();
    assert_eq!(lines.0.lock().unwrap().len(), 1);
    assert!(world.engine.admin().create_many(&[(&keys[0]).into()], &context).await[0].is_err());
    assert_eq!(lines.0.lock().unwrap().len(), 2, "a refused create_many is not reported");
}

/// a source that sorts the reads, by shard or by key. Nothing forbids that.
#[derive(Clone, Default)]
struct Sorting(MemoryEvents<Event>);

#[async_trait]
impl EventSource<Account> for Sorting {
    async fn read(
        &self,
        key: &AggregateKey,
        range: EventRange,
        replay: &mut Replay<'_, Account>,
    ) -> Result<(), BoxError> {
        self.0.read(key, range, replay).await
    }

    async fn read_many(&self, reads: &mut [KeyedReplay<'_, '_, Account>]) -> Result<(), BoxError> {
        reads.sort_by(|a, b| a.key.cmp(b.key));
        for read in reads {
            self.0.read(read.key, read.range, &mut read.replay).await?;
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_source_that_sorts_the_reads_gives_no_wrong_state() {
    let (events, store) = (Sorting::default(), MemoryStore::new());
    let engine = SnapshotEngine::<Account>::builder(events.clone(), store).build().unwrap();
    let keys = [key("b"), key("a")];
    for key in &keys {
        for version in 1..=10 {
            events.0.append(key, at(version), Event::Deposited(1));
        }
        engine.create(key).await.unwrap();
    }
    // The last event of "b" is another one: its snapshot has diverged.
    events.0.rewind(&keys[0], 9);
    events.0.append(&keys[0], at(5_000), Event::Deposited(-1_000));
    let loaded = engine.load_many(&keys).await;
    for (key, loaded) in keys.iter().zip(&loaded) {
        let alone = engine.load(key).await.unwrap();
        assert_eq!(loaded.as_ref().unwrap().state, alone.state, "{key}");
    }
}

/// snapshots are saved, but retention hangs, so `flush` says that snapshots were not saved, and
/// `drain` waits as long as it may.
#[tokio::test(start_paused = true)]
async fn a_flush_that_waited_for_retention_does_not_say_that_snapshots_were_not_saved() {
    /// The floor is known after an hour.
    struct Slow(Source);
    #[async_trait]
    impl EventSource<Account> for Slow {
        async fn read(
            &self,
            key: &AggregateKey,
            range: EventRange,
            replay: &mut Replay<'_, Account>,
        ) -> Result<(), BoxError> {
            self.0.read(key, range, replay).await
        }
        async fn head(&self, key: &AggregateKey) -> Result<Option<u64>, BoxError> {
            self.0.head(key).await
        }
        async fn floor(&self, _: &AggregateKey) -> Result<u64, BoxError> {
            tokio::time::sleep(LONG).await;
            Ok(0)
        }
    }
    let (source, key) = (Source::default(), key("a"));
    let engine = SnapshotEngine::<Account>::builder(Slow(source.clone()), MemoryStore::new())
        .trigger(every_events(10))
        .retention(keep_last(1))
        .build()
        .unwrap();
    let within = Duration::from_secs(60);
    source.grow(&key, 5);
    for _ in 0..8 {
        let loaded = engine.load(&key).await.unwrap();
        let version = loaded.version + 10;
        source.grow(&key, version);
        assert!(engine.committed(&loaded, version).is_queued());
        let saved = engine.statistics().saved;
        let flushed = engine.flush(within).await;
        assert_eq!(engine.statistics().saved, saved + 1);
        if let Err(error) = flushed {
            // All snapshots are saved.
            assert!(error.to_string().contains("some background work was not finished"), "{error}");
            let drained = engine.drain(within).await.unwrap();
            assert_eq!((drained.saved, drained.skipped.len()), (0, 0));
            return;
        }
    }
    panic!("the policy was never due");
}

/// No finding: batch loads race with rewinds, rebuilds, refolds, retirements, deletes and saves.
#[cfg(feature = "cache")]
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn race_batches_equal_a_replay() {
    use snapfold::store::{Mark, MarkChange, Selection};
    let mut seed = std::env::var("SEED").map_or(1_u64, |seed| seed.parse().unwrap());
    let mut random = move |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    let rounds: u32 = std::env::var("ROUNDS").map_or(300, |rounds| rounds.parse().unwrap());
    let world = Arc::new(World::with(|b| {
        let b = b.trigger(every_events(3)).retention(keep_last(2));
        b.cache(snapfold::engine::CacheConfig::default())
    }));
    let keys: Arc<Vec<_>> = Arc::new((0..6).map(|n| key(&format!("a{}", n % 5))).collect());
    let mut second = 0;
    for round in 0..rounds {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..3 {
            let (world, keys) = (Arc::clone(&world), Arc::clone(&keys));
            tasks.spawn(async move {
                for loaded in world.engine.load_many(&keys).await.into_iter().flatten() {
                    let _ = world.engine.committed(&loaded, loaded.version);
                }
            });
        }
        for _ in 0..4 {
            let (what, at_key, version) = (random(6), random(5), 1 + random(30));
            second += 1;
            let (world, keys, second) = (Arc::clone(&world), Arc::clone(&keys), second);
            let amount = i64::try_from(random(1_000)).unwrap();
            tasks.spawn(async move {
                let key = &keys[usize::try_from(at_key).unwrap()];
                match what {
                    0 => world.source.events.rewind(key, version),
                    1 => drop(world.engine.rebuild(key, version).await),
                    2 => drop(world.engine.refold(key, None).await),
                    3 => drop(world.engine.delete(key, version).await),
                    4 => {
                        let mark = Mark::retirement("wrong", at(1));
                        let snapshots = world.engine.snapshots(key, 0..=99).await.unwrap();
                        let ids: Vec<_> = snapshots.iter().map(SnapshotMeta::id).collect();
                        let change = MarkChange::Set(&mark);
                        drop(world.engine.mark(key, Selection::Ids(&ids), change).await);
                    }
                    _ => {
                        for n in 0..5 {
                            let event = Event::Deposited(amount + n);
                            world.source.append(key, second * 10, event);
                        }
                        if let Ok(loaded) = world.engine.load(key).await {
                            let _ = world.engine.committed(&loaded, loaded.version + 3);
                        }
                    }
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
        world.engine.flush(LONG).await.unwrap();
        for (key, loaded) in keys.iter().zip(world.engine.load_many(&keys).await) {
            let loaded = loaded.unwrap();
            assert_eq!(*loaded.state, world.truth(key).await, "round {round} {key}");
        }
    }
    eprintln!("{:?}", world.engine.statistics());
}
