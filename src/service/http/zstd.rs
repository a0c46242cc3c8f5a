//! Compresses what is sent (RFC 8878).

use std::cell::RefCell;

use bytes::Bytes;
use zstd::bulk::Compressor;

/// The default level of Zstandard. Its windows have at most 2 MB. RFC 9659 allows 8 MB.
const LEVEL: i32 = 3;

thread_local! {
    /// Its tables take about 1 MB. To allocate them costs more than to compress a small state.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
}

/// The content as one frame, which states its length. The same content always has the same bytes.
/// `None` if the memory for it cannot be had.
pub(super) fn framed(content: &[u8]) -> Option<Bytes> {
    COMPRESSOR.with_borrow_mut(|kept| {
        if kept.is_none() {
            *kept = Compressor::new(LEVEL).ok();
        }
        let mut frame = kept.as_mut()?.compress(content).ok()?;
        // It was allocated for content that cannot be compressed.
        frame.shrink_to_fit();
        Some(frame.into())
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use proptest::prelude::*;
    use zstd::bulk::compress;
    use zstd::stream::read::Decoder;
    use zstd::zstd_safe::get_frame_content_size;

    use super::*;

    /// Decodes as a client that has 8 MB for the window.
    fn check(content: &[u8]) {
        let frame = framed(content).unwrap();
        assert_eq!(frame, compress(content, LEVEL).unwrap(), "it depends on what came before");
        assert_eq!(get_frame_content_size(&frame).unwrap(), Some(content.len() as u64));
        let mut client = Decoder::with_buffer(&*frame).unwrap();
        client.window_log_max(23).unwrap();
        let mut back = Vec::new();
        client.read_to_end(&mut back).unwrap();
        assert!(back == content);
    }

    /// Content that repeats in part, and is another for each seed.
    fn text(seed: u32, len: usize) -> Vec<u8> {
        let mut state = seed;
        let next = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            b"{}[],:\"abcdef 0123456789"[(state >> 24) as usize % 24]
        };
        (0..len).map(next).collect()
    }

    #[test]
    fn what_was_compressed_before_does_not_matter() {
        for (seed, len) in [(1, 70_000), (2, 0), (3, 1), (1, 900), (4, 400_000), (1, 70_000)] {
            check(&text(seed, len));
            check(&vec![b'x'; len]);
        }
    }

    #[test]
    fn no_window_is_larger_than_what_every_client_has() {
        for len in [(2 << 20) - 1, (2 << 20) + 1, 17 << 20] {
            check(&text(1, len));
        }
    }

    proptest! {
        #[test]
        fn any_content_comes_back(content in prop::collection::vec(any::<u8>(), 0..3_000)) {
            check(&content);
        }
    }
}
