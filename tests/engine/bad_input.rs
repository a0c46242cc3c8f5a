//! Whatever the event source, the store or the caller hands in, a load gives the state of a full
//! replay or a typed error that names the cause; nothing panics, and the next load is fine.
//!
//! Guards against the defects of engines that trust what they read: a gap folded into a wrong
//! balance, a damaged record that stops an aggregate from ever loading again, an outage taken for
//! "no snapshot", a panic that leaves a lock or a cache entry behind.

use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::record_bytes::{Field, RecordBytes, varint};
use crate::support::{Account, Event, Log, Op, Source, Store, World, at, key};
use snapfold::codec::Compression;
use snapfold::engine::{OnStoreFailure, ReplayLoader};
use snapfold::manager::{CreateOptions, CreateOutcome, Decision, Fetched, Origin};
use snapfold::record::{Generation, Record, RecordBuilder, RejectReason};
use snapfold::retention::{RetentionPlan, keep_last};
use snapfold::store::PutOptions;
use snapfold::trigger::every_events;
use snapfold::{
    Aggregate, AggregateKey, ErrorKind, Loader, Point, SnapshotEngine, SnapshotStore, Timestamp,
};

// Events ------------------------------------------------------------------------------------------

/// Loads while the source yields events with these versions; the engine may have a snapshot at 5.
async fn broken(world: &World, versions: &[u64]) -> snapfold::Error {
    let key = key("a");
    world.source.yield_versions(versions);
    let error = world.engine.load(&key).await.expect_err("broken history");
    assert_eq!(error.kind(), ErrorKind::BrokenHistory, "{versions:?}: {error}");
    assert!(!error.is_retryable());
    world.source.heal();
    world.load_checked(&key).await;
    error
}

#[tokio::test]
async fn a_gap_a_duplicate_and_disorder_in_a_full_replay_are_typed_errors() {
    let world = World::new();
    world.grow(&key("a"), 9);
    for (versions, expected, found) in [
        (&[1, 2, 4][..], 3, 4),
        (&[2, 3], 1, 2),
        (&[0, 1], 1, 0),
        (&[1, 1, 2], 2, 1),
        (&[1, 2, 3, 2], 4, 2),
        (&[1, 3, 2], 2, 3),
        (&[3, 2, 1], 1, 3),
        (&[1, u64::MAX], 2, u64::MAX),
    ] {
        let text = broken(&world, versions).await.to_string();
        let says = format!("version {found} instead of {expected}");
        assert!(text.contains(&says), "{versions:?}: {text}");
        assert_eq!(text.contains("a gap"), found > expected, "{text}");
    }
}

#[tokio::test]
async fn a_gap_a_duplicate_and_disorder_after_a_snapshot_are_typed_errors() {
    let world = World::new();
    let key = key("a");
    world.grow(&key, 9);
    world.snapshots_at(&key, &[5]).await;
    // In the tail.
    for versions in [&[5, 6, 8][..], &[5, 7, 6], &[5, 6, 6], &[5, 6, 5], &[5, 5, 6], &[5, 4]] {
        broken(&world, versions).await;
    }
    // At the event of the snapshot itself.
    for versions in [&[6, 7][..], &[7], &[4, 5, 6], &[1, 2, 3, 4, 5, 6], &[u64::MAX], &[0]] {
        broken(&world, versions).await;
    }
    let error = broken(&world, &[5, 6, 8]).await;
    assert!(error.to_string().contains("version 8 instead of 7"), "{error}");
}

#[cfg(feature = "cache")]
#[tokio::test]
async fn broken_events_after_a_cached_state_are_typed_errors_and_do_not_stay() {
    let world = World::with(|builder| builder.cache(snapfold::engine::CacheConfig::default()));
    let key = key("a");
    world.grow(&key, 9);
    world.load_checked(&key).await;
    for versions in [&[9, 11][..], &[9, 10, 10], &[9, 9], &[10], &[8, 9]] {
        broken(&world, versions).await;
    }
    world.grow(&key, 12);
    assert_eq!(world.load_checked(&key).await.version, 12);
}

#[tokio::test]
async fn events_beyond_the_version_that_was_asked_for_are_not_looked_at() {
    let world = World::new();
    world.source.yield_versions(&[1, 2, 3, 9, 1]);
    let loaded = world.engine.at_version(&key("a"), 3).await.unwrap();
    assert_eq!((loaded.version, loaded.state.balance), (3, 6));
}

