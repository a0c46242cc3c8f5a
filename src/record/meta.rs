//! [`SnapshotMeta`]: describes a stored snapshot without its payload.

use std::fmt;

use super::base::Base;
use super::details::SnapshotDetails;
use super::header::Header;
use crate::codec::CodecId;
use crate::compress::CompressionId;
use crate::digest::StateDigest;
use crate::error::Error;
use crate::generation::Generation;
use crate::key::AggregateKey;
use crate::mark::Marks;
use crate::snapshot_id::SnapshotId;
use crate::timestamp::Timestamp;

/// Everything about a stored snapshot except its payload: an owned copy of its header, and its
/// marks. `Display` formats the identity and the size in one line. `Debug` omits absent fields.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SnapshotMeta {
    /// The aggregate.
    pub key: AggregateKey,
    /// The number of events folded into the state; never 0.
    pub version: u64,
    /// The generation of the state type.
    pub generation: Generation,
    /// The as-of time: the latest recorded time among all folded events; [`Timestamp::MAX`] if
    /// one of them has [no time](crate::events::Recorded::untimed).
    pub as_of: Timestamp,
    /// The recorded time of the last folded event.
    pub last_recorded_at: Timestamp,
    /// When the snapshot was created, by the clock of the engine that created it.
    pub created_at: Timestamp,
    /// The codec of the payload.
    pub codec: CodecId,
    /// The compression of the payload.
    pub compression: CompressionId,
    /// The length of the whole record in bytes. A store may add its own framing.
    pub stored_bytes: u64,
    /// The length of the encoded state in bytes, before compression.
    pub raw_bytes: u64,
    /// CRC-32 of the stored payload.
    pub payload_checksum: u32,
    /// The digest of the state's value, if the codec has one. Use it to compare snapshots.
    pub digest: Option<StateDigest>,
    /// The identity of the last folded event in the event store.
    pub anchor: Option<Vec<u8>>,
    /// The labels set by the application, in their original order.
    pub labels: Vec<String>,
    /// The process or node that created the snapshot, if known.
    pub origin: Option<String>,
    /// The snapshot that the payload is a delta of.
    pub base: Option<Base>,
    /// The compression dictionary that the payload needs.
    pub dictionary: Option<u64>,
    /// The id of the key that the payload is sealed with. `None` if the payload is not sealed.
    pub seal_key: Option<String>,
    /// The id of the key that the record is signed with. `None` if it is not signed. A list does not
    /// check signatures.
    pub signing_key: Option<String>,
    /// How and why the snapshot came to be. `None` if the header says nothing about that.
    details: Option<Box<SnapshotDetails>>,
    /// The marks, which are stored beside the record. Empty if the store does not support marks, or
    /// if this value was created from a header alone.
    pub marks: Marks,
}

impl SnapshotMeta {
    /// Creates the metadata of a snapshot that was never stored, for tests: created at `as_of`,
    /// with the default codec, no compression, no digest, and sizes of 0. Set the fields that
    /// matter.
    pub const fn new(
        key: AggregateKey,
        generation: Generation,
        version: u64,
        as_of: Timestamp,
    ) -> Self {
        Self {
            key,
            version,
            generation,
            as_of,
            last_recorded_at: as_of,
            created_at: as_of,
            codec: CodecId::POSTCARD,
            compression: CompressionId::NONE,
            stored_bytes: 0,
            raw_bytes: 0,
            payload_checksum: 0,
            digest: None,
            anchor: None,
            labels: Vec::new(),
            origin: None,
            base: None,
            dictionary: None,
            seal_key: None,
            signing_key: None,
            details: None,
            marks: Marks::NONE,
        }
    }

