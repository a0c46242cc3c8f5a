//! [`Openers`]: what an engine opens payloads with.

use crate::compress::{Compression, CompressionId, CustomCompressor, Dictionary, DictionaryId};
use crate::error::{Error, ErrorKind};

/// What payloads are opened with, besides their own bases.
#[derive(Debug, Default)]
pub(crate) struct Openers {
    pub(crate) dictionaries: Vec<Dictionary>,
    /// Those of the application. The first one of an id counts.
    pub(crate) compressors: Vec<CustomCompressor>,
}

impl Openers {
    /// Opens only what every build can.
    pub(super) const NONE: Self = Self { dictionaries: Vec::new(), compressors: Vec::new() };

    /// Adds what the payloads of this compression need.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if a compressor has an id of this crate, or two of different
    /// names have the same id.
    pub(crate) fn with_those_of(mut self, compression: &Compression) -> Result<Self, Error> {
        self.dictionaries.extend(compression.known_dictionary().cloned());
        self.compressors.splice(0..0, compression.custom_compressor().cloned());
        for (at, one) in self.compressors.iter().enumerate() {
            one.check()?;
            let mut earlier = self.compressors.iter().take(at);
            if let Some(other) = earlier.find(|it| it.id() == one.id() && it.name() != one.name()) {
                let message = format!(
                    "the compressors {:?} and {:?} both have the id of {}: give one of them \
                     another id",
                    other.name(),
                    one.name(),
                    one.id()
                );
                return Err(Error::new(ErrorKind::InvalidInput, "use a compressor", message));
            }
        }
        Ok(self)
    }

    pub(super) fn dictionary(&self, id: DictionaryId) -> Option<&Dictionary> {
        self.dictionaries.iter().find(|known| known.id() == id)
    }

    /// Returns whether a payload can be opened, as far as its header shows.
    pub(crate) fn may_open(&self, compression: CompressionId, dictionary: Option<u64>) -> bool {
        let has_dictionary =
            dictionary.is_none_or(|id| self.dictionary(DictionaryId::from_u64(id)).is_some());
        let knows = |known: &CustomCompressor| known.id() == compression;
        has_dictionary && (!compression.is_custom() || self.compressors.iter().any(knows))
    }
}