#[tokio::test]
async fn an_event_source_that_fails_half_way_fails_the_load_and_nothing_else() {
    let plain = World::new();
    let snapshot = World::new();
    let key = key("a");
    for world in [&plain, &snapshot] {
        world.grow(&key, 20);
    }
    snapshot.snapshots_at(&key, &[10]).await;
    for world in [&plain, &snapshot] {
        for events in [0, 1, 2, 7] {
            world.source.fail_after(events);
            let before = world.store.dump(std::slice::from_ref(&key)).await;
            let errors = [
                world.engine.load(&key).await.map(|_| ()).unwrap_err(),
                world.engine.at_version(&key, 19).await.map(|_| ()).unwrap_err(),
                world.engine.at_time(&key, at(19)).await.map(|_| ()).unwrap_err(),
                world.engine.create(&key).await.map(|_| ()).unwrap_err(),
                world.engine.rebuild(&key, 19).await.map(|_| ()).unwrap_err(),
            ];
            for error in errors {
                assert_eq!(error.kind(), ErrorKind::EventSource);
                assert_eq!(error.source().unwrap().to_string(), "the network is down");
                assert!(error.is_retryable());
                assert!(!error.to_string().contains("network"), "{error}");
            }
            assert_eq!(world.store.dump(std::slice::from_ref(&key)).await, before);
            world.source.heal();
            assert_eq!(world.load_checked(&key).await.version, 20);
        }
    }
}

#[tokio::test]
async fn a_panic_in_the_fold_reaches_the_caller_and_poisons_nothing() {
    for cached in [false, true] {
        let log = Log::default();
        let world = World::with(|builder| {
            let builder = builder.trigger(every_events(1)).observer(log.clone());
            #[cfg(feature = "cache")]
            if cached {
                return builder.cache(snapfold::engine::CacheConfig::default());
            }
            builder
        });
        let (fused, other) = (key("fused"), key("other"));
        let fuse = Arc::new(AtomicBool::new(false));
        world.grow(&fused, 3);
        world.grow(&other, 3);
        let loaded = world.load_checked(&fused).await;
        world.source.append(&fused, 4, Event::Fused(Arc::clone(&fuse)));
        world.grow(&fused, 5);

        fuse.store(true, Ordering::SeqCst);
        for _ in 0..3 {
            let (engine, key) = (world.engine.clone(), fused.clone());
            let panicked = tokio::spawn(async move { engine.load(&key).await }).await.unwrap_err();
            assert!(panicked.is_panic());
        }
        // The background saver meets the same panic; it reports that, and goes on.
        assert!(world.engine.committed(&loaded, 5).is_queued());
        let loaded_other = world.load_checked(&other).await;
        assert!(world.engine.committed(&loaded_other, 3).is_queued());
        world.engine.flush(Duration::from_secs(3_600)).await.unwrap();
        assert_eq!(log.count("failed fused"), 1, "{:?}", log.lines());
        assert_eq!(log.count("saved other Some(3)"), 1, "{:?}", log.lines());

        fuse.store(false, Ordering::SeqCst);
        assert_eq!(world.load_checked(&fused).await.version, 5);
        world.clock.advance(Duration::from_secs(3_600));
        assert!(world.engine.committed(&loaded, 5).is_queued());
        world.engine.flush(Duration::from_secs(3_600)).await.unwrap();
        assert_eq!(world.store.versions(&fused).await, [5]);
    }
}

// Keys, versions and times ------------------------------------------------------------------------

