//! Keys and records for tests of the store.

use futures_util::TryStreamExt as _;
use object_store::ObjectStoreExt as _;
use object_store::path::Path;
use snapfold::codec::CodecId;
use snapfold::record::{Generation, Record, RecordBuilder};
use snapfold::{AggregateKey, SnapshotId, Timestamp};

use crate::server::Server;

/// The generation of all records here.
pub const GENERATION: Generation = Generation { schema_version: 1, fingerprint: 0x51ab };

/// The key of an account.
pub fn key(id: &str) -> AggregateKey {
    AggregateKey::new("account", id).expect("a key")
}

/// The identity of a snapshot.
pub const fn id(version: u64) -> SnapshotId {
    SnapshotId { generation: GENERATION, version }
}

/// A record with a number as its payload. The same arguments give the same bytes.
pub fn record(key: &AggregateKey, version: u64, payload: u64) -> Record {
    let as_of = Timestamp::from_seconds(i64::try_from(version).expect("a version"));
    RecordBuilder::new(key.clone(), GENERATION, version, as_of)
        .codec(CodecId::custom(1))
        .created_at(Timestamp::from_seconds(1_700_000_000))
        .build(payload.to_string().as_bytes())
        .expect("a record")
}

/// The number in a record.
///
/// # Panics
///
/// If it is not as it was built.
pub fn payload(record: &Record) -> u64 {
    let header = record.verify().expect("a whole record");
    let text = str::from_utf8(&record.as_bytes()[header.header_bytes()..]).expect("a text");
    text.parse().expect("a number")
}

/// All record objects below a root, as the server has them.
///
/// # Panics
///
/// If the server fails.
pub async fn record_objects(server: &Server, root: &str) -> Vec<Record> {
    let bucket = server.store();
    let folder = Path::from(format!("{root}/r"));
    let listed: Vec<_> = bucket.list(Some(&folder)).try_collect().await.expect("a list");
    let mut records = Vec::with_capacity(listed.len());
    for object in listed {
        let got = bucket.get(&object.location).await.expect("an object");
        records.push(Record::from_bytes(got.bytes().await.expect("its bytes")));
    }
    records
}
