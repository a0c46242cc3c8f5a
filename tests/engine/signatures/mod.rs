//! Snapshots that are signed, in a store that somebody else can write to.
//!
//! Guards against: a changed record that is used because its checksums were repaired; a signature
//! that is not missed when it was removed; a record that is moved to another aggregate or version; a
//! write that is not signed, or that signs what somebody else has changed.

mod attacks;
mod rotation;
mod writes;

use snapfold::codec::Compression;
use snapfold::engine::EngineBuilder;
use snapfold::manager::Origin;
use snapfold::record::{Record, RejectReason, SigningKeys};
use snapfold::retention::keep_last;
use snapfold::store::PutOptions;
use snapfold::{AggregateKey, SnapshotStore};

use crate::record_bytes::{Field, RecordBytes, with};
use crate::support::{Account, World};

fn keys() -> SigningKeys {
    SigningKeys::new("k1", [1; 32]).unwrap()
}

fn signing(keys: &SigningKeys) -> World {
    World::with(|builder| settings(builder, keys))
}

fn settings(builder: EngineBuilder<Account>, keys: &SigningKeys) -> EngineBuilder<Account> {
    unsigned(builder).signing_keys(keys.clone())
}

fn unsigned(builder: EngineBuilder<Account>) -> EngineBuilder<Account> {
    builder.compression(Compression::none()).retention(keep_last(99))
}

/// Another engine over the same events and snapshots.
fn reopened(
    world: &World,
    change: impl FnOnce(EngineBuilder<Account>) -> EngineBuilder<Account>,
) -> World {
    World::over(world.source.clone(), world.store.clone(), change)
}

/// Loads, compares with a full replay, and returns why snapshots were not used.
async fn origin(world: &World, key: &AggregateKey) -> (Origin, Vec<RejectReason>) {
    let loaded = world.load_checked(key).await;
    let reasons = loaded.provenance.rejected.into_iter().map(|rejected| rejected.reason);
    (loaded.provenance.origin, reasons.collect())
}

async fn signing_key(world: &World, key: &AggregateKey, version: u64) -> Option<String> {
    let record = world.store.record(key, version).await;
    record.verify().unwrap().signing_key.map(str::to_owned)
}

/// The record without its signature, under right checksums.
fn stripped(record: &Record) -> Record {
    let fields = RecordBytes::of(record.as_bytes()).unwrap();
    let mut rest = fields.get(Field::Extensions);
    let mut kept = Vec::new();
    while let [tag, low, high, ..] = rest {
        let (entry, after) = rest.split_at(3 + usize::from(u16::from_le_bytes([*low, *high])));
        if *tag != 0x0d {
            kept.extend_from_slice(entry);
        }
        rest = after;
    }
    assert_ne!(kept, fields.get(Field::Extensions));
    let stripped = Record::from_bytes(with(record.as_bytes(), &[(Field::Extensions, &kept)]));
    assert_eq!(stripped.verify().unwrap().signing_key, None);
    stripped
}

/// The record with other fields, under right checksums.
fn forged(record: &Record, fields: &[(Field, &[u8])]) -> Record {
    let forged = Record::from_bytes(with(record.as_bytes(), fields));
    forged.verify().unwrap();
    forged
}

/// The record with another recorded time of the newest event, a field of eight bytes.
fn forged_time(record: &Record) -> Record {
    let fields = RecordBytes::of(record.as_bytes()).unwrap();
    let mut time = fields.get(Field::AsOf).to_vec();
    time[0] ^= 1;
    forged(record, &[(Field::AsOf, &time)])
}

/// Replaces what is stored, as somebody does who can write to the store.
async fn overwrite(world: &World, record: Record) {
    let options = PutOptions::default().replace(true);
    world.store.inner.put(vec![record], options).await.unwrap();
}