#[tokio::test]
async fn hostile_ids_of_any_allowed_length_keep_to_themselves() {
    let longest = "x".repeat(AggregateKey::MAX_PART_BYTES);
    let ids = [
        "",
        " ",
        "a",
        "A",
        "a/b",
        "a\\b",
        "..",
        "../a",
        "a:b",
        "a|b",
        "a\0",
        "\0",
        "\u{1}\r\n\t",
        "\u{202e}txt.exe",
        "\u{5d0}\u{5d1}",
        "'; drop table snapshots; --",
        "%00",
        "%",
        "*",
        "?",
        "CON",
        "a.",
        "\u{e9}",
        "e\u{301}",
        "\u{1f600}",
        &longest,
    ];
    let world = World::new();
    for (at, id) in (1_u64..).zip(&ids) {
        world.grow(&key(id), at);
        assert!(matches!(world.engine.create(&key(id)).await.unwrap(), CreateOutcome::Stored(_)));
    }
    for (at, id) in (1_u64..).zip(&ids) {
        let loaded = world.load_checked(&key(id)).await;
        assert_eq!((loaded.version, loaded.state.owner.as_str()), (at, *id));
        assert_eq!(loaded.provenance.origin, Origin::Snapshot);
        let metas = world.engine.snapshots(&key(id), 0..=u64::MAX).await.unwrap();
        assert_eq!(metas.len(), 1);
        assert_eq!(metas[0].key, key(id));
    }
    for id in &ids {
        assert_eq!(world.engine.delete_before(&key(id), u64::MAX).await.unwrap().snapshots, 1);
    }

    let error = Account::key(&format!("{longest}x")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn version_0_and_the_highest_version_are_answered_by_every_method() {
    let world = World::with(|builder| builder.trigger(every_events(u64::MAX)));
    let (engine, key) = (&world.engine, key("a"));
    world.grow(&key, 9);
    world.snapshots_at(&key, &[4, 8]).await;
    let empty = engine.at_version(&key, 0).await.unwrap();
    assert_eq!((empty.version, empty.as_of), (0, None));
    assert_eq!(*empty.state, Account::initial(&key));
    assert_eq!(engine.latest_known(&key, Point::Version(0)).await.unwrap().version, 0);
    assert_eq!(engine.latest_known(&key, Point::Version(u64::MAX)).await.unwrap().version, 9);
    let error = engine.at_version(&key, u64::MAX).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BeyondHead);
    assert!(error.to_string().contains("latest_known"), "{error}");

    let create = |version| engine.create_with(&key, CreateOptions::new().at_version(version));
    assert_eq!(create(0).await.unwrap(), CreateOutcome::Empty);
    assert_eq!(create(u64::MAX).await.unwrap_err().kind(), ErrorKind::BeyondHead);
    for version in [0, u64::MAX] {
        assert!(matches!(engine.snapshot(&key, version).await.unwrap(), Fetched::Absent));
        assert_eq!(engine.snapshots(&key, version..=version).await.unwrap(), []);
        assert_eq!(engine.delete(&key, version).await.unwrap().snapshots, 0);
    }
    #[expect(clippy::reversed_empty_ranges, reason = "bad input")]
    let reversed = u64::MAX..=0;
    assert_eq!(engine.snapshots(&key, reversed).await.unwrap(), []);
    assert_eq!(engine.rebuild(&key, 0).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(engine.rebuild(&key, u64::MAX).await.unwrap_err().kind(), ErrorKind::BeyondHead);
    let loaded = engine.load(&key).await.unwrap();
    assert!(matches!(engine.committed(&loaded, 0), Decision::Wait { .. }));
    assert!(matches!(engine.committed(&loaded, u64::MAX), Decision::Wait { .. }));
    assert_eq!(world.store.versions(&key).await, [8, 4]);
    assert_eq!(engine.delete_before(&key, 0).await.unwrap().snapshots, 0);
    assert_eq!(engine.delete_before(&key, u64::MAX).await.unwrap().snapshots, 2);

    let replay = ReplayLoader::<Account>::new(world.source.clone());
    assert_eq!(replay.at_version(&key, 0).await.unwrap().version, 0);
    let error = replay.at_version(&key, u64::MAX).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BeyondHead);
}

#[tokio::test]
async fn a_stored_snapshot_of_the_highest_version_is_a_miss() {
    let world = World::new();
    let key = key("a");
    world.grow(&key, 9);
    world.snapshots_at(&key, &[5]).await;
    let highest = snapfold::SnapshotId::MAX_VERSION;
    let top = RecordBuilder::new(key.clone(), world.engine.generation(), highest, at(1));
    let top = top.codec(snapfold::codec::CodecId::POSTCARD).build(&payload(&world, &key, 5).await);
    world.store.put(vec![top.unwrap()], PutOptions::default()).await.unwrap();
    let loaded = world.load_checked(&key).await;
    assert_eq!(loaded.provenance.rejected[0].reason, RejectReason::Ahead);
    assert_eq!(loaded.provenance.snapshot.unwrap().id.version, 5);
}

async fn payload(world: &World, key: &AggregateKey, version: u64) -> Vec<u8> {
    let record = world.store.record(key, version).await;
    let header = record.header().unwrap();
    record.as_bytes()[header.header_bytes()..].to_vec()
}

#[tokio::test]
async fn times_before_1970_and_at_both_ends_of_time_are_times_like_others() {
    let world = World::new();
    let key = key("a");
    let times = [i64::MIN, i64::MIN + 1, -86_400_000_000, -1, 0, 1, i64::MAX - 1, i64::MAX];
    for micros in times {
        world.source.events.append(&key, Timestamp::from_micros(micros), Event::Deposited(1));
    }
    for with_snapshots in [false, true] {
        if with_snapshots {
            world.snapshots_at(&key, &[1, 3, 5, 8]).await;
        }
        for (version, micros) in (1..).zip(times) {
            let time = Timestamp::from_micros(micros);
            let loaded = world.engine.at_time(&key, time).await.unwrap();
            assert_eq!((loaded.version, loaded.as_of), (version, Some(time)));
            assert_eq!(*loaded.state, *world.engine.at_version(&key, version).await.unwrap().state);
            if let Some(before) = micros.checked_sub(1) {
                let before = Timestamp::from_micros(before);
                let loaded = world.engine.at_time(&key, before).await.unwrap();
                assert_eq!(loaded.version, version - 1, "{before}");
            }
        }
        let future = world.engine.latest_known(&key, Point::Time(Timestamp::MAX)).await.unwrap();
        assert_eq!(future.version, 8);
    }
}

#[tokio::test]
async fn a_time_before_the_first_event_gives_the_empty_state() {
    let world = World::new();
    world.grow(&key("a"), 3);
    let loaded = world.engine.at_time(&key("a"), Timestamp::MIN).await.unwrap();
    assert_eq!((loaded.version, loaded.as_of), (0, None));
    let nobody = world.engine.at_time(&key("nobody"), Timestamp::MAX).await.unwrap();
    assert_eq!(nobody.version, 0);
}

#[tokio::test]
async fn a_key_of_another_kind_is_refused_before_anything_is_read() {
    let world = World::new();
    let alien = AggregateKey::new("invoice", "a").unwrap();
    let engine = &world.engine;
    let policy = keep_last(1);
    let errors = [
        engine.load(&alien).await.map(|_| ()),
        engine.at_version(&alien, 0).await.map(|_| ()),
        engine.at_time(&alien, at(1)).await.map(|_| ()),
        engine.latest_known(&alien, Point::Now).await.map(|_| ()),
        engine.create(&alien).await.map(|_| ()),
        engine.create_many(std::slice::from_ref(&alien)).await.remove(0).map(|_| ()),
        engine.snapshot(&alien, 1).await.map(|_| ()),
        engine.latest_snapshot(&alien).await.map(|_| ()),
        engine.snapshots(&alien, 0..=9).await.map(|_| ()),
        engine.delete(&alien, 1).await.map(|_| ()),
        engine.delete_before(&alien, 1).await.map(|_| ()),
        engine.rebuild(&alien, 1).await.map(|_| ()),
        engine.stats(&alien).await.map(|_| ()),
        engine.plan_retention(&alien, &policy).await.map(|_| ()),
        engine.apply_retention(&alien, &policy).await.map(|_| ()),
        engine.apply_plan(&alien, &RetentionPlan::default()).await.map(|_| ()),
        ReplayLoader::new(world.source.clone())
            .load(&alien)
            .await
            .map(|_: snapfold::Loaded<Account>| ()),
    ];
    for (index, result) in errors.into_iter().enumerate() {
        let error = result.expect_err(&format!("call {index}"));
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "call {index}: {error}");
        assert!(error.to_string().contains("\"account\""), "{error}");
    }
    for op in [Op::Get, Op::Put, Op::List, Op::Delete] {
        assert_eq!(world.store.calls(op), 0);
    }
    assert_eq!(world.source.reads(), 0);
}

