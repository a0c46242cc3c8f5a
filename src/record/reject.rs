//! [`Reject`]: why a snapshot was not used.

use std::fmt;

use crate::codec::CodecId;
use crate::compress::CompressionId;
use crate::generation::Generation;

/// Why a stored snapshot was not used. A reject is a miss, never a failed load (R2): the engine
/// tries older snapshots, then replays.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reject {
    /// The snapshot's version is above the newest event: the event store has lost events, or the
    /// snapshot belongs to another history.
    Ahead,
    /// It was taken below the replay floor, so the events after it are not all there any more.
    BelowFloor {
        /// The lowest version from which the event source can still replay.
        floor: u64,
    },
    /// It is written with a codec that this engine does not read.
    Codec(CodecId),
    /// The codec cannot decode the payload; the text is the codec's own.
    Decode(String),
    /// The payload does not decompress to the recorded length.
    Decompress,
    /// The anchor of the last folded event differs from the event source's: the histories have
    /// parted.
    Diverged,
    /// A compiled-out crate feature is needed to read it.
    FeatureDisabled(&'static str),
    /// It is not a snapfold record, or the header is damaged at its start.
    Foreign,
    /// The checksum of the header does not match.
    HeaderChecksum,
    /// The header contradicts itself; the text says where.
    Malformed(&'static str),
    /// It needs a base snapshot or a dictionary that this release cannot apply.
    NeedsOther(&'static str),
    /// It was written by a newer release, in a format that this one does not know.
    NewerFormat(u8),
    /// The checksum of the payload does not match.
    PayloadChecksum,
    /// It decodes to another state than the one that was written, as the digests tell: the type
    /// has changed, or its `Serialize` has, or the codec is not the one that it says it is.
    OtherState,
    /// It holds another generation of the state type, and nothing here can read that.
    Stale(Generation),
    /// The store failed, and the engine was told to replay then; the text is the store's own.
    StoreFailed(String),
    /// It claims more bytes than the configured limit.
    TooLarge {
        /// The number of bytes claimed.
        bytes: u64,
        /// The limit that it exceeds.
        limit: u64,
    },
    /// Bytes follow the end of the record.
    TrailingBytes,
    /// The record ends early.
    Truncated,
    /// It needs a compression that this release does not know.
    UnknownCompression(CompressionId),
    /// The upcaster refused the old state; the text is the upcaster's own.
    Upcast(String),
    /// The record belongs to another aggregate than the one it was found under.
    WrongAggregate,
    /// The store returned a snapshot outside the bounds that were asked for.
    WrongVersion(u64),
}

impl Reject {
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

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ahead => f.write_str("its version is ahead of the event stream"),
            Self::BelowFloor { floor } => {
                write!(f, "it lies below the replay floor {floor}: the events after it are gone")
            }
            Self::Codec(id) => {
                write!(f, "it is written with {id}, which this engine does not read")
            }
            Self::Decode(why) => write!(f, "it does not decode: {why}"),
            Self::Decompress => f.write_str("it does not decompress to its recorded length"),
            Self::Diverged => f.write_str("the event at its version is another one by now"),
            Self::FeatureDisabled(feature) => {
                write!(f, "reading it needs the crate feature `{feature}`")
            }
            Self::Foreign => f.write_str("it is not a snapfold record"),
            Self::HeaderChecksum => f.write_str("the checksum of its header does not match"),
            Self::Malformed(why) => write!(f, "its header is malformed: {why}"),
            Self::NeedsOther(what) => write!(f, "it needs {what}, which is not supported yet"),
            Self::NewerFormat(version) => {
                write!(f, "its format {version} is newer than this release of snapfold")
            }
            Self::OtherState => f.write_str("it decodes to another state than was written"),
            Self::PayloadChecksum => f.write_str("the checksum of its payload does not match"),
            Self::Stale(generation) => write!(f, "it is of another generation ({generation})"),
            Self::StoreFailed(why) => write!(f, "the store failed: {why}"),
            Self::TooLarge { bytes, limit } => {
                write!(f, "it claims {bytes} bytes, the limit is {limit}")
            }
            Self::TrailingBytes => f.write_str("bytes follow its end"),
            Self::Truncated => f.write_str("it ends early"),
            Self::UnknownCompression(id) => write!(f, "{id} is unknown to this release"),
            Self::Upcast(why) => write!(f, "the upcaster refused it: {why}"),
            Self::WrongAggregate => f.write_str("it belongs to another aggregate"),
            Self::WrongVersion(version) => {
                write!(f, "its version {version} is not among those asked for")
            }
        }
    }
}

impl std::error::Error for Reject {}
