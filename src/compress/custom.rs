//! [`CustomCompressor`]: calls a compressor of the application, and trusts nothing that it returns.

use std::sync::Arc;

use super::compressor::Compressor;
use super::id::CompressionId;
use crate::error::{BoxError, Error, ErrorKind, contained};

/// A compressor of the application. Two are equal if their ids are.
#[derive(Clone, Debug)]
pub(crate) struct CustomCompressor {
    id: CompressionId,
    name: Arc<str>,
    compressor: Arc<dyn Compressor>,
}

impl CustomCompressor {
    pub(crate) fn new(compressor: impl Compressor) -> Self {
        let (id, name) = (compressor.id(), compressor.name().into());
        Self { id, name, compressor: Arc::new(compressor) }
    }

    pub(crate) const fn id(&self) -> CompressionId {
        self.id
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Fails if the id belongs to this crate.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.id.is_custom() {
            return Ok(());
        }
        let message = format!(
            "the compressor {:?} has the id {}, but ids below 128 belong to snapfold: return \
             CompressionId::custom(number)",
            self.name,
            self.id.as_byte()
        );
        Err(Error::new(ErrorKind::InvalidInput, "use a compressor", message))
    }

    pub(super) fn compress(&self, raw: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.check()?;
        contained(|| self.compressor.compress(raw))
            .map_err(|source| self.failed("failed").with_source(source))
    }

    /// Fails if `stored` does not decompress to `raw`.
    pub(super) fn prove(&self, raw: &[u8], stored: &[u8]) -> Result<(), Error> {
        match self.read(stored, raw.len()) {
            Ok(read) if read == raw => Ok(()),
            Ok(_) => Err(self.failed("does not decompress to the bytes that it was given")),
            Err(source) => Err(self.failed("cannot decompress its own output").with_source(source)),
        }
    }

    /// Returns `None` if `stored` does not decompress to exactly `raw_len` bytes.
    pub(super) fn decompress(&self, stored: &[u8], raw_len: usize) -> Option<Vec<u8>> {
        self.read(stored, raw_len).ok().filter(|raw| raw.len() == raw_len)
    }

    fn read(&self, stored: &[u8], raw_len: usize) -> Result<Vec<u8>, BoxError> {
        contained(|| self.compressor.decompress(stored, raw_len))
    }

    fn failed(&self, how: &str) -> Error {
        let message = format!(
            "the compressor {:?} {how}, so nothing was stored: correct it, or use another \
             compression",
            self.name
        );
        Error::new(ErrorKind::Encode, "compress a state", message)
    }
}

impl PartialEq for CustomCompressor {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for CustomCompressor {}
