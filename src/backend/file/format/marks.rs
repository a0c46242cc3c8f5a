//! [`MarksBody`]: the content of a marks frame.

use super::guard::{GUARD_BYTES, put_guard, unguarded};
use crate::checksum::crc32;
use crate::generation::Generation;
use crate::key::AggregateKey;
use crate::little_endian::LittleEndianReader;
use crate::mark::{Marks, put_marks, read_marks};
use crate::record::Header;
use crate::snapshot_id::SnapshotId;

/// The body of a marks frame: all marks of one snapshot after a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MarksBody<'a> {
    pub(crate) tenant: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) id: &'a str,
    pub(crate) snapshot: SnapshotId,
    pub(crate) marks: Marks,
}

/// The snapshot that a marks frame belongs to.
struct Identity<'a> {
    parts: [&'a str; 3],
    snapshot: SnapshotId,
}

impl<'a> MarksBody<'a> {
    /// Encodes the body for a snapshot of `key`.
    pub(crate) fn of_key(key: &AggregateKey, snapshot: SnapshotId, marks: &Marks) -> Vec<u8> {
        Self::encode([key.tenant(), key.kind(), key.id()], snapshot, marks)
    }

    /// Encodes the body for the snapshot whose record has this header.
    pub(crate) fn of_header(header: &Header<'_>, marks: &Marks) -> Vec<u8> {
        let snapshot = SnapshotId { generation: header.generation, version: header.version };
        Self::encode([header.tenant, header.kind, header.id], snapshot, marks)
    }

    fn encode(parts: [&str; 3], snapshot: SnapshotId, marks: &Marks) -> Vec<u8> {
        let SnapshotId { generation, version } = snapshot;
        let mut identity = Vec::new();
        for part in parts {
            identity.extend_from_slice(&length(part).to_le_bytes());
        }
        identity.extend_from_slice(&version.to_le_bytes());
        identity.extend_from_slice(&generation.fingerprint.to_le_bytes());
        identity.extend_from_slice(&generation.schema_version.to_le_bytes());
        for part in parts {
            identity.extend_from_slice(part.as_bytes());
        }
        let mut body = vec![0; GUARD_BYTES];
        body.extend_from_slice(&crc32(&identity).to_le_bytes());
        body.extend_from_slice(&identity);
        put_marks(&mut body, marks);
        put_guard(&mut body);
        body
    }

    /// Parses a body whose checksum matches.
    pub(crate) fn parse(body: &'a [u8]) -> Option<Self> {
        let mut reader = LittleEndianReader(unguarded(body));
        let Identity { parts: [tenant, kind, id], snapshot } = read_identity(&mut reader)?;
        let marks = read_marks(&mut reader)?;
        reader.0.is_empty().then_some(Self { tenant, kind, id, snapshot, marks })
    }

    /// Returns the snapshot that a body belongs to, even if the marks in it are damaged.
    pub(crate) fn identify(body: &[u8]) -> Option<(AggregateKey, SnapshotId)> {
        let Identity { parts: [tenant, kind, id], snapshot } =
            read_identity(&mut LittleEndianReader(unguarded(body)))?;
        Some((AggregateKey::from_stored(tenant, kind, id).ok()?, snapshot))
    }
}

/// Reads the identity, which has its own checksum so that a damaged frame can still be attributed.
fn read_identity<'a>(reader: &mut LittleEndianReader<'a>) -> Option<Identity<'a>> {
    let checksum = reader.u32()?;
    let start = reader.0;
    let lengths = [reader.u16()?, reader.u16()?, reader.u16()?];
    let (version, fingerprint) = (reader.u64()?, reader.u64()?);
    let generation = Generation { fingerprint, schema_version: reader.u32()? };
    let [tenant, kind, id] = lengths.map(|len| reader.text(len.into()));
    let bytes = start.get(..start.len() - reader.0.len())?;
    let snapshot = SnapshotId { generation, version };
    (crc32(bytes) == checksum).then_some(Identity { parts: [tenant?, kind?, id?], snapshot })
}

/// Returns the length of a part of a key, which is at most 65,535 bytes.
fn length(text: &str) -> u16 {
    u16::try_from(text.len()).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mark::Mark;
    use crate::timestamp::Timestamp;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    #[test]
    fn marks_come_back_as_written_and_no_prefix_of_them_passes() {
        let key = AggregateKey::from_parts("t", "kind", "i").unwrap();
        let generation = Generation { schema_version: 3, fingerprint: 1 << 60 };
        let snapshot = SnapshotId { generation, version: u64::MAX };
        let texts = |bytes| "x".repeat(bytes);
        let longest = Mark::retirement(texts(Mark::MAX_NAME_BYTES), at(i64::MIN))
            .actor(texts(Mark::MAX_ACTOR_BYTES))
            .note(texts(Mark::MAX_NOTE_BYTES));
        let some = [Mark::pin("a\0\u{1f980}", at(i64::MAX)), Mark::pin("b", at(0)), longest];
        let full = (0..Marks::MAX).map(|n| Mark::pin(format!("{n}"), at(1)));
        for marks in [Marks::NONE, Marks::new(some).unwrap(), Marks::new(full).unwrap()] {
            let body = MarksBody::of_key(&key, snapshot, &marks);
            let expected = MarksBody { tenant: "t", kind: "kind", id: "i", snapshot, marks };
            assert_eq!(MarksBody::parse(&body), Some(expected));
            for len in 0..body.len() {
                assert_eq!(MarksBody::parse(&body[..len]), None, "cut to {len}");
            }
        }
    }

    #[test]
    fn a_body_with_damaged_marks_still_tells_its_snapshot_and_no_other_one() {
        let key = AggregateKey::from_parts("t", "kind", "i").unwrap();
        let generation = Generation { schema_version: 3, fingerprint: 4 };
        let snapshot = SnapshotId { generation, version: 5 };
        let marks = Marks::new([Mark::pin("a", at(1))]).unwrap();
        let body = MarksBody::of_key(&key, snapshot, &marks);
        let identity = GUARD_BYTES..GUARD_BYTES + 4 + 6 + 20 + 6;
        for at in 0..body.len() {
            let mut changed = body.clone();
            changed[at] ^= 1;
            let expected = (!identity.contains(&at)).then(|| (key.clone(), snapshot));
            assert_eq!(MarksBody::identify(&changed), expected, "byte {at}");
        }
    }
}