// Records -----------------------------------------------------------------------------------------

/// A world with ten events and a snapshot at 5, whose record is changed.
async fn tampered(change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> World {
    let world = World::new();
    let key = key("a");
    world.grow(&key, 10);
    world.snapshots_at(&key, &[5]).await;
    world.store.tamper_with(&key, 5, change).await;
    world
}

/// Loads with a full replay, and gives the one reason for it.
async fn miss(world: &World) -> RejectReason {
    let loaded = world.load_checked(&key("a")).await;
    assert_eq!((loaded.provenance.origin, loaded.version), (Origin::Replay, 10));
    assert_eq!(loaded.provenance.rejected.len(), 1, "{}", loaded.provenance);
    assert_eq!(loaded.provenance.rejected[0].version, Some(5));
    let reject = loaded.provenance.rejected[0].reason.clone();
    assert!(loaded.provenance.to_string().contains(&reject.to_string()));
    let fetched = world.engine.latest_snapshot(&key("a")).await.unwrap();
    assert!(matches!(fetched, Fetched::Rejected(rejected) if rejected.reason == reject));
    reject
}

#[tokio::test]
async fn a_record_cut_off_anywhere_is_a_miss() {
    let world = World::new();
    let key = key("a");
    world.grow(&key, 10);
    world.snapshots_at(&key, &[5]).await;
    let whole = world.store.record(&key, 5).await.into_bytes();
    for length in 0..whole.len() {
        world.store.tamper(&key, 5, Record::from_bytes(whole.slice(..length)));
        assert_eq!(miss(&world).await, RejectReason::Truncated, "{length} bytes");
    }
    let mut longer = whole.to_vec();
    longer.push(0);
    world.store.tamper(&key, 5, Record::from_bytes(longer));
    assert_eq!(miss(&world).await, RejectReason::TrailingBytes);
}

#[tokio::test]
async fn a_record_with_any_one_bit_flipped_is_a_miss() {
    let world = World::new();
    let key = key("a");
    world.grow(&key, 10);
    world.snapshots_at(&key, &[5]).await;
    let whole = world.store.record(&key, 5).await.as_bytes().to_vec();
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        world.store.tamper(&key, 5, Record::from_bytes(flipped));
        miss(&world).await;
    }
}

#[tokio::test]
async fn foreign_bytes_are_a_miss_and_are_called_foreign() {
    for (bytes, expected) in [
        (&b"{\"balance\": 5}"[..], RejectReason::Foreign),
        (&[0; 4096], RejectReason::Foreign),
        (b"", RejectReason::Truncated),
        (b"SNF\x02 and what a later release may write", RejectReason::NewerFormat(2)),
    ] {
        let world = tampered(|_| bytes.to_vec()).await;
        assert_eq!(miss(&world).await, expected);
    }
}

