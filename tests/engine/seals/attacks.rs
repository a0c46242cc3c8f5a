//! Somebody who can write to the store, checksums included, but has no key.

use snapfold::manager::{CreateOptions, Origin};
use snapfold::record::{Record, RejectReason};
use snapfold::{Aggregate, AggregateKey};

use super::{note, origin, sealing, stored};
use crate::own_coding::NoCipher;
use crate::record_bytes::{Field, RecordBytes, varint, with};
use crate::support::{Account, World};

/// The record of `into`, with the payload of `from` and all that its header tells about the payload.
fn with_payload_of(into: &Record, from: &Record) -> Record {
    let from = RecordBytes::of(from.as_bytes()).unwrap();
    let fields = [
        Field::Compression,
        Field::Codec,
        Field::PayloadLength,
        Field::RawLength,
        Field::Extensions,
        Field::Payload,
    ];
    let fields = fields.map(|field| (field, from.get(field).to_vec()));
    let fields: Vec<_> = fields.iter().map(|(field, bytes)| (*field, bytes.as_slice())).collect();
    Record::from_bytes(with(into.as_bytes(), &fields))
}

/// The record with another payload, and lengths and checksums that are right for it.
fn with_payload(record: &Record, payload: &[u8]) -> Record {
    let length = varint(payload.len() as u64);
    let fields = [(Field::Payload, payload), (Field::PayloadLength, length.as_slice())];
    let changed = Record::from_bytes(with(record.as_bytes(), &fields));
    changed.verify().unwrap();
    changed
}

fn payload(record: &Record) -> Vec<u8> {
    RecordBytes::of(record.as_bytes()).unwrap().get(Field::Payload).to_vec()
}

/// Puts `record` in the place of a stored one. The load must refuse it, and be right.
async fn refused(world: &World, key: &AggregateKey, version: u64, record: Record, what: &str) {
    record.verify().unwrap();
    world.store.tamper(key, version, record);
    let (from, reasons) = origin(world, key).await;
    assert_eq!(from, Origin::Replay, "{what}");
    assert!(matches!(reasons[0], RejectReason::Seal(_)), "{what}: {reasons:?}");
}

#[tokio::test]
async fn a_payload_cannot_be_moved_to_another_aggregate_or_tenant() {
    let seal = NoCipher::new("k1");
    let world = sealing(&seal);
    let rich = Account::key("rich").unwrap();
    let keys = [
        Account::key("poor").unwrap(),
        Account::key("ric").unwrap(),
        rich.clone().with_tenant("north").unwrap(),
    ];
    note(&world, &rich, 3);
    world.engine.create(&rich).await.unwrap();
    let moved = world.store.record(&rich, 3).await;
    for key in keys {
        note(&world, &key, 3);
        world.engine.create(&key).await.unwrap();
        assert_eq!(origin(&world, &key).await.0, Origin::Snapshot);
        let own = world.store.record(&key, 3).await;
        refused(&world, &key, 3, with_payload_of(&own, &moved), key.id()).await;
        // The whole record belongs to another aggregate, as without a seal.
        world.store.tamper(&key, 3, moved.clone());
        let (from, reasons) = origin(&world, &key).await;
        assert_eq!((from, &reasons[0]), (Origin::Replay, &RejectReason::WrongAggregate));
    }
    // Its own payload is fine in a header that was put together like this.
    let own = world.store.record(&rich, 3).await;
    world.store.tamper(&rich, 3, with_payload_of(&own, &moved));
    assert_eq!(origin(&world, &rich).await, (Origin::Snapshot, vec![]));
}

