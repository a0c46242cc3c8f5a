//! The compression of payloads: [`Compression`].

mod effort;
#[cfg(feature = "lz4")]
mod lz4;
#[cfg(feature = "zstd")]
mod zstd;

use std::fmt;

use effort::Effort;

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
    /// The encoded state is stored as one Zstandard frame, which states its length.
    pub const ZSTD: Self = Self(2);

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
            Self::ZSTD => f.write_str("zstd"),
            Self(byte) => write!(f, "compression {byte}"),
        }
    }
}

/// How payloads are compressed when they are written. Reading needs no setting, because each record
/// states its compression.
///
/// By default, payloads of at least 512 bytes are compressed with LZ4 if that saves at least 5%.
///
/// | | state of 4 KB | state of 120 KB | decompression, 120 KB |
/// |---|---|---|---|
/// | [`lz4`](Self::lz4) | 34% saved, 4 us | 38% saved, 155 us | 26 us |
/// | [`zstd`](Self::zstd), level 1 | 47% saved, 11 us | 48% saved, 261 us | 92 us |
/// | level 3 | 49% saved, 15 us | 50% saved, 532 us | 92 us |
/// | level 9 | 50% saved, 44 us | 53% saved, 2.3 ms | 92 us |
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
    effort: Effort,
    min_bytes: usize,
    min_saving_percent: u8,
}

impl Compression {
    /// Stores every payload uncompressed.
    pub const fn none() -> Self {
        Self { min_bytes: usize::MAX, min_saving_percent: 0, ..Self::of(CompressionId::NONE) }
    }

    /// Compresses payloads of at least 512 bytes with LZ4 (feature `lz4`), if that saves at least
    /// 5%.
    pub const fn lz4() -> Self {
        Self::of(CompressionId::LZ4)
    }

    /// Compresses payloads of at least 512 bytes with Zstandard at level 3 (feature `zstd`), if
    /// that saves at least 5%.
    pub const fn zstd() -> Self {
        Self::of(CompressionId::ZSTD)
    }

    const fn of(id: CompressionId) -> Self {
        Self { id, effort: Effort::DEFAULT, min_bytes: 512, min_saving_percent: 5 }
    }

    /// Sets the level of Zstandard: -7 to 22 (inclusive), where others count as the nearest. A
    /// higher level takes more time to compress, not to decompress. LZ4 has no levels.
    pub const fn level(mut self, level: i32) -> Self {
        self.effort.level = if level < -7 {
            -7
        } else if level > 22 {
            22
        } else {
            level
        };
        self
    }

    /// Lets Zstandard find repetitions that are megabytes apart, which helps large states that
    /// repeat themselves. Off by default. LZ4 never looks back more than 64 KiB.
    pub const fn long_distance(mut self, enabled: bool) -> Self {
        self.effort.long_distance = enabled;
        self
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
        let (name, feature) = match self.id {
            CompressionId::LZ4 if !cfg!(feature = "lz4") => ("LZ4", "lz4"),
            CompressionId::ZSTD if !cfg!(feature = "zstd") => ("Zstandard", "zstd"),
            _ => return Ok(()),
        };
        let message = format!(
            "{name} compression is compiled out: enable the `{feature}` feature, or use \
             Compression::none()"
        );
        Err(Error::new(ErrorKind::FeatureDisabled, "build the engine", message))
    }

    /// Compresses `raw`. `None` if `raw` is to be stored uncompressed.
    pub(crate) fn apply(&self, raw: &[u8]) -> Option<(CompressionId, Vec<u8>)> {
        if self.id == CompressionId::NONE || raw.len() < self.min_bytes {
            return None;
        }
        let stored = self.compress(raw, None)?;
        let saved = raw.len().saturating_sub(stored.len());
        let wanted = raw.len().saturating_mul(usize::from(self.min_saving_percent)).div_ceil(100);
        (saved >= wanted.max(1)).then_some((self.id, stored))
    }

    /// Compresses `raw` to a delta of `base`: nothing if they are equal. `None` if this compression
    /// makes no deltas.
    pub(crate) fn apply_delta(&self, raw: &[u8], base: &[u8]) -> Option<(CompressionId, Vec<u8>)> {
        if raw == base && self.id != CompressionId::NONE {
            return Some((self.id, Vec::new()));
        }
        let stored = self.compress(raw, Some(base))?;
        // Proved like the encoding of a state, because a delta has a second way to go wrong.
        let proved = decompress(self.id, &stored, raw.len(), Some(base)).ok()?;
        (proved == raw).then_some((self.id, stored))
    }

    #[cfg_attr(
        not(any(feature = "lz4", feature = "zstd")),
        expect(unused_variables, reason = "used by compressions")
    )]
    fn compress(&self, raw: &[u8], base: Option<&[u8]>) -> Option<Vec<u8>> {
        match (self.id, base) {
            #[cfg(feature = "lz4")]
            (CompressionId::LZ4, base) => Some(lz4::compress(raw, base)),
            #[cfg(feature = "zstd")]
            (CompressionId::ZSTD, Some(base)) => zstd::compress_delta(raw, base, self.effort),
            #[cfg(feature = "zstd")]
            (CompressionId::ZSTD, None) => zstd::compress(raw, self.effort),
            _ => None,
        }
    }
}

impl Default for Compression {
    fn default() -> Self {
        Self::lz4()
    }
}