#[tokio::test]
async fn a_header_that_lies_about_lengths_with_a_valid_checksum_is_a_miss() {
    let malformed = |why: &'static str| Some(RejectReason::Malformed(why));
    let out_of_bounds = || malformed("the header length is out of range");
    let long_key = || malformed("a part of the key is too long");
    let u32_max = u64::from(u32::MAX);
    for (field, value, expected) in [
        (Field::HeaderLength, u32_max, out_of_bounds()),
        (Field::HeaderLength, 0, out_of_bounds()),
        (Field::HeaderLength, 39, out_of_bounds()),
        (Field::HeaderLength, 40, None),
        (Field::HeaderLength, 400_000, Some(RejectReason::Truncated)),
        (Field::PayloadLength, u32_max, Some(RejectReason::Truncated)),
        (Field::PayloadLength, 0, Some(RejectReason::TrailingBytes)),
        (Field::PayloadLength, u32_max + 1, malformed("a number does not fit in 32 bits")),
        (Field::TenantLength, 65_536, long_key()),
        (Field::TenantLength, 65_535, Some(RejectReason::Truncated)),
        (Field::KindLength, u64::MAX, long_key()),
        (Field::IdLength, u32_max, long_key()),
        (Field::IdLength, 0, None),
    ] {
        let world = tampered(|record| {
            // The record has these bytes and no others: what is lied about is their meaning.
            let mut record = RecordBytes::of(&record).unwrap();
            record.set(field, &varint(value));
            if field != Field::HeaderLength {
                record.fit_header();
            }
            record.signed()
        })
        .await;
        let reject = miss(&world).await;
        let is_open = expected.is_none();
        if let Some(expected) = expected {
            assert_eq!(reject, expected, "{field:?} of {value}");
        }
        // The wrong bytes may look like something of a newer release.
        let is_newer = is_open && matches!(reject, RejectReason::NeedsOther(_));
        assert!(reject.is_corrupt() || is_newer, "{reject}");
    }
    // The lengths of tenant and kind.
    let world = tampered(|record| {
        let three = [(Field::TenantLength, &[3][..]), (Field::KindLength, &[3][..])];
        crate::record_bytes::with(&record, &three)
    })
    .await;
    let reject = miss(&world).await;
    assert!(reject.is_corrupt() || matches!(reject, RejectReason::NeedsOther(_)), "{reject}");
}

#[cfg(feature = "lz4")]
#[tokio::test]
async fn a_compressed_record_that_claims_another_size_is_a_miss_without_a_large_allocation() {
    let world = World::with(|builder| builder.max_state_bytes(64 << 20));
    let key = key("a");
    world.grow(&key, 4);
    world.source.append(&key, 5, Event::Noted("pay me back ".repeat(200)));
    world.snapshots_at(&key, &[5]).await;
    world.grow(&key, 10);
    let whole = world.store.record(&key, 5).await;
    assert_ne!(whole.header().unwrap().compression, snapfold::codec::CompressionId::NONE);
    let raw = whole.header().unwrap().raw_bytes;
    for (claimed, too_large) in
        [(raw + 1, false), (raw - 1, false), (0, false), (60 << 20, false), (u32::MAX, true)]
    {
        let claim = varint(claimed.into());
        let bytes = crate::record_bytes::with(whole.as_bytes(), &[(Field::RawLength, &claim)]);
        world.store.tamper(&key, 5, Record::from_bytes(bytes));
        let reject = miss(&world).await;
        match reject {
            RejectReason::TooLarge { bytes, limit } => {
                assert!(too_large);
                assert_eq!((bytes, limit), (u64::from(u32::MAX), 64 << 20));
            }
            RejectReason::Decompress => assert!(!too_large),
            other => panic!("{claimed}: {other}"),
        }
    }
}

#[tokio::test]
async fn a_record_of_another_aggregate_or_version_or_generation_under_this_key_is_a_miss() {
    let world = tampered(|record| record).await;
    let (here, there) = (key("a"), key("b"));
    world.grow(&there, 10);
    world.snapshots_at(&there, &[5]).await;
    world.snapshots_at(&here, &[3]).await;

    world.store.tamper(&here, 5, world.store.record(&there, 5).await);
    let loaded = world.load_checked(&here).await;
    assert_eq!(loaded.provenance.rejected[0].reason, RejectReason::WrongAggregate);
    assert_eq!(loaded.provenance.snapshot.unwrap().id.version, 3);

    world.store.tamper(&here, 5, world.store.record(&here, 3).await);
    let loaded = world.load_checked(&here).await;
    assert_eq!(loaded.provenance.rejected[0].reason, RejectReason::WrongVersion(3));

    let other = Generation { schema_version: 9, fingerprint: 9 };
    let record =
        RecordBuilder::new(here.clone(), other, 5, at(5)).codec(snapfold::codec::CodecId::POSTCARD);
    world.store.tamper(&here, 5, record.build(&payload(&world, &here, 5).await).unwrap());
    let loaded = world.load_checked(&here).await;
    assert_eq!(loaded.provenance.rejected[0].reason, RejectReason::Stale(other));
}

