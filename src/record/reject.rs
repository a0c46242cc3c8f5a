//! [`RejectReason`]: why a snapshot was not used.

use crate::codec::CodecId;
use crate::compress::{CompressionId, DictionaryId};
use crate::generation::Generation;

/// Why a stored snapshot was not used. A reject is a miss and never fails a load: the engine tries
/// older snapshots, then replays the events.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RejectReason {
    /// The version is above that of the newest event: the event store has lost events, or the
    /// snapshot belongs to another history.
    #[error("the snapshot version is ahead of the event stream")]
    Ahead,
    /// The version is below the replay floor, so some events after the snapshot no longer exist.
    #[error("the snapshot is below the replay floor {floor}: some events after it are gone")]
    BelowFloor {
        /// The lowest version from which the event source can still replay.
        floor: u64,
    },
    /// The payload was encoded by a codec that this engine does not read.
    #[error("the snapshot was encoded by {0}, which this engine does not read: use also_reads()")]
    Codec(CodecId),
    /// The codec cannot decode the payload. Contains the codec's error message.
    #[error("the payload does not decode: {0}")]
    Decode(String),
    /// The payload does not decompress to the recorded length.
    #[error("the payload does not decompress to its recorded length")]
    Decompress,
    /// The payload was compressed with a dictionary that this engine does not have.
    #[error(
        "the payload needs the dictionary {0}, which this engine does not have: use dictionary()"
    )]
    Dictionary(DictionaryId),
    /// The anchor or the recorded time of the last folded event differs from the one in the event
    /// source: the histories have diverged.
    #[error("the last event folded into the snapshot differs from the event at its version")]
    Diverged,
    /// Reading the snapshot requires a crate feature that is not enabled.
    #[error("reading the snapshot requires the crate feature `{0}`: enable it")]
    FeatureDisabled(&'static str),
    /// The bytes are not a snapfold record, or the start of the header is damaged.
    #[error("the bytes are not a snapfold record")]
    Foreign,
    /// The checksum of the header does not match.
    #[error("the checksum of the header does not match")]
    HeaderChecksum,
    /// The header is inconsistent. Contains the problem.
    #[error("the header is malformed: {0}")]
    Malformed(&'static str),
    /// The record needs something that this release does not support, such as a base snapshot.
    #[error("the record needs {0}, which this release does not support")]
    NeedsOther(&'static str),
    /// The record was written by a newer release, in a format that this release cannot read.
    #[error("the record format {0} is newer than this release of snapfold: upgrade snapfold")]
    NewerFormat(u8),
    /// The checksum of the payload does not match.
    #[error("the checksum of the payload does not match")]
    PayloadChecksum,
    /// The events fold to a different state, although the last one is the same.
    #[error("the events fold to a different state")]
    OtherFold,
    /// The payload decodes to a different state than the one that was written: their digests
    /// differ. The type or its `Serialize` has changed, or another codec uses the id of the codec
    /// that wrote the payload.
    #[error("the payload decodes to a different state than was written")]
    OtherState,
    /// The [`Seal`](crate::codec::Seal) of the engine refused the payload. Contains its error
    /// message. The payload was changed, moved from another snapshot, or sealed with another key
    /// under the same id.
    #[error("the seal refused the payload: {0}")]
    Seal(String),
    /// The payload is sealed with a key that this engine does not have. Contains the id of the key.
    #[error(
        "the payload is sealed with the key {0:?}, which this engine does not have: use seal()"
    )]
    SealKey(String),
    /// The signature of the record does not match: the record was changed after it was signed, or was
    /// signed with another key under the same id.
    #[error("the signature of the record does not match: it was changed, or has another key")]
    Signature,
    /// The record is signed with a key that this engine does not have. Contains the id of the key.
    #[error("the record is signed with the key {0:?}, which this engine does not have: use also()")]
    SigningKey(String),
    /// The snapshot has another generation of the state type, and no upcast can read it.
    #[error("the snapshot belongs to another generation ({0})")]
    Stale(Generation),
    /// The store failed, and the engine is configured to replay in that case. Contains the store's
    /// error message.
    #[error("the store failed: {0}")]
    StoreFailed(String),
    /// The header claims more bytes than the configured limit.
    #[error("the state is {bytes} bytes long, but the limit is {limit}: raise max_state_bytes()")]
    TooLarge {
        /// The number of bytes claimed by the header.
        bytes: u64,
        /// The configured limit.
        limit: u64,
    },
    /// Bytes follow the end of the record.
    #[error("extra bytes follow the end of the record")]
    TrailingBytes,
    /// The record ends early.
    #[error("the record is truncated")]
    Truncated,
    /// The payload has a compression that this engine does not read: one of a newer release, or one
    /// of an application without its [`Compressor`](crate::codec::Compressor).
    #[error(
        "this engine does not read {0}: use compressor() for a compression of your own, or else \
         upgrade snapfold"
    )]
    UnknownCompression(CompressionId),
    /// The record is not signed, and this engine has signing keys.
    #[error("the record is not signed: use accept_unsigned() while old snapshots are not signed")]
    Unsigned,
    /// The upcaster refused the old state. Contains the upcaster's error message.
    #[error("the upcaster refused the old state: {0}")]
    Upcast(String),
    /// The record belongs to a different aggregate than the one it was stored under.
    #[error("the record belongs to another aggregate")]
    WrongAggregate,
    /// The store returned a snapshot outside the requested bounds.
    #[error("the snapshot version {0} is outside the requested range")]
    WrongVersion(u64),
}

