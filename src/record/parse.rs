//! Parses the bytes of a record into a [`Header`].

use std::cmp::Ordering;

use super::extension::{self, Values};
use super::header::Header;
use super::layout::{
    CHECKED_FROM, FIXED_BYTES, FORMAT, MAGIC, MAX_EXTENSION_BYTES, MAX_HEADER_BYTES,
    MIN_HEADER_BYTES,
};
use super::reject::RejectReason;
use super::signature::Signature;
use super::wire::{WireReader, unzigzag, varint_bytes};
use crate::checksum::{ChecksumId, crc32};
use crate::codec::CodecId;
use crate::compress::CompressionId;
use crate::digest::{DigestKind, StateDigest};
use crate::generation::Generation;
use crate::key::AggregateKey;
use crate::timestamp::Timestamp;

impl<'a> Header<'a> {
    /// Returns the length of the header in bytes, as claimed by `start`, the first bytes of a
    /// record. Stores use it to read headers without payloads: they read a few hundred bytes, then
    /// the claimed number of bytes, and [`parse`](Self::parse) those. The claim never exceeds the
    /// longest valid header; nothing else is verified. `None` if the claim is impossible, or if
    /// `start` is too short.
    pub fn claimed_bytes(start: &[u8]) -> Option<u32> {
        header_bytes(&mut WireReader(start.get(FIXED_BYTES..)?)).ok()
    }

    /// Returns whether the checksum of the header at the start of `bytes` matches. If it does, the
    /// header is as it was written, even if [`parse`](Self::parse) rejects it.
    pub(super) fn is_whole(bytes: &[u8]) -> bool {
        let stored = bytes.get(CHECKED_FROM - 4..CHECKED_FROM);
        let len = Self::claimed_bytes(bytes).unwrap_or(0) as usize;
        let checked = bytes.get(CHECKED_FROM..len);
        checked.is_some_and(|checked| stored == Some(&crc32(checked).to_le_bytes()))
    }

    /// Returns whether the record in `bytes` contains `key` at the place where this format stores
    /// the key.
    pub(super) fn names(bytes: &[u8], key: &AggregateKey) -> bool {
        let mut reader = WireReader(bytes.get(FIXED_BYTES..).unwrap_or_default());
        // The header length comes before the key.
        let Ok(_) = reader.varint() else { return false };
        let parts = [key.tenant(), key.kind(), key.id()];
        parts.iter().all(|part| reader.varint() == Ok(part.len() as u64))
            && parts.iter().all(|part| reader.bytes(part.len()) == Ok(part.as_bytes()))
    }