#[tokio::test]
async fn a_payload_that_does_not_decode_is_a_miss() {
    let world = World::new();
    let key = key("a");
    world.grow(&key, 10);
    world.snapshots_at(&key, &[5]).await;
    let good = payload(&world, &key, 5).await;
    let mut longer = good.clone();
    longer.push(0);
    let shorter = &good[..good.len() - 1];
    for bytes in [&longer[..], shorter, &[], &[0xff; 64]] {
        let builder = RecordBuilder::new(key.clone(), world.engine.generation(), 5, at(5));
        let record =
            builder.codec(snapfold::codec::CodecId::POSTCARD).compression(Compression::none());
        world.store.tamper(&key, 5, record.build(bytes).unwrap());
        assert!(matches!(miss(&world).await, RejectReason::Decode(_)));
    }
    let builder = RecordBuilder::new(key.clone(), world.engine.generation(), 5, at(5));
    let record = builder.codec(snapfold::codec::CodecId::custom(77)).build(&good).unwrap();
    world.store.tamper(&key, 5, record);
    assert!(matches!(miss(&world).await, RejectReason::Codec(_)));
}

#[tokio::test]
async fn after_three_corrupt_candidates_all_events_are_replayed() {
    let world = World::new();
    let key = key("a");
    world.grow(&key, 45);
    world.snapshots_at(&key, &[10, 20, 30, 40]).await;
    let corrupt = |mut record: Vec<u8>| {
        *record.last_mut().unwrap() ^= 1;
        record
    };
    for version in [40, 30] {
        world.store.tamper_with(&key, version, corrupt).await;
    }
    let loaded = world.load_checked(&key).await;
    assert_eq!(loaded.provenance.origin, Origin::Snapshot);
    assert_eq!(
        (loaded.provenance.snapshot.unwrap().id.version, loaded.provenance.events_replayed),
        (20, 25)
    );

    world.store.tamper_with(&key, 20, corrupt).await;
    let before = world.store.calls(Op::Get);
    let loaded = world.load_checked(&key).await;
    assert_eq!(world.store.calls(Op::Get) - before, 3);
    assert_eq!(loaded.provenance.origin, Origin::Replay);
    let rejected: Vec<_> = loaded.provenance.rejected.iter().map(|r| r.version.unwrap()).collect();
    assert_eq!(rejected, [40, 30, 20]);
    assert!(loaded.provenance.rejected.iter().all(|r| r.reason == RejectReason::PayloadChecksum));
    let text = loaded.provenance.to_string();
    for version in rejected {
        assert!(
            text.contains(&format!("the snapshot at {version} was not used: the checksum")),
            "{text}"
        );
    }
}

// The store fails ---------------------------------------------------------------------------------

#[tokio::test]
async fn a_failing_store_fails_the_load_unless_the_engine_was_told_to_replay() {
    let source = Source::default();
    let store = Store::default();
    let strict = World::over(source.clone(), store.clone(), |builder| builder);
    let lenient =
        World::over(source, store, |builder| builder.on_store_failure(OnStoreFailure::Replay));
    let key = key("a");
    strict.grow(&key, 10);
    strict.snapshots_at(&key, &[5]).await;

    strict.store.fail(Op::Get, 1);
    let error = strict.engine.load(&key).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store);
    assert!(error.is_retryable());
    assert_eq!(strict.load_checked(&key).await.provenance.origin, Origin::Snapshot);

    lenient.store.fail(Op::Get, 1);
    let loaded = lenient.load_checked(&key).await;
    assert_eq!((loaded.provenance.origin, loaded.provenance.events_replayed), (Origin::Replay, 10));
    assert_eq!(loaded.provenance.rejected[0].version, None);
    assert!(
        matches!(&loaded.provenance.rejected[0].reason, RejectReason::StoreFailed(text) if text.contains("on fire"))
    );
    assert!(loaded.provenance.to_string().contains("no snapshot was used: the store failed"));
    assert_eq!(lenient.load_checked(&key).await.provenance.origin, Origin::Snapshot);

    // Above a floor there is nothing to replay from, also for the lenient one. It is the store that
    // failed: nothing is known to be lost.
    lenient.source.events.truncate_below(&key, 5);
    lenient.store.fail(Op::Get, 1);
    let error = lenient.engine.load(&key).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store);
    assert!(error.is_retryable() && error.to_string().contains("on fire"), "{error}");
}