#[tokio::test]
async fn a_payload_cannot_be_moved_to_another_version_or_generation() {
    let seal = NoCipher::new("k1");
    let (world, key) = (sealing(&seal), crate::support::key("a"));
    note(&world, &key, 4);
    for version in [3, 4] {
        let options = CreateOptions::new().at_version(version);
        world.engine.create_with(&key, options).await.unwrap();
    }
    let [older, newer] = [world.store.record(&key, 3).await, world.store.record(&key, 4).await];
    world.store.tamper(&key, 4, with_payload_of(&newer, &older));
    let (from, reasons) = origin(&world, &key).await;
    // The other snapshot is fine.
    assert_eq!(from, Origin::Snapshot);
    assert!(matches!(reasons[..], [RejectReason::Seal(_)]), "{reasons:?}");

    // Of another generation, which this engine reads by the names of the fields.
    let by_name = |builder: snapfold::engine::EngineBuilder<Account>| {
        super::settings(builder, &seal).codec(snapfold::codec::Json).tolerate_shape_changes()
    };
    let world = World::with(by_name);
    note(&world, &key, 3);
    world.engine.create(&key).await.unwrap();
    let record = world.store.record(&key, 3).await;
    let fingerprint = 77_u64.to_le_bytes();
    let other = with(record.as_bytes(), &[(Field::Fingerprint, &fingerprint)]);
    let (elsewhere, other) = (snapfold::MemoryStore::new(), Record::from_bytes(other));
    let put = snapfold::store::PutOptions::default();
    snapfold::SnapshotStore::put(&elsewhere, vec![other], put).await.unwrap();
    let builder = snapfold::SnapshotEngine::builder(world.source.clone(), elsewhere);
    let engine = by_name(builder).build().unwrap();
    let loaded = engine.load(&key).await.unwrap();
    assert_eq!(*loaded.state, world.truth(&key).await);
    let reasons: Vec<_> = loaded.provenance.rejected.iter().map(|it| &it.reason).collect();
    assert!(matches!(reasons[..], [RejectReason::Seal(_)]), "{reasons:?}");
}

#[tokio::test]
async fn each_changed_byte_of_a_payload_is_noticed_under_right_checksums() {
    let (world, key) = stored(&NoCipher::new("k1")).await;
    let record = world.store.record(&key, 3).await;
    let whole = payload(&record);
    for at in 0..whole.len() {
        for flip in [0x01, 0x80] {
            let mut changed = whole.clone();
            changed[at] ^= flip;
            let changed = with_payload(&record, &changed);
            refused(&world, &key, 3, changed, &format!("byte {at} flipped by {flip:#x}")).await;
        }
    }
    for len in 0..whole.len() {
        let cut = with_payload(&record, &whole[..len]);
        refused(&world, &key, 3, cut, &format!("cut to {len} bytes")).await;
    }
    let longer = with_payload(&record, &[&whole[..], b"x"].concat());
    refused(&world, &key, 3, longer, "one byte more").await;
}

