//! Everything that an engine stores is signed, and it signs nothing that others have changed.

use std::time::Duration;

use snapfold::ErrorKind;
use snapfold::codec::Compression;
use snapfold::engine::RecompressRequest;
use snapfold::manager::{AdminContext, CreateOptions, CreateOutcome, Origin};
use snapfold::record::{Record, RejectReason, SigningKeys};
use snapfold::store::{ListRequest, SnapshotStoreExt};
use snapfold::trigger::every_events;

use super::{
    forged, forged_time, keys, origin, overwrite, reopened, settings, signing, signing_key,
    stripped, unsigned,
};
use crate::record_bytes::{Field, RecordBytes};
use crate::support::{World, key};

#[tokio::test]
async fn each_way_to_take_a_snapshot_signs_it() {
    let world = World::with(|builder| settings(builder, &keys()).trigger(every_events(1)));
    let all: Vec<_> = ["a", "b", "c", "d"].map(key).into();
    for key in &all {
        world.grow(key, 5);
    }
    world.engine.create(&all[0]).await.unwrap();
    world.engine.create_with(&all[0], CreateOptions::new().at_version(2)).await.unwrap();
    world.engine.create_many(&all[1..3]).await.into_iter().for_each(|it| drop(it.unwrap()));
    world.engine.rebuild(&all[1], 3).await.unwrap();
    world.engine.rebuild(&all[1], 5).await.unwrap();
    world.engine.refold(&all[2], Some(4)).await.unwrap();
    let loaded = world.engine.load(&all[3]).await.unwrap();
    assert!(world.engine.committed(&loaded, 5).is_queued());
    world.engine.flush(Duration::from_secs(60)).await.unwrap();
    let mut count = 0;
    for key in &all {
        for meta in world.store.list_all(ListRequest::new(key)).await.unwrap() {
            assert_eq!(meta.signing_key.as_deref(), Some("k1"));
            let record = world.store.record(key, meta.version).await;
            record.verify_signed(&keys()).unwrap();
            count += 1;
        }
        assert_eq!(origin(&world, key).await, (Origin::Snapshot, vec![]));
        assert!(world.engine.verify(key).await.unwrap().is_clean());
    }
    assert_eq!(count, 7);
    let captured = world.engine.capture_through(&all[0], &world.source).await.unwrap().unwrap();
    captured.verify_signed(&keys()).unwrap();
}