#[tokio::test]
async fn a_store_that_fails_while_other_generations_are_looked_for_is_a_failing_store() {
    let source = Source::default();
    let store = Store::default();
    let key = key("a");
    source.grow(&key, 10);
    let other = Generation { schema_version: 0, fingerprint: 0 };
    let old = RecordBuilder::new(key.clone(), other, 5, at(5)).build(b"old").unwrap();
    store.put(vec![old], PutOptions::default()).await.unwrap();
    let strict = World::over(source.clone(), store.clone(), |builder| builder);
    let lenient =
        World::over(source, store, |builder| builder.on_store_failure(OnStoreFailure::Replay));
    strict.store.fail(Op::List, 1);
    assert_eq!(strict.engine.load(&key).await.unwrap_err().kind(), ErrorKind::Store);
    lenient.store.fail(Op::List, 1);
    let loaded = lenient.load_checked(&key).await;
    assert!(matches!(loaded.provenance.rejected[0].reason, RejectReason::StoreFailed(_)));
    let loaded = lenient.load_checked(&key).await;
    assert_eq!(loaded.provenance.rejected[0].reason, RejectReason::Stale(other));
}

// The history disagrees ---------------------------------------------------------------------------

#[tokio::test]
async fn a_snapshot_ahead_of_the_stream_is_rejected() {
    let world = World::new();
    let key = key("a");
    world.grow(&key, 10);
    world.snapshots_at(&key, &[5, 10]).await;
    world.source.events.rewind(&key, 7);
    let loaded = world.load_checked(&key).await;
    assert_eq!((loaded.version, loaded.provenance.snapshot.unwrap().id.version), (7, 5));
    assert_eq!(loaded.provenance.rejected[0].reason, RejectReason::Ahead);
    assert_eq!(loaded.provenance.rejected[0].version, Some(10));

    world.source.events.rewind(&key, 0);
    let loaded = world.load_checked(&key).await;
    assert_eq!((loaded.version, loaded.provenance.origin), (0, Origin::Replay));
    assert_eq!(loaded.provenance.rejected.len(), 2);
}

#[tokio::test]
async fn a_snapshot_whose_last_event_has_another_anchor_by_now_is_rejected() {
    let world = World::new();
    let key = key("a");
    for version in 1..=6_u8 {
        world.source.events.append_anchored(&key, at(1), &[version], Event::Deposited(1));
    }
    world.snapshots_at(&key, &[3, 6]).await;
    world.source.events.rewind(&key, 5);
    world.source.events.append_anchored(&key, at(1), &[66], Event::Deposited(1_000));
    let loaded = world.load_checked(&key).await;
    assert_eq!(loaded.provenance.rejected[0].reason, RejectReason::Diverged);
    assert_eq!(loaded.provenance.snapshot.unwrap().id.version, 3);
}

#[tokio::test]
async fn a_snapshot_whose_last_event_has_another_recorded_time_by_now_is_rejected() {
    let world = World::new();
    let key = key("a");
    world.grow(&key, 6);
    world.snapshots_at(&key, &[3, 6]).await;
    world.source.events.rewind(&key, 5);
    world.source.append(&key, 7, Event::Deposited(1_000));
    let loaded = world.load_checked(&key).await;
    assert_eq!(loaded.provenance.rejected[0].reason, RejectReason::Diverged);
    assert_eq!(loaded.provenance.snapshot.unwrap().id.version, 3);
    // Also for loads in the past that the snapshot would have answered.
    assert_eq!(world.engine.at_version(&key, 6).await.unwrap().state, loaded.state);
}

#[tokio::test]
async fn a_snapshot_at_the_floor_bridges_the_truncated_events() {
    let world = World::new();
    let key = key("a");
    world.grow(&key, 10);
    world.snapshots_at(&key, &[5]).await;
    let truth = world.truth(&key).await;
    world.source.events.truncate_below(&key, 5);
    let loaded = world.engine.load(&key).await.unwrap();
    assert_eq!((loaded.version, &*loaded.state), (10, &truth));
    // Nothing is left but the floor itself.
    world.snapshots_at(&key, &[10]).await;
    world.source.events.truncate_below(&key, 10);
    let loaded = world.engine.load(&key).await.unwrap();
    assert_eq!(
        (loaded.version, &*loaded.state, loaded.provenance.events_replayed),
        (10, &truth, 0)
    );
}

#[tokio::test]
async fn below_the_floor_no_partial_state_is_ever_returned() {
    let world = World::new();
    let key = key("a");
    world.grow(&key, 10);
    world.snapshots_at(&key, &[5, 9]).await;
    world.source.events.truncate_below(&key, 7);
    world
        .store
        .tamper_with(&key, 9, |mut record| {
            *record.last_mut().unwrap() ^= 1;
            record
        })
        .await;
    let load = world.engine.load(&key).await.unwrap_err();
    for says in [
        "up to version 7 are gone",
        "the snapshot at 9 was not used: the checksum of the payload",
        "the snapshot at 5 was not used: the snapshot is below the replay floor 7",
    ] {
        assert!(load.to_string().contains(says), "{load}");
    }
    let errors = [
        load,
        world.engine.at_version(&key, 10).await.unwrap_err(),
        world.engine.at_time(&key, at(6)).await.unwrap_err(),
        world.engine.create(&key).await.unwrap_err(),
        world.engine.rebuild(&key, 9).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Unrecoverable, "{error}");
        assert!(!error.is_retryable());
    }
}

