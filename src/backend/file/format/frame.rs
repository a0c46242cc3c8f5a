//! [`Frame`]: the data before each body in a segment.

use super::guard::GUARD_BYTES;
use crate::checksum::crc32;
use crate::little_endian::LittleEndianReader;

/// Frames start at multiples of this many bytes.
pub(crate) const ALIGN: u64 = 8;
/// The length of a frame's head. The body follows, then zeros up to the next multiple of [`ALIGN`].
pub(crate) const FRAME_BYTES: u64 = HEAD as u64;
/// The number of bytes that the checksum of the head covers: the head, and the guard at the start
/// of the body.
pub(crate) const PROVEN_BYTES: usize = HEAD + GUARD_BYTES;
/// The maximum length of a body (inclusive): a payload of 1 GiB and the longest record header.
pub(crate) const MAX_BODY_BYTES: u64 = (1 << 30) + (1 << 20);
/// The offset below which frames start. The index has no room for higher ones.
pub(crate) const MAX_OFFSET: u64 = 8 << 28;
/// The maximum sequence number (inclusive).
pub(crate) const MAX_SEQ: u64 = (1 << 56) - 1;

const HEAD: usize = 20;
const MORE: u8 = 0x80;

/// What a frame contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The record of a snapshot.
    Put,
    /// A [`DeleteBody`](super::DeleteBody).
    Delete,
    /// A [`SegmentSeal`](super::SegmentSeal). Nothing follows it in the segment.
    Seal,
    /// A [`MarksBody`](super::MarksBody).
    Marks,
}

/// The head of a frame, and the guard at the start of its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: Kind,
    /// Whether the next frame belongs to the same batch. A batch counts as a whole or not at all.
    pub(crate) more: bool,
    /// The sequence number, unique in the store. Of two frames about the same snapshot, the one
    /// with the higher number counts, wherever they are.
    pub(crate) seq: u64,
    pub(crate) body_bytes: u32,
    /// The offset before which the whole segment was durable when the frame was written.
    pub(crate) durable_below: u64,
    /// The first bytes of the body. They contain the checksum of the rest, which ties the body to
    /// the head and to its position.
    pub(crate) guard: [u8; GUARD_BYTES],
}

/// Returns the space that a frame takes in its segment: head, body and padding.
pub(crate) const fn frame_bytes(body_bytes: u64) -> u64 {
    (FRAME_BYTES + body_bytes).next_multiple_of(ALIGN)
}

impl Frame {
    /// Creates a frame for `body`, outside of any batch. The body must be at least as long as a
    /// guard and at most [`MAX_BODY_BYTES`].
    pub(crate) fn of(kind: Kind, seq: u64, durable_below: u64, body: &[u8]) -> Self {
        Self {
            kind,
            more: false,
            seq,
            body_bytes: u32::try_from(body.len()).unwrap_or(u32::MAX),
            durable_below,
            guard: body.first_chunk().copied().unwrap_or_default(),
        }
    }

    /// Returns the space that the frame takes in its segment: head, body and padding.
    pub(crate) fn total_bytes(&self) -> u64 {
        frame_bytes(self.body_bytes.into())
    }

    /// Returns the number of zeros after the body.
    pub(crate) fn padding(&self) -> usize {
        let padding = self.total_bytes() - FRAME_BYTES - u64::from(self.body_bytes);
        usize::try_from(padding).unwrap_or(0)
    }