/// A bad record in the way of a new one is no success, and is replaced where that is safe.
#[tokio::test]
async fn a_bad_signature_in_the_way_is_no_success() {
    for (bad, name) in
        [(forged_time as fn(&Record) -> Record, "signature"), (stripped as _, "unsigned")]
    {
        let (world, key) = (signing(&keys()), key("a"));
        world.grow(&key, 3);
        world.engine.create(&key).await.unwrap();
        let good = world.store.record(&key, 3).await;
        overwrite(&world, bad(&good)).await;
        let error = world.engine.create(&key).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{name}: {error:#}");
        let rejected = world.engine.verify(&key).await.unwrap().rejected;
        assert_eq!(rejected[0].reason.name(), name);
        let compared = world.engine.compare_with_events(&key).await.unwrap();
        assert_eq!((compared.unreadable.len(), compared.equal.len()), (1, 0), "{compared:?}");

        // An engine that does not remember that it has saved this version.
        let other = reopened(&world, |builder| settings(builder, &keys()).trigger(every_events(1)));
        let loaded = other.load_checked(&key).await;
        assert!(other.engine.committed(&loaded, 3).is_queued());
        other.engine.flush(Duration::from_secs(60)).await.unwrap();
        assert_eq!(origin(&world, &key).await, (Origin::Snapshot, vec![]), "{name}");
        world.store.record(&key, 3).await.verify_signed(&keys()).unwrap();

        overwrite(&world, bad(&good)).await;
        world.engine.rebuild(&key, 3).await.unwrap();
        assert_eq!(origin(&world, &key).await, (Origin::Snapshot, vec![]), "{name}");
    }
}

/// Another engine may have the key, as in a rotation that is under way.
#[tokio::test]
async fn a_snapshot_of_an_unknown_key_is_left_alone() {
    let (world, key) = (signing(&keys()), key("a"));
    world.grow(&key, 3);
    world.engine.create(&key).await.unwrap();
    let newer = SigningKeys::new("k2", [2; 32]).unwrap();
    let other = reopened(&world, |builder| settings(builder, &newer));
    let created = other.engine.create(&key).await.unwrap();
    assert!(matches!(created, CreateOutcome::Existing { identical: false, .. }), "{created}");
    assert!(!other.engine.is_covered(&key).await.unwrap());
    assert!(world.engine.is_covered(&key).await.unwrap());
    assert_eq!(signing_key(&world, &key, 3).await.as_deref(), Some("k1"));
}

/// A replacement keeps labels and fields, unless nobody vouches for them.
#[tokio::test]
async fn a_rebuild_signs_no_label_that_was_forged() {
    let (world, key) = (signing(&keys()), key("a"));
    world.grow(&key, 3);
    world.engine.create_with(&key, CreateOptions::new().label("mine")).await.unwrap();
    let labels = async || world.engine.snapshots(&key, 3..=3).await.unwrap()[0].labels.clone();
    world.engine.rebuild(&key, 3).await.unwrap();
    assert_eq!(labels().await, ["mine"]);

    let good = world.store.record(&key, 3).await;
    let fields = RecordBytes::of(good.as_bytes()).unwrap();
    let label = b"\x02\x05\0their".as_slice();
    let extensions = [label, fields.get(Field::Extensions)].concat();
    overwrite(&world, forged(&good, &[(Field::Extensions, &extensions)])).await;
    assert_eq!(labels().await, ["their", "mine"]);
    world.engine.rebuild(&key, 3).await.unwrap();
    assert_eq!(labels().await, [""; 0]);
    // A forged idempotency key does not make a request look done.
    let good = world.store.record(&key, 3).await;
    let fields = RecordBytes::of(good.as_bytes()).unwrap();
    let (source, rest) = fields.get(Field::Extensions).split_at(4);
    let extensions = [source, b"\x09\x03\0r-1".as_slice(), rest].concat();
    overwrite(&world, forged(&good, &[(Field::Extensions, &extensions)])).await;
    world.grow(&key, 4);
    let context = AdminContext::new("ada").idempotency_key("r-1");
    let created = world.engine.admin().create(&key, CreateOptions::new(), &context).await.unwrap();
    assert_eq!(created.meta().map(|meta| meta.version), Some(4), "{created}");
    overwrite(&world, good).await;
    world.store.record(&key, 3).await.verify_signed(&keys()).unwrap();
}

#[tokio::test]
async fn recompressing_signs_only_what_it_can_check() {
    let (world, key) = (signing(&keys()), key("a"));
    world.grow(&key, 4);
    world.snapshots_at(&key, &[2, 3, 4]).await;
    let two = world.store.record(&key, 2).await;
    overwrite(&world, forged_time(&world.store.record(&key, 3).await)).await;
    overwrite(&world, stripped(&world.store.record(&key, 4).await)).await;
    let request = RecompressRequest::new(Compression::none());
    let newer = SigningKeys::new("k2", [2; 32]).unwrap().also("k1", [1; 32]).unwrap();
    let other = reopened(&world, |builder| settings(builder, &newer));
    let report = other.engine.recompress(&request).await.unwrap();
    assert_eq!((report.rewritten, report.unreadable, report.kept), (1, 2, 0), "{report}");
    for (version, key_id) in [(2, Some("k2")), (3, Some("k1")), (4, None)] {
        assert_eq!(signing_key(&world, &key, version).await.as_deref(), key_id);
    }
    // Without keys, nothing that is signed is rewritten: it would lose its signature.
    overwrite(&world, two).await;
    let open = reopened(&world, unsigned);
    let report = open.engine.recompress(&request).await.unwrap();
    assert_eq!((report.rewritten, report.unreadable, report.kept), (0, 2, 1), "{report}");
    assert_eq!(signing_key(&world, &key, 2).await.as_deref(), Some("k1"));
    let (_, reasons) = origin(&world, &key).await;
    assert_eq!(reasons, [RejectReason::Unsigned, RejectReason::Signature]);
}