#[tokio::test]
async fn an_empty_stream_that_was_truncated_is_not_the_empty_state() {
    let world = World::new();
    let key = key("a");
    world.grow(&key, 10);
    world.source.events.truncate_below(&key, 10);
    assert_eq!(world.engine.load(&key).await.unwrap_err().kind(), ErrorKind::Unrecoverable);
    let replay = ReplayLoader::<Account>::new(world.source.clone());
    assert_eq!(replay.load(&key).await.unwrap_err().kind(), ErrorKind::Unrecoverable);
    // The empty state itself needs no event.
    assert_eq!(world.engine.at_version(&key, 0).await.unwrap().version, 0);
}

#[tokio::test]
async fn a_gap_right_after_a_snapshot_at_the_floor_is_a_broken_history() {
    let world = World::new();
    let key = key("a");
    world.grow(&key, 10);
    world.snapshots_at(&key, &[5]).await;
    world.source.events.truncate_below(&key, 5);
    world.source.yield_versions(&[7, 8]);
    assert_eq!(world.engine.load(&key).await.unwrap_err().kind(), ErrorKind::BrokenHistory);
}

/// An event that does not decode ends the load with the source's error; the event that is only
/// compared with the snapshot is not decoded at all.
#[tokio::test]
async fn encoded_events_are_decoded_only_if_they_are_applied() {
    use snapfold::events::Recorded;
    use snapfold::{BoxError, EventRange, EventSource, Replay, SnapshotEngine};

    struct Rows {
        broken: u64,
        decoded: Arc<std::sync::Mutex<Vec<u64>>>,
    }

    #[async_trait::async_trait]
    impl EventSource<Account> for Rows {
        async fn read(
            &self,
            _: &AggregateKey,
            range: EventRange,
            replay: &mut Replay<'_, Account>,
        ) -> Result<(), BoxError> {
            for version in range.after + 1..=9.min(range.until) {
                let recorded = Recorded::new(version, at(version), &version);
                let decode = |version: &u64| {
                    self.decoded.lock().unwrap().push(*version);
                    if *version == self.broken { Err("torn row") } else { Ok(Event::Deposited(1)) }
                };
                if replay.push_encoded(recorded, decode)?.is_break() {
                    break;
                }
            }
            Ok(())
        }
    }

    let (key, store) = (key("a"), Store::default());
    let decoded = Arc::default();
    let engine = |broken| {
        let rows = Rows { broken, decoded: Arc::clone(&decoded) };
        SnapshotEngine::<Account>::builder(rows, store.clone()).build().unwrap()
    };
    engine(0).create_with(&key, CreateOptions::new().at_version(7)).await.unwrap();
    decoded.lock().unwrap().clear();
    let loaded = engine(7).load(&key).await.unwrap();
    assert_eq!((loaded.version, loaded.state.balance), (9, 9));
    assert_eq!(*decoded.lock().unwrap(), [8, 9]);
    let error = engine(8).load(&key).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::EventSource);
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "torn row");
}

// Settings ----------------------------------------------------------------------------------------

#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct LongKind;

impl Aggregate for LongKind {
    type Event = ();
    // One byte more than a key takes.
    const KIND: &'static str = {
        static BYTES: [u8; AggregateKey::MAX_PART_BYTES + 1] =
            [b'k'; AggregateKey::MAX_PART_BYTES + 1];
        match std::str::from_utf8(&BYTES) {
            Ok(text) => text,
            Err(_) => "",
        }
    };
    const SCHEMA_VERSION: u32 = 1;

    fn initial(_: &AggregateKey) -> Self {
        Self
    }

    fn apply(&mut self, (): &()) {}
}

#[tokio::test]
async fn settings_with_which_no_snapshot_could_be_stored_are_refused_when_the_engine_is_built() {
    let build = |bytes: usize| {
        SnapshotEngine::<Account>::builder(Source::default(), Store::default())
            .origin("n".repeat(bytes))
            .build()
    };
    let error = build(65_536).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let text = error.to_string();
    assert!(text.contains("the origin") && text.contains("65535 bytes"), "{text}");

    let error =
        SnapshotEngine::<LongKind>::builder(snapfold::MemoryEvents::new(), Store::default())
            .build()
            .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let text = error.to_string();
    assert!(text.contains("the kind is") && text.len() < 500, "{text}");

    // The longest origin that is accepted can be stored.
    let world = World::with(|builder| builder.origin("n".repeat(65_535)));
    world.grow(&key("a"), 1);
    assert!(matches!(world.engine.create(&key("a")).await.unwrap(), CreateOutcome::Stored(_)));
}
