//! [`decompress`]: what a stored payload was before it was compressed.

use super::custom::CustomCompressor;
use super::dictionary::Dictionary;
use super::id::CompressionId;
#[cfg(feature = "lz4")]
use super::lz4;
use super::raw::Raw;
#[cfg(feature = "zstd")]
use super::zstd;

/// What a payload needs besides itself to be decompressed.
#[derive(Clone, Copy)]
pub(crate) enum Needs<'a> {
    Nothing,
    /// The encoded state that a delta is based on.
    Base(&'a [u8]),
    #[cfg_attr(not(feature = "zstd"), allow(dead_code, reason = "only Zstandard uses it"))]
    Dictionary(&'a Dictionary),
}

/// Why a payload could not be decompressed.
#[derive(Debug)]
pub(crate) enum DecompressError {
    /// The bytes are not a valid block of exactly the recorded length.
    Invalid,
    /// This build cannot read the compression. Contains the feature that can, if there is one.
    Unavailable(Option<&'static str>),
}

/// Decompresses `stored` to exactly `raw_len` bytes. The caller must limit `raw_len`. `compressors`
/// are those of the application.
pub(crate) fn decompress(
    id: CompressionId,
    stored: &[u8],
    raw_len: usize,
    needs: Needs<'_>,
    compressors: &[CustomCompressor],
) -> Result<Raw, DecompressError> {
    read(id, stored, raw_len, needs, compressors).map(Raw::from)
}

fn read(
    id: CompressionId,
    stored: &[u8],
    raw_len: usize,
    needs: Needs<'_>,
    compressors: &[CustomCompressor],
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
        id => {
            let known = compressors.iter().find(|known| known.id() == id);
            let known = known.ok_or(DecompressError::Unavailable(None))?;
            match needs {
                Needs::Nothing => known.decompress(stored, raw_len),
                // No release writes these.
                Needs::Base(_) | Needs::Dictionary(_) => None,
            }
            .ok_or(DecompressError::Invalid)
        }
    }
}
