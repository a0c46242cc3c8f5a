//! Every method of the manager does what its documentation says: results in order, inclusive and
//! exclusive bounds, immutability, dry runs that promise what the run then does.
//!
//! Guards against operations that are nearly right: a retention run that deletes the last usable
//! snapshot because a damaged one is newer, an older save that hides a newer one, a repair that
//! happens by accident.

use std::time::Duration;

use crate::support::{Account, Event, OldAccount, Op, Source, Store, World, at, key};
use async_trait::async_trait;
use snapfold::engine::ReplayLoader;
use snapfold::manager::{CreateOptions, CreateOutcome, Fetched, Origin};
use snapfold::record::{Generation, RecordBuilder, RejectReason, SnapshotMeta, SnapshotSource};
use snapfold::retention::{Action, Retention, keep_last, keep_within};
use snapfold::store::{Deleted, Mark, MarkChange, PutOptions, Selection};
use snapfold::{
    Aggregate, AggregateKey, ErrorKind, EventRange, EventSource, Loaded, Loader, Point, Replay,
    SnapshotEngine, SnapshotId, SnapshotStore,
};

fn version_of(created: &CreateOutcome) -> Option<u64> {
    created.meta().map(|meta| meta.version)
}

fn stored(created: CreateOutcome) -> SnapshotMeta {
    match created {
        CreateOutcome::Stored(meta) => meta,
        other => panic!("not stored: {other:?}"),
    }
}

// Loads -------------------------------------------------------------------------------------------

#[tokio::test]
async fn each_way_to_load_gives_the_state_at_its_point_and_says_how() {
    let world = World::new();
    let key = key("a");
    world.grow(&key, 20);
    for snapshots in [&[][..], &[10], &[10, 15, 20]] {
        world.snapshots_at(&key, snapshots).await;
        let replay = ReplayLoader::<Account>::new(world.source.events.clone());
        for version in 0..=20 {
            let here = world.engine.at_version(&key, version).await.unwrap();
            let there = replay.at_version(&key, version).await.unwrap();
            assert_eq!((here.version, &here.state), (version, &there.state));
            assert_eq!((here.as_of, &here.key), (there.as_of, &key));
            assert_eq!(world.engine.at_time(&key, at(version)).await.unwrap().state, there.state);
            for point in [Point::Version(version), Point::Time(at(version))] {
                let known = world.engine.latest_known(&key, point).await.unwrap();
                assert_eq!((known.version, &known.state), (version, &there.state));
            }
            let used = snapshots.iter().rev().find(|at| **at <= version);
            assert_eq!(here.provenance.snapshot.map(|used| used.id.version).as_ref(), used);
            assert_eq!(here.provenance.events_replayed, version - used.copied().unwrap_or(0));
        }
        let now = world.load_checked(&key).await;
        assert_eq!((now.version, now.as_of), (20, Some(at(20))));
        let known = world.engine.latest_known(&key, Point::Version(21)).await.unwrap();
        assert_eq!((known.version, known.state), (20, now.state));
        let error = world.engine.at_version(&key, 21).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BeyondHead);
    }
}

#[tokio::test]
async fn provenance_tells_origin_snapshot_sizes_and_timings_in_one_line() {
    let world = World::new();
    let key = key("a");
    world.grow(&key, 12);
    let by_replay = world.engine.load(&key).await.unwrap().provenance;
    assert_eq!((by_replay.origin, by_replay.snapshot), (Origin::Replay, None));
    assert_eq!(by_replay.to_string(), "by replay from the beginning and 12 events in 0ns");

    let meta = stored(world.engine.create(&key).await.unwrap());
    world.grow(&key, 15);
    let provenance = world.engine.load(&key).await.unwrap().provenance;
    assert_eq!(provenance.to_string(), "from the snapshot at 12 and 3 events in 0ns");
    let used = provenance.snapshot.unwrap();
    assert_eq!((used.id, used.created_at), (meta.id(), meta.created_at));
    assert_eq!((used.stored_bytes, used.raw_bytes), (meta.stored_bytes, meta.raw_bytes));
    assert_eq!(provenance.rejected, []);
    assert_eq!(provenance.timings.total(), Duration::ZERO);

    world.store.tamper_with(&key, 12, |_| b"rust".to_vec()).await;
    let text = world.engine.load(&key).await.unwrap().provenance.to_string();
    assert_eq!(
        text,
        "by replay from the beginning and 15 events in 0ns; the snapshot at 12 was not used: the \
         bytes are not a snapfold record"
    );
}

#[tokio::test]
async fn an_aggregate_without_events_is_the_empty_state_and_has_nothing_to_capture() {
    let world = World::new();
    let nobody = key("nobody");
    let loaded = world.engine.load(&nobody).await.unwrap();
    assert_eq!((loaded.version, loaded.as_of), (0, None));
    assert_eq!(*loaded.state, Account::initial(&nobody));
    assert_eq!(world.engine.create(&nobody).await.unwrap(), CreateOutcome::Empty);
    assert_eq!(world.engine.create_many(std::slice::from_ref(&nobody)).await.len(), 1);
    let error = world.engine.rebuild(&nobody, 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BeyondHead);
    assert!(matches!(world.engine.latest_snapshot(&nobody).await.unwrap(), Fetched::Absent));
    assert_eq!(world.store.calls(Op::Put), 0);
}

