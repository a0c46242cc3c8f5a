//! LZ4 blocks by `lz4_flex`, the safe encoder and decoder.

use super::DecompressError;

pub(super) fn compress(raw: &[u8]) -> Vec<u8> {
    lz4_flex::block::compress(raw)
}

pub(super) fn decompress(stored: &[u8], raw_len: usize) -> Result<Vec<u8>, DecompressError> {
    // A block expands at most 255 times: a larger claim is a lie, and is refused before the
    // buffer is allocated.
    if raw_len > stored.len().saturating_mul(255) {
        return Err(DecompressError::Invalid);
    }
    let mut raw = vec![0; raw_len];
    match lz4_flex::block::decompress_into(stored, &mut raw) {
        Ok(written) if written == raw_len => Ok(raw),
        _ => Err(DecompressError::Invalid),
    }
}
