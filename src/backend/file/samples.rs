//! A store on a simulated disk and puts of one aggregate, for unit tests.

use std::sync::Arc;

use super::config::FileStoreConfig;
use super::core::Core;
use super::disk::sim::SimDisk;
use super::recover::open;
use super::write::work::Work;
use crate::generation::Generation;
use crate::key::AggregateKey;
use crate::record::{Record, RecordBuilder};
use crate::store::PutOptions;
use crate::timestamp::Timestamp;

/// Opens the store on `disk`, without threads and without a reserve.
pub(super) fn core(disk: &SimDisk) -> Core {
    let config = FileStoreConfig::new("/store".into()).reserve_bytes(0).background(false);
    open::open(Arc::new(disk.clone()), config).unwrap()
}

/// Returns the aggregate that [`put`] uses.
pub(super) fn key() -> AggregateKey {
    AggregateKey::new("k", "a").unwrap()
}

pub(super) fn put(core: &Core, version: u64) -> Work {
    put_bytes(core, version, 5)
}

/// Creates a put as [`put`] does, but with a state of this many bytes.
pub(super) fn put_bytes(core: &Core, version: u64, bytes: usize) -> Work {
    core.put_work(vec![record(version, bytes)], &PutOptions::default()).unwrap()
}

/// Returns a record of [`key`] with a state of this many bytes.
pub(super) fn record(version: u64, bytes: usize) -> Record {
    record_as_of(version, bytes, Timestamp::from_seconds(1))
}

pub(super) fn record_as_of(version: u64, bytes: usize, as_of: Timestamp) -> Record {
    let generation = Generation { schema_version: 1, fingerprint: 1 };
    let record = RecordBuilder::new(key(), generation, version, as_of);
    record.build(&vec![7; bytes]).unwrap()
}
