//! [`PublicationStatus`], and why one failed.

use std::fmt;

/// How far a publication is. It begins as `Generating` and ends once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PublicationStatus {
    /// Artifacts are being uploaded. Nobody sees the publication in lists of what is published.
    Generating,
    /// It is published: all artifacts are stored, and nothing changes any more.
    Completed,
    /// It ended without being published.
    Failed(PublicationFailure),
}

/// Why a publication failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PublicationFailure {
    /// Somebody who may publish gave it up.
    Aborted,
    /// It was not finalised in time.
    Expired,
    /// An artifact could not be accepted.
    Refused,
}

impl PublicationStatus {
    /// Returns the stable name: `generating`, `completed` or `failed`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Generating => "generating",
            Self::Completed => "completed",
            Self::Failed(_) => "failed",
        }
    }
}

impl PublicationFailure {
    /// Returns the stable name: `aborted`, `expired` or `refused`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aborted => "aborted",
            Self::Expired => "expired",
            Self::Refused => "refused",
        }
    }
}

impl fmt::Display for PublicationStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(why) => write!(f, "failed ({})", why.name()),
            _ => f.write_str(self.name()),
        }
    }
}
