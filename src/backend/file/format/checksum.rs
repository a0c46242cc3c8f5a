//! The checksum of a file that is written in one piece: the manifest, an index file.
//!
//! A frame has its checksums in its head and its guard, a record in its header. All are CRC-32,
//! most of them from [`crate::checksum`].

use std::ops::Range;

/// Where the files that are written in one piece keep the checksum of all their other bytes.
const CHECKSUM: Range<usize> = 8..12;

/// The checksum of `bytes` but for the field that holds it. `key` is 0, or what tells checksums of
/// the same bytes apart.
pub(crate) fn checksum(key: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(key);
    hasher.update(bytes.get(..CHECKSUM.start).unwrap_or_default());
    hasher.update(bytes.get(CHECKSUM.end..).unwrap_or_default());
    hasher.finalize()
}

/// Fills in the field that holds the checksum of all other bytes.
pub(super) fn put_checksum(key: u32, bytes: &mut [u8]) {
    let checksum = checksum(key, bytes);
    if let Some(field) = bytes.get_mut(CHECKSUM) {
        field.copy_from_slice(&checksum.to_le_bytes());
    }
}
