//! [`Loaded`], [`Fetched`] and [`Snapshot`]: results of loads.

use std::fmt;
use std::sync::Arc;

use super::provenance::{Origin, Provenance, Rejected};
use crate::engine::Weight;
use crate::key::AggregateKey;
use crate::record::SnapshotMeta;
use crate::timestamp::Timestamp;

/// A loaded state, and where it came from.
#[derive(Clone)]
#[non_exhaustive]
pub struct Loaded<A> {
    /// The aggregate.
    pub key: AggregateKey,
    /// The state: the fold of the first [`version`](Self::version) events.
    pub state: Arc<A>,
    /// The number of folded events; 0 for the empty state.
    pub version: u64,
    /// The latest recorded time among the folded events. `None` for the empty state;
    /// [`Timestamp::MAX`] if an event has [no time](crate::events::Recorded::untimed).
    pub as_of: Option<Timestamp>,
    /// How the state was obtained.
    pub provenance: Provenance,
    /// The encoded size recorded in the hot cache, for the trigger.
    pub(crate) weight: Option<Weight>,
}

impl<A> Loaded<A> {
    /// Creates a result for a fake [`Loader`](crate::Loader), as if replayed from the beginning.
    /// `as_of` is `None` for the empty state. To fake another origin, set
    /// [`provenance`](Self::provenance).
    pub fn new(key: AggregateKey, state: A, version: u64, as_of: Option<Timestamp>) -> Self {
        let mut provenance = Provenance::new(Origin::Replay);
        provenance.events_replayed = version;
        Self { key, state: Arc::new(state), version, as_of, provenance, weight: None }
    }
}

/// A point in the history of an aggregate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Point {
    /// After all committed events.
    Now,
    /// The highest version up to which all events were recorded at or before this time (inclusive).
    Time(Timestamp),
    /// After this many events (inclusive).
    Version(u64),
}

/// A stored snapshot, decoded.
#[derive(Clone)]
#[non_exhaustive]
pub struct Snapshot<A> {
    /// The metadata of the snapshot.
    pub meta: SnapshotMeta,
    /// The state.
    pub state: Arc<A>,
}

/// The result of fetching one stored snapshot.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[expect(clippy::large_enum_variant, reason = "there is one at a time, and it is matched at once")]
pub enum Fetched<A> {
    /// The snapshot does not exist.
    Absent,
    /// The snapshot exists but cannot be used.
    Rejected(Rejected),
    /// The snapshot exists and was decoded.
    Usable(Snapshot<A>),
}

impl<A> Snapshot<A> {
    /// Creates a snapshot for a fake [`SnapshotManager`](crate::SnapshotManager).
    pub fn new(meta: SnapshotMeta, state: A) -> Self {
        Self { meta, state: Arc::new(state) }
    }
}

impl<A> Fetched<A> {
    /// Returns the snapshot, if it exists and is usable.
    pub fn usable(self) -> Option<Snapshot<A>> {
        match self {
            Self::Usable(snapshot) => Some(snapshot),
            Self::Absent | Self::Rejected(_) => None,
        }
    }
}

impl<A> fmt::Debug for Loaded<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded")
            .field("key", &self.key)
            .field("version", &self.version)
            .field("as_of", &self.as_of)
            .field("provenance", &self.provenance)
            .finish_non_exhaustive()
    }
}

impl<A> fmt::Debug for Snapshot<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("meta", &self.meta).finish_non_exhaustive()
    }
}
