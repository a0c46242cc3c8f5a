//! The optional fields of a header: a list of (tag, length, value) after the key.

use super::header::{Base, Header};
use super::reject::Reject;
use super::wire::Reader;
use crate::timestamp::Timestamp;

/// Tags from here on must be understood: a reader that does not know one must reject the record.
const CRITICAL: u8 = 0x80;

const ANCHOR: u8 = 0x01;
const LABEL: u8 = 0x02;
const ORIGIN: u8 = 0x03;
const LAST_RECORDED_AT: u8 = 0x04;
const BASE: u8 = CRITICAL | 0x01;
const DICTIONARY: u8 = CRITICAL | 0x02;

/// Reads the extensions of a header into its fields.
pub(super) fn read<'a>(header: &mut Header<'a>, bytes: &'a [u8]) -> Result<(), Reject> {
    header.extensions = bytes;
    let mut reader = Reader(bytes);
    while !reader.0.is_empty() {
        let (tag, value) = entry(&mut reader)?;
        let mut value_reader = Reader(value);
        match tag {
            ANCHOR => header.anchor = Some(value),
            LABEL => {
                value_reader.text(value.len())?;
                continue;
            }
            ORIGIN => {
                header.origin = Some(value_reader.text(value.len())?);
                continue;
            }
            LAST_RECORDED_AT => {
                header.last_recorded_at = Timestamp::from_micros(value_reader.i64()?);
            }
            BASE => {
                header.base =
                    Some(Base { version: value_reader.u64()?, checksum: value_reader.u32()? });
            }
            DICTIONARY => header.dictionary = Some(value_reader.u64()?),
            tag if tag >= CRITICAL => {
                return Err(Reject::NeedsOther("an extension of a newer release"));
            }
            _ => continue,
        }
        if tag != ANCHOR && !value_reader.0.is_empty() {
            return Err(Reject::Malformed("an extension has a wrong length"));
        }
    }
    Ok(())
}

fn entry<'a>(reader: &mut Reader<'a>) -> Result<(u8, &'a [u8]), Reject> {
    let tag = reader.u8()?;
    let len = usize::from(reader.u16()?);
    Ok((tag, reader.bytes(len)?))
}

/// The labels among `bytes`, extensions that [`read`] has accepted.
pub(super) fn labels(bytes: &[u8]) -> impl Iterator<Item = &str> {
    let mut reader = Reader(bytes);
    std::iter::from_fn(move || (!reader.0.is_empty()).then(|| entry(&mut reader).ok()).flatten())
        .filter_map(|(tag, value)| {
            (tag == LABEL).then(|| std::str::from_utf8(value).ok()).flatten()
        })
}

/// What a header's extensions are made from, when it is written.
#[derive(Clone, Debug, Default)]
pub(super) struct Extensions {
    pub(super) anchor: Option<Vec<u8>>,
    pub(super) labels: Vec<String>,
    pub(super) origin: Option<String>,
    pub(super) last_recorded_at: Option<Timestamp>,
    pub(super) base: Option<Base>,
    pub(super) dictionary: Option<u64>,
}

impl Extensions {
    /// Appends the extensions in the order of their tags; `Err` names a value that is too long.
    pub(super) fn write(&self, out: &mut Vec<u8>) -> Result<(), &'static str> {
        if let Some(anchor) = &self.anchor {
            put(out, ANCHOR, anchor).ok_or("the anchor")?;
        }
        for label in &self.labels {
            put(out, LABEL, label.as_bytes()).ok_or("a label")?;
        }
        if let Some(origin) = &self.origin {
            put(out, ORIGIN, origin.as_bytes()).ok_or("the origin")?;
        }
        if let Some(at) = self.last_recorded_at {
            put(out, LAST_RECORDED_AT, &at.as_micros().to_le_bytes()).ok_or("the time")?;
        }
        if let Some(base) = self.base {
            let mut value = base.version.to_le_bytes().to_vec();
            value.extend_from_slice(&base.checksum.to_le_bytes());
            put(out, BASE, &value).ok_or("the base")?;
        }
        if let Some(dictionary) = self.dictionary {
            put(out, DICTIONARY, &dictionary.to_le_bytes()).ok_or("the dictionary")?;
        }
        Ok(())
    }
}

fn put(out: &mut Vec<u8>, tag: u8, value: &[u8]) -> Option<()> {
    let len = u16::try_from(value.len()).ok()?;
    out.push(tag);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(value);
    Some(())
}
