//! Somebody who can write to the store, checksums included, but has no key.

use snapfold::engine::Incremental;
use snapfold::manager::{CreateOptions, Origin};
use snapfold::record::{Record, RejectReason, SigningKeys};
use snapfold::{Aggregate, AggregateKey};

use super::{forged, forged_time, keys, origin, overwrite, reopened, settings, signing, stripped};
use crate::record_bytes::{Field, RecordBytes, sign, varint, with};
use crate::support::{Account, World, key};

/// A signed snapshot at version 3 that says something in most fields.
async fn stored() -> (World, AggregateKey, Record) {
    let (world, key) = (signing(&keys()), key("a"));
    world.grow(&key, 3);
    let options = CreateOptions::new().label("month-end").field("from", "registry").warning("old");
    world.engine.create_with(&key, options).await.unwrap();
    let record = world.store.record(&key, 3).await;
    assert_eq!(origin(&world, &key).await, (Origin::Snapshot, vec![]));
    (world, key, record)
}

#[tokio::test]
async fn each_changed_byte_is_noticed_under_right_checksums() {
    let (world, key, record) = stored().await;
    let whole = record.as_bytes();
    let payload_at = record.header().unwrap().header_bytes();
    let (mut signature, mut other, mut repaired) = (0, 0, 0);
    for at in 0..whole.len() {
        for flip in [0x01, 0x02, 0x10, 0x80, 0xff] {
            let mut bytes = whole.to_vec();
            bytes[at] ^= flip;
            sign(&mut bytes);
            if bytes == whole {
                // A changed checksum is a repaired one.
                assert!((4..12).contains(&at));
                repaired += 1;
                continue;
            }
            world.store.tamper(&key, 3, Record::from_bytes(bytes));
            let (from, reasons) = origin(&world, &key).await;
            assert_eq!(from, Origin::Replay, "byte {at} flipped by {flip:#x}");
            if reasons[..] == [RejectReason::Signature] {
                signature += 1;
            } else {
                // The change makes it another record than the one that was asked for, or none.
                assert!(at < payload_at, "byte {at} flipped by {flip:#x}: {reasons:?}");
                other += 1;
            }
        }
    }
    assert_eq!(repaired, 8 * 5);
    assert!(signature > 400 && other > 50, "{signature} {other}");
}

#[tokio::test]
async fn a_signature_that_was_removed_is_missed() {
    let (world, key, record) = stored().await;
    world.store.tamper(&key, 3, stripped(&record));
    assert_eq!(origin(&world, &key).await, (Origin::Replay, vec![RejectReason::Unsigned]));
    world.store.tamper(&key, 3, forged_time(&stripped(&record)));
    assert_eq!(origin(&world, &key).await, (Origin::Replay, vec![RejectReason::Unsigned]));
    // The signature of another record does not help.
    world.grow(&key, 4);
    world.engine.create(&key).await.unwrap();
    let newer = world.store.record(&key, 4).await;
    let extensions = RecordBytes::of(record.as_bytes()).unwrap();
    let extensions = [(Field::Extensions, extensions.get(Field::Extensions))];
    world.store.tamper(&key, 4, forged(&newer, &extensions));
    let (_, reasons) = origin(&world, &key).await;
    assert_eq!(reasons, [RejectReason::Signature, RejectReason::Unsigned]);
}

/// Signatures of the attacker's own keys, and two signatures in one header.
#[tokio::test]
async fn only_the_keys_of_the_engine_count() {
    let (world, key, record) = stored().await;
    let own = World::with(|builder| settings(builder, &SigningKeys::new("k1", [9; 32]).unwrap()));
    own.grow(&key, 3);
    own.engine.create(&key).await.unwrap();
    world.store.tamper(&key, 3, own.store.record(&key, 3).await);
    assert_eq!(origin(&world, &key).await, (Origin::Replay, vec![RejectReason::Signature]));

    let own =
        World::with(|builder| settings(builder, &SigningKeys::new("mallory", [1; 32]).unwrap()));
    own.grow(&key, 3);
    own.engine.create(&key).await.unwrap();
    let theirs = own.store.record(&key, 3).await;
    world.store.tamper(&key, 3, theirs.clone());
    let reason = RejectReason::SigningKey("mallory".into());
    assert_eq!((reason.name(), reason.is_corrupt()), ("signing_key", false));
    assert!(reason.to_string().contains("\"mallory\""));
    assert_eq!(origin(&world, &key).await, (Origin::Replay, vec![reason.clone()]));

    let of = |record: &Record| {
        let fields = RecordBytes::of(record.as_bytes()).unwrap();
        fields.get(Field::Extensions).to_vec()
    };
    let both = [of(&record), of(&theirs)].concat();
    world.store.tamper(&key, 3, forged(&record, &[(Field::Extensions, &both)]));
    assert_eq!(origin(&world, &key).await, (Origin::Replay, vec![reason]));
    let both = [of(&theirs), of(&record)].concat();
    world.store.tamper(&key, 3, forged(&record, &[(Field::Extensions, &both)]));
    assert_eq!(origin(&world, &key).await, (Origin::Replay, vec![RejectReason::Signature]));
}

