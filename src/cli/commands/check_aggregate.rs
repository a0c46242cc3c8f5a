//! [`check_aggregate`]: the records of one aggregate, without the code of the application.

use crate::error::Error;
use crate::key::AggregateKey;
use crate::record::{Record, SnapshotMeta};
use crate::snapshot_id::SnapshotId;
use crate::store::{Found, Lookup, Query, SnapshotStore};

/// The maximum number of records that are read together.
const BATCH: usize = 32;
/// Records are read together until they reach this size.
const BATCH_BYTES: u64 = 8 << 20;

/// A snapshot that is not as it should be.
pub(super) struct UnsoundSnapshot {
    pub(super) id: SnapshotId,
    /// A word for machines, such as `payload_checksum`.
    pub(super) reason: &'static str,
    pub(super) message: String,
}

/// Reads the records of these snapshots, which are of one aggregate, and returns those that are
/// unsound. Calls `checked` with the number of records and bytes of each batch.
///
/// Checked are the checksums of header and payload, the identity, the listed metadata, and the base
/// of a delta. Whether the state can be decoded is known only to the application.
pub(super) async fn check_aggregate(
    store: &dyn SnapshotStore,
    key: &AggregateKey,
    metas: &[SnapshotMeta],
    mut checked: impl FnMut(u64, u64) + Send,
) -> Result<Vec<UnsoundSnapshot>, Error> {
    let mut unsound = Vec::new();
    let mut rest = metas;
    while !rest.is_empty() {
        let (mut count, mut bytes) = (0, 0_u64);
        for meta in rest.iter().take(BATCH) {
            bytes = bytes.saturating_add(meta.stored_bytes);
            if count > 0 && bytes > BATCH_BYTES {
                break;
            }
            count += 1;
        }
        let (batch, after) = rest.split_at_checked(count).unwrap_or((rest, &[]));
        rest = after;
        let queries: Vec<_> = batch.iter().map(|meta| Query::exact(key, meta.id())).collect();
        for (meta, lookup) in batch.iter().zip(store.get_many(&queries).await?) {
            if let Err((reason, message)) = check_one(key, meta, &lookup) {
                unsound.push(UnsoundSnapshot { id: meta.id(), reason, message });
            }
        }
        checked(batch.len() as u64, batch.iter().map(|meta| meta.stored_bytes).sum());
    }
    Ok(unsound)
}

/// Returns whether a snapshot is stored and undamaged.
pub(super) async fn is_sound(
    store: &dyn SnapshotStore,
    meta: &SnapshotMeta,
) -> Result<bool, Error> {
    let lookup = store.get(Query::exact(&meta.key, meta.id())).await?;
    let is_found = matches!(lookup, Lookup::Found(_));
    Ok(is_found && check_one(&meta.key, meta, &lookup).is_ok())
}

fn check_one(
    key: &AggregateKey,
    meta: &SnapshotMeta,
    lookup: &Lookup,
) -> Result<(), (&'static str, String)> {
    let wrong = |reason, message: &str| Err((reason, message.to_owned()));
    // It may have been deleted since it was listed, but then its absence is not damage.
    let Lookup::Found(found) = lookup else { return Ok(()) };
    let header = match found.record.verify() {
        Ok(header) => header,
        Err(reject) => return wrong(reject.name(), &reject.to_string()),
    };
    if !header.is_of(key) {
        return wrong("wrong_aggregate", "the record belongs to another aggregate");
    }
    if (header.version, header.generation) != (meta.version, meta.generation) {
        return wrong("wrong_version", "the record belongs to another snapshot");
    }
    let own = SnapshotMeta::from_header(&header).map(|own| own.with_marks(meta.marks.clone()));
    if !own.is_ok_and(|own| own == *meta) {
        return wrong("metadata", "the metadata in the list differs from the record");
    }
    match header.base {
        Some(base) if !is_base(found, key, SnapshotId { version: base.version, ..meta.id() }) => {
            let message = format!("its base at version {} is missing or damaged", base.version);
            wrong("base", &message)
        }
        _ => Ok(()),
    }
}

/// Returns whether the first base of a delta is the snapshot that it names, and undamaged.
fn is_base(found: &Found, key: &AggregateKey, id: SnapshotId) -> bool {
    let header = found.bases.first().map(Record::verify);
    header.and_then(Result::ok).is_some_and(|header| {
        header.is_of(key) && (header.version, header.generation) == (id.version, id.generation)
    })
}
