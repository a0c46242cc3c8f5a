//! The stored bytes of a snapshot: a [`Record`], which consists of a [`Header`] and a payload.
//!
//! `docs/format.md` specifies every byte. A load first checks the checksum of the header, then the
//! identity, the generation and the checksum of the payload. Only then does it decompress and
//! decode the payload.

mod base;
mod builder;
mod details;
mod extension;
mod header;
mod layout;
mod meta;
mod openers;
mod parse;
mod reject;
mod signature;
mod signing_keys;
pub(crate) mod wire;

#[cfg(test)]
mod tests;

use std::fmt;

use bytes::Bytes;

use crate::checksum::crc32;
use crate::compress::{self, CompressionId, DecompressError, DictionaryId, Needs};
use crate::key::AggregateKey;

pub use crate::checksum::ChecksumId;
pub use crate::digest::{DigestKind, StateDigest};
pub use crate::generation::Generation;
pub use base::Base;
pub use builder::RecordBuilder;
pub use details::{ChangeSummary, SnapshotDetails, SnapshotSource};
pub use header::Header;
pub use meta::SnapshotMeta;
pub(crate) use openers::Openers;
pub use reject::RejectReason;
pub use signing_keys::SigningKeys;
pub(crate) use signing_keys::is_key_id;

/// The stored bytes of one snapshot, header and payload. They are the same in every store, backup
/// and archive.
///
/// Stores move records and do not inspect payloads. A record can wrap any bytes: nothing is checked
/// until [`header`](Self::header) or [`verify`](Self::verify) is called. Cloning only increments a
/// reference count.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    bytes: Bytes,
}

