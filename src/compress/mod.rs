//! The compression of payloads: [`Compression`].

#[cfg(feature = "lz4")]
mod lz4;

use std::fmt;

use crate::error::{Error, ErrorKind};

/// Identifies a compression in a stored header. The id is known even if the compression is compiled
/// out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CompressionId(u8);

impl CompressionId {
    /// The encoded state is stored uncompressed.
    pub const NONE: Self = Self(0);
    /// The encoded state is stored as one LZ4 block.
    pub const LZ4: Self = Self(1);

    /// Creates an id from the byte in a header.
    pub const fn from_byte(byte: u8) -> Self {
        Self(byte)
    }

    /// Returns the byte that represents the compression in a header.
    pub const fn as_byte(self) -> u8 {
        self.0
    }
}

impl fmt::Display for CompressionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NONE => f.write_str("none"),
            Self::LZ4 => f.write_str("lz4"),
            Self(byte) => write!(f, "compression {byte}"),
        }
    }
}

/// How payloads are compressed when they are written. Reading needs no setting, because each record
/// states its compression.
///
/// By default, payloads of at least 512 bytes are compressed with LZ4 if that saves at least 5%.
/// LZ4 has no compression levels to choose from.
///
/// ```
/// use snapfold::codec::Compression;
///
/// let eager = Compression::lz4().min_bytes(128).min_saving_percent(1);
/// assert_ne!(eager, Compression::default());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compression {
    id: CompressionId,
    min_bytes: usize,
    min_saving_percent: u8,
}

impl Compression {
    /// Stores every payload uncompressed.
    pub const fn none() -> Self {
        Self { id: CompressionId::NONE, min_bytes: usize::MAX, min_saving_percent: 0 }
    }

    /// Compresses payloads of at least 512 bytes with LZ4 (feature `lz4`), if that saves at least
    /// 5%.
    pub const fn lz4() -> Self {
        Self { id: CompressionId::LZ4, min_bytes: 512, min_saving_percent: 5 }
    }

    /// Sets the minimum size, in encoded bytes, of a payload that is compressed.
    pub const fn min_bytes(mut self, bytes: usize) -> Self {
        self.min_bytes = bytes;
        self
    }

    /// Sets the minimum saving in percent: a payload that compression does not shrink by this much
    /// is stored uncompressed. 100 or more disables compression.
    pub const fn min_saving_percent(mut self, percent: u8) -> Self {
        self.min_saving_percent = percent;
        self
    }

    /// Fails if this build cannot write the compression.
    pub(crate) fn check_available(&self) -> Result<(), Error> {
        if self.id == CompressionId::LZ4 && !cfg!(feature = "lz4") {
            return Err(Error::new(
                ErrorKind::FeatureDisabled,
                "build the engine",
                "LZ4 compression is compiled out: enable the `lz4` feature, or use \
                 Compression::none()",
            ));
        }
        Ok(())
    }

    /// Compresses `raw`. `None` if `raw` is to be stored uncompressed.
    pub(crate) fn apply(&self, raw: &[u8]) -> Option<(CompressionId, Vec<u8>)> {
        if self.id == CompressionId::NONE || raw.len() < self.min_bytes {
            return None;
        }
        let stored = compress(self.id, raw)?;
        let saved = raw.len().saturating_sub(stored.len());
        let wanted = raw.len().saturating_mul(usize::from(self.min_saving_percent)).div_ceil(100);
        (saved >= wanted.max(1)).then_some((self.id, stored))
    }
}

impl Default for Compression {
    fn default() -> Self {
        Self::lz4()
    }
}

#[cfg_attr(not(feature = "lz4"), expect(unused_variables, reason = "used by compressions"))]
fn compress(id: CompressionId, raw: &[u8]) -> Option<Vec<u8>> {
    match id {
        #[cfg(feature = "lz4")]
        CompressionId::LZ4 => Some(lz4::compress(raw)),
        _ => None,
    }
}

/// Why a payload could not be decompressed.
#[derive(Debug)]
pub(crate) enum DecompressError {
    /// The bytes are not a valid block of exactly the recorded length.
    #[cfg_attr(not(feature = "lz4"), expect(dead_code, reason = "nothing is decompressed"))]
    Invalid,
    /// This build cannot read the compression. Contains the feature that can, if there is one.
    Unavailable(Option<&'static str>),
}

/// Decompresses `stored` to exactly `raw_len` bytes. The caller must limit `raw_len`.
#[cfg_attr(not(feature = "lz4"), expect(unused_variables, reason = "used by compressions"))]
pub(crate) fn decompress(
    id: CompressionId,
    stored: &[u8],
    raw_len: usize,
) -> Result<Vec<u8>, DecompressError> {
    match id {
        #[cfg(feature = "lz4")]
        CompressionId::LZ4 => lz4::decompress(stored, raw_len).ok_or(DecompressError::Invalid),
        #[cfg(not(feature = "lz4"))]
        CompressionId::LZ4 => Err(DecompressError::Unavailable(Some("lz4"))),
        _ => Err(DecompressError::Unavailable(None)),
    }
}

#[cfg(all(test, feature = "lz4"))]
mod tests {
    use super::*;

    #[test]
    fn small_or_incompressible_payloads_stay_as_they_are() {
        let lz4 = Compression::lz4();
        assert!(lz4.apply(&[7; 511]).is_none());
        let (id, stored) = lz4.apply(&[7; 512]).unwrap();
        assert_eq!(id, CompressionId::LZ4);
        assert_eq!(decompress(id, &stored, 512).unwrap(), [7; 512]);
        let mut x = 1_u32;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (x >> 24) as u8
        })
        .take(4096)
        .collect();
        assert!(lz4.apply(&noise).is_none());
        assert!(lz4.min_saving_percent(100).apply(&[7; 4096]).is_none());
        assert!(Compression::none().apply(&[7; 4096]).is_none());
    }

    #[test]
    fn a_lying_length_or_a_damaged_block_is_refused() {
        let (id, mut stored) = Compression::lz4().apply(&[7; 4096]).unwrap();
        for wrong in [0, 1, 4095, 4097, 1 << 20] {
            assert!(matches!(decompress(id, &stored, wrong), Err(DecompressError::Invalid)));
        }
        stored.truncate(stored.len() / 2);
        assert!(matches!(decompress(id, &stored, 4096), Err(DecompressError::Invalid)));
    }
}
