//! [`Frame`]: what precedes each body in a segment.

use super::super::wire::Bytes;
use crate::checksum::crc32;

/// Frames begin at multiples of this many bytes.
pub(in super::super) const ALIGN: u64 = 8;
/// The length of a frame's head; its body follows, then zeros up to the alignment.
pub(in super::super) const FRAME_BYTES: u64 = 24;
/// The longest body (inclusive): a payload of 1 GiB and the longest header of a record.
pub(in super::super) const MAX_BODY_BYTES: u64 = (1 << 30) + (1 << 20);
/// The highest sequence number (inclusive).
pub(in super::super) const MAX_SEQ: u64 = (1 << 56) - 1;
/// The length of a seal: a frame's head and its body.
pub(in super::super) const SEAL_BYTES: u64 = FRAME_BYTES + 32;

const MORE: u8 = 0x80;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Kind {
    /// A snapshot's record.
    Put,
    /// A [`DeleteBody`](super::DeleteBody).
    Delete,
    /// A [`Seal`]: nothing follows in this segment.
    Seal,
}

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Frame {
    pub(in super::super) kind: Kind,
    /// Whether the next frame belongs to the same batch: all of a batch counts, or none.
    pub(in super::super) more: bool,
    /// Store-wide: of two frames about one snapshot the one with the higher number counts,
    /// wherever they are.
    pub(in super::super) seq: u64,
    pub(in super::super) body_bytes: u32,
    pub(in super::super) body_checksum: u32,
    /// Everything of this segment before this offset was durable when the frame was written.
    pub(in super::super) durable_below: u64,
}

/// `bytes` rounded up to the alignment.
pub(in super::super) const fn padded(bytes: u64) -> u64 {
    bytes.next_multiple_of(ALIGN)
}

impl Frame {
    /// What the frame takes in its segment: head, body and padding.
    pub(in super::super) fn total_bytes(&self) -> u64 {
        FRAME_BYTES + padded(self.body_bytes.into())
    }

    /// The head's bytes at `offset` of the segment with `salt`. Both are part of the checksum: a
    /// frame is valid in one place only.
    pub(in super::super) fn to_bytes(self, salt: u64, offset: u64) -> [u8; 24] {
        let kind = match self.kind {
            Kind::Put => 1,
            Kind::Delete => 2,
            Kind::Seal => 3,
        };
        let kind = kind | if self.more { MORE } else { 0 };
        let distance = offset.saturating_sub(self.durable_below) / ALIGN;
        let mut bytes = [0; 24];
        let fields = [
            u64::from(self.body_checksum) | u64::from(self.body_bytes) << 32,
            distance & 0xffff_ffff,
            u64::from(kind) | self.seq << 8,
        ];
        let [distance_and_bytes, distance, kind_and_seq] = fields;
        let (words, _) = bytes.as_chunks_mut::<4>();
        let values = [
            0,
            low(distance_and_bytes),
            low(distance_and_bytes >> 32),
            low(distance),
            low(kind_and_seq),
            low(kind_and_seq >> 32),
        ];
        for (word, value) in words.iter_mut().zip(values) {
            *word = value.to_le_bytes();
        }
        let checksum = head_checksum(salt, offset, &bytes);
        if let Some(first) = bytes.first_chunk_mut::<4>() {
            *first = checksum.to_le_bytes();
        }
        bytes
    }

    /// The head at the start of `bytes`, if a frame of this segment was written at this offset.
    pub(in super::super) fn parse(bytes: &[u8], salt: u64, offset: u64) -> Option<Self> {
        let head: &[u8; 24] = bytes.first_chunk()?;
        let mut reader = Bytes(head);
        let checksum = reader.u32()?;
        let body_checksum = reader.u32()?;
        let body_bytes = reader.u32()?;
        let distance = u64::from(reader.u32()?) * ALIGN;
        let kind_and_seq = reader.u64()?;
        if head_checksum(salt, offset, head) != checksum {
            return None;
        }
        let [kind, ..] = kind_and_seq.to_le_bytes();
        let frame = Self {
            kind: match kind & !MORE {
                1 => Kind::Put,
                2 => Kind::Delete,
                3 => Kind::Seal,
                _ => return None,
            },
            more: kind & MORE != 0,
            seq: kind_and_seq >> 8,
            body_bytes,
            body_checksum,
            durable_below: offset.checked_sub(distance)?,
        };
        (u64::from(body_bytes) <= MAX_BODY_BYTES).then_some(frame)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is wanted")]
const fn low(value: u64) -> u32 {
    value as u32
}

fn head_checksum(salt: u64, offset: u64, head: &[u8; 24]) -> u32 {
    let mut checked = [0; 36];
    let (place, rest) = checked.split_at_mut(16);
    place.copy_from_slice(&(u128::from(salt) | u128::from(offset) << 64).to_le_bytes());
    rest.copy_from_slice(head.last_chunk::<20>().unwrap_or(&[0; 20]));
    crc32(&checked)
}

/// The last frame of a sealed segment: what should be before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Seal {
    pub(in super::super) puts: u64,
    pub(in super::super) deletes: u64,
    /// The lowest sequence number in the segment; `u64::MAX` if there is none.
    pub(in super::super) min_seq: u64,
    /// The highest sequence number in the segment; 0 if there is none.
    pub(in super::super) max_seq: u64,
}

impl Seal {
    pub(in super::super) fn to_bytes(self) -> Vec<u8> {
        [self.puts, self.deletes, self.min_seq, self.max_seq]
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect()
    }

    pub(in super::super) fn parse(body: &[u8]) -> Option<Self> {
        let mut reader = Bytes(body);
        let seal = Self {
            puts: reader.u64()?,
            deletes: reader.u64()?,
            min_seq: reader.u64()?,
            max_seq: reader.u64()?,
        };
        reader.0.is_empty().then_some(seal)
    }
}

#[cfg(test)]
mod tests {
    //! A frame read in the wrong place, or with a changed bit, must never pass.

    use super::*;

    #[test]
    fn a_frame_is_valid_in_its_place_only_and_with_all_its_bits() {
        let frame = Frame {
            kind: Kind::Delete,
            more: true,
            seq: MAX_SEQ,
            body_bytes: 77,
            body_checksum: 0xdead_beef,
            durable_below: 48,
        };
        let bytes = frame.to_bytes(9, 4096);
        assert_eq!(Frame::parse(&bytes, 9, 4096), Some(frame));
        assert_eq!(frame.total_bytes(), 24 + 80);
        assert_eq!(Frame::parse(&bytes, 8, 4096), None);
        assert_eq!(Frame::parse(&bytes, 9, 4104), None);
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Frame::parse(&changed, 9, 4096), None, "bit {bit}");
        }
        assert_eq!(Frame::parse(&[0; 24], 0, 0), None);
    }
}
