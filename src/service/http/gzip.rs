//! Compresses what is sent (RFC 1952).

use std::cell::RefCell;

use bytes::Bytes;
use flate2::{Compress, Compression, Crc, FlushCompress, Status};

/// No name, no time, an unknown operating system: the bytes depend on the content alone.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

thread_local! {
    /// Its tables take 300 KB. To allocate them costs more than to compress a small state.
    static COMPRESSOR: RefCell<Compress> =
        RefCell::new(Compress::new(Compression::default(), false));
}

/// The content as gzip. The same content always has the same bytes.
pub(super) fn gzipped(content: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(content.len() / 3 + 64);
    out.extend_from_slice(&HEADER);
    COMPRESSOR.with_borrow_mut(|compressor| deflate(compressor, content, &mut out));
    let mut crc = Crc::new();
    crc.update(content);
    out.extend_from_slice(&crc.sum().to_le_bytes());
    out.extend_from_slice(&crc.amount().to_le_bytes());
    out.into()
}

/// Appends the content in the format of RFC 1951. What `compressor` compressed before has no effect.
pub(crate) fn deflate(compressor: &mut Compress, content: &[u8], out: &mut Vec<u8>) {
    compressor.reset();
    loop {
        // All input is taken before the end, so what was read is where to go on.
        let read = usize::try_from(compressor.total_in()).unwrap_or(usize::MAX);
        let rest = content.get(read..).unwrap_or_default();
        match compressor.compress_vec(rest, out, FlushCompress::Finish) {
            // It only writes to the capacity that there is.
            Ok(Status::Ok | Status::BufError) => out.reserve(out.len().max(64)),
            // An error is not possible here: no dictionary is set.
            Ok(Status::StreamEnd) | Err(_) => break,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use flate2::read::GzDecoder;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;

    use super::*;

    /// With a compressor that was never used.
    fn anew(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn check(content: &[u8]) {
        let zipped = gzipped(content);
        assert_eq!(zipped, anew(content));
        let mut back = Vec::new();
        GzDecoder::new(&*zipped).read_to_end(&mut back).unwrap();
        assert_eq!(back, content);
    }

    #[test]
    fn what_was_compressed_before_does_not_matter() {
        let text = |seed: u32, len: u32| -> Vec<u8> {
            let mut state = seed;
            let next = |_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                b"{}[],:\"abcdef 0123456789"[(state >> 24) as usize % 24]
            };
            (0..len).map(next).collect()
        };
        for (seed, len) in [(1, 70_000), (2, 0), (3, 1), (1, 900), (4, 40_000), (1, 70_000)] {
            check(&text(seed, len));
            check(&vec![b'x'; len as usize]);
        }
    }

    proptest! {
        #[test]
        fn any_content_comes_back(content in prop::collection::vec(any::<u8>(), 0..3_000)) {
            check(&content);
        }
    }
}
