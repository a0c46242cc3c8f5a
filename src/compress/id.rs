//! [`CompressionId`]: which compression a payload has.

use std::fmt;

/// Identifies a compression in a stored header. The id is known even if the compression is compiled
/// out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CompressionId(u8);

/// The lowest id of an application's own compression.
const CUSTOM: u8 = 0x80;

impl CompressionId {
    /// The encoded state is stored uncompressed.
    pub const NONE: Self = Self(0);
    /// The encoded state is stored as one LZ4 block.
    pub const LZ4: Self = Self(1);
    /// The encoded state is stored as one Zstandard frame, which states its length.
    pub const ZSTD: Self = Self(2);

    /// Creates the id of a [`Compressor`](super::Compressor) of the application: `0x80 + number`.
    /// Numbers above `0x7f` wrap around.
    pub const fn custom(number: u8) -> Self {
        Self(CUSTOM | number)
    }

    /// Creates an id from the byte in a header.
    pub const fn from_byte(byte: u8) -> Self {
        Self(byte)
    }

    /// Returns the byte that represents the compression in a header.
    pub const fn as_byte(self) -> u8 {
        self.0
    }

    /// Returns whether the id belongs to applications.
    pub(crate) const fn is_custom(self) -> bool {
        self.0 >= CUSTOM
    }
}

impl fmt::Display for CompressionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NONE => f.write_str("none"),
            Self::LZ4 => f.write_str("lz4"),
            Self::ZSTD => f.write_str("zstd"),
            Self(byte) if self.is_custom() => write!(f, "custom compression {}", byte - CUSTOM),
            Self(byte) => write!(f, "compression {byte}"),
        }
    }
}
