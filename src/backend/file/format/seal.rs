//! [`SegmentSeal`]: the body of the last frame of a sealed segment.

use super::frame::{Frame, Kind, frame_bytes};
use super::guard::{GUARD_BYTES, put_guard, unguarded};
use crate::little_endian::LittleEndianReader;

/// The space that a seal takes in its segment.
pub(crate) const SEAL_BYTES: u64 = frame_bytes(GUARD_BYTES as u64 + 32);

/// The body of the last frame of a sealed segment: a summary of all frames before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SegmentSeal {
    pub(crate) puts: u64,
    /// The number of other frames: deletes and marks.
    pub(crate) others: u64,
    /// The lowest sequence number in the segment, or `u64::MAX` if there is none.
    pub(crate) min_seq: u64,
    /// The highest sequence number in the segment, or 0 if there is none.
    pub(crate) max_seq: u64,
}

impl SegmentSeal {
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let mut body = vec![0; GUARD_BYTES];
        for value in [self.puts, self.others, self.min_seq, self.max_seq] {
            body.extend_from_slice(&value.to_le_bytes());
        }
        put_guard(&mut body);
        body
    }

    /// Parses a body whose checksum matches.
    pub(crate) fn parse(body: &[u8]) -> Option<Self> {
        let mut reader = LittleEndianReader(unguarded(body));
        let seal = Self {
            puts: reader.u64()?,
            others: reader.u64()?,
            min_seq: reader.u64()?,
            max_seq: reader.u64()?,
        };
        reader.0.is_empty().then_some(seal)
    }
}

/// Encodes a seal at `offset`, in a segment that is durable below `durable_below`.
pub(crate) fn encode_seal(
    seal: SegmentSeal,
    seq: u64,
    salt: u64,
    offset: u64,
    durable_below: u64,
) -> Vec<u8> {
    let body = seal.to_bytes();
    let mut bytes = Vec::new();
    Frame::of(Kind::Seal, seq, durable_below, &body).put(&body, salt, offset, &mut bytes);
    bytes
}
