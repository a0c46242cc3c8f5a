//! The signature of a record: an HMAC-SHA-256 over its header and its payload.

use super::layout::CHECKED_FROM;
use super::reject::RejectReason;
use super::signing_keys::SigningKeys;

/// Begins each signed text, so that a signature of something else cannot be used for a record.
const DOMAIN: &[u8; 17] = b"snapfold-record-1";
pub(super) const MAC_BYTES: usize = 32;
/// Takes the place of what depends on the signature itself.
const ZEROS: [u8; MAC_BYTES] = [0; MAC_BYTES];
const CHECKSUM_BYTES: usize = 4;

/// A signature as it stands in a header.
#[derive(Clone, Copy)]
pub(super) struct Signature<'a> {
    pub(super) key_id: &'a str,
    pub(super) mac: &'a [u8; MAC_BYTES],
    /// The offset of the MAC.
    pub(super) at: usize,
}

/// Returns the parts whose concatenation is signed, or `None` if the MAC is not within the header.
/// `docs/format.md` specifies them.
fn signed<'a>(header: &'a [u8], at: usize, payload: &'a [u8]) -> Option<[&'a [u8]; 7]> {
    let (checksum, after) = (CHECKED_FROM - CHECKSUM_BYTES, at.checked_add(MAC_BYTES)?);
    Some([
        DOMAIN,
        header.get(..checksum)?,
        ZEROS.get(..CHECKSUM_BYTES)?,
        header.get(CHECKED_FROM..at)?,
        &ZEROS,
        header.get(after..)?,
        payload,
    ])
}

/// Signs a record. The MAC in `header` begins at `at`.
pub(super) fn sign(keys: &SigningKeys, header: &mut [u8], at: usize, payload: &[u8]) {
    let Some(mac) = signed(header, at, payload).map(|parts| keys.mac(&parts)) else { return };
    if let Some((_, rest)) = header.split_at_mut_checked(at)
        && let Some(field) = rest.first_chunk_mut()
    {
        *field = mac;
    }
}

/// Checks the signature that stands in the header of a record, which was parsed.
pub(super) fn check(
    keys: &SigningKeys,
    (header, payload): (&[u8], &[u8]),
    signature: Option<Signature<'_>>,
) -> Result<(), RejectReason> {
    let Some(Signature { key_id, mac, at }) = signature else {
        return if keys.accepts_unsigned() { Ok(()) } else { Err(RejectReason::Unsigned) };
    };
    let parts = signed(header, at, payload).ok_or(RejectReason::Signature)?;
    match keys.matches(key_id, &parts, mac) {
        Some(true) => Ok(()),
        Some(false) => Err(RejectReason::Signature),
        None => Err(RejectReason::SigningKey(key_id.to_owned())),
    }
}
