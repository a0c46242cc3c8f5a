//! Keys that are rotated, lost or mistaken.

use snapfold::codec::Compression;
use snapfold::engine::{EngineBuilder, Incremental, RecompressRequest};
use snapfold::manager::{CreateOptions, CreateOutcome, Fetched, Origin};
use snapfold::record::RejectReason;
use snapfold::store::{ListRequest, SnapshotStoreExt};
use snapfold::{ErrorKind, Loader};

use super::{SECRET, contains, note, origin, reopened, seal_key, settings, stored};
use crate::own_coding::{Fault, NoCipher};
use crate::support::{Account, World};

fn missing(key_id: &str) -> RejectReason {
    RejectReason::SealKey(key_id.to_owned())
}

#[tokio::test]
async fn without_its_key_a_snapshot_is_a_miss_that_names_the_key() {
    let seal = NoCipher::new("tenant-north/2026");
    let (world, key) = stored(&seal).await;
    let without = reopened(&world, |builder| builder);
    assert_eq!(origin(&without, &key).await, (Origin::Replay, vec![missing("tenant-north/2026")]));
    assert!(!without.engine.is_covered(&key).await.unwrap());
    assert!(world.engine.is_covered(&key).await.unwrap());
    seal.forget("tenant-north/2026");
    for world in [&world, &without] {
        let (from, reasons) = origin(world, &key).await;
        assert_eq!((from, &reasons), (Origin::Replay, &vec![missing("tenant-north/2026")]));
        assert!(reasons[0].to_string().contains("\"tenant-north/2026\""), "{}", reasons[0]);
        assert_eq!((reasons[0].name(), reasons[0].is_corrupt()), ("seal_key", false));
        let verified = world.engine.verify(&key).await.unwrap();
        assert_eq!(verified.rejected[0].reason, missing("tenant-north/2026"));
        let fetched = world.engine.latest_snapshot(&key).await.unwrap();
        assert!(matches!(fetched, Fetched::Rejected(_)), "{fetched:?}");
    }
}

/// An application may truncate its events as soon as `create` has stored a snapshot.
#[tokio::test]
async fn a_snapshot_whose_key_is_gone_is_not_taken_for_a_good_one() {
    let seal = NoCipher::new("k1");
    let (world, key) = stored(&seal).await;
    seal.rotate("k2");
    seal.forget("k1");
    let again = world.engine.create(&key).await.unwrap();
    assert!(matches!(again, CreateOutcome::Existing { identical: false, .. }), "{again}");
    assert_eq!(seal_key(&world, &key, 3).await.as_deref(), Some("k1"));
    // A refold replaces what cannot be opened.
    let refolded = world.engine.refold(&key, Some(3)).await.unwrap();
    assert!(matches!(refolded, CreateOutcome::Replaced(_)), "{refolded}");
    assert_eq!(seal_key(&world, &key, 3).await.as_deref(), Some("k2"));
    assert_eq!(origin(&world, &key).await, (Origin::Snapshot, vec![]));
    // So does a rebuild.
    seal.rotate("k3");
    seal.forget("k2");
    assert!(world.engine.rebuild(&key, 3).await.unwrap().replaced);
    assert_eq!(origin(&world, &key).await, (Origin::Snapshot, vec![]));
}

#[tokio::test]
async fn without_events_a_lost_key_is_named_in_the_error() {
    let seal = NoCipher::new("k1");
    let (world, key) = stored(&seal).await;
    world.source.events.truncate_below(&key, 3);
    assert_eq!(world.engine.load(&key).await.unwrap().version, 3);
    seal.forget("k1");
    let error = world.engine.load(&key).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unrecoverable);
    assert!(error.to_string().contains("sealed with the key \"k1\""), "{error}");
}

#[tokio::test]
async fn older_snapshots_open_with_the_key_that_they_name() {
    let seal = NoCipher::new("k1");
    let (world, key) = stored(&seal).await;
    seal.rotate("k2");
    assert_eq!(origin(&world, &key).await, (Origin::Snapshot, vec![]));
    note(&world, &key, 1);
    world.engine.create(&key).await.unwrap();
    assert_eq!(seal_key(&world, &key, 3).await.as_deref(), Some("k1"));
    assert_eq!(seal_key(&world, &key, 4).await.as_deref(), Some("k2"));
    for version in [3, 4] {
        let loaded = world.engine.at_version(&key, version).await.unwrap();
        assert_eq!(loaded.provenance.events_replayed, 0);
    }
    // The newer key is gone: the older snapshot is used.
    seal.forget("k2");
    assert_eq!(origin(&world, &key).await, (Origin::Snapshot, vec![missing("k2")]));
}

#[tokio::test]
async fn another_key_under_the_same_id_opens_nothing() {
    let seal = NoCipher::new("k1");
    let (world, key) = stored(&seal).await;
    seal.mistake("k1");
    let (from, reasons) = origin(&world, &key).await;
    assert_eq!(from, Origin::Replay);
    assert_eq!(reasons, [RejectReason::Seal("the checksum does not match".into())]);
    assert_eq!((reasons[0].name(), reasons[0].is_corrupt()), ("seal", true));
}

