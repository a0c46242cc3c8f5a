//! The guard: the first bytes of a body, which vouch for the rest of it and for which the checksum
//! of the frame's head vouches.
//!
//! Of a put it is the start of the record: magic, format, and the checksum of the header, which in
//! turn covers that of the payload. All other bodies begin with one made here.

use crate::checksum::crc32;

/// The length of a guard, and so the shortest body.
pub(super) const GUARD_BYTES: usize = 8;

/// The guard of a body that goes on with `rest`: 0, then its checksum. No record begins like that.
pub(super) fn guard_of(rest: &[u8]) -> [u8; GUARD_BYTES] {
    (u64::from(crc32(rest)) << 32).to_le_bytes()
}

/// Makes the first bytes of `body`, whose values do not matter, its guard.
pub(super) fn put_guard(body: &mut [u8]) {
    if let Some((guard, rest)) = body.split_first_chunk_mut() {
        *guard = guard_of(rest);
    }
}

/// What follows the guard of a body; nothing if it is shorter than that.
pub(super) fn unguarded(body: &[u8]) -> &[u8] {
    body.get(GUARD_BYTES..).unwrap_or_default()
}
