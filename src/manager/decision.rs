//! [`Decision`]: whether a commit leads to a snapshot, and why.

use std::fmt;

/// Whether a commit leads to a snapshot, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// The trigger asked for a snapshot, but it could not be queued. The trigger is asked again at
    /// the next commit.
    Dropped {
        /// Why the snapshot was not queued: the queue is full, the aggregate is backing off after
        /// failures, or there is no tokio runtime for the background task.
        reason: String,
    },
    /// A snapshot will be taken in the background.
    Queued {
        /// Why the trigger asked for a snapshot.
        reason: String,
    },
    /// No snapshot is taken now. One may follow if the state is being measured and turns out to be
    /// large enough for the trigger.
    Wait {
        /// Why no snapshot is taken.
        reason: String,
    },
}

impl Decision {
    /// Returns whether a snapshot will be taken.
    pub fn is_queued(&self) -> bool {
        matches!(self, Self::Queued { .. })
    }

    /// Returns the reason.
    pub fn reason(&self) -> &str {
        match self {
            Self::Dropped { reason } | Self::Queued { reason } | Self::Wait { reason } => reason,
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self {
            Self::Dropped { .. } => "dropped",
            Self::Queued { .. } => "queued",
            Self::Wait { .. } => "wait",
        };
        write!(f, "{verdict}: {}", self.reason())
    }
}
