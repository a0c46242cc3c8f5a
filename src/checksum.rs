//! The checksum of headers and payloads: CRC-32 (IEEE 802.3, reflected, as in zlib and PNG).

use std::fmt;

/// Identifies the checksum algorithm of a record. CRC-32 is the only one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChecksumId(u8);

impl ChecksumId {
    /// CRC-32 (IEEE 802.3).
    pub const CRC32: Self = Self(1);

    pub(crate) const fn from_byte(byte: u8) -> Self {
        Self(byte)
    }

    /// Returns the byte that represents the algorithm in a header.
    pub const fn as_byte(self) -> u8 {
        self.0
    }
}

impl fmt::Display for ChecksumId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::CRC32 => f.write_str("crc32"),
            Self(byte) => write!(f, "checksum {byte}"),
        }
    }
}

/// Computes the CRC-32 of `bytes`.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_algorithm_gives_the_published_check_value() {
        assert_eq!(super::crc32(b"123456789"), 0xcbf4_3926);
    }
}
