//! The compression of payloads: [`Compression`].

mod dictionary;
mod effort;
#[cfg(feature = "lz4")]
mod lz4;
#[cfg(test)]
mod tests;
#[cfg(feature = "zstd")]
mod training;
#[cfg(feature = "zstd")]
mod zstd;

use std::fmt;

use effort::Effort;

use crate::error::{Error, ErrorKind};

pub use dictionary::{Dictionary, DictionaryId};
#[cfg(feature = "zstd")]
pub use training::Training;

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
    dictionary: Option<Dictionary>,
    /// `None` for the default, which depends on whether there is a dictionary.
    min_bytes: Option<usize>,
    min_saving_percent: u8,
}

/// The default minimum size of a payload that is compressed, without and with a dictionary.
const MIN_BYTES: [usize; 2] = [512, 64];
/// Larger payloads are compressed without the dictionary, which would gain nothing.
const MAX_WITH_DICTIONARY: usize = 128 << 10;

impl Compression {
    /// Stores every payload uncompressed.
    pub const fn none() -> Self {
        Self::of(CompressionId::NONE)
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
        Self {
            id,
            effort: Effort::DEFAULT,
            dictionary: None,
            min_bytes: None,
            min_saving_percent: 5,
        }
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

    /// Compresses payloads of up to 128 KiB with a dictionary, from 64 bytes on. Only Zstandard
    /// uses it. Larger payloads are compressed without it, because it gains nothing for them.
    pub fn dictionary(mut self, dictionary: Dictionary) -> Self {
        self.dictionary = Some(dictionary);
        self
    }

    /// Sets the minimum size, in encoded bytes, of a payload that is compressed. 512 by default, 64
    /// with a dictionary.
    pub const fn min_bytes(mut self, bytes: usize) -> Self {
        self.min_bytes = Some(bytes);
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
    pub(crate) fn apply(&self, raw: &[u8]) -> Option<Compressed> {
        let most = MAX_WITH_DICTIONARY;
        let dictionary = self.known_dictionary().filter(|_| raw.len() <= most);
        let [plain, with] = MIN_BYTES;
        let min = self.min_bytes.unwrap_or(if dictionary.is_some() { with } else { plain });
        if self.id == CompressionId::NONE || raw.len() < min {
            return None;
        }
        let bytes = match dictionary {
            Some(dictionary) => self.compress_with(raw, dictionary)?,
            None => self.compress(raw, None)?,
        };
        let saved = raw.len().saturating_sub(bytes.len());
        let wanted = raw.len().saturating_mul(usize::from(self.min_saving_percent)).div_ceil(100);
        let dictionary = dictionary.map(Dictionary::id);
        (saved >= wanted.max(1)).then_some(Compressed { id: self.id, dictionary, bytes })
    }

    /// The dictionary, if this compression uses one.
    pub(crate) fn known_dictionary(&self) -> Option<&Dictionary> {
        self.dictionary.as_ref().filter(|_| self.id == CompressionId::ZSTD)
    }

    /// Compresses `raw` to a delta of `base`: nothing if they are equal. `None` if this compression
    /// makes no deltas.
    pub(crate) fn apply_delta(&self, raw: &[u8], base: &[u8]) -> Option<(CompressionId, Vec<u8>)> {
        if raw == base && self.id != CompressionId::NONE {
            return Some((self.id, Vec::new()));
        }
        let stored = self.compress(raw, Some(base))?;
        // Proved like the encoding of a state, because a delta has a second way to go wrong.
        let proved = decompress(self.id, &stored, raw.len(), Needs::Base(base)).ok()?;
        (proved == raw).then_some((self.id, stored))
    }

    #[cfg(feature = "zstd")]
    fn compress_with(&self, raw: &[u8], dictionary: &Dictionary) -> Option<Vec<u8>> {
        zstd::compress_with(raw, dictionary.prepared(), self.effort)
    }

    /// Only Zstandard uses dictionaries.
    #[cfg(not(feature = "zstd"))]
    #[expect(clippy::unused_self, reason = "the same signature as with the feature")]
    const fn compress_with(&self, _: &[u8], _: &Dictionary) -> Option<Vec<u8>> {
        None
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

/// A compressed payload.
pub(crate) struct Compressed {
    pub(crate) id: CompressionId,
    pub(crate) dictionary: Option<DictionaryId>,
    pub(crate) bytes: Vec<u8>,
}

/// What a payload needs besides itself to be decompressed.
#[derive(Clone, Copy)]
pub(crate) enum Needs<'a> {
    Nothing,
    /// The encoded state that a delta is based on.
    Base(&'a [u8]),
    #[cfg_attr(not(feature = "zstd"), allow(dead_code, reason = "only Zstandard uses it"))]
    Dictionary(&'a Dictionary),
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

/// Decompresses `stored` to exactly `raw_len` bytes. The caller must limit `raw_len`.
pub(crate) fn decompress(
    id: CompressionId,
    stored: &[u8],
    raw_len: usize,
    needs: Needs<'_>,
) -> Result<Vec<u8>, DecompressError> {
    // A delta without a length is its base.
    if let Needs::Base(base) = needs
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
        CompressionId::LZ4 => match needs {
            Needs::Nothing => lz4::decompress(stored, raw_len, None),
            Needs::Base(base) => lz4::decompress(stored, raw_len, Some(base)),
            // No release writes this.
            Needs::Dictionary(_) => None,
        }
        .ok_or(DecompressError::Invalid),
        #[cfg(not(feature = "lz4"))]
        CompressionId::LZ4 => Err(DecompressError::Unavailable(Some("lz4"))),
        #[cfg(feature = "zstd")]
        CompressionId::ZSTD => match needs {
            Needs::Nothing => zstd::decompress(stored, raw_len, None),
            Needs::Base(base) => zstd::decompress(stored, raw_len, Some(base)),
            Needs::Dictionary(dictionary) => {
                zstd::decompress_with(stored, raw_len, dictionary.prepared())
            }
        }
        .ok_or(DecompressError::Invalid),
        #[cfg(not(feature = "zstd"))]
        CompressionId::ZSTD => Err(DecompressError::Unavailable(Some("zstd"))),
        _ => Err(DecompressError::Unavailable(None)),
    }
}
