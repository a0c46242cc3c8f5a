//! [`Header`]: the parsed and verified header of a record.

use std::fmt;

use super::base::Base;
use super::details::SnapshotDetails;
use super::extension;
use super::reject::RejectReason;
use super::signature::Signature;
use crate::codec::CodecId;
use crate::compress::CompressionId;
use crate::digest::StateDigest;
use crate::generation::Generation;
use crate::key::AggregateKey;
use crate::snapshot_id::SnapshotId;
use crate::timestamp::Timestamp;

/// A parsed header that borrows from the bytes of its record.
///
/// The checksum of the header matched, and its lengths agree with the record. The payload has not
/// been checked.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Header<'a> {
    /// The tenant of the aggregate; empty for the default tenant.
    pub tenant: &'a str,
    /// The kind of aggregate.
    pub kind: &'a str,
    /// The id of the aggregate.
    pub id: &'a str,
    /// The number of events folded into the state; never 0.
    pub version: u64,
    /// The generation of the state type.
    pub generation: Generation,
    /// The as-of time: the latest recorded time among all folded events.
    pub as_of: Timestamp,
    /// The recorded time of the last folded event. It is before [`as_of`](Self::as_of) if clocks
    /// ran backwards.
    pub last_recorded_at: Timestamp,
    /// When the snapshot was created, by the clock of the engine that created it.
    pub created_at: Timestamp,
    /// The codec of the payload.
    pub codec: CodecId,
    /// The compression of the payload.
    pub compression: CompressionId,
    /// The length of the stored payload in bytes, after it was compressed and sealed.
    pub payload_bytes: u32,
    /// The length of the encoded state in bytes, before compression.
    pub raw_bytes: u32,
    /// CRC-32 of the stored payload.
    pub payload_checksum: u32,
    /// The digest of the state's value, if the codec has one.
    pub digest: Option<StateDigest>,
    /// The identity of the last folded event in the event store.
    pub anchor: Option<&'a [u8]>,
    /// The process or node that created the snapshot, if known.
    pub origin: Option<&'a str>,
    /// The snapshot that the payload is a delta of.
    pub base: Option<Base>,
    /// The id of the compression dictionary that the payload needs.
    pub dictionary: Option<u64>,
    /// The id of the key that the payload is sealed with. `None` if the payload is not sealed.
    pub seal_key: Option<&'a str>,
    /// The id of the key that the record is signed with. `None` if it is not signed. Parsing does
    /// not check the signature: [`Record::verify_signed`](super::Record::verify_signed) does.
    pub signing_key: Option<&'a str>,
    pub(super) signature: Option<Signature<'a>>,
    /// The length of the payload before it was sealed. The same as `payload_bytes` if it is not.
    pub(super) unsealed_bytes: u32,
    pub(super) extensions: &'a [u8],
    /// The length of the header itself.
    pub(super) own_bytes: u32,
}

impl<'a> Header<'a> {
    /// Parses and verifies the header at the start of `bytes`. The payload is not checked, and
    /// `bytes` may end after the header.
    ///
    /// # Errors
    /// A [`RejectReason`] if the header is damaged, is not a snapfold header or was written by a
    /// newer release.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, RejectReason> {
        Self::read(bytes, false)
    }

    /// Returns the length of the header in bytes. The payload follows it.
    pub fn header_bytes(&self) -> usize {
        self.own_bytes as usize
    }

    /// Returns the length of the whole record in bytes, header and payload.
    pub fn record_bytes(&self) -> u64 {
        u64::from(self.own_bytes) + u64::from(self.payload_bytes)
    }

    /// Returns the labels in the order in which they were added.
    pub fn labels(&self) -> impl Iterator<Item = &'a str> {
        extension::labels(self.extensions)
    }

    /// Returns how and why the snapshot came to be.
    pub fn details(&self) -> SnapshotDetails {
        let id = SnapshotId { generation: self.generation, version: self.version };
        extension::details(self.extensions, id)
    }

    /// Returns whether this snapshot belongs to `key`.
    pub fn is_of(&self, key: &AggregateKey) -> bool {
        key.is(self.tenant, self.kind, self.id)
    }

    /// Returns whether the payload cannot be opened by every engine: it needs a dictionary, a seal or
    /// a compressor of the application.
    pub(crate) fn needs_openers(&self) -> bool {
        self.dictionary.is_some() || self.seal_key.is_some() || self.compression.is_custom()
    }

    /// Returns whether this is the snapshot that `delta` names as its base.
    pub(super) fn is_base_of(&self, delta: &Header<'_>) -> bool {
        (self.tenant, self.kind, self.id) == (delta.tenant, delta.kind, delta.id)
            && self.generation == delta.generation
            && delta.base.is_some_and(|base| base.version == self.version)
    }
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
