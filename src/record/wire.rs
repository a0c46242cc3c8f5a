//! Reads little-endian values and varints from a byte slice without indexing, and writes varints.

use super::reject::RejectReason;

/// The longest varint: ten groups of seven bits hold a `u64`.
const MAX_VARINT_BYTES: usize = 10;

/// The unread rest of a header.
pub(super) struct WireReader<'a>(pub(super) &'a [u8]);

impl<'a> WireReader<'a> {
    pub(super) fn bytes(&mut self, len: usize) -> Result<&'a [u8], RejectReason> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(RejectReason::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], RejectReason> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(RejectReason::Truncated)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, RejectReason> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, RejectReason> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, RejectReason> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, RejectReason> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn i64(&mut self) -> Result<i64, RejectReason> {
        self.array().map(i64::from_le_bytes)
    }

    /// Reads a varint: seven bits per byte, lowest first, with the highest bit set in all bytes but
    /// the last. Only the shortest encoding is accepted, so equal fields have equal bytes.
    // If this were not inlined, the reader would stay in memory, and each field would wait for the
    // previous one to be stored and loaded again: 15 ns per header.
    #[expect(clippy::inline_always, reason = "measured")]
    #[inline(always)]
    pub(super) fn varint(&mut self) -> Result<u64, RejectReason> {
        // Most varints are one or two bytes long.
        if let [byte @ ..0x80, rest @ ..] = self.0 {
            self.0 = rest;
            return Ok((*byte).into());
        }
        if let [low, high @ 1..0x80, rest @ ..] = self.0 {
            self.0 = rest;
            return Ok(u64::from(*low & 0x7f) | u64::from(*high) << 7);
        }
        let (value, taken) = long_varint(self.0);
        match self.0.split_at_checked(taken) {
            Some((_, rest)) if taken > 0 => {
                self.0 = rest;
                Ok(value)
            }
            _ => Err(not_a_varint(self.0)),
        }
    }

    /// Reads a varint of at most 32 bits.
    #[expect(clippy::inline_always, reason = "as for 64 bits")]
    #[inline(always)]
    pub(super) fn varint_u32(&mut self) -> Result<u32, RejectReason> {
        u32::try_from(self.varint()?)
            .map_err(|_| RejectReason::Malformed("a number does not fit in 32 bits"))
    }

    pub(super) fn text(&mut self, len: usize) -> Result<&'a str, RejectReason> {
        std::str::from_utf8(self.bytes(len)?)
            .map_err(|_| RejectReason::Malformed("a string is not valid UTF-8"))
    }
}

/// Returns the varint at the start of `bytes` and its length in bytes, which is 0 if it is invalid.
fn long_varint(bytes: &[u8]) -> (u64, usize) {
    let mut value = 0;
    for (place, byte) in bytes.iter().take(MAX_VARINT_BYTES).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * place);
        if *byte < 0x80 {
            // A last byte of 0 is redundant. The tenth byte has room for one bit.
            let shortest = *byte != 0 && (place + 1 < MAX_VARINT_BYTES || *byte == 1);
            return (value, if shortest { place + 1 } else { 0 });
        }
    }
    (0, 0)
}

/// Explains why the varint at the start of `bytes` is invalid.
#[cold]
fn not_a_varint(bytes: &[u8]) -> RejectReason {
    let ends = bytes.iter().take(MAX_VARINT_BYTES).any(|byte| *byte < 0x80);
    if ends || bytes.len() >= MAX_VARINT_BYTES {
        RejectReason::Malformed("a varint is too long or exceeds 64 bits")
    } else {
        RejectReason::Truncated
    }
}

/// Returns the number of bytes in the varint of `value`: 1 to 10.
pub(super) const fn varint_bytes(value: u64) -> usize {
    let bits = u64::BITS - (value | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

/// Appends the varint of `value`.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        let [low, ..] = value.to_le_bytes();
        out.push(low | 0x80);
        value >>= 7;
    }
    let [low, ..] = value.to_le_bytes();
    out.push(low);
}

/// Maps a signed value to an unsigned one so that values near 0 have short varints: 0, -1, 1, -2
/// become 0, 1, 2, 3.
pub(crate) const fn zigzag(value: i64) -> u64 {
    (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned()
}

/// Reverses [`zigzag`].
pub(crate) const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All values with few bits set or few bits clear, and their neighbours.
    fn values() -> impl Iterator<Item = u64> {
        let edges = (0..64).flat_map(|bit| [1_u64 << bit, u64::MAX >> bit, !(1 << bit)]);
        edges.flat_map(|edge| [edge.wrapping_sub(1), edge, edge.wrapping_add(1)])
    }

    #[test]
    fn each_value_has_one_varint_of_the_length_foretold() {
        for value in values() {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            assert_eq!(bytes.len(), varint_bytes(value), "{value}");
            bytes.push(0xaa);
            let mut reader = WireReader(&bytes);
            assert_eq!(reader.varint(), Ok(value));
            assert_eq!(reader.0, [0xaa]);
            for cut in 0..bytes.len() - 1 {
                assert_eq!(
                    WireReader(&bytes[..cut]).varint(),
                    Err(RejectReason::Truncated),
                    "{value}"
                );
            }
        }
    }

    #[test]
    fn what_is_read_as_a_varint_is_written_the_same() {
        // All kinds of continuation bytes, in any number, before any last byte.
        for len in 0..12 {
            for fill in [0x80, 0x81, 0xff] {
                for last in 0..=0xff {
                    let bytes = [vec![fill; len], vec![last]].concat();
                    let mut reader = WireReader(&bytes);
                    let Ok(value) = reader.varint() else { continue };
                    let mut written = Vec::new();
                    put_varint(&mut written, value);
                    assert_eq!(written, bytes[..bytes.len() - reader.0.len()]);
                }
            }
        }
    }

    #[test]
    fn zigzag_keeps_small_values_small_and_loses_none() {
        assert_eq!([0, -1, 1, -2, 2].map(zigzag), [0, 1, 2, 3, 4]);
        assert_eq!((zigzag(i64::MAX), zigzag(i64::MIN)), (u64::MAX - 1, u64::MAX));
        for value in values() {
            assert_eq!(zigzag(unzigzag(value)), value);
        }
    }
}