#[tokio::test]
async fn a_seal_that_misbehaves_makes_misses_and_no_failures() {
    let seal = NoCipher::new("k1");
    let (world, key) = stored(&seal).await;
    for fault in Fault::ALL {
        seal.set(fault);
        let (from, reasons) = origin(&world, &key).await;
        let [reason] = &reasons[..] else {
            // Reading calls nothing that these concern.
            assert!(matches!(fault, Fault::WriteFails | Fault::WritePanics), "{fault:?}");
            assert_eq!(from, Origin::Snapshot);
            continue;
        };
        assert_eq!(from, Origin::Replay);
        let text = reason.to_string();
        let expected = match fault {
            Fault::ReadFails => "the seal refused the payload: it was told to fail",
            Fault::ReadPanics => "the seal refused the payload: it panicked: it was told to",
            Fault::ReadReturnsLess | Fault::ReadReturnsMore => "bytes instead of",
            // Of the right length. What it decodes to is no state, or another one.
            _ => {
                let caught = matches!(reason, RejectReason::Decode(_) | RejectReason::OtherState);
                assert!(caught, "{reason:?}");
                continue;
            }
        };
        assert!(text.contains(expected), "{fault:?}: {text}");
    }
}

/// A delta needs two keys if they were rotated in between.
#[tokio::test]
async fn a_delta_needs_the_key_of_its_base() {
    let seal = NoCipher::new("k1");
    let how = Incremental::lz4().min_bytes(1).max_percent(u8::MAX);
    let world = World::with(|builder| settings(builder, &seal).incremental(how));
    let key = crate::support::key("a");
    note(&world, &key, 4);
    for (version, key_id) in [(2, "k1"), (3, "k2"), (4, "k2")] {
        seal.rotate(key_id);
        let options = CreateOptions::new().at_version(version);
        world.engine.create_with(&key, options).await.unwrap();
        assert_eq!(seal_key(&world, &key, version).await.as_deref(), Some(key_id));
    }
    assert_eq!(origin(&world, &key).await, (Origin::Snapshot, vec![]));
    seal.forget("k1");
    assert_eq!(origin(&world, &key).await, (Origin::Replay, vec![missing("k1"); 3]));
    let again = world.engine.create(&key).await.unwrap();
    assert!(matches!(again, CreateOutcome::Existing { identical: false, .. }), "{again}");
    // The next snapshot cannot be based on it, and is whole.
    note(&world, &key, 1);
    let Ok(CreateOutcome::Stored(meta)) = world.engine.create(&key).await else { panic!() };
    assert_eq!((meta.base, meta.seal_key.as_deref()), (None, Some("k2")));
    assert_eq!(origin(&world, &key).await, (Origin::Snapshot, vec![]));
    let metas = world.store.list_all(ListRequest::new(&key)).await.unwrap();
    assert_eq!(metas.len(), 4);
}

/// A seal in use for the first time, and a rotation, reach the snapshots that are stored already.
#[tokio::test]
async fn stored_snapshots_are_sealed_anew() {
    let plain = |builder: EngineBuilder<Account>| builder.compression(Compression::none());
    let (clear, key) = (World::with(plain), crate::support::key("a"));
    note(&clear, &key, 3);
    clear.engine.create(&key).await.unwrap();
    assert!(contains(&clear.store.record(&key, 3).await, SECRET));

    let seal = NoCipher::new("k1");
    let world = reopened(&clear, |builder| settings(builder, &seal));
    let request = RecompressRequest::new(Compression::none());
    for key_id in ["k1", "k2"] {
        seal.rotate(key_id);
        let report = world.engine.recompress(&request).await.unwrap();
        assert_eq!((report.rewritten, report.kept), (1, 0), "{report}");
        assert_eq!(seal_key(&world, &key, 3).await.as_deref(), Some(key_id));
        assert!(!contains(&world.store.record(&key, 3).await, SECRET));
        assert_eq!(origin(&world, &key).await, (Origin::Snapshot, vec![]));
        let again = world.engine.recompress(&request).await.unwrap();
        assert_eq!((again.rewritten, again.kept), (0, 1), "{again}");
    }
    // Only the second key is needed. Without it, nothing is rewritten.
    seal.forget("k1");
    assert_eq!(origin(&world, &key).await, (Origin::Snapshot, vec![]));
    seal.rotate("k3");
    seal.forget("k2");
    let report = world.engine.recompress(&request).await.unwrap();
    assert_eq!((report.rewritten, report.unreadable), (0, 1), "{report}");
    assert_eq!(seal_key(&world, &key, 3).await.as_deref(), Some("k2"));
}

/// Batches open each snapshot by itself.
#[tokio::test]
async fn aggregates_that_are_loaded_together_have_their_own_keys() {
    let seal = NoCipher::new("a");
    let world = super::sealing(&seal);
    let keys = ["a", "b", "c"].map(crate::support::key);
    for key in &keys {
        seal.rotate(key.id());
        note(&world, key, 2);
        world.engine.create(key).await.unwrap();
    }
    seal.forget("b");
    let loaded = world.engine.load_many(&keys).await;
    for (loaded, key) in loaded.iter().zip(&keys) {
        let loaded = loaded.as_ref().unwrap();
        assert_eq!(*loaded.state, world.truth(key).await);
        let expected = if key.id() == "b" { Origin::Replay } else { Origin::Snapshot };
        assert_eq!(loaded.provenance.origin, expected, "{key}");
    }
    // As a trait object, too.
    let object: &dyn Loader<Account> = &world.engine;
    assert_eq!(object.load(&keys[1]).await.unwrap().version, 2);
}
