//! Zstandard frames, written and read by `zstd`.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use zstd::bulk::{Compressor, Decompressor};
use zstd::dict::from_samples;
use zstd::zstd_safe::{
    CCtx, CDict, CParameter, DCtx, DDict, compress_bound, get_frame_content_size,
};

use super::effort::Effort;
use super::raw::Raw;

thread_local! {
    // A new context for each payload would cost more than a small payload itself.
    static COMPRESSOR: RefCell<Option<(Effort, Compressor<'static>)>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
    static WITH_DICTIONARY: RefCell<Option<(CCtx<'static>, DCtx<'static>)>> =
        const { RefCell::new(None) };
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

/// A dictionary in the form that Zstandard works with.
pub(super) struct PreparedDictionary {
    bytes: Bytes,
    reading: DDict<'static>,
    /// By level. An application uses one.
    writing: Mutex<Vec<(i32, Arc<CDict<'static>>)>>,
}

impl PreparedDictionary {
    /// Returns `None` for a damaged dictionary.
    pub(super) fn new(bytes: &Bytes) -> Option<Self> {
        let reading = DDict::try_create(bytes)?;
        let first = CDict::try_create(bytes, Effort::DEFAULT.level)?;
        let writing = Mutex::new(vec![(Effort::DEFAULT.level, Arc::new(first))]);
        Some(Self { bytes: bytes.clone(), reading, writing })
    }

    fn writing(&self, level: i32) -> Option<Arc<CDict<'static>>> {
        let mut writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, dictionary)) = writing.iter().find(|(of, _)| *of == level) {
            return Some(Arc::clone(dictionary));
        }
        let dictionary = Arc::new(CDict::try_create(&self.bytes, level)?);
        writing.push((level, Arc::clone(&dictionary)));
        Some(dictionary)
    }
}

/// Makes the bytes of a dictionary from samples. Returns `None` if they have too little in common.
pub(super) fn train(samples: &[&[u8]], max_bytes: usize) -> Option<Vec<u8>> {
    from_samples(samples, max_bytes).ok()
}

fn with_contexts<T>(
    work: impl FnOnce(&mut CCtx<'static>, &mut DCtx<'static>) -> Option<T>,
) -> Option<T> {
    WITH_DICTIONARY.with_borrow_mut(|kept| {
        if kept.is_none() {
            *kept = Some((CCtx::try_create()?, DCtx::try_create()?));
        }
        let (compress, decompress) = kept.as_mut()?;
        work(compress, decompress)
    })
}

/// Compresses `raw` with a dictionary, which a decompression needs again.
pub(super) fn compress_with(
    raw: &[u8],
    dictionary: &PreparedDictionary,
    effort: Effort,
) -> Option<Vec<u8>> {
    let prepared = dictionary.writing(effort.level)?;
    let mut stored = Vec::with_capacity(compress_bound(raw.len()));
    with_contexts(|context, _| context.compress_using_cdict(&mut stored, raw, &prepared).ok())?;
    Some(stored)
}

/// Returns `None` if `stored` is not a frame of exactly `raw_len` bytes that was compressed with
/// this dictionary.
pub(super) fn decompress_with(
    stored: &[u8],
    raw_len: usize,
    dictionary: &PreparedDictionary,
) -> Option<Vec<u8>> {
    if !may_have(stored, raw_len) {
        return None;
    }
    let mut raw = Vec::with_capacity(raw_len);
    let reading = &dictionary.reading;
    with_contexts(|_, context| context.decompress_using_ddict(&mut raw, stored, reading).ok())?;
    (raw.len() == raw_len).then_some(raw)
}

/// Returns whether a frame may have `raw_len` bytes. Called before the buffer is allocated.
fn may_have(stored: &[u8], raw_len: usize) -> bool {
    // A block of 4 bytes expands to at most 128 KiB, so a larger claim is false.
    let most = (stored.len() / 4 + 1).saturating_mul(128 << 10);
    raw_len <= most && get_frame_content_size(stored).ok().flatten() == Some(raw_len as u64)
}

/// Returns `None` if `stored` is not a frame of exactly `raw_len` bytes.
pub(super) fn decompress(stored: &[u8], raw_len: usize, base: Option<&[u8]>) -> Option<Vec<u8>> {
    if !may_have(stored, raw_len) {
        return None;
    }
    let mut raw = Raw::buffer(raw_len);
    raw.clear();
    raw.reserve_exact(raw_len);
    if let Some(base) = base {
        let mut context = DCtx::try_create()?;
        context.ref_prefix(base).ok()?;
        context.decompress(&mut raw, stored).ok()?;
        return (raw.len() == raw_len).then_some(raw);
    }
    DECOMPRESSOR.with_borrow_mut(|kept| {
        if kept.is_none() {
            *kept = Decompressor::new().ok();
        }
        kept.as_mut()?.decompress_to_buffer(stored, &mut raw).ok()?;
        (raw.len() == raw_len).then_some(raw)
    })
}
