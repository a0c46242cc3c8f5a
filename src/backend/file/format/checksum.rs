//! The checksum of a file that is written in one piece: the manifest or an index file.
//!
//! The checksums of a frame are in its head and guard, and those of a record in its header. All are
//! CRC-32, most of them from [`crate::checksum`].

use std::ops::Range;

/// The position of the checksum in files that are written in one piece. It covers all other bytes.
const CHECKSUM: Range<usize> = 8..12;

/// Computes the checksum of `bytes` without the field that contains it. `key` is 0, or
/// distinguishes checksums of the same bytes.
pub(crate) fn checksum(key: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(key);
    hasher.update(bytes.get(..CHECKSUM.start).unwrap_or_default());
    hasher.update(bytes.get(CHECKSUM.end..).unwrap_or_default());
    hasher.finalize()
}

/// Writes the checksum of all other bytes into its field.
pub(super) fn put_checksum(key: u32, bytes: &mut [u8]) {
    let checksum = checksum(key, bytes);
    if let Some(field) = bytes.get_mut(CHECKSUM) {
        field.copy_from_slice(&checksum.to_le_bytes());
    }
}
