//! The compression of payloads: [`Compression`].

mod compressor;
mod custom;
mod decompress;
mod dictionary;
mod effort;
mod id;
#[cfg(feature = "lz4")]
mod lz4;
mod raw;
#[cfg(test)]
mod tests;
#[cfg(feature = "zstd")]
mod training;
#[cfg(feature = "zstd")]
mod zstd;

use effort::Effort;

use crate::error::{Error, ErrorKind};

pub use compressor::Compressor;
pub(crate) use custom::CustomCompressor;
pub(crate) use decompress::{DecompressError, Needs, decompress};
pub use dictionary::{Dictionary, DictionaryId};
pub use id::CompressionId;
#[cfg(feature = "zstd")]
pub use training::Training;

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
/// [`custom`](Self::custom) takes a [`Compressor`] of the application.
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
    /// Set if the id is not one of this crate.
    custom: Option<CustomCompressor>,
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

    /// Compresses payloads of at least 512 bytes with a compressor of the application, if that saves
    /// at least 5%. It makes no deltas; [`Incremental`](crate::engine::Incremental) has a compression
    /// of its own. Levels and dictionaries do not apply.
    pub fn custom(compressor: impl Compressor) -> Self {
        let custom = CustomCompressor::new(compressor);
        Self { custom: Some(custom.clone()), ..Self::of(custom.id()) }
    }

    const fn of(id: CompressionId) -> Self {
        Self {
            id,
            effort: Effort::DEFAULT,
            dictionary: None,
            custom: None,
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

    pub(crate) const fn id(&self) -> CompressionId {
        self.id
    }

    /// Fails if this build cannot write the compression.
    pub(crate) fn check_available(&self) -> Result<(), Error> {
        if let Some(custom) = &self.custom {
            return custom.check();
        }
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
    ///
    /// # Errors
    /// [`ErrorKind::Encode`] if a compressor of the application fails, or does not return what it
    /// was given.
    pub(crate) fn apply(&self, raw: &[u8]) -> Result<Option<Compressed>, Error> {
        let most = MAX_WITH_DICTIONARY;
        let dictionary = self.known_dictionary().filter(|_| raw.len() <= most);
        let [plain, with] = MIN_BYTES;
        let min = self.min_bytes.unwrap_or(if dictionary.is_some() { with } else { plain });
        if self.id == CompressionId::NONE || raw.len() < min {
            return Ok(None);
        }
        let compressed = match (&self.custom, dictionary) {
            (Some(custom), _) => custom.compress(raw)?,
            (None, Some(dictionary)) => self.compress_with(raw, dictionary),
            (None, None) => self.compress(raw, None),
        };
        let Some(bytes) = compressed else { return Ok(None) };
        let saved = raw.len().saturating_sub(bytes.len());
        let wanted = raw.len().saturating_mul(usize::from(self.min_saving_percent)).div_ceil(100);
        if saved < wanted.max(1) {
            return Ok(None);
        }
        if let Some(custom) = &self.custom {
            custom.prove(raw, &bytes)?;
        }
        let dictionary = dictionary.map(Dictionary::id);
        Ok(Some(Compressed { id: self.id, dictionary, bytes }))
    }

    /// The compressor of the application, if this compression uses one.
    pub(crate) fn custom_compressor(&self) -> Option<&CustomCompressor> {
        self.custom.as_ref()
    }

    /// The dictionary, if this compression uses one.
    pub(crate) fn known_dictionary(&self) -> Option<&Dictionary> {
        self.dictionary.as_ref().filter(|_| self.id == CompressionId::ZSTD && self.custom.is_none())
    }

    /// Compresses `raw` to a delta of `base`: nothing if they are equal. `None` if this compression
    /// makes no deltas.
    pub(crate) fn apply_delta(&self, raw: &[u8], base: &[u8]) -> Option<(CompressionId, Vec<u8>)> {
        if self.custom.is_some() {
            return None;
        }
        if raw == base && self.id != CompressionId::NONE {
            return Some((self.id, Vec::new()));
        }
        let stored = self.compress(raw, Some(base))?;
        // Proved like the encoding of a state, because a delta has a second way to go wrong.
        let proved = decompress(self.id, &stored, raw.len(), Needs::Base(base), &[]).ok()?;
        (*proved == *raw).then_some((self.id, stored))
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

impl Default for Compression {
    fn default() -> Self {
        Self::lz4()
    }
}