#[tokio::test]
async fn a_record_cannot_be_moved_to_another_aggregate_version_or_generation() {
    let world = signing(&keys());
    let (rich, poor) = (Account::key("rich").unwrap(), Account::key("poor").unwrap());
    world.grow(&rich, 4);
    world.snapshots_at(&rich, &[3, 4]).await;
    world.grow(&poor, 2);
    world.engine.create(&poor).await.unwrap();
    let [three, four] = [world.store.record(&rich, 3).await, world.store.record(&rich, 4).await];

    world.store.tamper(&poor, 2, three.clone());
    assert_eq!(origin(&world, &poor).await, (Origin::Replay, vec![RejectReason::WrongAggregate]));
    let renamed: &[(Field, &[u8])] = &[(Field::Key, b"accountpoor"), (Field::Version, &[2])];
    world.store.tamper(&poor, 2, forged(&three, renamed));
    assert_eq!(origin(&world, &poor).await, (Origin::Replay, vec![RejectReason::Signature]));

    world.store.tamper(&rich, 4, forged(&three, &[(Field::Version, &varint(4))]));
    let (_, reasons) = origin(&world, &rich).await;
    assert_eq!(reasons, [RejectReason::Signature]);
    // Of another version, but the right one.
    world.store.tamper(&rich, 4, four);
    assert_eq!(origin(&world, &rich).await, (Origin::Snapshot, vec![]));

    // Other code reads it; whether it was signed shows without that.
    let fingerprint = 77_u64.to_le_bytes();
    world.store.tamper(&rich, 3, forged(&three, &[(Field::Fingerprint, &fingerprint)]));
    let rejected = world.engine.verify(&rich).await.unwrap().rejected;
    let reasons: Vec<_> = rejected.iter().map(|it| (it.version, &it.reason)).collect();
    assert_eq!(reasons, [(Some(3), &RejectReason::Signature)]);
}

#[tokio::test]
async fn a_delta_is_refused_with_its_base() {
    let how = Incremental::lz4().min_bytes(1).max_percent(u8::MAX);
    let world = World::with(|builder| settings(builder, &keys()).incremental(how.clone()));
    let key = key("a");
    world.grow(&key, 3);
    world.snapshots_at(&key, &[2, 3]).await;
    let [base, delta] = [world.store.record(&key, 2).await, world.store.record(&key, 3).await];
    assert_eq!(delta.header().unwrap().base.unwrap().version, 2);
    assert_eq!(origin(&world, &key).await, (Origin::Snapshot, vec![]));
    for (bad, reason) in
        [(forged_time(&base), RejectReason::Signature), (stripped(&base), RejectReason::Unsigned)]
    {
        overwrite(&world, bad).await;
        assert_eq!(origin(&world, &key).await, (Origin::Replay, vec![reason.clone(), reason]));
        // What is saved next is not based on it.
        let next = reopened(&world, |builder| settings(builder, &keys()).incremental(how.clone()));
        next.grow(&key, 4);
        next.engine.create(&key).await.unwrap();
        assert_eq!(next.store.record(&key, 4).await.header().unwrap().base, None);
        next.engine.delete(&key, 4).await.unwrap();
        world.source.events.rewind(&key, 3);
        overwrite(&world, base.clone()).await;
        assert_eq!(origin(&world, &key).await, (Origin::Snapshot, vec![]));
    }
    // The delta itself.
    overwrite(&world, forged_time(&delta)).await;
    let (_, reasons) = origin(&world, &key).await;
    assert_eq!(reasons, [RejectReason::Signature]);
}

/// Unsigned snapshots are accepted for a while. Changed ones are not.
#[tokio::test]
async fn accepting_unsigned_snapshots_accepts_no_bad_signature() {
    let (world, key, record) = stored().await;
    let lenient = reopened(&world, |builder| settings(builder, &keys().accept_unsigned()));
    lenient.store.tamper(&key, 3, stripped(&record));
    assert_eq!(origin(&lenient, &key).await, (Origin::Snapshot, vec![]));
    lenient.store.tamper(&key, 3, forged_time(&record));
    assert_eq!(origin(&lenient, &key).await, (Origin::Replay, vec![RejectReason::Signature]));
    // A signature without an id, with too long a one, or too short for a MAC, is none.
    for value in
        [vec![7; 32], vec![7; 31], vec![], vec![b'k'; 97], [&[7; 32][..], b"\xff"].concat()]
    {
        let len = u16::try_from(value.len()).unwrap().to_le_bytes();
        let entry = [&[0x0d], &len[..], &value].concat();
        let bad = Record::from_bytes(with(record.as_bytes(), &[(Field::Extensions, &entry)]));
        assert!(matches!(bad.verify(), Err(RejectReason::Malformed(_))), "{value:?}");
    }
    // Engines without keys do not check.
    let open = reopened(&world, super::unsigned);
    open.store.tamper(&key, 3, record);
    assert_eq!(origin(&open, &key).await, (Origin::Snapshot, vec![]));
}
