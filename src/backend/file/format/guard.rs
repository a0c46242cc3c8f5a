//! The guard: the first bytes of a body. The guard contains a checksum of the rest of the body, and
//! the checksum of the frame head covers the guard.
//!
//! The guard of a put is the start of the record: magic, format and the checksum of the header,
//! which in turn covers the checksum of the payload. All other bodies start with a guard from this
//! module.

use crate::checksum::crc32;

/// The length of a guard, which is also the minimum length of a body.
pub(super) const GUARD_BYTES: usize = 8;

/// Returns the guard of a body with this `rest`: 0, then its checksum. No record starts with 0.
pub(super) fn guard_of(rest: &[u8]) -> [u8; GUARD_BYTES] {
    (u64::from(crc32(rest)) << 32).to_le_bytes()
}

/// Overwrites the first bytes of `body` with its guard.
pub(super) fn put_guard(body: &mut [u8]) {
    if let Some((guard, rest)) = body.split_first_chunk_mut() {
        *guard = guard_of(rest);
    }
}

/// Returns the part of a body after its guard, or nothing if the body is too short.
pub(super) fn unguarded(body: &[u8]) -> &[u8] {
    body.get(GUARD_BYTES..).unwrap_or_default()
}
