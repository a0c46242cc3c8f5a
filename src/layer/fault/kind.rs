//! [`Fault`]s, and the calls that they affect ([`StoreCall`]).

use std::fmt;

/// A method of [`SnapshotStore`](crate::SnapshotStore) that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum StoreCall {
    /// [`delete`](crate::SnapshotStore::delete) and
    /// [`delete_many`](crate::SnapshotStore::delete_many).
    Delete,
    /// [`get`](crate::SnapshotStore::get).
    Get,
    /// [`keys`](crate::SnapshotStore::keys).
    Keys,
    /// [`list`](crate::SnapshotStore::list), also for each element of
    /// [`list_many`](crate::SnapshotStore::list_many).
    List,
    /// [`mark`](crate::SnapshotStore::mark).
    Mark,
    /// [`put`](crate::SnapshotStore::put) and [`rewrite`](crate::SnapshotStore::rewrite).
    Put,
}

/// A fault that can be injected into a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// The call takes up to [`Faults::max_delay`](crate::layer::Faults::max_delay) longer. Part of
    /// the delay is before the call takes effect and part is after it. Can be combined with another
    /// fault.
    Delayed,
    /// `get` returns the record with one bit flipped (violates C-06).
    Flipped,
    /// The call hangs for [`Faults::hang`](crate::layer::Faults::hang) and then fails with
    /// [`ErrorKind::Timeout`](crate::ErrorKind::Timeout). A write may have taken effect, so its
    /// retry is [`Retry::Unknown`](crate::Retry::Unknown).
    Hung,
    /// `put` reports all records as stored but stores none (violates C-10).
    Lost,
    /// The call fails without any effect. Its retry is [`Retry::Later`](crate::Retry::Later).
    Refused,
    /// `get` or `list` answers as if the newest snapshot did not exist yet, or repeats an earlier
    /// answer to the same request, like a lagging replica (violates C-23).
    Stale,
    /// `get` returns a truncated record (violates C-06).
    Torn,
    /// `put`, `delete` or `mark` takes effect but fails, as if the acknowledgement were lost. Its
    /// retry is [`Retry::Unknown`](crate::Retry::Unknown).
    Unacknowledged,
}

impl StoreCall {
    pub(super) const ALL: [Self; 6] =
        [Self::Delete, Self::Get, Self::Keys, Self::List, Self::Mark, Self::Put];

    /// Returns whether the call changes stored data.
    pub(super) const fn writes(self) -> bool {
        matches!(self, Self::Delete | Self::Mark | Self::Put)
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Delete => "delete",
            Self::Get => "get",
            Self::Keys => "keys",
            Self::List => "list",
            Self::Mark => "mark",
            Self::Put => "put",
        }
    }
}

impl Fault {
    /// The faults that exclude each other. New ones are added at the end, so that seeds keep their
    /// meaning.
    pub(super) const EXCLUSIVE: [Self; 7] = [
        Self::Refused,
        Self::Hung,
        Self::Unacknowledged,
        Self::Stale,
        Self::Torn,
        Self::Flipped,
        Self::Lost,
    ];

    /// Returns whether `call` supports this fault.
    pub const fn can_befall(self, call: StoreCall) -> bool {
        match self {
            Self::Delayed | Self::Hung | Self::Refused => true,
            Self::Flipped | Self::Torn => matches!(call, StoreCall::Get),
            Self::Lost => matches!(call, StoreCall::Put),
            Self::Stale => matches!(call, StoreCall::Get | StoreCall::List),
            Self::Unacknowledged => call.writes(),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Delayed => "delayed",
            Self::Flipped => "flipped",
            Self::Hung => "hung",
            Self::Lost => "lost",
            Self::Refused => "refused",
            Self::Stale => "stale",
            Self::Torn => "torn",
            Self::Unacknowledged => "unacknowledged",
        }
    }
}

impl fmt::Display for StoreCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
