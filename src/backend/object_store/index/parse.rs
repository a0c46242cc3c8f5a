//! Reads an index. Its bytes are not trusted.

use bytes::Bytes;

use super::aggregate_index::{
    AggregateIndex, EMPTY_BYTES, Indexed, MAGIC, MAX_SNAPSHOTS, REMEMBERED,
};
use super::encode::IS_DELTA;
use crate::checksum::crc32;
use crate::generation::Generation;
use crate::key::AggregateKey;
use crate::little_endian::LittleEndianReader;
use crate::mark::read_marks;
use crate::record::Header;
use crate::snapshot_id::SnapshotId;
use crate::timestamp::Timestamp;

/// Why bytes are no index that this release reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadIndex {
    /// The bytes are not an index.
    Foreign,
    /// A newer release wrote the index.
    Newer,
    Damaged(&'static str),
}

/// Parses the index of `key`.
pub(crate) fn parse_index(body: &Bytes, key: &AggregateKey) -> Result<AggregateIndex, BadIndex> {
    let mut reader = LittleEndianReader(body);
    let short = BadIndex::Damaged("it is too short");
    let magic: [u8; 4] = reader.array().ok_or(BadIndex::Foreign)?;
    if magic != MAGIC {
        let is_ours = magic.first_chunk::<3>() == MAGIC.first_chunk::<3>();
        return Err(if is_ours { BadIndex::Newer } else { BadIndex::Foreign });
    }
    let checksum = reader.u32().ok_or(short)?;
    if crc32(reader.0) != checksum {
        return Err(BadIndex::Damaged("its checksum does not match"));
    }
    let sequence = reader.u64().ok_or(short)?;
    let mut changes = [0; REMEMBERED];
    for change in &mut changes {
        *change = reader.u64().ok_or(short)?;
    }
    let count = reader.u32().ok_or(short)? as usize;
    if count > MAX_SNAPSHOTS {
        return Err(BadIndex::Damaged("it has too many snapshots"));
    }
    let mut snapshots: Vec<Indexed> = Vec::with_capacity(count);
    for _ in 0..count {
        let snapshot = read_snapshot(&mut reader, body).ok_or(short)?;
        if snapshots.last().is_some_and(|above| above.id <= snapshot.id) {
            return Err(BadIndex::Damaged("its snapshots are out of order"));
        }
        // A header of a newer release cannot be read. It says nothing about the key.
        if Header::parse(snapshot.header()).is_ok_and(|header| !is_of(&header, &snapshot, key)) {
            return Err(BadIndex::Damaged("it belongs to another aggregate"));
        }
        snapshots.push(snapshot);
    }
    if !reader.0.is_empty() || (count == 0) != (body.len() as u64 == EMPTY_BYTES) {
        return Err(BadIndex::Damaged("it is too long"));
    }
    Ok(AggregateIndex { sequence, changes, snapshots })
}

fn read_snapshot(reader: &mut LittleEndianReader<'_>, body: &Bytes) -> Option<Indexed> {
    let version = reader.u64()?;
    let fingerprint = reader.u64()?;
    let generation = Generation { fingerprint, schema_version: reader.u32()? };
    let as_of = Timestamp::from_micros(reader.u64()?.cast_signed());
    let (object, record_bytes, flags, base) =
        (reader.u64()?, reader.u64()?, reader.u8()?, reader.u64()?);
    let (header_bytes, start_bytes) = (reader.u32()? as usize, reader.u32()? as usize);
    let from = body.len().checked_sub(reader.0.len())?;
    reader.take(start_bytes)?;
    if header_bytes > start_bytes || start_bytes as u64 > record_bytes || flags > IS_DELTA {
        return None;
    }
    Some(Indexed {
        id: SnapshotId { generation, version },
        as_of,
        base: (flags == IS_DELTA).then_some(base),
        object,
        record_bytes,
        start: body.slice(from..from + start_bytes),
        header_bytes,
        marks: read_marks(reader)?,
    })
}

fn is_of(header: &Header<'_>, snapshot: &Indexed, key: &AggregateKey) -> bool {
    header.is_of(key)
        && header.version == snapshot.id.version
        && header.generation == snapshot.id.generation
        && header.as_of == snapshot.as_of
        && header.record_bytes() == snapshot.record_bytes
        && header.base.map(|base| base.version) == snapshot.base
}
