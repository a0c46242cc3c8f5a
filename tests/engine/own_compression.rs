//! States that a compressor of the application has compressed.
//!
//! Guards against: a snapshot that cannot be read back, or is read by another compressor; an engine
//! that fails because a compressor does.

use std::slice;
use std::time::Duration;

use snapfold::codec::{Compression, CompressionId};
use snapfold::engine::{Incremental, RecompressRequest};
use snapfold::manager::{CreateOptions, CreateOutcome, Origin};
use snapfold::record::RejectReason;
use snapfold::store::{ListRequest, SnapshotStore, SnapshotStoreExt};
use snapfold::trigger::every_events;
use snapfold::{AggregateKey, ErrorKind, SnapshotEngine};

use crate::own_coding::{Fault, Runs};
use crate::support::{Account, Event, Op, World, key};

fn runs(of: &Runs) -> Compression {
    Compression::custom(of.clone()).min_bytes(16)
}

/// Its state has a run of this many equal bytes.
fn note(world: &World, key: &AggregateKey, bytes: usize) {
    world.source.append(key, 1, Event::Noted("n".repeat(bytes)));
}

/// A world whose engine compresses with `of`, and an aggregate with a snapshot.
async fn stored(of: &Runs) -> (World, AggregateKey) {
    let (world, key) = (World::with(|builder| builder.compression(runs(of))), key("a"));
    note(&world, &key, 1_000);
    let Ok(CreateOutcome::Stored(meta)) = world.engine.create(&key).await else { panic!() };
    assert_eq!(meta.compression, CompressionId::custom(7));
    assert!(meta.stored_bytes < 200 && meta.raw_bytes > 1_000, "{meta}");
    (world, key)
}

/// What a load was rebuilt from, and why not from the snapshot.
async fn origin(world: &World, key: &AggregateKey) -> (Origin, Vec<RejectReason>) {
    let loaded = world.load_checked(key).await;
    let reasons = loaded.provenance.rejected.into_iter().map(|rejected| rejected.reason);
    (loaded.provenance.origin, reasons.collect())
}

/// Another engine over the same store.
fn reopened(
    world: &World,
    change: impl FnOnce(
        snapfold::engine::EngineBuilder<Account>,
    ) -> snapfold::engine::EngineBuilder<Account>,
) -> World {
    World::over(world.source.clone(), world.store.clone(), change)
}

#[tokio::test]
async fn a_snapshot_needs_its_compressor_and_names_it_otherwise() {
    let of = Runs::new();
    let (world, key) = stored(&of).await;
    assert_eq!(origin(&world, &key).await, (Origin::Snapshot, vec![]));
    assert!(world.engine.verify(&key).await.unwrap().is_clean());
    assert!(world.engine.is_covered(&key).await.unwrap());

    let missing = RejectReason::UnknownCompression(CompressionId::custom(7));
    assert!(missing.to_string().contains("custom compression 7"), "{missing}");
    let other = Runs::new().with_id(0x88);
    for world in [
        reopened(&world, |builder| builder),
        reopened(&world, |builder| builder.compression(runs(&other))),
        reopened(&world, |builder| builder.compressor(other.clone())),
    ] {
        assert_eq!(origin(&world, &key).await, (Origin::Replay, vec![missing.clone()]));
        assert!(!world.engine.is_covered(&key).await.unwrap());
        // It is the same state, but this engine cannot load it.
        let again = world.engine.create(&key).await.unwrap();
        assert!(matches!(again, CreateOutcome::Existing { identical: false, .. }), "{again}");
    }
    // A successor reads what the compressor wrote, whatever it writes itself.
    for world in [
        reopened(&world, |builder| builder.compressor(of.clone())),
        reopened(&world, |builder| builder.compression(runs(&other)).compressor(of.clone())),
        reopened(&world, |builder| builder.compression(runs(&of)).compressor(of.clone())),
    ] {
        assert_eq!(origin(&world, &key).await, (Origin::Snapshot, vec![]));
        let again = world.engine.create(&key).await.unwrap();
        assert!(matches!(again, CreateOutcome::Existing { identical: true, .. }), "{again}");
    }
}