impl Record {
    /// Wraps bytes without checking them.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Self {
        Self { bytes: bytes.into() }
    }

    /// Returns all bytes, header and payload.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the shared buffer of the record.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// Returns whether the record contains `key` at the place where this format stores the key.
    /// Nothing else is checked. If the header is valid, the record belongs to that aggregate.
    pub fn names(&self, key: &AggregateKey) -> bool {
        Header::names(&self.bytes, key)
    }

    /// Parses and verifies the header, and checks that the record has the length that the header
    /// states. The payload is not checked.
    ///
    /// # Errors
    /// A [`RejectReason`] if the header is damaged, is not a snapfold header or was written by a
    /// newer release, or if the record is too short or too long.
    pub fn header(&self) -> Result<Header<'_>, RejectReason> {
        Header::read(&self.bytes, true)
    }

    /// Verifies the header, the lengths and the checksum of the payload. Neither unseals nor
    /// decompresses.
    ///
    /// # Errors
    /// A [`RejectReason`] that describes the first problem.
    pub fn verify(&self) -> Result<Header<'_>, RejectReason> {
        Self::check(&self.bytes)
    }

    /// Verifies bytes that are not wrapped in a record.
    ///
    /// # Errors
    /// The same errors as [`verify`](Self::verify).
    pub(crate) fn check(bytes: &[u8]) -> Result<Header<'_>, RejectReason> {
        let header = Header::read(bytes, true)?;
        checked_payload(bytes, &header)?;
        Ok(header)
    }

    /// Verifies the header, the lengths, the checksum of the payload and the signature.
    ///
    /// # Errors
    /// Those of [`verify`](Self::verify), [`RejectReason::Signature`],
    /// [`RejectReason::SigningKey`], and [`RejectReason::Unsigned`] unless `keys`
    /// [accept](SigningKeys::accept_unsigned) that.
    pub fn verify_signed(&self, keys: &SigningKeys) -> Result<Header<'_>, RejectReason> {
        let header = self.verify()?;
        let parts = self.bytes.split_at_checked(header.header_bytes());
        signature::check(keys, parts.ok_or(RejectReason::Truncated)?, header.signature)?;
        Ok(header)
    }

    /// Returns whether bytes that [`verify`](Self::verify) rejects with `reject` were written that
    /// way. True if the checksum of their header matches, but this release cannot read such a
    /// header, or the header belongs to a record of another length. False for anything that an
    /// interrupted write can leave behind.
    pub fn was_written_so(bytes: &[u8], reject: &RejectReason) -> bool {
        *reject != RejectReason::PayloadChecksum && Header::is_whole(bytes)
    }

    /// Returns whether both records contain the same state: their payloads are equal bytes, or both
    /// payloads are valid and their digests prove equality. Sealed payloads of the same state differ,
    /// so only their digests can prove it. Stores use it to decide whether an
    /// existing record is the one that was put. False if a header cannot be parsed.
    pub fn has_state_of(&self, other: &Self) -> bool {
        let (Ok(a), Ok(b)) = (self.header(), other.header()) else { return false };
        let payloads = (self.bytes.get(a.header_bytes()..), other.bytes.get(b.header_bytes()..));
        let coding =
            |of: &Header<'_>| (of.codec, of.compression, of.base, of.dictionary, of.unsealed_bytes);
        (payloads.0 == payloads.1 && coding(&a) == coding(&b) && a.seal_key == b.seal_key)
            || (a.digest.zip(b.digest).and_then(|(a, b)| a.proves_equal(&b)) == Some(true)
                && self.verify().is_ok()
                && other.verify().is_ok())
    }

    /// Verifies the payload, unseals it, decompresses it to its recorded length, and calls `decode`
    /// with the encoded state.
    pub(crate) fn open<T>(
        &self,
        header: &Header<'_>,
        with: OpenWith<'_>,
        decode: impl FnOnce(&[u8]) -> Result<T, RejectReason>,
    ) -> Result<T, RejectReason> {
        let Some(named) = header.base else {
            return self.open_one(header, None, with, decode);
        };
        let missing = RejectReason::NeedsOther("the snapshot that it is based on");
        let base = with.bases.first().ok_or(missing.clone())?;
        let found = base.header()?;
        // Deltas are made of whole snapshots only, so a chain never has to be followed.
        if !found.is_base_of(header) || found.base.is_some() {
            return Err(missing);
        }
        base.open_one(&found, None, with, |raw| {
            if crc32(raw) == named.checksum {
                self.open_one(header, Some(raw), with, decode)
            } else {
                Err(missing)
            }
        })
    }

    fn open_one<T>(
        &self,
        header: &Header<'_>,
        base: Option<&[u8]>,
        OpenWith { openers, max_raw_bytes, .. }: OpenWith<'_>,
        decode: impl FnOnce(&[u8]) -> Result<T, RejectReason>,
    ) -> Result<T, RejectReason> {
        if u64::from(header.raw_bytes) > max_raw_bytes {
            let bytes = u64::from(header.raw_bytes);
            return Err(RejectReason::TooLarge { bytes, limit: max_raw_bytes });
        }
        let needs = match (base, header.dictionary) {
            (None, None) => Needs::Nothing,
            (Some(base), None) => Needs::Base(base),
            (None, Some(id)) => {
                let id = DictionaryId::from_u64(id);
                Needs::Dictionary(openers.dictionary(id).ok_or(RejectReason::Dictionary(id))?)
            }
            (Some(_), Some(_)) => {
                return Err(RejectReason::NeedsOther("a delta with a dictionary"));
            }
        };
        let unsealed;
        let mut payload = checked_payload(&self.bytes, header)?;
        openers.check_signature(&self.bytes, header)?;
        if let Some(key_id) = header.seal_key {
            let bytes = u64::from(header.unsealed_bytes);
            if bytes > max_raw_bytes {
                return Err(RejectReason::TooLarge { bytes, limit: max_raw_bytes });
            }
            unsealed = openers.unseal(header, key_id, payload)?;
            payload = &unsealed;
        }
        if header.compression == CompressionId::NONE && matches!(needs, Needs::Nothing) {
            return decode(payload);
        }
        let (id, raw_bytes) = (header.compression, header.raw_bytes as usize);
        match compress::decompress(id, payload, raw_bytes, needs, &openers.compressors) {
            Ok(raw) => decode(&raw),
            Err(DecompressError::Invalid) => Err(RejectReason::Decompress),
            Err(DecompressError::Unavailable(Some(feature))) => {
                Err(RejectReason::FeatureDisabled(feature))
            }
            Err(DecompressError::Unavailable(None)) => Err(RejectReason::UnknownCompression(id)),
        }
    }
}

/// What a payload is opened with.
#[derive(Clone, Copy)]
pub(crate) struct OpenWith<'a> {
    /// The first is the snapshot that a delta is based on.
    pub(crate) bases: &'a [Record],
    pub(crate) openers: &'a Openers,
    /// The largest encoded state that is opened, in bytes (inclusive).
    pub(crate) max_raw_bytes: u64,
}

static NO_OPENERS: Openers = Openers::NONE;

impl OpenWith<'_> {
    /// For records that need nothing besides themselves.
    pub(crate) fn nothing(max_raw_bytes: u64) -> Self {
        Self { bases: &[], openers: &NO_OPENERS, max_raw_bytes }
    }
}

/// Returns the stored payload of the record in `bytes` after verifying its checksum.
fn checked_payload<'a>(bytes: &'a [u8], header: &Header<'_>) -> Result<&'a [u8], RejectReason> {
    let payload = bytes.get(header.header_bytes()..).ok_or(RejectReason::Truncated)?;
    if crc32(payload) == header.payload_checksum {
        Ok(payload)
    } else {
        Err(RejectReason::PayloadChecksum)
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut s = f.debug_struct("Record");
        match Header::parse(&self.bytes) {
            Ok(header) => s.field("header", &header),
            Err(reject) => s.field("rejected", &reject),
        };
        s.field("bytes", &self.bytes.len()).finish()
    }
}
