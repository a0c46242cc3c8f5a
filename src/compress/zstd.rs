//! Zstandard frames, written and read by `zstd`.

use std::cell::RefCell;

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::{CParameter, get_frame_content_size};

use super::Effort;

thread_local! {
    // A new context for each payload would cost more than a small payload itself.
    static COMPRESSOR: RefCell<Option<(Effort, Compressor<'static>)>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// The largest payload whose context is kept. The context of a larger one takes tens of megabytes.
const KEPT_BYTES: usize = 1 << 20;

/// Returns `None` if `raw` cannot be compressed, for lack of memory.
pub(super) fn compress(raw: &[u8], effort: Effort) -> Option<Vec<u8>> {
    if raw.len() > KEPT_BYTES {
        return compressor(effort)?.compress(raw).ok();
    }
    COMPRESSOR.with_borrow_mut(|kept| {
        if kept.as_ref().is_none_or(|(of, _)| *of != effort) {
            *kept = Some((effort, compressor(effort)?));
        }
        kept.as_mut()?.1.compress(raw).ok()
    })
}

fn compressor(effort: Effort) -> Option<Compressor<'static>> {
    let mut compressor = Compressor::new(effort.level).ok()?;
    if effort.long_distance {
        compressor.set_parameter(CParameter::EnableLongDistanceMatching(true)).ok()?;
    }
    // The record has a checksum of its own.
    compressor.set_parameter(CParameter::ChecksumFlag(false)).ok()?;
    Some(compressor)
}

/// Returns `None` if `stored` is not a frame of exactly `raw_len` bytes.
pub(super) fn decompress(stored: &[u8], raw_len: usize) -> Option<Vec<u8>> {
    // A block of 4 bytes expands to at most 128 KiB. A larger claim is false and is refused before
    // the buffer is allocated.
    let most = (stored.len() / 4 + 1).saturating_mul(128 << 10);
    let stated = get_frame_content_size(stored).ok().flatten();
    if raw_len > most || stated != Some(raw_len as u64) {
        return None;
    }
    DECOMPRESSOR.with_borrow_mut(|kept| {
        if kept.is_none() {
            *kept = Decompressor::new().ok();
        }
        let raw = kept.as_mut()?.decompress(stored, raw_len).ok()?;
        (raw.len() == raw_len).then_some(raw)
    })
}