/// What a header tells about the seal is not trusted either.
#[tokio::test]
async fn a_changed_header_never_leads_to_another_state() {
    let (world, key) = stored(&NoCipher::new("k1")).await;
    let record = world.store.record(&key, 3).await;
    let fields = RecordBytes::of(record.as_bytes()).unwrap();
    let extensions = fields.get(Field::Extensions);
    // Nobody depends on what led to the snapshot.
    let extensions = extensions.strip_prefix(&[0x05, 1, 0, 1]).unwrap().to_vec();
    // Tag, length, length before sealing, id of the key.
    let expected = [&[0x83, 6, 0][..], &extensions[3..7], b"k1"].concat();
    assert_eq!(extensions, expected);
    let mut met = std::collections::BTreeSet::new();
    for at in 0..extensions.len() {
        for flip in 1..=255 {
            let mut changed = extensions.clone();
            changed[at] ^= flip;
            let fields = [(Field::Extensions, changed.as_slice())];
            world.store.tamper(&key, 3, Record::from_bytes(with(record.as_bytes(), &fields)));
            let (from, reasons) = origin(&world, &key).await;
            assert_eq!(from, Origin::Replay, "byte {at} flipped by {flip:#x}");
            met.insert(reasons.first().map_or("unlisted", RejectReason::name));
        }
    }
    for name in ["seal", "seal_key", "needs_other", "too_large"] {
        assert!(met.contains(name), "{name}: {met:?}");
    }
    // Without its extension it is a payload that does not decode.
    let bare = with(record.as_bytes(), &[(Field::Extensions, &[])]);
    world.store.tamper(&key, 3, Record::from_bytes(bare));
    let (from, reasons) = origin(&world, &key).await;
    assert_eq!(from, Origin::Replay);
    assert!(matches!(reasons[0], RejectReason::Decode(_)), "{reasons:?}");
    // An id that is too long.
    let long = [&[0x83, 4, 1][..], &extensions[3..7], &[b'k'; 256]].concat();
    let long = Record::from_bytes(with(record.as_bytes(), &[(Field::Extensions, &long)]));
    let reject = RejectReason::Malformed("the id of a key is too long");
    assert_eq!(long.verify().err(), Some(reject));
    let most = [&[0x83, 3, 1][..], &extensions[3..7], &[b'k'; 255]].concat();
    let most = Record::from_bytes(with(record.as_bytes(), &[(Field::Extensions, &most)]));
    assert_eq!(most.verify().unwrap().seal_key.unwrap().len(), 255);
    let foreign = [&[0x83, 5, 0][..], &extensions[3..7], b"\xff"].concat();
    let foreign = Record::from_bytes(with(record.as_bytes(), &[(Field::Extensions, &foreign)]));
    assert!(matches!(foreign.verify(), Err(RejectReason::Malformed(_))));
    let short =
        Record::from_bytes(with(record.as_bytes(), &[(Field::Extensions, &[0x83, 1, 0, 9])]));
    assert!(short.verify().is_err());
}

/// The seal is not called for a length beyond the limit.
#[tokio::test]
async fn a_claimed_length_is_limited_before_the_seal_is_called() {
    let seal = NoCipher::new("k1");
    let (world, key) = stored(&seal).await;
    let record = world.store.record(&key, 3).await;
    let raw = u64::from(record.header().unwrap().raw_bytes);
    seal.set(crate::own_coding::Fault::ReadPanics);
    for (limit, called) in [(raw, true), (raw - 1, false)] {
        let limited = super::reopened(&world, |builder| {
            super::settings(builder, &seal).max_state_bytes(limit)
        });
        let (_, reasons) = origin(&limited, &key).await;
        let expected = RejectReason::TooLarge { bytes: raw, limit };
        assert_eq!(reasons[0] != expected, called, "{reasons:?}");
        assert_eq!(matches!(reasons[0], RejectReason::Seal(_)), called, "{reasons:?}");
    }

    // A compressed payload has a length of its own before sealing.
    let limit = 4 << 10;
    let world = World::with(|builder| {
        let small = snapfold::codec::Compression::lz4().min_bytes(1);
        super::settings(builder, &seal).compression(small).max_state_bytes(limit)
    });
    seal.set(crate::own_coding::Fault::None);
    world.source.append(&key, 1, crate::support::Event::Noted("z".repeat(1_000)));
    world.engine.create(&key).await.unwrap();
    let record = world.store.record(&key, 1).await;
    assert!(record.header().unwrap().raw_bytes > 1_000);
    seal.set(crate::own_coding::Fault::ReadPanics);
    for (claimed, called) in [(4_096_u32, true), (4_097, false), (u32::MAX, false)] {
        let extension = [&[0x83, 6, 0], &claimed.to_le_bytes()[..], b"k1"].concat();
        let lying = with(record.as_bytes(), &[(Field::Extensions, &extension)]);
        world.store.tamper(&key, 1, Record::from_bytes(lying));
        let (_, reasons) = origin(&world, &key).await;
        let expected = RejectReason::TooLarge { bytes: claimed.into(), limit };
        assert_eq!(reasons[0] != expected, called, "{reasons:?}");
    }
}
