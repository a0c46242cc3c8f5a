//! The optional fields of a header: a list of (tag, length, value) entries after the key.

use std::convert::Infallible;

use super::base::Base;
use super::details::{SnapshotDetails, is_detail};
use super::reject::RejectReason;
use super::signature::{MAC_BYTES, Signature};
use super::signing_keys::SigningKeys;
use super::wire::WireReader;
use crate::codec::Sealed;
use crate::snapshot_id::SnapshotId;
use crate::timestamp::Timestamp;

/// The first critical tag. A reader that does not recognize a critical tag must reject the record.
const CRITICAL: u8 = 0x80;

/// The size of an entry without its value: tag and length.
const ENTRY_BYTES: usize = 3;

const ANCHOR: u8 = 0x01;
const LABEL: u8 = 0x02;
const ORIGIN: u8 = 0x03;
const LAST_RECORDED_AT: u8 = 0x04;
const SIGNATURE: u8 = 0x0d;
const BASE: u8 = CRITICAL | 0x01;
const DICTIONARY: u8 = CRITICAL | 0x02;
const SEAL: u8 = CRITICAL | 0x03;

const MAX_SIGNING_KEY_BYTES: usize = SigningKeys::MAX_KEY_ID_BYTES;

/// The parsed extensions of a header.
#[derive(Default)]
pub(super) struct Values<'a> {
    pub(super) anchor: Option<&'a [u8]>,
    pub(super) origin: Option<&'a str>,
    pub(super) last_recorded_at: Option<Timestamp>,
    pub(super) base: Option<Base>,
    pub(super) dictionary: Option<u64>,
    /// The id of the key, and the length of the payload before it was sealed.
    pub(super) seal: Option<(&'a str, u32)>,
    /// The offset is that within the extensions.
    pub(super) signature: Option<Signature<'a>>,
}

/// Reads the extensions of a header. If a tag is repeated, the last value counts.
pub(super) fn read(bytes: &[u8]) -> Result<Values<'_>, RejectReason> {
    let mut values = Values::default();
    let mut reader = WireReader(bytes);
    while !reader.0.is_empty() {
        let (tag, value) = entry(&mut reader)?;
        let mut value_reader = WireReader(value);
        match tag {
            ANCHOR => values.anchor = Some(value),
            LABEL => {
                value_reader.text(value.len())?;
                continue;
            }
            ORIGIN => {
                values.origin = Some(value_reader.text(value.len())?);
                continue;
            }
            LAST_RECORDED_AT => {
                values.last_recorded_at = Some(Timestamp::from_micros(value_reader.i64()?));
            }
            SIGNATURE => {
                let at = bytes.len().saturating_sub(reader.0.len() + value.len());
                let (mac, key_id) = value
                    .split_first_chunk::<MAC_BYTES>()
                    .filter(|(_, key_id)| (1..=MAX_SIGNING_KEY_BYTES).contains(&key_id.len()))
                    .ok_or(RejectReason::Malformed("the signature has a wrong length"))?;
                let key_id = WireReader(key_id).text(key_id.len())?;
                values.signature = Some(Signature { key_id, mac, at });
                continue;
            }
            BASE => {
                values.base =
                    Some(Base { version: value_reader.u64()?, checksum: value_reader.u32()? });
            }
            DICTIONARY => values.dictionary = Some(value_reader.u64()?),
            SEAL => {
                let payload_bytes = value_reader.u32()?;
                if value_reader.0.len() > Sealed::MAX_KEY_ID_BYTES {
                    return Err(RejectReason::Malformed("the id of a key is too long"));
                }
                let key_id = value_reader.text(value_reader.0.len())?;
                values.seal = Some((key_id, payload_bytes));
            }
            tag if tag >= CRITICAL => {
                return Err(RejectReason::NeedsOther("an extension of a newer release"));
            }
            _ => continue,
        }
        if tag != ANCHOR && !value_reader.0.is_empty() {
            return Err(RejectReason::Malformed("the length of an extension is wrong"));
        }
    }
    Ok(values)
}

fn entry<'a>(reader: &mut WireReader<'a>) -> Result<(u8, &'a [u8]), RejectReason> {
    let tag = reader.u8()?;
    let len = usize::from(reader.u16()?);
    Ok((tag, reader.bytes(len)?))
}

/// Returns the labels in `bytes`, which must be extensions that [`read`] has accepted.
pub(super) fn labels(bytes: &[u8]) -> impl Iterator<Item = &str> {
    let mut reader = WireReader(bytes);
    std::iter::from_fn(move || (!reader.0.is_empty()).then(|| entry(&mut reader).ok()).flatten())
        .filter_map(|(tag, value)| {
            (tag == LABEL).then(|| std::str::from_utf8(value).ok()).flatten()
        })
}