    /// Parses `bytes`. If `whole`, `bytes` must contain exactly one record.
    pub(super) fn read(bytes: &'a [u8], whole: bool) -> Result<Self, RejectReason> {
        let mut reader = WireReader(bytes);
        let [m0, m1, m2, format] = reader.array()?;
        if [m0, m1, m2] != MAGIC {
            return Err(RejectReason::Foreign);
        }
        match format {
            FORMAT => {}
            // There is no format 0.
            0 => return Err(RejectReason::Foreign),
            _ => return Err(RejectReason::NewerFormat(format)),
        }
        let checksum = reader.u32()?;
        let payload_checksum = reader.u32()?;
        let fingerprint = reader.u64()?;
        let as_of = reader.i64()?;
        let own_bytes = header_bytes(&mut reader)?;
        let len = own_bytes as usize;
        let checked = bytes.get(CHECKED_FROM..len).ok_or(RejectReason::Truncated)?;
        if crc32(checked) != checksum {
            return Err(RejectReason::HeaderChecksum);
        }
        // From here on, nothing beyond the header is read.
        let used = bytes.len() - reader.0.len();
        let mut reader = WireReader(bytes.get(used..len).ok_or(RejectReason::Truncated)?);
        let (tenant, kind, id) = key_parts(&mut reader)?;
        let [algorithms, compression] = reader.array()?;
        let compression = CompressionId::from_byte(compression);
        let codec = CodecId::from_u16(reader.u16()?);
        // The low half identifies the checksum, the high half the digest.
        let digest = match algorithms >> 4 {
            0 => None,
            kind => Some((kind, reader.array()?)),
        };
        let schema_version = reader.varint_u32()?;
        let version = reader.varint()?;
        let created_at = as_of.wrapping_add(unzigzag(reader.varint()?));
        let payload_bytes = reader.varint_u32()?;
        let raw_bytes = match compression {
            CompressionId::NONE => None,
            _ => Some(reader.varint_u32()?),
        };
        let extensions = reader.0;
        if ChecksumId::from_byte(algorithms & 0x0f) != ChecksumId::CRC32 {
            return Err(RejectReason::NeedsOther("a checksum algorithm of a newer release"));
        }
        let digest = match digest {
            None => None,
            Some((kind, bytes)) => {
                let kind = DigestKind::from_u8(kind)
                    .ok_or(RejectReason::NeedsOther("a state digest of a newer release"))?;
                Some(StateDigest::new(kind, bytes))
            }
        };
        if version == 0 {
            return Err(RejectReason::Malformed("the version is 0"));
        }
        if extensions.len() > MAX_EXTENSION_BYTES {
            return Err(RejectReason::Malformed("the extensions are too long"));
        }
        let values = match extensions {
            [] => Values::default(),
            _ => extension::read(extensions)?,
        };
        // So far, it is the offset within the extensions.
        let signature = values.signature.map(|signature| Signature {
            at: signature.at.saturating_add(len.saturating_sub(extensions.len())),
            ..signature
        });
        let unsealed_bytes = values.seal.map_or(payload_bytes, |(_, bytes)| bytes);
        let raw_bytes = raw_bytes.unwrap_or(unsealed_bytes);
        let record_bytes = u64::from(own_bytes) + u64::from(payload_bytes);
        match (bytes.len() as u64).cmp(&record_bytes) {
            Ordering::Less if whole => return Err(RejectReason::Truncated),
            Ordering::Greater if whole => return Err(RejectReason::TrailingBytes),
            _ => {}
        }
        let as_of = Timestamp::from_micros(as_of);
        Ok(Self {
            tenant,
            kind,
            id,
            version,
            generation: Generation { schema_version, fingerprint },
            as_of,
            last_recorded_at: values.last_recorded_at.unwrap_or(as_of),
            created_at: Timestamp::from_micros(created_at),
            codec,
            compression,
            payload_bytes,
            raw_bytes,
            payload_checksum,
            digest,
            anchor: values.anchor,
            origin: values.origin,
            base: values.base,
            dictionary: values.dictionary,
            seal_key: values.seal.map(|(key_id, _)| key_id),
            signing_key: signature.map(|signature| signature.key_id),
            signature,
            unsealed_bytes,
            extensions,
            own_bytes,
        })
    }
}

/// Reads the length of the header, which includes its own varint, and checks its bounds.
#[expect(clippy::inline_always, reason = "as for the varint in it")]
#[inline(always)]
fn header_bytes(reader: &mut WireReader<'_>) -> Result<u32, RejectReason> {
    let before = reader.0.len();
    let len = reader.varint_u32()?;
    if !(MIN_HEADER_BYTES..=MAX_HEADER_BYTES).contains(&(len as usize)) {
        return Err(RejectReason::Malformed("the header length is out of range"));
    }
    let own = before - reader.0.len();
    // The length counts its own varint, so 127 and 128 could describe the same fields. Only the
    // shorter form is valid.
    if own > 1 && varint_bytes(u64::from(len) - 1) < own {
        return Err(RejectReason::Malformed("the header length is not in its shortest form"));
    }
    Ok(len)
}

/// Reads the three parts of the key: first their lengths, then their bytes.
#[expect(clippy::inline_always, reason = "as for the varints in it")]
#[inline(always)]
fn key_parts<'a>(reader: &mut WireReader<'a>) -> Result<(&'a str, &'a str, &'a str), RejectReason> {
    let mut len = || match usize::try_from(reader.varint()?) {
        Ok(len) if len <= AggregateKey::MAX_PART_BYTES => Ok(len),
        _ => Err(RejectReason::Malformed("a part of the key is too long")),
    };
    let (tenant, kind, id) = (len()?, len()?, len()?);
    let text = reader.text(tenant + kind + id)?;
    let inside = RejectReason::Malformed("a part of the key is not valid UTF-8");
    let Some((tenant, rest)) = text.split_at_checked(tenant) else { return Err(inside) };
    let Some((kind, id)) = rest.split_at_checked(kind) else { return Err(inside) };
    Ok((tenant, kind, id))
}