/// Stored snapshots, too, keep their form unless the new one was read back.
#[tokio::test]
async fn nothing_is_rewritten_that_was_not_read_back() {
    let (world, key) = (World::with(|builder| builder.compression(Compression::none())), key("a"));
    note(&world, &key, 1_000);
    world.engine.create(&key).await.unwrap();
    let before = world.store.record(&key, 1).await;
    let of = Runs::new();
    let request = RecompressRequest::new(runs(&of));
    for fault in Fault::ALL {
        of.set(fault);
        let error = world.engine.recompress(&request).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Encode, "{fault:?}: {error:#}");
        assert_eq!(world.store.record(&key, 1).await, before);
    }
    of.set(Fault::None);
    let report = world.engine.recompress(&request).await.unwrap();
    assert_eq!(report.rewritten, 1);
    // From now on, loads need the compressor.
    let missing = RejectReason::UnknownCompression(CompressionId::custom(7));
    assert_eq!(origin(&world, &key).await, (Origin::Replay, vec![missing]));
    let with = reopened(&world, |builder| builder.compressor(of.clone()));
    assert_eq!(origin(&with, &key).await, (Origin::Snapshot, vec![]));
}

#[tokio::test]
async fn nothing_is_stored_that_was_not_read_back() {
    for fault in Fault::ALL {
        let of = Runs::new();
        let world = World::with(|builder| builder.compression(runs(&of)).trigger(every_events(1)));
        let key = key("a");
        note(&world, &key, 1_000);
        of.set(fault);
        let error = world.engine.create(&key).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Encode, "{fault:?}: {error:#}");
        assert!(error.to_string().contains("\"runs\""), "{error}");
        assert!(world.engine.refold(&key, None).await.is_err());
        assert!(world.engine.create_many(slice::from_ref(&key)).await[0].is_err());
        // In the background it is a failure that is counted, and never one of the command.
        let loaded = world.load_checked(&key).await;
        assert!(world.engine.committed(&loaded, 1).is_queued());
        world.engine.flush(Duration::from_secs(60)).await.unwrap();
        let statistics = world.engine.statistics();
        assert_eq!(statistics.saves_failed, 1, "{fault:?}");
        assert_eq!(world.store.calls(Op::Put), 0);
        of.set(Fault::None);
        let created = world.engine.create(&key).await.unwrap();
        assert!(matches!(created, CreateOutcome::Stored(_)));
        assert_eq!(origin(&world, &key).await.0, Origin::Snapshot);
    }
}

#[tokio::test]
async fn what_a_compressor_returns_is_a_miss_unless_it_is_the_state() {
    let of = Runs::new();
    let (world, key) = stored(&of).await;
    for fault in Fault::ALL {
        of.set(fault);
        let (origin, reasons) = origin(&world, &key).await;
        match fault {
            // Reading calls nothing that these concern.
            Fault::WriteFails | Fault::WritePanics => assert_eq!(origin, Origin::Snapshot),
            Fault::ReadReturnsOther => {
                assert_eq!(origin, Origin::Replay);
                let other =
                    matches!(reasons[..], [RejectReason::Decode(_) | RejectReason::OtherState]);
                assert!(other, "{reasons:?}");
            }
            _ => assert_eq!((origin, reasons), (Origin::Replay, vec![RejectReason::Decompress])),
        }
    }
}

#[tokio::test]
async fn states_that_it_does_not_shrink_are_stored_as_they_are() {
    let of = Runs::new();
    let world = World::with(|builder| builder.compression(runs(&of)));
    let key = key("abcdefghijklmnopqrstuvwxyz");
    world.grow(&key, 3);
    let Ok(CreateOutcome::Stored(meta)) = world.engine.create(&key).await else { panic!() };
    assert_eq!(meta.compression, CompressionId::NONE);
    // It can be read without the compressor.
    assert_eq!(origin(&reopened(&world, |builder| builder), &key).await.0, Origin::Snapshot);
}