/// Returns the details in `bytes`, which must be extensions that [`read`] has accepted. `id` is that
/// of the snapshot.
pub(super) fn details(bytes: &[u8], id: SnapshotId) -> SnapshotDetails {
    let mut details = SnapshotDetails::default();
    let mut reader = WireReader(bytes);
    while let Ok((tag, value)) = entry(&mut reader) {
        if is_detail(tag) {
            // No load depends on it.
            let _ = details.add(id, tag, value);
        }
    }
    details
}

/// Returns whether this release knows each of the extensions in `bytes`, which [`read`] must have
/// accepted.
pub(super) fn are_known(bytes: &[u8]) -> bool {
    let mut reader = WireReader(bytes);
    while !reader.0.is_empty() {
        let optional = [ANCHOR, LABEL, ORIGIN, LAST_RECORDED_AT, SIGNATURE];
        let is_known = |tag| tag >= CRITICAL || optional.contains(&tag) || is_detail(tag);
        if !entry(&mut reader).is_ok_and(|(tag, _)| is_known(tag)) {
            return false;
        }
    }
    true
}

/// The extensions of a header to be written.
#[derive(Clone, Debug, Default)]
pub(super) struct Extensions {
    pub(super) anchor: Option<Vec<u8>>,
    pub(super) labels: Vec<String>,
    pub(super) origin: Option<String>,
    pub(super) last_recorded_at: Option<Timestamp>,
    pub(super) details: SnapshotDetails,
    pub(super) base: Option<Base>,
    pub(super) dictionary: Option<u64>,
    /// The id of the key, and the length of the payload before it was sealed.
    pub(super) seal: Option<(String, u32)>,
    /// The id of the key that the record is signed with.
    pub(super) signing_key: Option<String>,
}

impl Extensions {
    /// Calls `put` with the tag, the value and the name of each extension, in the order of the
    /// tags. Stops at the first error.
    fn each<E>(
        &self,
        id: SnapshotId,
        mut put: impl FnMut(u8, &[u8], &'static str) -> Result<(), E>,
    ) -> Result<(), E> {
        if let Some(anchor) = &self.anchor {
            put(ANCHOR, anchor, "the anchor")?;
        }
        for label in &self.labels {
            put(LABEL, label.as_bytes(), "a label")?;
        }
        if let Some(origin) = &self.origin {
            put(ORIGIN, origin.as_bytes(), "the origin")?;
        }
        if let Some(at) = self.last_recorded_at {
            put(LAST_RECORDED_AT, &at.as_micros().to_le_bytes(), "the time")?;
        }
        self.details.each(id, &mut put)?;
        if let Some(key_id) = &self.signing_key {
            let value = [&[0; MAC_BYTES], key_id.as_bytes()].concat();
            put(SIGNATURE, &value, "the id of a signing key")?;
        }
        if let Some(base) = self.base {
            let mut value = [0; 12];
            let (version, checksum) = value.split_at_mut(8);
            version.copy_from_slice(&base.version.to_le_bytes());
            checksum.copy_from_slice(&base.checksum.to_le_bytes());
            put(BASE, &value, "the base")?;
        }
        if let Some(dictionary) = self.dictionary {
            put(DICTIONARY, &dictionary.to_le_bytes(), "the dictionary")?;
        }
        if let Some((key_id, payload_bytes)) = &self.seal {
            let value = [&payload_bytes.to_le_bytes(), key_id.as_bytes()].concat();
            put(SEAL, &value, "the id of a key")?;
        }
        Ok(())
    }

    /// Returns the number of bytes that the extensions take in a header. The error is the name of a
    /// value that is too long.
    pub(super) fn bytes(&self, id: SnapshotId) -> Result<usize, &'static str> {
        let mut bytes = 0;
        self.each(id, |_, value, name| {
            let len = u16::try_from(value.len()).map_err(|_| name)?;
            bytes += ENTRY_BYTES + usize::from(len);
            Ok::<_, &'static str>(())
        })?;
        Ok(bytes)
    }

    /// Appends the extensions, with zeros for the MAC of the signature, and returns the offset of
    /// that MAC. [`bytes`](Self::bytes) must have succeeded.
    pub(super) fn write(&self, id: SnapshotId, out: &mut Vec<u8>) -> Option<usize> {
        let mut mac_at = None;
        let written = self.each(id, |tag, value, _| {
            let len = u16::try_from(value.len()).unwrap_or(u16::MAX);
            out.push(tag);
            out.extend_from_slice(&len.to_le_bytes());
            if tag == SIGNATURE {
                mac_at = Some(out.len());
            }
            out.extend_from_slice(value);
            Ok::<_, Infallible>(())
        });
        let Ok(()) = written;
        mac_at
    }
}
