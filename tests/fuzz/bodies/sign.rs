//! Puts right checksums over changed bytes, so that a mutation is not stopped by the first of
//! them: whoever can write to a store can write checksums too. Follows `docs/format.md` and
//! `docs/format-file-store.md`, never the crate's own code.

use super::record_bytes::{self, Field, RecordBytes, varint};

/// How a set of files is named and held.
pub type Files = Vec<(String, Vec<u8>)>;

const HEAD: usize = 48;
const FRAME: usize = 20;
/// The start of a body, which the checksum of the frame's head covers.
const GUARD: usize = 8;

/// What is put right.
#[derive(Clone, Copy, Debug)]
pub struct Signing {
    /// The lengths that a record states, too.
    pub record_lengths: bool,
    /// Records inside of frames.
    pub records: bool,
    /// The manifest's entries say what the segments do: length, store and salt.
    pub entries: bool,
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(field) = bytes.get_mut(at..at + value.len()) {
        field.copy_from_slice(value);
    }
}

/// The checksum of `bytes` from `from` to `to`; of nothing where there is nothing.
fn crc(bytes: &[u8], from: usize, to: usize) -> [u8; 4] {
    crc32fast::hash(bytes.get(from..to).unwrap_or_default()).to_le_bytes()
}

/// Puts the checksums of a record right, and its lengths if that is wanted. It stays as long as it
/// is: what a length that is put right has more or fewer bytes is taken from the payload.
pub fn record(bytes: &mut [u8], lengths: bool) {
    if let (true, Some(mut record)) = (lengths, RecordBytes::of(bytes)) {
        // A length changes the header's, which changes the payload's: soon no more.
        for _ in 0..4 {
            record.fit_header();
            let header = record.at(Field::Payload);
            let mut payload = record.get(Field::Payload).to_vec();
            payload.resize(bytes.len().saturating_sub(header), 0);
            record.set(Field::PayloadLength, &varint(payload.len() as u64));
            record.set(Field::Payload, &payload);
        }
        put(bytes, 0, &record.bytes());
    }
    record_bytes::sign(bytes);
}

/// Puts the checksums of all files of a store right.
pub fn store(files: &mut Files, signing: Signing) {
    let heads: Vec<_> = files
        .iter_mut()
        .filter(|(_, bytes)| bytes.starts_with(b"snfseg"))
        .filter_map(|(name, bytes)| {
            segment(bytes, signing);
            let id: u32 = name.split('.').next()?.parse().ok()?;
            Some((id, bytes.get(8..24)?.to_vec(), bytes.get(32..40)?.to_vec(), bytes.len() as u64))
        })
        .collect();
    let mut secret = [0; 16];
    for (_, bytes) in files.iter_mut().filter(|(_, bytes)| bytes.starts_with(b"snfman")) {
        if signing.entries {
            let entries = usize::try_from(u32_at(bytes, 60).unwrap_or(0)).unwrap_or(0);
            for at in (72..bytes.len()).step_by(24).take(entries) {
                let id = u32_at(bytes, at);
                let Some((_, store, salt, len)) = heads.iter().find(|head| Some(head.0) == id)
                else {
                    continue;
                };
                put(bytes, 16, store);
                put(bytes, at + 8, salt);
                put(bytes, at + 16, &len.to_le_bytes());
            }
        }
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        put(bytes, 12, &len.to_le_bytes());
        let sum = but_the_checksum(crc32fast::Hasher::new(), bytes);
        put(bytes, 8, &sum);
        if let Some(found) = bytes.get(32..48) {
            secret.copy_from_slice(found);
        }
    }
    let (first, second) = secret.split_at(8);
    let word = |half: &[u8]| half.try_into().map_or(0, u64::from_le_bytes);
    let mixed = word(first) ^ word(second).rotate_left(32);
    for (_, bytes) in files.iter_mut().filter(|(_, bytes)| bytes.starts_with(b"snfidx")) {
        let start = crc32fast::hash(&mixed.to_le_bytes());
        let sum = but_the_checksum(crc32fast::Hasher::new_with_initial(start), bytes);
        put(bytes, 8, &sum);
    }
}

fn but_the_checksum(mut hasher: crc32fast::Hasher, bytes: &[u8]) -> [u8; 4] {
    hasher.update(bytes.get(..8).unwrap_or_default());
    hasher.update(bytes.get(12..).unwrap_or_default());
    hasher.finalize().to_le_bytes()
}

fn segment(bytes: &mut [u8], signing: Signing) {
    let sum = crc(bytes, 0, 44);
    put(bytes, 44, &sum);
    let Some(salt) = bytes.get(32..40).map(<[u8]>::to_vec) else { return };
    let mut at = HEAD;
    while let Some(len) = u32_at(bytes, at + 4) {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let body = at + FRAME;
        let Some(end) = body.checked_add(len).filter(|end| *end <= bytes.len()) else {
            return;
        };
        if bytes.get(body..end).is_some_and(|body| body.starts_with(b"SNF")) {
            if let (true, Some(body)) = (signing.records, bytes.get_mut(body..end)) {
                record(body, signing.record_lengths);
            }
        } else {
            let sum = crc(bytes, body + GUARD, end);
            put(bytes, body + 4, &sum);
        }
        let mut checked = salt.clone();
        checked.extend_from_slice(&(at as u64).to_le_bytes());
        checked.extend_from_slice(bytes.get(at + 4..body + GUARD).unwrap_or_default());
        put(bytes, at, &crc32fast::hash(&checked).to_le_bytes());
        at = end.next_multiple_of(8);
    }
}
