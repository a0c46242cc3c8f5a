//! [`Compressor`]: a compression that the application provides.

use std::fmt;
use std::sync::Arc;

use super::id::CompressionId;
use crate::error::BoxError;

/// A compression that the application provides, for [`Compression::custom`].
///
/// Each snapshot states the [id](Self::id) of its compression. An engine reads the snapshots of the
/// compressor that it writes with, and of those added with [`EngineBuilder::compressor`]. To any
/// other engine such a snapshot is a miss, and the reason states the id.
///
/// # Obligations
/// - An id means one format for ever. If a format changes, take another id and keep the old
///   compressor for reading. Two compressors with one id are misread by each other: the digest of
///   the state detects that if the codec [has one](crate::codec::Codec::digester).
/// - `decompress(compress(raw))` returns `raw`. The engine verifies this at each write, and does not
///   store a snapshot that fails.
/// - `decompress` does not trust `stored`, which may be any bytes. It returns exactly `raw_bytes`
///   bytes or an error, and allocates little more than that. The engine has checked `raw_bytes`
///   against [`EngineBuilder::max_state_bytes`], but not against `stored`: if `stored` cannot expand
///   to that length, refuse before you allocate.
/// - Both are pure: no I/O, no clock, no global state. They run on threads of the runtime.
///
/// A panic in either counts as an error.
///
/// ```
/// use snapfold::BoxError;
/// use snapfold::codec::{Compression, CompressionId, Compressor};
///
/// /// Stores runs of equal bytes as pairs: a length and a byte.
/// #[derive(Debug)]
/// struct Runs;
///
/// impl Compressor for Runs {
///     fn id(&self) -> CompressionId {
///         CompressionId::custom(1)
///     }
///
///     fn name(&self) -> &str {
///         "runs"
///     }
///
///     fn compress(&self, raw: &[u8]) -> Result<Option<Vec<u8>>, BoxError> {
///         let runs = raw.chunk_by(|a, b| a == b).flat_map(|run| run.chunks(255));
///         let pairs = runs.flat_map(|run| [u8::try_from(run.len()).unwrap_or(255), run[0]]);
///         Ok(Some(pairs.collect()))
///     }
///
///     fn decompress(&self, stored: &[u8], raw_bytes: usize) -> Result<Vec<u8>, BoxError> {
///         let total: usize = stored.iter().step_by(2).map(|length| usize::from(*length)).sum();
///         if total != raw_bytes || stored.len() % 2 != 0 {
///             return Err("the lengths of the runs are wrong".into());
///         }
///         let mut raw = Vec::with_capacity(raw_bytes);
///         for pair in stored.chunks(2) {
///             raw.resize(raw.len() + usize::from(pair[0]), pair[1]);
///         }
///         Ok(raw)
///     }
/// }
///
/// let compression = Compression::custom(Runs).min_bytes(64);
/// # let _ = compression;
/// ```
///
/// [`Compression::custom`]: super::Compression::custom
/// [`EngineBuilder::compressor`]: crate::engine::EngineBuilder::compressor
/// [`EngineBuilder::max_state_bytes`]: crate::engine::EngineBuilder::max_state_bytes
pub trait Compressor: fmt::Debug + Send + Sync + 'static {
    /// Returns the id that is stored with each snapshot: [`CompressionId::custom`]. Always returns
    /// the same id. [`EngineBuilder::build`] refuses an id that belongs to this crate.
    ///
    /// [`EngineBuilder::build`]: crate::engine::EngineBuilder::build
    fn id(&self) -> CompressionId;

    /// Returns the name that messages use.
    fn name(&self) -> &str;

    /// Compresses an encoded state. `None` if it is to be stored uncompressed.
    ///
    /// # Errors
    /// An error means that the snapshot is not stored. The call that takes it fails with
    /// [`ErrorKind::Encode`](crate::ErrorKind::Encode).
    fn compress(&self, raw: &[u8]) -> Result<Option<Vec<u8>>, BoxError>;

    /// Decompresses what [`compress`](Self::compress) returned for a state of exactly `raw_bytes`
    /// bytes.
    ///
    /// # Errors
    /// An error, or a result of another length, makes the snapshot a miss
    /// ([`RejectReason::Decompress`](crate::record::RejectReason::Decompress)).
    fn decompress(&self, stored: &[u8], raw_bytes: usize) -> Result<Vec<u8>, BoxError>;
}

impl<T: Compressor + ?Sized> Compressor for Arc<T> {
    fn id(&self) -> CompressionId {
        (**self).id()
    }

    fn name(&self) -> &str {
        (**self).name()
    }

    fn compress(&self, raw: &[u8]) -> Result<Option<Vec<u8>>, BoxError> {
        (**self).compress(raw)
    }

    fn decompress(&self, stored: &[u8], raw_bytes: usize) -> Result<Vec<u8>, BoxError> {
        (**self).decompress(stored, raw_bytes)
    }
}
