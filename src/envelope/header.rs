//! [`Header`]: everything about a snapshot but its payload, parsed and verified.

use std::cmp::Ordering;
use std::fmt;

use super::extension;
use super::reject::Reject;
use super::wire::Reader;
use crate::checksum::{ChecksumId, crc32};
use crate::codec::CodecId;
use crate::compress::CompressionId;
use crate::generation::Generation;
use crate::key::AggregateKey;
use crate::timestamp::Timestamp;

/// The first three bytes of a record; the fourth is [`FORMAT`].
pub(super) const MAGIC: [u8; 3] = *b"SNF";
/// The format that this release writes.
pub(super) const FORMAT: u8 = 1;
/// The bytes before the key.
pub(super) const FIXED_BYTES: usize = 72;
/// Where the part that the header's checksum covers begins.
pub(super) const CHECKED_FROM: usize = 8;
/// The longest header: three parts of a key and 256 KiB of extensions.
pub(super) const MAX_HEADER_BYTES: usize =
    FIXED_BYTES + 3 * AggregateKey::MAX_PART_BYTES + (256 << 10);

/// A parsed header, borrowed from the bytes of its record.
///
/// Whoever holds one knows that the header's checksum matched and that its lengths are those of
/// the record. The payload has not been looked at.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Header<'a> {
    /// The tenant of the aggregate; empty for the default tenant.
    pub tenant: &'a str,
    /// The kind of aggregate.
    pub kind: &'a str,
    /// The id of the aggregate.
    pub id: &'a str,
    /// How many events are folded into the state; never 0.
    pub version: u64,
    /// The generation of the state type.
    pub generation: Generation,
    /// The as-of time: the latest recorded time among all folded events.
    pub as_of: Timestamp,
    /// The recorded time of the last folded event; before [`as_of`](Self::as_of) where clocks ran
    /// backwards.
    pub last_recorded_at: Timestamp,
    /// When the snapshot was made, by the clock of the engine that made it.
    pub created_at: Timestamp,
    /// The codec of the payload.
    pub codec: CodecId,
    /// The compression of the payload.
    pub compression: CompressionId,
    /// The length of the stored payload in bytes.
    pub payload_bytes: u32,
    /// The length of the encoded state in bytes, before compression.
    pub raw_bytes: u32,
    /// CRC-32 of the stored payload.
    pub payload_checksum: u32,
    /// What identifies the last folded event in the event store.
    pub anchor: Option<&'a [u8]>,
    /// Which process or node made the snapshot, if it said so.
    pub origin: Option<&'a str>,
    /// The snapshot that the payload is a delta against; no release writes deltas yet.
    pub base: Option<Base>,
    /// The compression dictionary that the payload needs; no release writes one yet.
    pub dictionary: Option<u64>,
    pub(super) extensions: &'a [u8],
    /// The length of the header itself.
    pub(super) own_bytes: u32,
}

/// The snapshot that a delta builds on: of the same aggregate and generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "fixed by the stored format")]
pub struct Base {
    /// The version of the base.
    pub version: u64,
    /// CRC-32 of the stored payload of the base.
    pub checksum: u32,
}

