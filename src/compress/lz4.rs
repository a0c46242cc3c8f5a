//! LZ4 blocks, encoded and decoded by the safe code of `lz4_flex`.

pub(super) fn compress(raw: &[u8]) -> Vec<u8> {
    lz4_flex::block::compress(raw)
}

/// Returns `None` if `stored` is not a block of exactly `raw_len` bytes.
pub(super) fn decompress(stored: &[u8], raw_len: usize) -> Option<Vec<u8>> {
    // A block expands at most 255 times. A larger claim is false and is refused before the buffer
    // is allocated.
    if raw_len > stored.len().saturating_mul(255) {
        return None;
    }
    let mut raw = vec![0; raw_len];
    match lz4_flex::block::decompress_into(stored, &mut raw) {
        Ok(written) if written == raw_len => Some(raw),
        _ => None,
    }
}
