//! A record taken apart into its fields, to change one and put all together again under right
//! checksums: whoever can write to a store can write checksums too. Follows `docs/format.md`,
//! never the crate's own code.

#![allow(dead_code, missing_docs, unreachable_pub, reason = "each test binary uses a part")]

/// The fields of a record, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Magic and format.
    Magic,
    HeaderChecksum,
    PayloadChecksum,
    Fingerprint,
    AsOf,
    HeaderLength,
    TenantLength,
    KindLength,
    IdLength,
    /// Tenant, kind and id.
    Key,
    /// Of the checksums in the low half, of the digest in the high half.
    Algorithm,
    Compression,
    Codec,
    /// Empty if there is none.
    Digest,
    SchemaVersion,
    Version,
    /// Creation time, as the difference to the as-of time.
    CreateOutcome,
    PayloadLength,
    /// Empty if the payload is not compressed.
    RawLength,
    Extensions,
    Payload,
}

const FIELDS: usize = Field::Payload as usize + 1;

/// All that are varints; the raw length is one if it is there.
pub const VARINTS: [Field; 9] = [
    Field::HeaderLength,
    Field::TenantLength,
    Field::KindLength,
    Field::IdLength,
    Field::SchemaVersion,
    Field::Version,
    Field::CreateOutcome,
    Field::PayloadLength,
    Field::RawLength,
];

/// The fields of a record.
#[derive(Clone, Debug)]
pub struct RecordBytes([Vec<u8>; FIELDS]);

impl RecordBytes {
    /// The fields of `record`; `None` if it ends before they do, or a varint is none. Nothing else
    /// is checked: it may be damaged.
    pub fn of(record: &[u8]) -> Option<Self> {
        let mut rest = record;
        let mut fields: [Vec<u8>; FIELDS] = Default::default();
        let mut key = 0_usize;
        for (field, width) in [
            (Field::Magic, 4),
            (Field::HeaderChecksum, 4),
            (Field::PayloadChecksum, 4),
            (Field::Fingerprint, 8),
            (Field::AsOf, 8),
            (Field::HeaderLength, 0),
            (Field::TenantLength, 0),
            (Field::KindLength, 0),
            (Field::IdLength, 0),
            (Field::Key, 0),
            (Field::Algorithm, 1),
            (Field::Compression, 1),
            (Field::Codec, 2),
            (Field::Digest, 16),
            (Field::SchemaVersion, 0),
            (Field::Version, 0),
            (Field::CreateOutcome, 0),
            (Field::PayloadLength, 0),
            (Field::RawLength, 0),
        ] {
            let width = match field {
                Field::Key => key,
                Field::Digest if fields[Field::Algorithm as usize][0] >> 4 == 0 => continue,
                Field::RawLength if fields[Field::Compression as usize] == [0] => continue,
                _ if width == 0 => varint_width(rest)?,
                _ => width,
            };
            let (taken, after) = rest.split_at_checked(width)?;
            rest = after;
            fields[field as usize] = taken.to_vec();
            if matches!(field, Field::TenantLength | Field::KindLength | Field::IdLength) {
                key = key.checked_add(usize::try_from(number(taken)).ok()?)?;
            }
        }
        let end = usize::try_from(number(&fields[Field::HeaderLength as usize])).ok()?;
        let used = record.len() - rest.len();
        let (extensions, payload) = rest.split_at(end.saturating_sub(used).min(rest.len()));
        fields[Field::Extensions as usize] = extensions.to_vec();
        fields[Field::Payload as usize] = payload.to_vec();
        Some(Self(fields))
    }

    pub fn get(&self, field: Field) -> &[u8] {
        &self.0[field as usize]
    }

    pub fn set(&mut self, field: Field, bytes: &[u8]) {
        self.0[field as usize] = bytes.to_vec();
    }

    /// Where the field begins in the record.
    pub fn at(&self, field: Field) -> usize {
        self.0[..field as usize].iter().map(Vec::len).sum()
    }

    /// Makes the header length that of the other fields.
    pub fn fit_header(&mut self) {
        self.set(Field::HeaderLength, &[]);
        let others = self.at(Field::Payload);
        let own = (1..=5).find(|own| varint((others + own) as u64).len() <= *own).unwrap();
        self.set(Field::HeaderLength, &varint((others + own) as u64));
    }

    /// All bytes.
    pub fn bytes(&self) -> Vec<u8> {
        self.0.concat()
    }

    /// All bytes, with checksums that are right.
    pub fn signed(&self) -> Vec<u8> {
        let mut bytes = self.bytes();
        sign(&mut bytes);
        bytes
    }
}

/// The record with other fields, and with a header length and checksums that are right for them.
pub fn with(record: &[u8], fields: &[(Field, &[u8])]) -> Vec<u8> {
    let mut record = RecordBytes::of(record).expect("a record");
    for (field, bytes) in fields {
        record.set(*field, bytes);
    }
    if fields.iter().all(|(field, _)| *field != Field::HeaderLength) {
        record.fit_header();
    }
    record.signed()
}

/// Puts the checksums of a record right; does nothing if the header does not end within it.
pub fn sign(record: &mut [u8]) {
    let at = 28;
    let Some(own) = record.get(at..).and_then(varint_width) else { return };
    let Ok(header) = usize::try_from(number(&record[at..at + own])) else { return };
    if header < at + own || header > record.len() {
        return;
    }
    let payload = crc32fast::hash(&record[header..]).to_le_bytes();
    record[8..12].copy_from_slice(&payload);
    let header = crc32fast::hash(&record[8..header]).to_le_bytes();
    record[4..8].copy_from_slice(&header);
}

/// The varint of `value`.
pub fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    bytes.push(value.to_le_bytes()[0]);
    bytes
}

/// What this varint, or a longer form of it, stands for; bits above the 64th are lost.
pub fn number(varint: &[u8]) -> u64 {
    let bits = |byte: &u8| u64::from(byte & 0x7f);
    varint.iter().take(10).rev().fold(0, |value, byte| value << 7 | bits(byte))
}

/// How many bytes the varint at the start of `bytes` has.
fn varint_width(bytes: &[u8]) -> Option<usize> {
    bytes.iter().take(10).position(|byte| *byte < 0x80).map(|last| last + 1)
}