impl<'a> Header<'a> {
    /// Parses and verifies the header at the start of `bytes`, which may end where the header
    /// ends: the payload is not needed and not looked at.
    ///
    /// # Errors
    /// A [`Reject`] if it is damaged, foreign or newer than this release.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Reject> {
        Self::read(bytes, false)
    }

    /// Whether `key` stands in the bytes of a record where a header of this format has its key.
    #[cfg(feature = "file")]
    pub(super) fn names(bytes: &[u8], key: &AggregateKey) -> bool {
        let Some((fixed, rest)) = bytes.split_at_checked(FIXED_BYTES) else { return false };
        let Some((_, [t0, t1, k0, k1, i0, i1])) = fixed.split_last_chunk() else { return false };
        let len = |low: &u8, high: &u8| usize::from(u16::from_le_bytes([*low, *high]));
        let lens = (len(t0, t1), len(k0, k1), len(i0, i1));
        let mut rest = rest;
        let mut next = |part: &str| match rest.split_at_checked(part.len()) {
            Some((bytes, after)) => {
                rest = after;
                bytes == part.as_bytes()
            }
            None => false,
        };
        lens == (key.tenant().len(), key.kind().len(), key.id().len())
            && next(key.tenant())
            && next(key.kind())
            && next(key.id())
    }

    /// Parses `bytes`; `whole` demands that they end where the record does.
    pub(super) fn read(bytes: &'a [u8], whole: bool) -> Result<Self, Reject> {
        let mut reader = Reader(bytes);
        let [m0, m1, m2, format] = reader.array().map_err(|_| Reject::Truncated)?;
        if [m0, m1, m2] != MAGIC {
            return Err(Reject::Foreign);
        }
        if format != FORMAT {
            return Err(Reject::NewerFormat(format));
        }
        let checksum = reader.u32()?;
        let header_bytes = reader.u32()?;
        let len = header_bytes as usize;
        if !(FIXED_BYTES..=MAX_HEADER_BYTES).contains(&len) {
            return Err(Reject::Malformed("the header length is out of bounds"));
        }
        let checked = bytes.get(CHECKED_FROM..len).ok_or(Reject::Truncated)?;
        if crc32(checked) != checksum {
            return Err(Reject::HeaderChecksum);
        }
        let payload_checksum = reader.u32()?;
        let payload_bytes = reader.u32()?;
        let raw_bytes = reader.u32()?;
        let algorithm = ChecksumId::from_byte(reader.u8()?);
        let compression = CompressionId::from_byte(reader.u8()?);
        let codec = CodecId::from_u16(reader.u16()?);
        if reader.u16()? != 0 {
            return Err(Reject::Malformed("reserved bits are set"));
        }
        let schema_version = reader.u32()?;
        let fingerprint = reader.u64()?;
        let version = reader.u64()?;
        let as_of = Timestamp::from_micros(reader.i64()?);
        let created_at = Timestamp::from_micros(reader.i64()?);
        let (tenant, kind, id) = (reader.u16()?, reader.u16()?, reader.u16()?);
        if algorithm != ChecksumId::CRC32 {
            return Err(Reject::Malformed("the checksum algorithm is unknown"));
        }
        if version == 0 {
            return Err(Reject::Malformed("the version is 0"));
        }
        if compression == CompressionId::NONE && payload_bytes != raw_bytes {
            return Err(Reject::Malformed("an uncompressed payload has two lengths"));
        }
        let (tenant, kind, id) = key_parts(&mut reader, tenant, kind, id)?;
        let used = bytes.len() - reader.0.len();
        let extensions = bytes.get(used..len).ok_or(Reject::Truncated)?;
        let mut header = Self {
            tenant,
            kind,
            id,
            version,
            generation: Generation { schema_version, fingerprint },
            as_of,
            last_recorded_at: as_of,
            created_at,
            codec,
            compression,
            payload_bytes,
            raw_bytes,
            payload_checksum,
            anchor: None,
            origin: None,
            base: None,
            dictionary: None,
            extensions,
            own_bytes: header_bytes,
        };
        if !extensions.is_empty() {
            extension::read(&mut header, extensions)?;
        }
        match (bytes.len() as u64).cmp(&header.record_bytes()) {
            Ordering::Less if whole => Err(Reject::Truncated),
            Ordering::Greater if whole => Err(Reject::TrailingBytes),
            _ => Ok(header),
        }
    }

    /// The length of the header in bytes; the payload follows.
    pub fn header_bytes(&self) -> usize {
        self.own_bytes as usize
    }

    /// The length of the whole record in bytes, header and payload.
    pub fn record_bytes(&self) -> u64 {
        u64::from(self.own_bytes) + u64::from(self.payload_bytes)
    }

    /// The labels, in the order in which they were given.
    pub fn labels(&self) -> impl Iterator<Item = &'a str> {
        extension::labels(self.extensions)
    }

    /// Whether this snapshot belongs to `key`.
    pub fn is_of(&self, key: &AggregateKey) -> bool {
        key.is(self.tenant, self.kind, self.id)
    }
}

/// The three parts of the key, which stand one after the other.
fn key_parts<'a>(
    reader: &mut Reader<'a>,
    tenant: u16,
    kind: u16,
    id: u16,
) -> Result<(&'a str, &'a str, &'a str), Reject> {
    let (tenant, kind) = (usize::from(tenant), usize::from(kind));
    let text = reader.text(tenant + kind + usize::from(id))?;
    let inside = Reject::Malformed("a part of the key ends inside a character");
    let Some((tenant, rest)) = text.split_at_checked(tenant) else { return Err(inside) };
    let Some((kind, id)) = rest.split_at_checked(kind) else { return Err(inside) };
    Ok((tenant, kind, id))
}

impl fmt::Debug for Header<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Header")
            .field("kind", &self.kind)
            .field("version", &self.version)
            .field("generation", &self.generation)
            .field("as_of", &self.as_of)
            .field("codec", &self.codec)
            .field("compression", &self.compression)
            .field("payload_bytes", &self.payload_bytes)
            .finish_non_exhaustive()
    }
}
