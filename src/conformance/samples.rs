//! The keys and records of the cases.

use crate::codec::CodecId;
use crate::error::Error;
use crate::generation::Generation;
use crate::key::AggregateKey;
use crate::record::{Record, RecordBuilder};
use crate::snapshot_id::SnapshotId;
use crate::timestamp::Timestamp;

pub(super) const OLD: Generation = Generation { schema_version: 1, fingerprint: 0x51ab };
pub(super) const NEW: Generation = Generation { schema_version: 2, fingerprint: 7 };
/// Has the same schema version as [`NEW`], but a fingerprint with the highest bit set.
pub(super) const RESHAPED: Generation = Generation { schema_version: 2, fingerprint: u64::MAX - 1 };

pub(super) fn key(id: &str) -> Result<AggregateKey, Error> {
    AggregateKey::new("account", id)
}

pub(super) fn id(generation: Generation, version: u64) -> SnapshotId {
    SnapshotId { generation, version }
}

/// Returns a time that increases with the version.
pub(super) fn at(version: u64) -> Timestamp {
    Timestamp::from_seconds(i64::try_from(version).unwrap_or(i64::MAX))
}

/// Returns a snapshot of the generation [`NEW`] with a specific time and payload.
pub(super) fn record(key: &AggregateKey, version: u64) -> Result<Record, Error> {
    let payload = format!("{key} after {version} events");
    record_of(key, NEW, version, at(version), payload.as_bytes())
}

/// Returns a record with the same identity and another payload.
pub(super) fn rival(key: &AggregateKey, version: u64) -> Result<Record, Error> {
    record_of(key, NEW, version, at(version), b"told differently")
}

pub(super) fn record_of(
    key: &AggregateKey,
    generation: Generation,
    version: u64,
    as_of: Timestamp,
    payload: &[u8],
) -> Result<Record, Error> {
    RecordBuilder::new(key.clone(), generation, version, as_of)
        .codec(CodecId::custom(1))
        .created_at(Timestamp::from_seconds(1_700_000_000))
        .build(payload)
}

/// Returns records at these versions, lowest first.
pub(super) fn records(key: &AggregateKey, versions: &[u64]) -> Result<Vec<Record>, Error> {
    versions.iter().map(|version| record(key, *version)).collect()
}

/// Returns incompressible bytes.
pub(super) fn noise(random: &mut fastrand::Rng, bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    random.fill(&mut noise);
    noise
}