/// Why a payload could not be decompressed.
#[derive(Debug)]
pub(crate) enum DecompressError {
    /// The bytes are not a valid block of exactly the recorded length.
    Invalid,
    /// This build cannot read the compression. Contains the feature that can, if there is one.
    Unavailable(Option<&'static str>),
}

/// Decompresses `stored` to exactly `raw_len` bytes. The caller must limit `raw_len`. A delta needs
/// the encoded state that it is based on.
pub(crate) fn decompress(
    id: CompressionId,
    stored: &[u8],
    raw_len: usize,
    base: Option<&[u8]>,
) -> Result<Vec<u8>, DecompressError> {
    // A delta without a length is its base.
    if let Some(base) = base
        && stored.is_empty()
        && id != CompressionId::NONE
    {
        return if base.len() == raw_len {
            Ok(base.to_vec())
        } else {
            Err(DecompressError::Invalid)
        };
    }
    match id {
        #[cfg(feature = "lz4")]
        CompressionId::LZ4 => {
            lz4::decompress(stored, raw_len, base).ok_or(DecompressError::Invalid)
        }
        #[cfg(not(feature = "lz4"))]
        CompressionId::LZ4 => Err(DecompressError::Unavailable(Some("lz4"))),
        #[cfg(feature = "zstd")]
        CompressionId::ZSTD => {
            zstd::decompress(stored, raw_len, base).ok_or(DecompressError::Invalid)
        }
        #[cfg(not(feature = "zstd"))]
        CompressionId::ZSTD => Err(DecompressError::Unavailable(Some("zstd"))),
        _ => Err(DecompressError::Unavailable(None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The compressions of this build.
    fn all() -> Vec<Compression> {
        let mut all = Vec::new();
        if cfg!(feature = "lz4") {
            all.push(Compression::lz4());
        }
        if cfg!(feature = "zstd") {
            let zstd = Compression::zstd();
            all.extend([zstd.clone(), zstd.clone().level(19), zstd.level(-7).long_distance(true)]);
        }
        all
    }

    fn noise(bytes: usize) -> Vec<u8> {
        let mut x = 1_u32;
        let noise = std::iter::repeat_with(|| {
            x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (x >> 24) as u8
        });
        noise.take(bytes).collect()
    }

    #[test]
    fn small_or_incompressible_payloads_stay_as_they_are() {
        for of in all() {
            assert!(of.apply(&[7; 511]).is_none());
            let (id, stored) = of.apply(&[7; 512]).unwrap();
            assert_eq!(id, of.id);
            assert_eq!(decompress(id, &stored, 512, None).unwrap(), [7; 512]);
            assert!(of.apply(&noise(4_096)).is_none());
            assert!(of.min_saving_percent(100).apply(&[7; 4096]).is_none());
        }
        assert!(Compression::none().apply(&[7; 4096]).is_none());
    }

    #[test]
    fn a_lying_length_or_a_damaged_payload_is_refused() {
        let mut raw = noise(2_048);
        raw.extend_from_slice(&[7; 2_048]);
        for of in all() {
            let (id, stored) = of.apply(&raw).unwrap();
            assert_eq!(decompress(id, &stored, 4_096, None).unwrap(), raw);
            for wrong in [0, 1, 4095, 4097, 1 << 20, 1 << 31] {
                assert!(matches!(
                    decompress(id, &stored, wrong, None),
                    Err(DecompressError::Invalid)
                ));
            }
            for kept in 0..stored.len() {
                let cut = stored.get(..kept).unwrap();
                assert!(matches!(decompress(id, cut, 4_096, None), Err(DecompressError::Invalid)));
            }
        }
    }

    #[test]
    fn a_delta_needs_its_base_and_an_equal_state_takes_no_bytes() {
        for size in [600, 40_000, 400_000] {
            let base = noise(size);
            let mut raw = base.clone();
            raw.splice(300..310, [7; 25]);
            for of in all() {
                if of.id == CompressionId::LZ4 && size > 60_000 {
                    continue;
                }
                let (id, delta) = of.apply_delta(&raw, &base).unwrap();
                assert!(delta.len() < 300, "{of:?}: {}", delta.len());
                assert_eq!(decompress(id, &delta, raw.len(), Some(&base)).unwrap(), raw);
                assert!(decompress(id, &delta, raw.len(), None).is_err());
                let other = decompress(id, &delta, raw.len(), Some(&raw));
                assert!(other.is_err() || other.unwrap() != raw);
                assert!(decompress(id, &delta, raw.len() + 1, Some(&base)).is_err());
                let (id, nothing) = of.apply_delta(&base, &base).unwrap();
                assert!(nothing.is_empty());
                assert_eq!(decompress(id, &nothing, size, Some(&base)).unwrap(), base);
                assert!(decompress(id, &nothing, size + 1, Some(&base)).is_err());
            }
        }
        assert!(Compression::none().apply_delta(&[7; 4], &[7; 4]).is_none());
    }

    #[cfg(feature = "zstd")]
    #[test]
    fn a_bomb_is_refused_before_memory_is_allocated_for_it() {
        // A frame that claims 2 GiB and contains one block.
        let (id, stored) = Compression::zstd().apply(&vec![0; 1 << 20]).unwrap();
        assert!(stored.len() < 100);
        assert_eq!(decompress(id, &stored, 1 << 20, None).unwrap().len(), 1 << 20);
        let mut bomb = vec![0x28, 0xb5, 0x2f, 0xfd, 0xe0];
        bomb.extend_from_slice(&(2_u64 << 30).to_le_bytes());
        bomb.extend_from_slice(&[0x03, 0x00, 0x00, 0x00]);
        assert!(matches!(decompress(id, &bomb, 2 << 30, None), Err(DecompressError::Invalid)));
    }
}
