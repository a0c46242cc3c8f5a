//! Where a header has its fields, and its bounds: what reading and writing share.
//!
//! `docs/format.md` has the whole table. The fields of a fixed length that are wanted without the
//! rest come first; the header's length and the key follow at once.

use crate::key::AggregateKey;

/// The first three bytes of a record; the fourth is [`FORMAT`].
pub(super) const MAGIC: [u8; 3] = *b"SNF";
/// The format that this release writes.
pub(super) const FORMAT: u8 = 1;
/// Where the part that the header's checksum covers begins.
pub(super) const CHECKED_FROM: usize = 8;
/// Magic, format, both checksums, fingerprint, as-of time: the bytes before the header length.
pub(super) const FIXED_BYTES: usize = 28;
/// Algorithms, compression, codec: after the key.
pub(super) const CODING_BYTES: usize = 4;
/// The digest of the state, if there is one: after the codec.
pub(super) const DIGEST_BYTES: usize = 16;
/// The limit for all extensions of a header together, in bytes.
pub(super) const MAX_EXTENSION_BYTES: usize = 256 << 10;

/// The shortest header: an empty key, no compression, no extensions; eight varints of one byte.
pub(super) const MIN_HEADER_BYTES: usize = FIXED_BYTES + CODING_BYTES + 8;
/// The longest header. Varints: header length and key lengths 3 bytes each, schema version,
/// payload length and raw length 5 each, version and creation time 10 each.
pub(super) const MAX_HEADER_BYTES: usize = FIXED_BYTES
    + CODING_BYTES
    + DIGEST_BYTES
    + (4 * 3 + 3 * 5 + 2 * 10)
    + 3 * AggregateKey::MAX_PART_BYTES
    + MAX_EXTENSION_BYTES;