// Creating ----------------------------------------------------------------------------------------

#[tokio::test]
async fn a_created_snapshot_tells_everything_about_itself() {
    let world = World::with(|builder| builder.origin("node 7"));
    let key = key("a");
    for (seconds, anchor) in [(10, b"x"), (30, b"y"), (20, b"z")] {
        world.source.events.append_anchored(&key, at(seconds), anchor, Event::Deposited(1));
    }
    let meta = stored(world.engine.create(&key).await.unwrap());
    assert_eq!((&meta.key, meta.version), (&key, 3));
    assert_eq!(meta.generation, world.engine.generation());
    assert_eq!((meta.as_of, meta.last_recorded_at), (at(30), at(20)));
    assert_eq!(meta.created_at, at(1_000_000));
    assert_eq!(meta.anchor.as_deref(), Some(&b"z"[..]));
    assert_eq!(meta.origin.as_deref(), Some("node 7"));
    assert_eq!(meta.labels, [""; 0]);
    assert_eq!(meta.stored_bytes, world.store.record(&key, 3).await.as_bytes().len() as u64);
    assert_eq!(world.engine.snapshots(&key, 0..=9).await.unwrap(), [meta]);
}

#[tokio::test]
async fn a_snapshot_can_be_taken_of_the_past_and_carry_labels() {
    let world = World::new();
    let key = key("a");
    world.grow(&key, 20);
    let options = CreateOptions::new().at_version(7).label("month-end").pin("audit");
    let meta = stored(world.engine.create_with(&key, options).await.unwrap());
    assert_eq!((meta.version, meta.as_of), (7, at(7)));
    assert_eq!(meta.labels, ["month-end"]);
    assert!(meta.is_pinned());
    let Fetched::Usable(snapshot) = world.engine.snapshot(&key, 7).await.unwrap() else {
        panic!("not usable");
    };
    assert_eq!(snapshot.meta, meta);
    assert_eq!(snapshot.state, world.engine.at_version(&key, 7).await.unwrap().state);

    let beyond = CreateOptions::new().at_version(21);
    let error = world.engine.create_with(&key, beyond).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BeyondHead);
    let long = CreateOptions::new().label("x".repeat(70_000));
    let error = world.engine.create_with(&key, long).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(world.store.versions(&key).await, [7]);
}

