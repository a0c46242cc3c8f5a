//! [`SafeTruncation`]: which events snapshots replace.

use std::fmt;

use crate::snapshot_id::SnapshotId;
use crate::timestamp::Timestamp;

/// What must stay possible after events are deleted.
///
/// ```
/// use snapfold::Timestamp;
/// use snapfold::manager::TruncationRequest;
///
/// let month = Timestamp::from_seconds(1_800_000_000);
/// let request = TruncationRequest::new().loads_since(month).snapshots(3);
/// assert_eq!(request.snapshots, 3);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TruncationRequest {
    /// Loads of each time from this one on (inclusive) must still work.
    pub since: Option<Timestamp>,
    /// Loads of each version from this one on (inclusive) must still work.
    pub from_version: Option<u64>,
    /// The number of snapshots that must remain at or above the result, in case one of them is
    /// damaged. 0 is treated as 1. The default is 2.
    pub snapshots: usize,
}

impl Default for TruncationRequest {
    fn default() -> Self {
        Self { since: None, from_version: None, snapshots: 2 }
    }
}

impl TruncationRequest {
    /// Creates a request with the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets [`since`](Self::since).
    pub const fn loads_since(mut self, time: Timestamp) -> Self {
        self.since = Some(time);
        self
    }

    /// Sets [`from_version`](Self::from_version).
    pub const fn loads_from_version(mut self, version: u64) -> Self {
        self.from_version = Some(version);
        self
    }

    /// Sets [`snapshots`](Self::snapshots).
    pub const fn snapshots(mut self, count: usize) -> Self {
        self.snapshots = count;
        self
    }
}

/// Which events of an aggregate may be deleted, because snapshots replace them.
///
/// Delete the events *below* [`below`](Self::below), and report the new floor in
/// [`EventSource::floor`](crate::EventSource::floor). The event at that version stays, so that loads
/// can compare the snapshot with it. From then on, retention keeps the lowest usable snapshot at or
/// above the floor. Do not delete more: loads below the floor fail with
/// [`Unrecoverable`](crate::ErrorKind::Unrecoverable).
///
/// The answer holds for code that reads the current generation. Other code, such as the previous
/// release during a deploy, must read it too.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SafeTruncation {
    /// Events below this version (exclusive) may be deleted; 0 if none may be.
    pub below: u64,
    /// The snapshots that replace the events, highest version first. The last one is at
    /// [`below`](Self::below). Empty if no event may be deleted.
    pub snapshots: Vec<SnapshotId>,
    /// Why not more events may be deleted.
    pub limit: TruncationLimit,
}

/// Why not more events may be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TruncationLimit {
    /// The number of snapshots that must remain: [`TruncationRequest::snapshots`].
    Snapshots,
    /// The oldest version or time that must still be loadable.
    Request,
    /// A pinned snapshot at this version, whose events are needed to load it.
    Pin(u64),
    /// A snapshot at this version differs from the events, so none can be trusted to replace them.
    Different(u64),
}

impl fmt::Display for TruncationLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Snapshots => f.write_str("the number of snapshots that must remain"),
            Self::Request => f.write_str("the versions and times that must stay loadable"),
            Self::Pin(version) => write!(f, "the pinned snapshot at {version}"),
            Self::Different(version) => {
                write!(f, "the snapshot at {version}, which differs from the events")
            }
        }
    }
}

/// Formats the result as one line, for logs.
impl fmt::Display for SafeTruncation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.below {
            0 => write!(f, "no event may be deleted")?,
            below => write!(f, "events below version {below} may be deleted")?,
        }
        write!(f, "; limited by {}", self.limit)
    }
}
