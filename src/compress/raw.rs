//! [`Raw`]: the buffers of large payloads, kept from one load to the next.
//!
//! An allocator returns large buffers to the operating system, which then clears each page of the
//! next one. With a delta, which needs two of them, that takes a third of the load.

use std::ops::Deref;
use std::sync::{Mutex, PoisonError};

/// The smallest buffer that is kept, in bytes. Allocators keep smaller ones themselves.
const MIN_BYTES: usize = 256 << 10;
/// The maximum size of all buffers that are kept in this process, in bytes (inclusive).
const MAX_BYTES: usize = 16 << 20;
/// The maximum number of buffers that are kept. A load needs at most two at a time.
const MAX_BUFFERS: usize = 2;

static KEPT: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// A decompressed payload. Its buffer is kept for a later one when it is dropped.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Raw(Vec<u8>);

impl Raw {
    /// Returns a buffer for `bytes` bytes. Its length and contents are unspecified.
    #[cfg_attr(
        not(any(feature = "lz4", feature = "zstd")),
        allow(dead_code, reason = "other compressors allocate their own")
    )]
    pub(super) fn buffer(bytes: usize) -> Vec<u8> {
        if !(MIN_BYTES..=MAX_BYTES).contains(&bytes) {
            return Vec::new();
        }
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |buffer: &Vec<u8>| buffer.capacity() >= bytes;
        let at = kept.iter().position(fits);
        at.map_or_else(Vec::new, |at| kept.swap_remove(at))
    }
}

impl From<Vec<u8>> for Raw {
    fn from(buffer: Vec<u8>) -> Self {
        Self(buffer)
    }
}

impl Deref for Raw {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.0);
        if !(MIN_BYTES..=MAX_BYTES).contains(&buffer.capacity()) {
            return;
        }
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push(buffer);
        // The oldest ones go first, so that the sizes follow what is loaded now.
        while kept.len() > MAX_BUFFERS || kept.iter().map(Vec::capacity).sum::<usize>() > MAX_BYTES
        {
            kept.remove(0);
        }
    }
}
