//! [`PublishRefusal`]: why a request was refused, and [`PublishError`].

use std::collections::BTreeMap;
use std::fmt;

use crate::artifact::ArtifactOutcome;
use crate::error::Error;
use crate::publication::PublicationFailure;

/// Why a request that is well-formed was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublishRefusal {
    /// The project has no such publication, or the publication has no such artifact.
    Unknown,
    /// The publication is completed, and does not change any more.
    Completed,
    /// The publication has failed.
    Failed(PublicationFailure),
    /// The artifact was sent before.
    Sent,
    /// The key belongs to another request.
    OtherRequest,
    /// The content is not what was declared. It was not stored, and can be sent again.
    Wrong(WrongPart),
    /// Artifacts are missing or wrong, by name. They can be sent until the publication expires.
    Incomplete(BTreeMap<String, WrongPart>),
    /// The artifact has more than this many bytes, or less than as many were declared without a
    /// hash.
    TooLarge(u64),
    /// The project has this many pending publications, and may have no more.
    TooManyPending(usize),
    /// As many artifacts are being received as may be at the same time.
    Busy,
    /// One of the artifacts is just being removed, because no publication referred to it before.
    /// Finalise again.
    Removing,
}

/// What is wrong with an artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WrongPart {
    /// Nothing arrived.
    Missing,
    /// The size differs.
    Size {
        /// The size of what arrived, or how much of it was read if it is too long.
        found: u64,
    },
    /// The hash differs.
    Hash,
    /// The content type differs.
    Type {
        /// What was declared.
        declared: String,
    },
    /// It is not a record of a snapshot that can be accepted.
    Record {
        /// Why not.
        why: String,
    },
}

/// The error of a call to a [`Publisher`](super::Publisher).
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The request was refused.
    #[error("{0}")]
    Refused(PublishRefusal),
    /// The request is malformed ([`InvalidInput`](crate::ErrorKind::InvalidInput)), or a store failed.
    #[error(transparent)]
    Failed(#[from] Error),
}

impl From<PublishRefusal> for PublishError {
    fn from(refusal: PublishRefusal) -> Self {
        Self::Refused(refusal)
    }
}

impl WrongPart {
    /// What an outcome of the artifact store means; `None` if the artifact is stored.
    pub(super) fn of(outcome: ArtifactOutcome) -> Option<Self> {
        match outcome {
            ArtifactOutcome::Stored | ArtifactOutcome::Existing => None,
            ArtifactOutcome::Missing => Some(Self::Missing),
            ArtifactOutcome::WrongSize { found } => Some(Self::Size { found }),
            ArtifactOutcome::WrongHash { .. } => Some(Self::Hash),
        }
    }
}

impl fmt::Display for WrongPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("nothing was uploaded"),
            Self::Size { found } => write!(f, "the size differs: {found} bytes arrived"),
            Self::Hash => f.write_str("the hash differs"),
            Self::Type { declared } => {
                write!(f, "the content type differs: {declared} was declared")
            }
            Self::Record { why } => write!(f, "the record is not accepted: {why}"),
        }
    }
}

impl fmt::Display for PublishRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("there is no such publication or artifact"),
            Self::Completed => f.write_str("the publication is completed"),
            Self::Failed(why) => write!(f, "the publication has failed: {}", why.name()),
            Self::Sent => f.write_str("the artifact was uploaded before"),
            Self::OtherRequest => f.write_str("the key belongs to another request"),
            Self::Wrong(wrong) => fmt::Display::fmt(wrong, f),
            Self::Incomplete(parts) => {
                for (at, (name, wrong)) in parts.iter().enumerate() {
                    write!(f, "{}{name}: {wrong}", if at == 0 { "" } else { "; " })?;
                }
                Ok(())
            }
            Self::TooLarge(most) => write!(f, "the artifact has more than {most} bytes"),
            Self::TooManyPending(most) => write!(f, "{most} publications are pending"),
            Self::Busy => f.write_str("too many artifacts are being received"),
            Self::Removing => f.write_str("an old copy of an artifact is being removed"),
        }
    }
}
