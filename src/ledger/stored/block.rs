//! [`Block`]: consecutive entries of an audit trail, as one document.
//!
//! The content is the 32 bytes of the hash before the first entry. Then, for each entry, it
//! contains the length (u32) of its [bytes](crate::ledger::entry_bytes), the bytes, and the 32
//! bytes of its hash. The version of the document is the sequence of the first entry. Two nodes
//! that append at the same end write the same version, and only one of them succeeds.

use crate::ledger::chain::AuditHead;
use crate::ledger::entry_bytes::{entry_bytes, parse_entry};
use crate::ledger::hash::AuditHash;
use crate::ledger::{AuditEntry, AuditRecord};
use crate::wire::{ByteReader, put_sized};

/// The maximum size of a block, unless its first entry alone is larger.
pub(super) const BLOCK_BYTES: usize = 256 << 10;

/// The entries of a block, in order; never empty.
pub(super) struct Block(pub(super) Vec<AuditRecord>);

impl Block {
    pub(super) fn parse(first: u64, body: &[u8]) -> Option<Self> {
        let mut reader = ByteReader(body);
        let mut previous = AuditHash::from_bytes(reader.array()?);
        let mut records = Vec::new();
        for sequence in first.. {
            if reader.0.is_empty() {
                break;
            }
            let entry = parse_entry(reader.sized()?)?;
            let hash = AuditHash::from_bytes(reader.array()?);
            records.push(AuditRecord::from_stored(sequence, previous, hash, entry));
            previous = hash;
        }
        (!records.is_empty()).then_some(Self(records))
    }

    /// Returns the end of the trail after this block.
    pub(super) fn head(&self) -> AuditHead {
        let last = self.0.last();
        last.map_or(AuditHead::START, |last| AuditHead { sequence: last.sequence, hash: last.hash })
    }
}

/// Encodes the first of `entries` (at least one) as a block after `head`. Returns its content, the
/// number of entries in it, and the end of the trail after it.
pub(super) fn encode<'e>(
    head: AuditHead,
    entries: impl IntoIterator<Item = &'e AuditEntry>,
) -> (Vec<u8>, usize, AuditHead) {
    let mut body = head.hash.as_bytes().to_vec();
    let (mut count, mut end) = (0, head);
    for entry in entries {
        let bytes = entry_bytes(entry);
        if count > 0 && body.len() + bytes.len() + 36 > BLOCK_BYTES {
            break;
        }
        let sequence = end.sequence.saturating_add(1);
        end = AuditHead { sequence, hash: AuditHash::of_bytes(&end.hash, sequence, &bytes) };
        put_sized(&mut body, &bytes);
        body.extend_from_slice(end.hash.as_bytes());
        count += 1;
    }
    (body, count, end)
}