    /// Appends the whole frame to `out`. The frame will be at `offset` of the segment with `salt`.
    pub(crate) fn put(&self, body: &[u8], salt: u64, offset: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head(salt, offset));
        out.extend_from_slice(body);
        out.resize(out.len() + self.padding(), 0);
    }

    /// Returns everything after the head of the frame at the start of `bytes`.
    pub(crate) fn body_in(bytes: &[u8]) -> &[u8] {
        bytes.get(HEAD..).unwrap_or_default()
    }

    /// Encodes the head for `offset` of the segment with `salt`. Both are part of the checksum, so
    /// a frame is valid only in one place.
    pub(crate) fn head(&self, salt: u64, offset: u64) -> [u8; HEAD] {
        let kind = match self.kind {
            Kind::Put => 1,
            Kind::Delete => 2,
            Kind::Seal => 3,
            Kind::Marks => 5,
        };
        let kind = kind | if self.more { MORE } else { 0 };
        let distance = offset.saturating_sub(self.durable_below) / ALIGN;
        let lengths = u64::from(self.body_bytes) | distance << 32;
        let kind_and_seq = u64::from(kind) | self.seq << 8;
        let fields = (u128::from(lengths) | u128::from(kind_and_seq) << 64).to_le_bytes();
        let mut head = [0; HEAD];
        if let Some((checksum, rest)) = head.split_first_chunk_mut() {
            *checksum = head_checksum(salt, offset, fields, self.guard).to_le_bytes();
            rest.copy_from_slice(&fields);
        }
        head
    }

    /// Parses the head at the start of `bytes`. Returns `None` unless a frame of this segment was
    /// written at this offset, with this head and guard.
    pub(crate) fn parse(bytes: &[u8], salt: u64, offset: u64) -> Option<Self> {
        Self::proven(bytes, salt, offset)?.ok()
    }

    /// Parses a head as [`parse`](Self::parse) does, but returns `Err` for a head that was written
    /// this way and that this release does not support.
    pub(crate) fn proven(
        bytes: &[u8],
        salt: u64,
        offset: u64,
    ) -> Option<Result<Self, &'static str>> {
        let mut reader = LittleEndianReader(bytes);
        let checksum = reader.u32()?;
        let fields = reader.array()?;
        let guard = reader.array()?;
        if head_checksum(salt, offset, fields, guard) != checksum {
            return None;
        }
        let mut reader = LittleEndianReader(&fields);
        let body_bytes = reader.u32()?;
        let distance = u64::from(reader.u32()?) * ALIGN;
        let kind_and_seq = reader.u64()?;
        let [kind, ..] = kind_and_seq.to_le_bytes();
        let kind_of = match kind & !MORE {
            1 => Kind::Put,
            2 => Kind::Delete,
            3 => Kind::Seal,
            5 => Kind::Marks,
            _ => return Some(Err("the frame kind is unknown")),
        };
        let Some(durable_below) = offset.checked_sub(distance) else {
            return Some(Err("the durable offset in the frame head is negative"));
        };
        if !(GUARD_BYTES as u64..=MAX_BODY_BYTES).contains(&body_bytes.into()) {
            return Some(Err("the frame body length is out of range"));
        }
        Some(Ok(Self {
            kind: kind_of,
            more: kind & MORE != 0,
            seq: kind_and_seq >> 8,
            body_bytes,
            durable_below,
            guard,
        }))
    }
}

fn head_checksum(salt: u64, offset: u64, fields: [u8; 16], guard: [u8; GUARD_BYTES]) -> u32 {
    let place = (u128::from(salt) | u128::from(offset) << 64).to_le_bytes();
    let mut checked = [0; 16 + 16 + GUARD_BYTES];
    for (to, from) in checked.iter_mut().zip(place.iter().chain(&fields).chain(&guard)) {
        *to = *from;
    }
    crc32(&checked)
}

#[cfg(test)]
mod tests {
    //! A frame that is read in the wrong place, or with a changed bit, must never be accepted.

    use super::*;

    const SALT: u64 = 9;
    const AT: u64 = 4096;

    fn written(frame: &Frame) -> Vec<u8> {
        [&frame.head(SALT, AT)[..], &frame.guard].concat()
    }

    #[test]
    fn a_frame_is_valid_in_its_place_only_and_with_all_its_bits_and_those_of_its_guard() {
        for kind in [Kind::Put, Kind::Delete, Kind::Seal, Kind::Marks] {
            let body = [7; 77];
            let frame = Frame { more: true, ..Frame::of(kind, MAX_SEQ, 48, &body) };
            let bytes = written(&frame);
            assert_eq!(bytes.len(), PROVEN_BYTES);
            assert_eq!(Frame::parse(&bytes, SALT, AT), Some(frame));
            assert_eq!(frame.total_bytes(), 104);
            assert_eq!(Frame::parse(&bytes, SALT - 1, AT), None);
            assert_eq!(Frame::parse(&bytes, SALT, AT + 8), None);
            for bit in 0..bytes.len() * 8 {
                let mut changed = bytes.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(Frame::parse(&changed, SALT, AT), None, "bit {bit}");
            }
            for len in 0..bytes.len() {
                assert_eq!(Frame::parse(&bytes[..len], SALT, AT), None, "cut to {len}");
            }
        }
        assert_eq!(Frame::parse(&[0; 28], 0, 0), None);
    }

    #[test]
    fn a_frame_ends_at_the_alignment_and_is_written_as_long_as_it_says() {
        for len in 8..64 {
            let body = vec![7; len];
            let frame = Frame::of(Kind::Put, 1, AT, &body);
            let mut out = vec![1; 8];
            frame.put(&body, SALT, AT, &mut out);
            assert_eq!(out.len() as u64 - 8, frame.total_bytes());
            assert!(frame.total_bytes().is_multiple_of(ALIGN) && frame.padding() < 8);
            let (padding, rest) = (frame.padding(), &out[28 + len..]);
            assert!(rest.len() == padding && rest.iter().all(|byte| *byte == 0));
        }
    }

    #[test]
    fn a_body_shorter_than_its_guard_or_longer_than_any_is_refused() {
        let frame = Frame::of(Kind::Put, 1, 48, &[7; 100]);
        let longest = u32::try_from(MAX_BODY_BYTES).unwrap();
        for (body_bytes, fine) in
            [(0, false), (7, false), (8, true), (longest, true), (longest + 1, false)]
        {
            let bytes = written(&Frame { body_bytes, ..frame });
            assert_eq!(Frame::parse(&bytes, SALT, AT).is_some(), fine, "{body_bytes}");
        }
    }
}