#[tokio::test]
async fn a_delta_has_a_compression_of_its_own() {
    let of = Runs::new();
    let incremental = Incremental::lz4().min_bytes(1).max_percent(u8::MAX);
    let world =
        World::with(|builder| builder.compression(runs(&of)).incremental(incremental.clone()));
    let key = key("a");
    for _ in 0..3 {
        note(&world, &key, 1_000);
        world.engine.create(&key).await.unwrap();
    }
    let metas = world.store.list_all(ListRequest::new(&key)).await.unwrap();
    let found: Vec<_> = metas.iter().map(|meta| (meta.compression, meta.base.is_some())).collect();
    let delta = (CompressionId::LZ4, true);
    assert_eq!(found, [delta, delta, (CompressionId::custom(7), false)]);
    assert_eq!(origin(&world, &key).await, (Origin::Snapshot, vec![]));
    // Without the compressor, the base cannot be opened.
    let without = reopened(&world, |builder| builder.incremental(incremental));
    let (from, reasons) = origin(&without, &key).await;
    assert_eq!(from, Origin::Replay);
    let missing = RejectReason::UnknownCompression(CompressionId::custom(7));
    assert_eq!(reasons, vec![missing; 3]);
    let again = without.engine.create(&key).await.unwrap();
    assert!(matches!(again, CreateOutcome::Existing { identical: false, .. }), "{again}");
    // Nor can it be the base of a new one.
    note(&without, &key, 900);
    let Ok(CreateOutcome::Stored(meta)) = without.engine.create(&key).await else { panic!() };
    assert_eq!(meta.base, None);
}

#[test]
fn ids_that_mean_something_else_are_refused_when_the_engine_is_built() {
    #[derive(Debug)]
    struct Renamed(Runs);

    impl snapfold::codec::Compressor for Renamed {
        fn id(&self) -> CompressionId {
            self.0.id
        }

        fn name(&self) -> &'static str {
            "renamed"
        }

        fn compress(&self, raw: &[u8]) -> Result<Option<Vec<u8>>, snapfold::BoxError> {
            self.0.compress(raw)
        }

        fn decompress(&self, stored: &[u8], raw: usize) -> Result<Vec<u8>, snapfold::BoxError> {
            self.0.decompress(stored, raw)
        }
    }

    let builder = || SnapshotEngine::<Account>::builder(World::new().source, World::new().store);
    for id in [0, 1, 2, 127] {
        let of = Runs::new().with_id(id);
        for builder in [builder().compression(runs(&of)), builder().compressor(of)] {
            let error = builder.build().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains("ids below 128"), "{error}");
        }
    }
    let of = Runs::new();
    let twice = builder().compression(runs(&of)).compressor(Renamed(of.clone())).build();
    let error = twice.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("\"runs\" and \"renamed\""), "{error}");
    assert!(builder().compressor(of.clone()).compressor(of).build().is_ok());
}

/// The engine's own kind of compression makes none, so there is nothing to choose from.
#[test]
fn incremental_auto_is_refused_without_a_compression_that_makes_deltas() {
    let builder = || SnapshotEngine::<Account>::builder(World::new().source, World::new().store);
    for compression in [Compression::none(), runs(&Runs::new())] {
        let auto = builder().compression(compression).incremental(Incremental::auto());
        let error = auto.build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("Incremental::lz4()"), "{error}");
    }
    assert!(builder().incremental(Incremental::auto()).build().is_ok());
}

#[tokio::test]
async fn snapshots_at_past_versions_are_compressed_too() {
    let of = Runs::new();
    let (world, key) = (World::with(|builder| builder.compression(runs(&of))), key("a"));
    (0..5).for_each(|_| note(&world, &key, 500));
    for version in 1..=4 {
        world.engine.create_with(&key, CreateOptions::new().at_version(version)).await.unwrap();
    }
    world.engine.rebuild(&key, 4).await.unwrap();
    for meta in world.store.list(ListRequest::new(&key)).await.unwrap().items {
        assert_eq!(meta.compression, CompressionId::custom(7));
        let loaded = world.engine.at_version(&key, meta.version).await.unwrap();
        assert_eq!(loaded.provenance.events_replayed, 0);
    }
}
