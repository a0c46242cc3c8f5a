//! The layout and the bounds of a header, shared by reading and writing.
//!
//! `docs/format.md` has the complete table. The fixed-length fields that are read on their own come
//! first. The header length and the key follow.

use crate::key::AggregateKey;

/// The first three bytes of a record; the fourth is [`FORMAT`].
pub(super) const MAGIC: [u8; 3] = *b"SNF";
/// The format that this release writes.
pub(super) const FORMAT: u8 = 1;
/// The offset at which the header's checksum begins to cover the header.
pub(super) const CHECKED_FROM: usize = 8;
/// The bytes before the header length: magic, format, both checksums, fingerprint, as-of time.
pub(super) const FIXED_BYTES: usize = 28;
/// The bytes after the key: algorithms, compression, codec.
pub(super) const CODING_BYTES: usize = 4;
/// The length of the state's digest, which follows the codec if there is one.
pub(super) const DIGEST_BYTES: usize = 16;
/// The maximum size of all extensions of a header together, in bytes.
pub(super) const MAX_EXTENSION_BYTES: usize = 256 << 10;

/// The shortest header: an empty key, no compression, no extensions, and eight varints of one byte.
pub(super) const MIN_HEADER_BYTES: usize = FIXED_BYTES + CODING_BYTES + 8;
/// The longest header. Its varints: header length and key lengths 3 bytes each, schema version,
/// payload length and raw length 5 each, version and creation time 10 each.
pub(super) const MAX_HEADER_BYTES: usize = FIXED_BYTES
    + CODING_BYTES
    + DIGEST_BYTES
    + (4 * 3 + 3 * 5 + 2 * 10)
    + 3 * AggregateKey::MAX_PART_BYTES
    + MAX_EXTENSION_BYTES;
