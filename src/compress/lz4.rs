//! LZ4 blocks, encoded and decoded by the safe code of `lz4_flex`.

use super::raw::Raw;

pub(super) fn compress(raw: &[u8], base: Option<&[u8]>) -> Vec<u8> {
    match base {
        Some(base) => lz4_flex::block::compress_with_dict(raw, base),
        None => lz4_flex::block::compress(raw),
    }
}

/// Returns `None` if `stored` is not a block of exactly `raw_len` bytes.
pub(super) fn decompress(stored: &[u8], raw_len: usize, base: Option<&[u8]>) -> Option<Vec<u8>> {
    // A block expands at most 255 times. A larger claim is false and is refused before the buffer
    // is allocated.
    if raw_len > stored.len().saturating_mul(255) {
        return None;
    }
    let mut raw = Raw::buffer(raw_len);
    raw.resize(raw_len, 0);
    let written = match base {
        Some(base) => lz4_flex::block::decompress_into_with_dict(stored, &mut raw, base),
        None => lz4_flex::block::decompress_into(stored, &mut raw),
    };
    match written {
        Ok(written) if written == raw_len => Some(raw),
        _ => None,
    }
}