    /// Creates an owned copy of `header`, without marks.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if the key in `header` is
    /// invalid. The key of a parsed header is always valid.
    pub fn from_header(header: &Header<'_>) -> Result<Self, Error> {
        Ok(Self {
            key: AggregateKey::from_stored(header.tenant, header.kind, header.id)?,
            version: header.version,
            generation: header.generation,
            as_of: header.as_of,
            last_recorded_at: header.last_recorded_at,
            created_at: header.created_at,
            codec: header.codec,
            compression: header.compression,
            stored_bytes: header.record_bytes(),
            raw_bytes: header.raw_bytes.into(),
            payload_checksum: header.payload_checksum,
            digest: header.digest,
            anchor: header.anchor.map(<[u8]>::to_vec),
            labels: header.labels().map(str::to_owned).collect(),
            origin: header.origin.map(str::to_owned),
            base: header.base,
            dictionary: header.dictionary,
            seal_key: header.seal_key.map(str::to_owned),
            signing_key: header.signing_key.map(str::to_owned),
            details: boxed(header.details()),
            marks: Marks::NONE,
        })
    }

    /// Returns how and why the snapshot came to be.
    pub fn details(&self) -> &SnapshotDetails {
        static NONE: SnapshotDetails = SnapshotDetails::NONE;
        self.details.as_deref().unwrap_or(&NONE)
    }

    /// Sets [`details`](Self::details).
    pub fn with_details(mut self, details: SnapshotDetails) -> Self {
        self.details = boxed(details);
        self
    }

    /// Sets [`marks`](Self::marks). For implementers of [`SnapshotStore`](crate::SnapshotStore).
    pub fn with_marks(mut self, marks: Marks) -> Self {
        self.marks = marks;
        self
    }

    /// Returns the identity of this snapshot within its aggregate.
    pub fn id(&self) -> SnapshotId {
        SnapshotId { generation: self.generation, version: self.version }
    }

    /// Returns whether the snapshot has at least one pin.
    pub fn is_pinned(&self) -> bool {
        self.marks.is_pinned()
    }

    /// Returns whether the snapshot has at least one retirement.
    pub fn is_retired(&self) -> bool {
        self.marks.is_retired()
    }
}

fn boxed(details: SnapshotDetails) -> Option<Box<SnapshotDetails>> {
    (details != SnapshotDetails::NONE).then(|| Box::new(details))
}

/// Formats one line for logs.
impl fmt::Display for SnapshotMeta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}, {} bytes", self.key, self.id(), self.stored_bytes)
    }
}

impl fmt::Debug for SnapshotMeta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("SnapshotMeta");
        shown
            .field("key", &self.key)
            .field("version", &self.version)
            .field("generation", &self.generation)
            .field("as_of", &self.as_of)
            .field("created_at", &self.created_at)
            .field("codec", &self.codec)
            .field("stored_bytes", &self.stored_bytes);
        if self.last_recorded_at != self.as_of {
            shown.field("last_recorded_at", &self.last_recorded_at);
        }
        if self.compression != CompressionId::NONE {
            shown.field("compression", &self.compression).field("raw_bytes", &self.raw_bytes);
        }
        if let Some(digest) = &self.digest {
            shown.field("digest", digest);
        }
        if let Some(anchor) = &self.anchor {
            shown.field("anchor_bytes", &anchor.len());
        }
        if !self.labels.is_empty() {
            shown.field("labels", &self.labels);
        }
        if let Some(origin) = &self.origin {
            shown.field("origin", origin);
        }
        if let Some(base) = &self.base {
            shown.field("base", base);
        }
        if let Some(dictionary) = self.dictionary {
            shown.field("dictionary", &dictionary);
        }
        if let Some(seal_key) = &self.seal_key {
            shown.field("seal_key", seal_key);
        }
        if let Some(signing_key) = &self.signing_key {
            shown.field("signing_key", signing_key);
        }
        if let Some(details) = &self.details {
            shown.field("details", details);
        }
        if !self.marks.is_empty() {
            shown.field("marks", &self.marks);
        }
        shown.finish_non_exhaustive()
    }
}
