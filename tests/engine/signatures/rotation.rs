//! Keys in use for the first time, and keys that replace others.

use snapfold::codec::Compression;
use snapfold::engine::RecompressRequest;
use snapfold::manager::Origin;
use snapfold::record::{RejectReason, SigningKeys};

use super::{keys, origin, reopened, settings, signing, signing_key, unsigned};
use crate::support::{World, key};

#[tokio::test]
async fn an_older_key_is_accepted_until_it_is_removed() {
    let (world, key) = (signing(&keys()), key("a"));
    world.grow(&key, 3);
    world.engine.create(&key).await.unwrap();
    let newer = SigningKeys::new("k2", [2; 32]).unwrap();
    let both = newer.clone().also("k1", [1; 32]).unwrap();
    let rotating = reopened(&world, |builder| settings(builder, &both));
    assert_eq!(origin(&rotating, &key).await, (Origin::Snapshot, vec![]));
    rotating.grow(&key, 4);
    rotating.engine.create(&key).await.unwrap();
    assert_eq!(signing_key(&world, &key, 3).await.as_deref(), Some("k1"));
    assert_eq!(signing_key(&world, &key, 4).await.as_deref(), Some("k2"));
    // The older engine does not know the new key yet, but its own snapshots.
    let reason = RejectReason::SigningKey("k2".into());
    assert_eq!(origin(&world, &key).await, (Origin::Snapshot, vec![reason]));

    let done = reopened(&world, |builder| settings(builder, &newer));
    assert_eq!(origin(&done, &key).await, (Origin::Snapshot, vec![]));
    rotating.engine.delete(&key, 4).await.unwrap();
    let reason = RejectReason::SigningKey("k1".into());
    assert_eq!(origin(&done, &key).await, (Origin::Replay, vec![reason]));
    let request = RecompressRequest::new(Compression::none());
    let report = done.engine.recompress(&request).await.unwrap();
    assert_eq!((report.rewritten, report.unreadable), (0, 1), "{report}");
    let report = rotating.engine.recompress(&request).await.unwrap();
    assert_eq!((report.rewritten, report.kept), (1, 0), "{report}");
    let report = rotating.engine.recompress(&request).await.unwrap();
    assert_eq!((report.rewritten, report.kept), (0, 1), "{report}");
    assert_eq!(signing_key(&world, &key, 3).await.as_deref(), Some("k2"));
    assert_eq!(origin(&done, &key).await, (Origin::Snapshot, vec![]));
}

#[tokio::test]
async fn a_store_without_signatures_gets_them() {
    let (old, key) = (World::with(unsigned), key("a"));
    old.grow(&key, 3);
    old.engine.create(&key).await.unwrap();
    let strict = reopened(&old, |builder| settings(builder, &keys()));
    assert_eq!(origin(&strict, &key).await, (Origin::Replay, vec![RejectReason::Unsigned]));
    assert!(!strict.engine.is_covered(&key).await.unwrap());

    let lenient = reopened(&old, |builder| settings(builder, &keys().accept_unsigned()));
    assert_eq!(origin(&lenient, &key).await, (Origin::Snapshot, vec![]));
    assert!(lenient.engine.is_covered(&key).await.unwrap());
    let request = RecompressRequest::new(Compression::none());
    let report = strict.engine.recompress(&request).await.unwrap();
    assert_eq!((report.rewritten, report.unreadable), (0, 1), "{report}");
    let report = lenient.engine.recompress(&request).await.unwrap();
    assert_eq!((report.rewritten, report.unreadable), (1, 0), "{report}");
    assert_eq!(origin(&strict, &key).await, (Origin::Snapshot, vec![]));
    // Engines without keys still read it.
    assert_eq!(origin(&old, &key).await, (Origin::Snapshot, vec![]));
}
