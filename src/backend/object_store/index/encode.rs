//! Writes an index. `docs/format-object-store.md` specifies it.

use super::aggregate_index::{
    AggregateIndex, Indexed, MAGIC, MAX_COPIES, MAX_INDEX_BYTES, MAX_SNAPSHOTS,
};
use crate::checksum::crc32;
use crate::error::{Error, ErrorKind};
use crate::generation::Generation;
use crate::mark::put_marks;

pub(super) const IS_DELTA: u8 = 1;

/// Returns the bytes of an index, with copies of the newest records that are at most `inline_limit`
/// bytes long.
///
/// # Errors
/// [`ErrorKind::OutOfSpace`] if there are too many snapshots.
pub(crate) fn encode_index(index: &AggregateIndex, inline_limit: u64) -> Result<Vec<u8>, Error> {
    if index.snapshots.len() > MAX_SNAPSHOTS {
        return Err(full(&format!("an aggregate can have {MAX_SNAPSHOTS} snapshots")));
    }
    let mut out = Vec::with_capacity(4_096);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&index.sequence.to_le_bytes());
    for change in index.changes {
        out.extend_from_slice(&change.to_le_bytes());
    }
    // At most `MAX_SNAPSHOTS`.
    let count = u32::try_from(index.snapshots.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&count.to_le_bytes());
    let mut copied = Vec::new();
    for snapshot in &index.snapshots {
        let is_copied = copies(snapshot, inline_limit, &mut copied);
        put_snapshot(&mut out, snapshot, is_copied);
    }
    if out.len() as u64 > MAX_INDEX_BYTES {
        return Err(full(&format!("an index can have {MAX_INDEX_BYTES} bytes")));
    }
    let checksum = out.get(8..).map_or(0, crc32);
    if let Some(place) = out.get_mut(4..8) {
        place.copy_from_slice(&checksum.to_le_bytes());
    }
    Ok(out)
}

/// Returns whether the record of a snapshot is copied into the index: it is short, and the
/// newest of its generation that loads find. Snapshots are passed newest first.
fn copies(snapshot: &Indexed, limit: u64, copied: &mut Vec<Generation>) -> bool {
    let generation = snapshot.id.generation;
    if snapshot.marks.is_retired() || copied.len() >= MAX_COPIES || copied.contains(&generation) {
        return false;
    }
    copied.push(generation);
    snapshot.record_bytes <= limit && snapshot.copy().is_some()
}

fn put_snapshot(out: &mut Vec<u8>, snapshot: &Indexed, is_copied: bool) {
    let id = snapshot.id;
    out.extend_from_slice(&id.version.to_le_bytes());
    out.extend_from_slice(&id.generation.fingerprint.to_le_bytes());
    out.extend_from_slice(&id.generation.schema_version.to_le_bytes());
    out.extend_from_slice(&snapshot.as_of.as_micros().to_le_bytes());
    out.extend_from_slice(&snapshot.object.to_le_bytes());
    out.extend_from_slice(&snapshot.record_bytes.to_le_bytes());
    out.push(if snapshot.base.is_some() { IS_DELTA } else { 0 });
    out.extend_from_slice(&snapshot.base.unwrap_or(0).to_le_bytes());
    let start = if is_copied { &snapshot.start } else { snapshot.header() };
    for bytes in [snapshot.header_bytes, start.len()] {
        // A header has at most 4 GiB, and a copy at most `inline_limit`.
        out.extend_from_slice(&u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes());
    }
    out.extend_from_slice(start);
    put_marks(out, &snapshot.marks);
}

fn full(limit: &str) -> Error {
    let message = format!("{limit}: delete some, or set a retention policy");
    Error::new(ErrorKind::OutOfSpace, "change the snapshots of an aggregate", message)
}
