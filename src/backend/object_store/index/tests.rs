use bytes::Bytes;
use proptest::prelude::*;

use super::aggregate_index::{MAGIC, MAX_SNAPSHOTS, REMEMBERED};
use super::*;
use crate::generation::Generation;
use crate::key::AggregateKey;
use crate::mark::Mark;
use crate::mark::Marks;
use crate::record::Header;
use crate::record::RecordBuilder;
use crate::snapshot_id::SnapshotId;
use crate::timestamp::Timestamp;

const LIMIT: u64 = 1_000;

fn key() -> AggregateKey {
    AggregateKey::from_parts("t", "kind", "i").unwrap()
}

fn id(fingerprint: u64, version: u64) -> SnapshotId {
    SnapshotId { generation: Generation { schema_version: 1, fingerprint }, version }
}

fn indexed(id: SnapshotId, payload: usize, marks: Marks) -> Indexed {
    let as_of = Timestamp::from_seconds(5);
    let builder = RecordBuilder::new(key(), id.generation, id.version, as_of);
    let record = builder.build(&vec![7; payload]).unwrap();
    let header = record.header().unwrap();
    Indexed::new(&record, &header, id.version ^ 0xff, marks)
}

fn index(snapshots: impl IntoIterator<Item = Indexed>) -> AggregateIndex {
    let mut index = AggregateIndex::EMPTY.changed(3).changed(4);
    for snapshot in snapshots {
        assert!(index.insert(snapshot).is_none());
    }
    index
}

fn written(index: &AggregateIndex) -> Bytes {
    encode_index(index, LIMIT).unwrap().into()
}

fn retired() -> Marks {
    Marks::new([Mark::retirement("r", Timestamp::MIN)]).unwrap()
}

#[test]
fn an_index_comes_back_with_copies_of_the_newest_records_only() {
    let index = index([
        indexed(id(1, 5), 10, Marks::NONE),
        indexed(id(1, 9), 10, retired()),
        indexed(id(1, 7), 10, Marks::NONE),
        indexed(id(2, 6), 10, Marks::NONE),
        indexed(id(3, 1), 2_000, Marks::NONE),
    ]);
    let read = parse_index(&written(&index), &key()).unwrap();
    let order: Vec<_> = read.snapshots().iter().map(|it| it.id).collect();
    assert_eq!(order, [id(1, 9), id(1, 7), id(2, 6), id(1, 5), id(3, 1)]);
    let copied: Vec<_> =
        read.snapshots().iter().filter(|it| it.copy().is_some()).map(|it| it.id).collect();
    // Neither the retired one, nor one that is not the newest, nor a long one.
    assert_eq!(copied, [id(1, 7), id(2, 6)]);
    for snapshot in read.snapshots() {
        let there = index.find(snapshot.id).unwrap();
        assert_eq!(snapshot.header(), there.header());
        assert_eq!(snapshot.marks, there.marks);
        assert_eq!((snapshot.object, snapshot.as_of), (there.object, there.as_of));
        assert!(snapshot.copy().is_none_or(|copy| Some(copy) == there.copy()));
        assert!(snapshot.remnant().header().is_err());
    }
    assert_eq!(
        (read.sequence(), read.fate(1, 3), read.fate(2, 4)),
        (2, ChangeFate::Made, ChangeFate::Made)
    );
    assert_eq!(written(&read), written(&index));
}

#[test]
fn only_an_empty_index_has_the_length_of_one() {
    assert_eq!(written(&AggregateIndex::EMPTY.changed(1)).len() as u64, EMPTY_BYTES);
    assert!(written(&index([indexed(id(1, 1), 0, Marks::NONE)])).len() as u64 > EMPTY_BYTES);
}

#[test]
fn what_became_of_a_change_is_known_for_the_next_256_changes() {
    let mut index = AggregateIndex::EMPTY;
    for nonce in 1..=600 {
        assert_eq!(index.fate(nonce, nonce), ChangeFate::NotMade);
        index = index.changed(nonce);
        for before in (1..=nonce).step_by(7) {
            let is_known = nonce - before < REMEMBERED as u64;
            let [made, other] = [index.fate(before, before), index.fate(before, before + 1_000)];
            assert_eq!(made, if is_known { ChangeFate::Made } else { ChangeFate::Forgotten });
            assert_eq!(other, if is_known { ChangeFate::NotMade } else { ChangeFate::Forgotten });
        }
    }
}

#[test]
fn no_changed_or_shortened_index_is_read() {
    let body = written(&index([indexed(id(1, 5), 10, retired()), indexed(id(2, 6), 9, retired())]));
    parse_index(&body, &key()).unwrap();
    for at in 0..body.len() {
        let mut changed = body.to_vec();
        changed[at] ^= 1;
        assert!(parse_index(&changed.into(), &key()).is_err(), "byte {at}");
        assert!(parse_index(&body.slice(..at), &key()).is_err(), "cut to {at}");
    }
    let longer = Bytes::from([&body[..], &[0]].concat());
    assert!(parse_index(&longer, &key()).is_err());
    let other = AggregateKey::from_parts("t", "kind", "j").unwrap();
    let belongs = BadIndex::Damaged("it belongs to another aggregate");
    assert_eq!(parse_index(&body, &other), Err(belongs));
    let mut newer = body.to_vec();
    newer[3] = b'2';
    assert_eq!(parse_index(&newer.into(), &key()), Err(BadIndex::Newer));
    assert_eq!(parse_index(&Bytes::from_static(b"hello"), &key()), Err(BadIndex::Foreign));
}

#[test]
fn an_index_has_a_limit_that_names_retention() {
    let mut index = AggregateIndex::EMPTY;
    let one = indexed(id(1, 1), 0, Marks::NONE);
    for version in 0..=MAX_SNAPSHOTS as u64 {
        index.insert(Indexed { id: id(1, version), ..one.clone() });
    }
    let error = encode_index(&index, LIMIT).unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::OutOfSpace);
    assert!(error.to_string().contains("retention"), "{error}");
}

proptest! {
    #[test]
    fn no_bytes_panic_even_with_a_right_checksum(rest in prop::collection::vec(any::<u8>(), 0..2_600)) {
        let mut body = MAGIC.to_vec();
        body.extend_from_slice(&crate::checksum::crc32(&rest).to_le_bytes());
        body.extend_from_slice(&rest);
        prop_assert!(parse_index(&body.into(), &key()).is_err() || rest.len() > 2_000);
    }

    #[test]
    fn a_damaged_snapshot_with_a_right_checksum_is_no_other_one(at in 2_064_usize..2_400, bit in 0..8) {
        let mut body = written(&index([indexed(id(1, 5), 10, retired()), indexed(id(2, 6), 9, retired())])).to_vec();
        if let Some(byte) = body.get_mut(at) {
            *byte ^= 1_u8 << bit;
        }
        let checksum = crate::checksum::crc32(&body[8..]).to_le_bytes();
        body[4..8].copy_from_slice(&checksum);
        // It may be another object, or other marks, but never another snapshot.
        if let Ok(read) = parse_index(&body.into(), &key()) {
            let readable = read.snapshots().iter().filter_map(|it| Some((it, Header::parse(it.header()).ok()?)));
            for (it, header) in readable {
                prop_assert_eq!(it.id, SnapshotId { generation: header.generation, version: header.version });
            }
        }
    }
}
