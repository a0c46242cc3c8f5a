//! [`RejectReason`]: why a snapshot was not used.

use crate::codec::CodecId;
use crate::compress::CompressionId;
use crate::generation::Generation;

/// Why a stored snapshot was not used. A reject is a miss, never a failed load (R2): the engine
/// tries older snapshots, then replays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RejectReason {
    /// The snapshot's version is above the newest event: the event store has lost events, or the
    /// snapshot belongs to another history.
    #[error("its version is ahead of the event stream")]
    Ahead,
    /// It was taken below the replay floor, so the events after it are not all there any more.
    #[error("it lies below the replay floor {floor}: the events after it are gone")]
    BelowFloor {
        /// The lowest version from which the event source can still replay.
        floor: u64,
    },
    /// It is written with a codec that this engine does not read.
    #[error("it is written with {0}, which this engine does not read")]
    Codec(CodecId),
    /// The codec cannot decode the payload; the text is the codec's own.
    #[error("it does not decode: {0}")]
    Decode(String),
    /// The payload does not decompress to the recorded length.
    #[error("it does not decompress to its recorded length")]
    Decompress,
    /// The anchor of the last folded event differs from the event source's: the histories have
    /// parted.
    #[error("the event at its version is not the one that it was made from")]
    Diverged,
    /// A compiled-out crate feature is needed to read it.
    #[error("reading it needs the crate feature `{0}`")]
    FeatureDisabled(&'static str),
    /// It is not a snapfold record, or the header is damaged at its start.
    #[error("it is not a snapfold record")]
    Foreign,
    /// The checksum of the header does not match.
    #[error("the checksum of its header does not match")]
    HeaderChecksum,
    /// The header contradicts itself; the text says where.
    #[error("its header is malformed: {0}")]
    Malformed(&'static str),
    /// It needs a base snapshot or a dictionary that this release cannot apply.
    #[error("it needs {0}, which is not supported yet")]
    NeedsOther(&'static str),
    /// It was written by a newer release, in a format that this one does not know.
    #[error("its format {0} is newer than this release of snapfold")]
    NewerFormat(u8),
    /// The checksum of the payload does not match.
    #[error("the checksum of its payload does not match")]
    PayloadChecksum,
    /// It decodes to another state than the one that was written, as the digests tell: the type
    /// has changed, or its `Serialize` has, or the codec is not the one that it says it is.
    #[error("it decodes to another state than was written")]
    OtherState,
    /// It holds another generation of the state type, and nothing here can read that.
    #[error("it is of another generation ({0})")]
    Stale(Generation),
    /// The store failed, and the engine was told to replay then; the text is the store's own.
    #[error("the store failed: {0}")]
    StoreFailed(String),
    /// It claims more bytes than the configured limit.
    #[error("it claims {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// The number of bytes claimed.
        bytes: u64,
        /// The limit that it exceeds.
        limit: u64,
    },
    /// Bytes follow the end of the record.
    #[error("bytes follow its end")]
    TrailingBytes,
    /// The record ends early.
    #[error("it ends early")]
    Truncated,
    /// It needs a compression that this release does not know.
    #[error("{0} is unknown to this release")]
    UnknownCompression(CompressionId),
    /// The upcaster refused the old state; the text is the upcaster's own.
    #[error("the upcaster refused it: {0}")]
    Upcast(String),
    /// The record belongs to another aggregate than the one it was found under.
    #[error("it belongs to another aggregate")]
    WrongAggregate,
    /// The store returned a snapshot outside the bounds that were asked for.
    #[error("its version {0} is not among those asked for")]
    WrongVersion(u64),
}

impl RejectReason {
    /// Whether the stored bytes are damaged or misplaced, as opposed to whole but not of use here.
    pub fn is_corrupt(&self) -> bool {
        matches!(
            self,
            Self::Decode(_)
                | Self::Decompress
                | Self::Foreign
                | Self::HeaderChecksum
                | Self::Malformed(_)
                | Self::PayloadChecksum
                | Self::TrailingBytes
                | Self::Truncated
                | Self::WrongAggregate
                | Self::WrongVersion(_)
        )
    }

    /// Whether the snapshot contradicts the event source: ahead of the stream, or diverged.
    pub fn is_divergence(&self) -> bool {
        matches!(self, Self::Ahead | Self::Diverged)
    }
}