impl RejectReason {
    /// Returns a short name of the reason, such as `payload_checksum`, which can be used as a label
    /// for metrics. It stays the same in later releases.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Ahead => "ahead",
            Self::BelowFloor { .. } => "below_floor",
            Self::Codec(_) => "codec",
            Self::Decode(_) => "decode",
            Self::Decompress => "decompress",
            Self::Dictionary(_) => "dictionary",
            Self::Diverged => "diverged",
            Self::FeatureDisabled(_) => "feature_disabled",
            Self::Foreign => "foreign",
            Self::HeaderChecksum => "header_checksum",
            Self::Malformed(_) => "malformed",
            Self::NeedsOther(_) => "needs_other",
            Self::NewerFormat(_) => "newer_format",
            Self::PayloadChecksum => "payload_checksum",
            Self::OtherFold => "other_fold",
            Self::OtherState => "other_state",
            Self::Seal(_) => "seal",
            Self::SealKey(_) => "seal_key",
            Self::Signature => "signature",
            Self::SigningKey(_) => "signing_key",
            Self::Stale(_) => "stale",
            Self::StoreFailed(_) => "store_failed",
            Self::TooLarge { .. } => "too_large",
            Self::TrailingBytes => "trailing_bytes",
            Self::Truncated => "truncated",
            Self::UnknownCompression(_) => "unknown_compression",
            Self::Unsigned => "unsigned",
            Self::Upcast(_) => "upcast",
            Self::WrongAggregate => "wrong_aggregate",
            Self::WrongVersion(_) => "wrong_version",
        }
    }

    /// Returns whether the stored bytes are damaged or misplaced, rather than intact but unusable
    /// here.
    pub fn is_corrupt(&self) -> bool {
        matches!(
            self,
            Self::Decode(_)
                | Self::Decompress
                | Self::Foreign
                | Self::HeaderChecksum
                | Self::Malformed(_)
                | Self::PayloadChecksum
                | Self::Seal(_)
                | Self::Signature
                | Self::TrailingBytes
                | Self::Truncated
                | Self::WrongAggregate
                | Self::WrongVersion(_)
        )
    }

    /// Returns whether the snapshot contradicts the event source: it is ahead, or it has diverged.
    pub fn is_divergence(&self) -> bool {
        matches!(self, Self::Ahead | Self::Diverged)
    }
}
