//! Record decode. Any bytes are a record or a reject, at every step; a store takes just those
//! whose header is whole, and gives back what it took.

use snapfold::record::{Record, RejectReason, SnapshotMeta};
use snapfold::store::{ListRequest, PutOptions, Query};
use snapfold::{AggregateKey, ErrorKind, MemoryStore, SnapshotStore};

use super::{ready, sign};

/// The first byte of the input: 1 puts the checksums right, 3 the lengths too.
pub fn run(input: &[u8]) {
    let Some((flags, bytes)) = input.split_first() else { return };
    let mut bytes = bytes.to_vec();
    if flags & 1 != 0 {
        sign::record(&mut bytes, flags & 2 != 0);
    }
    let record = Record::from_bytes(bytes.clone());
    assert!(!format!("{record:?}").is_empty());
    assert_eq!(record.as_bytes(), bytes);
    let Ok(header) = record.header() else {
        record.verify().expect_err("its header is damaged");
        assert!(!record.has_state_of(&record));
        is_refused_by_a_store(record);
        return;
    };
    assert_eq!(header.record_bytes(), bytes.len() as u64);
    assert!(record.has_state_of(&record));

    let longer = Record::from_bytes([bytes.as_slice(), b"x"].concat());
    assert_eq!(longer.header().unwrap_err(), RejectReason::TrailingBytes);
    let shorter = Record::from_bytes(bytes[..bytes.len() - 1].to_vec());
    assert_eq!(shorter.header().unwrap_err(), RejectReason::Truncated);

    let whole = record.verify().is_ok();
    for at in [0, header.header_bytes() - 1, header.header_bytes(), bytes.len() - 1] {
        let mut changed = bytes.clone();
        let Some(byte) = changed.get_mut(at) else { continue };
        *byte ^= 0x10;
        let verdict = Record::from_bytes(changed).verify().is_ok();
        assert!(!(whole && verdict), "a changed byte at {at} is not noticed");
    }
    comes_back_from_a_store(&record);
}

fn is_refused_by_a_store(record: Record) {
    let store = MemoryStore::new();
    let refused = ready(store.put(vec![record], PutOptions::default())).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
}

fn comes_back_from_a_store(record: &Record) {
    let header = record.header().unwrap();
    let store = MemoryStore::new();
    ready(store.put(vec![record.clone()], PutOptions::default())).unwrap();
    let key = AggregateKey::from_stored(header.tenant, header.kind, header.id).unwrap();
    let query = Query::latest(&key, header.generation).at_most(header.version).as_of(header.as_of);
    let found = ready(store.get(query)).unwrap().into_record();
    assert_eq!(found.as_ref(), Some(record));
    let listed = ready(store.list(ListRequest::new(&key))).unwrap().items;
    assert_eq!(listed, [SnapshotMeta::from_header(&header).unwrap()]);
}
