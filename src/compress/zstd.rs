//! Zstandard frames, written and read by `zstd`.

use std::cell::RefCell;

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::{CParameter, DCtx, get_frame_content_size};

use super::effort::Effort;

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

/// From this size on, a delta needs long-distance matching to find its base.
const FAR_BYTES: usize = 128 << 10;
/// The limits of a window, as powers of two. A decoder on a 32-bit machine accepts no more.
const WINDOW: std::ops::RangeInclusive<u32> = 10..=30;

/// Compresses `raw` as a delta of `base`, which a decompression needs again.
pub(super) fn compress_delta(raw: &[u8], base: &[u8], effort: Effort) -> Option<Vec<u8>> {
    let both = raw.len().saturating_add(base.len());
    let far = effort.long_distance || both >= FAR_BYTES;
    let mut compressor = compressor(Effort { long_distance: far, ..effort })?;
    let window = both.next_power_of_two().ilog2().clamp(*WINDOW.start(), *WINDOW.end());
    compressor.set_parameter(CParameter::WindowLog(window)).ok()?;
    compressor.context_mut().ref_prefix(base).ok()?;
    compressor.compress(raw).ok()
}

/// Returns `None` if `stored` is not a frame of exactly `raw_len` bytes.
pub(super) fn decompress(stored: &[u8], raw_len: usize, base: Option<&[u8]>) -> Option<Vec<u8>> {
    // A block of 4 bytes expands to at most 128 KiB. A larger claim is false and is refused before
    // the buffer is allocated.
    let most = (stored.len() / 4 + 1).saturating_mul(128 << 10);
    let stated = get_frame_content_size(stored).ok().flatten();
    if raw_len > most || stated != Some(raw_len as u64) {
        return None;
    }
    if let Some(base) = base {
        let mut raw = Vec::with_capacity(raw_len);
        let mut context = DCtx::try_create()?;
        context.ref_prefix(base).ok()?;
        context.decompress(&mut raw, stored).ok()?;
        return (raw.len() == raw_len).then_some(raw);
    }
    DECOMPRESSOR.with_borrow_mut(|kept| {
        if kept.is_none() {
            *kept = Decompressor::new().ok();
        }
        let raw = kept.as_mut()?.decompress(stored, raw_len).ok()?;
        (raw.len() == raw_len).then_some(raw)
    })
}