#[tokio::test]
async fn creating_twice_leaves_the_first_and_says_that_it_is_identical() {
    let world = World::new();
    let key = key("a");
    world.grow(&key, 5);
    stored(world.engine.create(&key).await.unwrap());
    let first = world.store.record(&key, 5).await;
    world.clock.advance(Duration::from_secs(60));
    let again = world.engine.create(&key).await.unwrap();
    assert!(matches!(&again, CreateOutcome::Existing { identical: true, .. }), "{again:?}");
    assert_eq!(version_of(&again), Some(5));
    assert_eq!(world.store.record(&key, 5).await, first);

    // Another payload under the same identity: as two folds that disagree would leave it.
    let other = RecordBuilder::new(key.clone(), world.engine.generation(), 5, at(5));
    let record = other.build(b"another state").unwrap();
    world.store.put(vec![record], PutOptions::default().replace(true)).await.unwrap();
    let again = world.engine.create_with(&key, CreateOptions::new().at_version(5)).await;
    assert_eq!(again.unwrap_err().kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn an_older_save_never_hides_a_newer_one() {
    let world = World::new();
    let key = key("a");
    world.grow(&key, 20);
    world.snapshots_at(&key, &[20, 5, 10]).await;
    let loaded = world.load_checked(&key).await;
    assert_eq!(loaded.provenance.snapshot.unwrap().id.version, 20);
    let latest = world.engine.latest_snapshot(&key).await.unwrap().usable().unwrap();
    assert_eq!(latest.meta.version, 20);
}

#[tokio::test]
async fn many_are_created_in_batches_with_one_result_each_in_their_order() {
    let world = World::new();
    let alien = AggregateKey::new("invoice", "a").unwrap();
    let mut keys: Vec<_> = (0..150).map(|i| key(&format!("k{i}"))).collect();
    for (at, key) in (1_u64..).zip(&keys) {
        if at != 41 {
            world.grow(key, at % 9 + 1);
        }
    }
    // Number 40 has no events, 50 is of another kind, 60 comes twice.
    keys[50] = alien;
    keys[60] = keys[59].clone();
    let results = world.engine.create_many(&keys).await;
    assert_eq!(results.len(), 150);
    for (index, (key, result)) in keys.iter().zip(&results).enumerate() {
        match (index, result) {
            (40, Ok(CreateOutcome::Empty))
            | (60, Ok(CreateOutcome::Existing { identical: true, .. })) => {}
            (50, Err(error)) => assert_eq!(error.kind(), ErrorKind::InvalidInput),
            (_, Ok(CreateOutcome::Stored(meta))) => {
                assert_eq!(meta.key, *key);
                assert_eq!(meta.version, world.engine.load(key).await.unwrap().version);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(world.store.calls(Op::Put), 4, "64 to a batch, and number 60 after number 59");
    assert!(world.engine.create_many(&[] as &[AggregateKey]).await.is_empty());
    assert_eq!(world.store.calls(Op::Put), 4);
}

#[tokio::test]
async fn a_batch_that_the_store_refuses_fails_its_own_snapshots_only() {
    let world = World::new();
    let mut keys: Vec<_> = (0..70).map(|i| key(&format!("k{i}"))).collect();
    keys.push(key("nobody"));
    for key in &keys[..70] {
        world.grow(key, 3);
    }
    world.store.fail(Op::Put, 1);
    let results = world.engine.create_many(&keys).await;
    // The batches are handled at the same time, so either may have been first.
    let (failed, stored) = if results[0].is_err() { (0..64, 64..70) } else { (64..70, 0..64) };
    for (index, result) in results.iter().enumerate() {
        match result {
            Err(error) if failed.contains(&index) => assert_eq!(error.kind(), ErrorKind::Store),
            Ok(CreateOutcome::Stored(_)) => assert!(stored.contains(&index)),
            Ok(CreateOutcome::Empty) => assert_eq!(index, 70),
            other => panic!("{index}: {other:?}"),
        }
    }
    // One aggregate whose snapshot cannot be read keeps none of the others from being taken: the
    // read of several fails, then that of the first alone.
    world.store.fail(Op::Get, 2);
    let results = world.engine.create_many(&keys[failed.start..failed.start + 3]).await;
    assert_eq!(results[0].as_ref().unwrap_err().kind(), ErrorKind::Store);
    assert!(results[1..].iter().all(|result| matches!(result, Ok(CreateOutcome::Stored(_)))));
}

#[tokio::test]
async fn a_snapshot_that_the_store_cannot_take_fails_alone() {
    let world = World::new();
    let keys: Vec<_> = (0..5).map(|i| key(&format!("k{i}"))).collect();
    for key in &keys {
        world.grow(key, 3);
    }
    world.store.refuse(&keys[2]);
    let results = world.engine.create_many(&keys).await;
    for (index, (key, result)) in keys.iter().zip(&results).enumerate() {
        match (index, result) {
            (2, Err(error)) => assert_eq!(error.kind(), ErrorKind::InvalidInput),
            (_, Ok(CreateOutcome::Stored(meta))) => assert_eq!(meta.key, *key),
            other => panic!("{other:?}"),
        }
    }
}

// Fetching and listing ----------------------------------------------------------------------------

#[tokio::test]
async fn snapshots_are_fetched_by_just_their_version_and_listed_newest_first() {
    let world = World::new();
    let key = key("a");
    world.grow(&key, 600);
    let versions: Vec<u64> = (1..=600).collect();
    world.snapshots_at(&key, &versions).await;
    let list = |range| async {
        let metas = world.engine.snapshots(&key, range).await.unwrap();
        metas.iter().map(|meta| meta.version).collect::<Vec<_>>()
    };
    assert_eq!(list(0..=u64::MAX).await, versions.iter().rev().copied().collect::<Vec<_>>());
    assert_eq!(list(3..=5).await, [5, 4, 3]);
    assert_eq!(list(600..=900).await, [600]);
    assert!(list(601..=900).await.is_empty());

    world.engine.delete(&key, 300).await.unwrap();
    assert!(matches!(world.engine.snapshot(&key, 300).await.unwrap(), Fetched::Absent));
    assert!(matches!(world.engine.snapshot(&key, 601).await.unwrap(), Fetched::Absent));
    let there = world.engine.snapshot(&key, 299).await.unwrap().usable().unwrap();
    assert_eq!(there.meta.version, 299);
    let latest = world.engine.latest_snapshot(&key).await.unwrap().usable().unwrap();
    assert_eq!(latest.meta.version, 600);
    assert!(matches!(
        world.engine.snapshot(&crate::support::key("b"), 1).await.unwrap(),
        Fetched::Absent
    ));
}

#[tokio::test]
async fn a_fetched_snapshot_is_not_compared_with_the_events() {
    let world = World::new();
    let key = key("a");
    world.grow(&key, 9);
    world.snapshots_at(&key, &[9]).await;
    world.source.events.rewind(&key, 2);
    let reads = world.source.reads();
    assert!(world.engine.latest_snapshot(&key).await.unwrap().usable().is_some());
    assert!(world.engine.snapshot(&key, 9).await.unwrap().usable().is_some());
    assert_eq!(world.source.reads(), reads);
}

#[tokio::test]
async fn a_snapshot_of_another_generation_is_there_and_stale_not_absent() {
    let world = World::new();
    let key = key("a");
    world.grow(&key, 9);
    let other = Generation { schema_version: 7, fingerprint: 7 };
    put_foreign(&world, &key, other, 4).await;
    for fetched in [
        world.engine.snapshot(&key, 4).await.unwrap(),
        world.engine.latest_snapshot(&key).await.unwrap(),
    ] {
        let Fetched::Rejected(rejected) = fetched else { panic!("{fetched:?}") };
        assert_eq!((rejected.version, rejected.reason), (Some(4), RejectReason::Stale(other)));
    }
    assert!(matches!(world.engine.snapshot(&key, 3).await.unwrap(), Fetched::Absent));
    assert!(matches!(world.engine.snapshot(&key, 5).await.unwrap(), Fetched::Absent));
}

async fn put_foreign(world: &World, key: &AggregateKey, generation: Generation, version: u64) {
    let record = RecordBuilder::new(key.clone(), generation, version, at(version)).build(b"old");
    world.store.put(vec![record.unwrap()], PutOptions::default()).await.unwrap();
}

// Deleting ----------------------------------------------------------------------------------------

#[tokio::test]
async fn deleting_takes_just_the_version_and_deleting_before_excludes_its_bound() {
    let world = World::new();
    let (here, there) = (key("a"), key("b"));
    let other = Generation { schema_version: 7, fingerprint: 7 };
    for key in [&here, &there] {
        world.grow(key, 20);
        world.snapshots_at(key, &[5, 10, 15, 20]).await;
        put_foreign(&world, key, other, 5).await;
        put_foreign(&world, key, other, 10).await;
    }
    let bytes: u64 = world
        .engine
        .snapshots(&here, 10..=10)
        .await
        .unwrap()
        .iter()
        .map(|meta| meta.stored_bytes)
        .sum();
    assert_eq!(world.engine.delete(&here, 10).await.unwrap(), Deleted::new(2, bytes));
    assert_eq!(world.engine.delete(&here, 10).await.unwrap(), Deleted::default());
    assert_eq!(world.store.versions(&here).await, [20, 15, 5, 5]);
    assert_eq!(world.engine.delete_before(&here, 15).await.unwrap().snapshots, 2);
    assert_eq!(world.store.versions(&here).await, [20, 15]);
    assert_eq!(world.engine.delete_before(&here, 15).await.unwrap(), Deleted::default());
    assert_eq!(world.engine.delete_before(&here, 16).await.unwrap().snapshots, 1);
    assert_eq!(world.store.versions(&there).await, [20, 15, 10, 10, 5, 5]);
    assert_eq!(world.load_checked(&here).await.provenance.snapshot.unwrap().id.version, 20);
}

#[tokio::test]
async fn a_snapshot_whose_header_cannot_be_read_can_still_be_deleted_by_its_version() {
    let world = World::new();
    let key = key("a");
    world.grow(&key, 20);
    world.snapshots_at(&key, &[5, 10]).await;
    world.store.tamper_with(&key, 10, |_| b"rust".to_vec()).await;
    assert_eq!(world.engine.delete(&key, 10).await.unwrap().snapshots, 1);
    assert_eq!(world.load_checked(&key).await.provenance.rejected, []);
}

// Repairing ---------------------------------------------------------------------------------------

#[tokio::test]
async fn only_a_repair_replaces_a_snapshot() {
    let world = World::new();
    let key = key("a");
    world.grow(&key, 10);
    world.snapshots_at(&key, &[5]).await;
    let good = world.store.record(&key, 5).await;
    let wrong = RecordBuilder::new(key.clone(), world.engine.generation(), 5, at(5));
    let wrong = wrong.build(b"another state").unwrap();
    world.store.put(vec![wrong], PutOptions::default().replace(true)).await.unwrap();
    let created = world.engine.create_with(&key, CreateOptions::new().at_version(5)).await;
    assert_eq!(created.unwrap_err().kind(), ErrorKind::Conflict);
    assert_ne!(world.store.record(&key, 5).await, good, "creating does not replace");

    let repaired = world.engine.rebuild(&key, 5).await.unwrap();
    assert!(repaired.replaced);
    assert_eq!(repaired.meta.version, 5);
    let [repaired, good] = [world.store.record(&key, 5).await, good].map(|record| {
        let header = record.verify().unwrap();
        let payload = record.as_bytes()[header.header_bytes()..].to_vec();
        (payload, header.digest, header.as_of, header.details().source)
    });
    assert_eq!((&repaired.0, repaired.1, repaired.2), (&good.0, good.1, good.2));
    assert_eq!((repaired.3, good.3), (SnapshotSource::Rebuild, SnapshotSource::Manual));
    let loaded = world.load_checked(&key).await;
    assert_eq!(loaded.provenance.snapshot.unwrap().id.version, 5);

    let fresh = world.engine.rebuild(&key, 7).await.unwrap();
    assert!(!fresh.replaced, "there was none");
    assert_eq!(world.store.versions(&key).await, [7, 5]);
}

#[tokio::test]
async fn a_repair_folds_from_the_beginning_and_trusts_no_snapshot() {
    let world = World::new();
    let key = key("a");
    world.grow(&key, 10);
    // A well-formed snapshot of a wrong state, as a bug fixed since may have left it.
    let mut state = Account::clone(&world.engine.at_version(&key, 5).await.unwrap().state);
    state.balance = 1_000_000;
    let raw = postcard::to_stdvec(&state).unwrap();
    let wrong = RecordBuilder::new(key.clone(), world.engine.generation(), 5, at(5));
    let wrong = wrong.codec(snapfold::codec::CodecId::POSTCARD).build(&raw).unwrap();
    world.store.put(vec![wrong], PutOptions::default()).await.unwrap();
    let calls = || (world.store.calls(Op::Get), world.store.calls(Op::List));
    let (gets, lists) = calls();
    let reads = world.source.reads();
    assert!(world.engine.rebuild(&key, 5).await.unwrap().replaced);
    // The store is asked for the labels only.
    assert_eq!((calls(), world.source.reads()), ((gets, lists + 1), reads + 1));
    world.load_checked(&key).await;
}

// Numbers -----------------------------------------------------------------------------------------

#[tokio::test]
async fn stats_count_all_generations_and_the_events_since_the_newest() {
    let world = World::new();
    let key = key("a");
    let none = world.engine.stats(&key).await.unwrap();
    assert_eq!(
        (none.snapshots, none.newest, none.head, none.events_since()),
        (0, None, Some(0), Some(0))
    );
    world.grow(&key, 30);
    assert_eq!(world.engine.stats(&key).await.unwrap().events_since(), Some(30));
    world.snapshots_at(&key, &[10, 20]).await;
    put_foreign(&world, &key, Generation { schema_version: 7, fingerprint: 7 }, 25).await;
    let stats = world.engine.stats(&key).await.unwrap();
    let metas = world.engine.snapshots(&key, 0..=u64::MAX).await.unwrap();
    assert_eq!((stats.snapshots, stats.generations), (3, 2));
    assert_eq!(stats.stored_bytes, metas.iter().map(|meta| meta.stored_bytes).sum::<u64>());
    assert_eq!(stats.raw_bytes, metas.iter().map(|meta| meta.raw_bytes).sum::<u64>());
    assert_eq!((stats.newest, stats.oldest), (Some(metas[0].id()), Some(metas[2].id())));
    assert_eq!((stats.head, stats.events_since()), (Some(30), Some(5)));
    world.source.events.rewind(&key, 3);
    assert_eq!(world.engine.stats(&key).await.unwrap().events_since(), Some(0));
}

/// A source that cannot tell its head.
struct Headless(Source);

#[async_trait]
impl EventSource<Account> for Headless {
    async fn read(
        &self,
        key: &AggregateKey,
        range: EventRange,
        replay: &mut Replay<'_, Account>,
    ) -> Result<(), snapfold::BoxError> {
        self.0.read(key, range, replay).await
    }
}

#[tokio::test]
async fn stats_do_not_guess_a_head_that_the_source_cannot_tell() {
    let source = Source::default();
    source.grow(&key("a"), 3);
    let engine = SnapshotEngine::builder(Headless(source), Store::default()).build().unwrap();
    engine.create(&key("a")).await.unwrap();
    let stats = engine.stats(&key("a")).await.unwrap();
    assert_eq!((stats.snapshots, stats.head, stats.events_since()), (1, None, None));
}

// Retention ---------------------------------------------------------------------------------------

#[tokio::test]
async fn a_plan_is_a_dry_run_of_compacting() {
    let world = World::new();
    let key = key("a");
    world.grow(&key, 50);
    world.snapshots_at(&key, &[10, 20, 30, 40, 50]).await;
    let policies: [&dyn Retention; 4] = [
        &keep_last(9),
        &keep_last(3).or(keep_within(Duration::ZERO)),
        &keep_last(2),
        &keep_last(0),
    ];
    for (policy, left) in
        policies.into_iter().zip([&[50, 40, 30, 20, 10][..], &[50, 40, 30], &[50, 40], &[50]])
    {
        let before = world.store.dump(std::slice::from_ref(&key)).await;
        let plan = world.engine.plan_retention(&key, policy).await.unwrap();
        assert_eq!(world.store.dump(std::slice::from_ref(&key)).await, before);
        assert_eq!(plan.kept().map(|judged| judged.id.version).collect::<Vec<_>>(), left);
        let compaction = world.engine.apply_retention(&key, policy).await.unwrap();
        assert_eq!(compaction.plan, plan);
        assert_eq!(compaction.deleted.snapshots, plan.dropped().count() as u64);
        let bytes = plan.dropped().map(|judged| judged.stored_bytes).sum::<u64>();
        assert_eq!(compaction.deleted.bytes, bytes);
        assert_eq!(world.store.versions(&key).await, left);
    }
    world.load_checked(&key).await;
}

#[tokio::test]
async fn compacting_keeps_the_newest_usable_snapshot_below_damaged_ones() {
    for whole_header in [true, false] {
        let world = World::new();
        let key = key("a");
        world.grow(&key, 50);
        world.snapshots_at(&key, &[10, 20, 30, 40, 50]).await;
        for version in [50, 40] {
            let damage = |mut record: Vec<u8>| {
                let at = if whole_header { record.len() - 1 } else { 0 };
                record[at] ^= 1;
                record
            };
            world.store.tamper_with(&key, version, damage).await;
        }
        let compaction = world.engine.apply_retention(&key, &keep_last(0)).await.unwrap();
        let kept: Vec<_> = compaction.plan.kept().map(|judged| judged.id.version).collect();
        assert_eq!(kept, if whole_header { &[50, 30][..] } else { &[30] });
        let loaded = world.load_checked(&key).await;
        assert_eq!(loaded.provenance.snapshot.unwrap().id.version, 30);
    }
}

#[tokio::test]
async fn compacting_keeps_pinned_ones_and_the_newest_of_each_generation() {
    let world = World::new();
    let key = key("a");
    world.grow(&key, 50);
    let pinned = CreateOptions::new().at_version(5).pin("audit");
    world.engine.create_with(&key, pinned).await.unwrap();
    world.snapshots_at(&key, &[10, 20]).await;
    let other = Generation { schema_version: 0, fingerprint: 7 };
    for version in [3, 4] {
        put_foreign(&world, &key, other, version).await;
    }
    let compaction = world.engine.apply_retention(&key, &keep_last(0)).await.unwrap();
    let judged: Vec<_> = compaction
        .plan
        .judged
        .iter()
        .map(|j| (j.id.version, j.action, j.reason.as_str()))
        .collect();
    assert_eq!(
        judged,
        [
            (20, Action::Keep, "the newest of its generation"),
            (10, Action::Drop, "no policy keeps it"),
            (5, Action::Keep, "pinned"),
            (4, Action::Keep, "the newest of its generation"),
            (3, Action::Drop, "no policy keeps it"),
        ]
    );
    assert_eq!(world.store.versions(&key).await, [20, 5, 4]);
}

#[tokio::test]
async fn compacting_deletes_in_bounded_batches_and_never_touches_events() {
    let world = World::new();
    let key = key("a");
    world.grow(&key, 600);
    world.snapshots_at(&key, &(1..=600).collect::<Vec<_>>()).await;
    let compaction = world.engine.apply_retention(&key, &keep_last(1)).await.unwrap();
    assert_eq!(compaction.deleted.snapshots, 599);
    assert_eq!(world.store.calls(Op::Delete), 3);
    let replayed = ReplayLoader::<Account>::new(world.source.clone()).load(&key).await.unwrap();
    assert_eq!(replayed.version, 600);
}

// Generations -------------------------------------------------------------------------------------

#[tokio::test]
async fn old_and_new_code_each_find_their_own_snapshots_in_one_store() {
    let world = World::new();
    let key = key("a");
    world.grow(&key, 20);
    let events = world.source.events.clone();
    let old = SnapshotEngine::<OldAccount>::builder(events, world.store.clone()).build().unwrap();
    assert_ne!(old.generation(), world.engine.generation());
    old.create_with(&key, CreateOptions::new().at_version(15)).await.unwrap();
    let loaded = world.load_checked(&key).await;
    assert_eq!(loaded.provenance.origin, Origin::Replay);
    assert_eq!(loaded.provenance.rejected[0].reason, RejectReason::Stale(old.generation()));
    world.snapshots_at(&key, &[10]).await;
    let loaded = world.load_checked(&key).await;
    assert_eq!(loaded.provenance.snapshot.unwrap().id.version, 10);
    let loaded = old.load(&key).await.unwrap();
    assert_eq!(loaded.provenance.snapshot.unwrap().id.version, 15);
    assert_eq!(loaded.state.balance, 210);
}

#[tokio::test]
async fn a_snapshot_of_an_older_generation_is_fetched_through_its_upcaster() {
    let source = Source::default();
    let key = key("a");
    source.grow(&key, 20);
    let store = Store::default();
    let events = source.events.clone();
    let old = SnapshotEngine::<OldAccount>::builder(events, store.clone()).build().unwrap();
    old.create_with(&key, CreateOptions::new().at_version(15)).await.unwrap();
    let world = World::over(source, store, |builder| {
        builder.upcasts(0, snapfold::codec::Postcard, |old: OldAccount| {
            Ok(Account { balance: old.balance, ..Account::default() })
        })
    });
    put_foreign(&world, &key, Generation { schema_version: 7, fingerprint: 7 }, 16).await;
    let latest = world.engine.latest_snapshot(&key).await.unwrap().usable().unwrap();
    assert_eq!((latest.meta.version, latest.state.balance), (15, 120));
    let exact = world.engine.snapshot(&key, 15).await.unwrap().usable().unwrap();
    assert_eq!(exact.meta.generation, old.generation());
    assert!(world.engine.snapshot(&key, 16).await.unwrap().usable().is_none());
    // One of today's is preferred, also where another is newer.
    world.snapshots_at(&key, &[10]).await;
    let latest = world.engine.latest_snapshot(&key).await.unwrap().usable().unwrap();
    assert_eq!(latest.meta.version, 10);
    assert!(world.engine.snapshot(&key, 15).await.unwrap().usable().is_some());
}

/// A damaged newest snapshot of today must not hide a readable older generation above it: with the
/// first events gone, that would make the aggregate unrecoverable for nothing.
#[tokio::test]
async fn another_generation_is_tried_when_the_newest_of_today_is_damaged() {
    let source = Source::default();
    let key = key("a");
    source.grow(&key, 20);
    let store = Store::default();
    let events = source.events.clone();
    let old = SnapshotEngine::<OldAccount>::builder(events, store.clone()).build().unwrap();
    old.create_with(&key, CreateOptions::new().at_version(15)).await.unwrap();
    let world = World::over(source, store, |builder| {
        builder.upcasts(0, snapfold::codec::Postcard, |old: OldAccount| {
            Ok(Account { balance: old.balance, ..Account::default() })
        })
    });
    world.snapshots_at(&key, &[10]).await;
    world.store.tamper(&key, 10, snapfold::record::Record::from_bytes(b"damaged".to_vec()));
    world.source.events.truncate_below(&key, 14);
    let loaded = world.engine.load(&key).await.unwrap();
    assert_eq!(loaded.provenance.rejected[0].version, Some(10));
    let used = loaded.provenance.snapshot.unwrap().id;
    assert_eq!((used.version, used.generation), (15, old.generation()));
    assert_eq!(loaded.state.balance, 210);
}

// Without snapshots -------------------------------------------------------------------------------

#[tokio::test]
async fn a_replay_loader_answers_the_same() {
    let source = Source::default();
    let key = key("a");
    source.grow(&key, 9);
    let manager: &dyn Loader<Account> = &ReplayLoader::new(source.clone());
    let loaded = manager.load(&key).await.unwrap();
    assert_eq!((loaded.version, loaded.provenance.origin), (9, Origin::Replay));
    assert_eq!(loaded.provenance.events_replayed, 9);
    assert_eq!(manager.at_version(&key, 4).await.unwrap().version, 4);
    assert_eq!(manager.at_version(&key, 10).await.unwrap_err().kind(), ErrorKind::BeyondHead);
    assert_eq!(manager.at_time(&key, at(6)).await.unwrap().version, 6);
    assert_eq!(manager.latest_known(&key, Point::Version(10)).await.unwrap().version, 9);
    assert_eq!(manager.at(&key, Point::Version(4)).await.unwrap().version, 4);
    assert_eq!(manager.at(&key, Point::Time(at(6))).await.unwrap().version, 6);
    assert_eq!(
        manager.at(&key, Point::Version(10)).await.unwrap_err().kind(),
        ErrorKind::BeyondHead
    );
    let many = manager.load_many(&[key.clone(), self::key("b")]).await;
    let versions: Vec<_> = many.into_iter().map(|loaded| loaded.unwrap().version).collect();
    assert_eq!(versions, [9, 0]);
}

#[tokio::test]
async fn debug_output_never_shows_a_state() {
    let world = World::new();
    let key = key("a");
    world.source.append(&key, 1, Event::Noted("secret".to_owned()));
    let loaded: Loaded<Account> = world.engine.load(&key).await.unwrap();
    world.engine.create(&key).await.unwrap();
    let fetched = world.engine.latest_snapshot(&key).await.unwrap();
    let text = format!("{loaded:?} {fetched:?} {:?} {:?}", world.engine, world.store.inner);
    assert!(!text.contains("secret"), "{text}");
}

// What a rewound event store leaves behind ----------------------------------------------------------

/// Snapshots ahead of a restored event store are whole and useless: retention that takes them for
/// usable would delete the only one from which the aggregate can be loaded.
#[tokio::test]
async fn compaction_keeps_the_newest_snapshot_that_agrees_with_the_events() {
    let world = World::new();
    let key = key("a");
    world.grow(&key, 100);
    world.snapshots_at(&key, &[80, 90, 100]).await;
    world.source.events.truncate_below(&key, 50);
    world.source.events.rewind(&key, 95);
    let compaction = world.engine.apply_retention(&key, &keep_last(1)).await.unwrap();
    let kept: Vec<_> = compaction.plan.kept().map(|judged| judged.id.version).collect();
    // 80 is the one that reaches furthest back, now that the first events are gone.
    assert_eq!(kept, [100, 90, 80], "{}", compaction.plan);
    let loaded = world.engine.load(&key).await.unwrap();
    assert_eq!((loaded.version, loaded.provenance.snapshot.unwrap().id.version), (95, 90));
}

#[tokio::test]
async fn above_the_floor_the_search_goes_on_until_a_snapshot_agrees() {
    let world = World::new();
    let key = key("a");
    world.grow(&key, 100);
    world.snapshots_at(&key, &[90, 96, 97, 98, 99, 100]).await;
    world.source.events.truncate_below(&key, 50);
    world.source.events.rewind(&key, 95);
    let loaded = world.engine.load(&key).await.unwrap();
    assert_eq!((loaded.version, loaded.provenance.snapshot.unwrap().id.version), (95, 90));
    assert_eq!(loaded.provenance.rejected.len(), 5);
}

/// More snapshots of other generations than one page lists must not hide a readable one.
#[tokio::test]
async fn a_readable_generation_is_found_behind_many_others() {
    let source = Source::default();
    let key = key("a");
    source.grow(&key, 400);
    let store = Store::default();
    let events = source.events.clone();
    let old = SnapshotEngine::<OldAccount>::builder(events, store.clone()).build().unwrap();
    old.create_with(&key, CreateOptions::new().at_version(60)).await.unwrap();
    let world = World::over(source, store, |builder| {
        builder.upcasts(0, snapfold::codec::Postcard, |old: OldAccount| {
            Ok(Account { balance: old.balance, ..Account::default() })
        })
    });
    let foreign = Generation { schema_version: 7, fingerprint: 7 };
    for version in 61..=400 {
        put_foreign(&world, &key, foreign, version).await;
    }
    let latest = world.engine.latest_snapshot(&key).await.unwrap();
    assert_eq!(latest.usable().unwrap().meta.version, 60);
    world.source.events.truncate_below(&key, 50);
    let loaded = world.engine.load(&key).await.unwrap();
    assert_eq!((loaded.version, loaded.provenance.snapshot.unwrap().id.version), (400, 60));
}

#[tokio::test]
async fn a_repair_keeps_the_labels_and_marks_of_what_it_replaces() {
    let world = World::new();
    let key = key("a");
    world.grow(&key, 10);
    let pinned = CreateOptions::new().at_version(5).label("kept").pin("audit");
    world.engine.create_with(&key, pinned).await.unwrap();
    world.snapshots_at(&key, &[10]).await;
    let repaired = world.engine.rebuild(&key, 5).await.unwrap();
    assert!(repaired.replaced);
    assert_eq!(repaired.meta.labels, ["kept"]);
    let listed = world.engine.snapshots(&key, 5..=5).await.unwrap();
    assert!(listed[0].is_pinned());
    let plan = world.engine.plan_retention(&key, &keep_last(1)).await.unwrap();
    assert_eq!(plan.kept().count(), 2, "{plan}");
}

#[tokio::test]
async fn a_store_that_is_down_is_not_reported_as_events_that_are_lost() {
    let world =
        World::with(|builder| builder.on_store_failure(snapfold::engine::OnStoreFailure::Replay));
    let key = key("a");
    world.grow(&key, 10);
    world.snapshots_at(&key, &[8]).await;
    world.source.events.truncate_below(&key, 5);
    world.store.fail(Op::Get, 1);
    let error = world.engine.load(&key).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store, "{error}");
    assert_eq!(world.engine.load(&key).await.unwrap().version, 10);
}

#[tokio::test]
async fn pinned_snapshots_outlive_deletes_and_retired_ones_are_not_used() {
    let world = World::new();
    let key = key("a");
    world.grow(&key, 20);
    world.snapshots_at(&key, &[5, 10, 15]).await;
    // A pin on what is stored already.
    let pin = CreateOptions::new().at_version(10).pin("audit");
    let created = world.engine.create_with(&key, pin).await.unwrap();
    assert!(matches!(created, CreateOutcome::Existing { identical: true, .. }));
    let deleted = world.engine.delete_before(&key, 15).await.unwrap();
    assert_eq!((deleted.snapshots, deleted.pinned), (1, 1));
    let deleted = world.engine.delete(&key, 10).await.unwrap();
    assert_eq!((deleted.snapshots, deleted.pinned), (0, 1));
    assert_eq!(world.store.versions(&key).await, [15, 10]);
    let Fetched::Usable(snapshot) = world.engine.snapshot(&key, 10).await.unwrap() else {
        panic!("not usable");
    };
    assert!(snapshot.meta.is_pinned());

    let retired = [SnapshotId { generation: world.engine.generation(), version: 15 }];
    let mark = Mark::retirement("wrong fold", at(30));
    let change = MarkChange::Set(&mark);
    world.store.mark(&key, Selection::Ids(&retired), change).await.unwrap();
    let loaded = world.load_checked(&key).await;
    assert_eq!(loaded.provenance.snapshot.unwrap().id.version, 10);
    let plan = world.engine.plan_retention(&key, &keep_last(1)).await.unwrap();
    let kept: Vec<_> = plan.kept().map(|judged| judged.id.version).collect();
    assert_eq!(kept, [10], "{plan}");
}
