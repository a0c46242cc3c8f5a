//! [`Provenance`]: where a loaded state came from.

use std::fmt;
use std::time::Duration;

use crate::record::RejectReason;
use crate::snapshot_id::SnapshotId;
use crate::timestamp::Timestamp;

/// Where a loaded state came from, what was tried and rejected, and what it cost. `Display` says
/// it in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Provenance {
    /// What the state was built from.
    pub origin: Origin,
    /// The newest durably stored snapshot that the load knows of: the one it used, or, for a state
    /// from the cache, the one that it was once built from.
    pub snapshot: Option<SnapshotUsed>,
    /// The candidates that were not used, in the order in which they were tried.
    pub rejected: Vec<Rejected>,
    /// How many events were folded by this load.
    pub events_replayed: u64,
    /// How long the phases took.
    pub timings: Timings,
}

/// What a state was built from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Origin {
    /// A decoded state in the hot cache, and the events after it.
    Cache,
    /// All events from the beginning.
    Replay,
    /// A stored snapshot, and the events after it.
    Snapshot,
}

/// A stored snapshot, as a load sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SnapshotUsed {
    /// Which snapshot.
    pub id: SnapshotId,
    /// When it was made.
    pub created_at: Timestamp,
    /// The bytes of its record.
    pub stored_bytes: u64,
    /// The bytes of its encoded state, before compression.
    pub raw_bytes: u64,
    /// Whether its state was proved to be the one that was written.
    pub proof: Proof,
    /// Whether its last event was compared with the event source. False if the events up to the
    /// snapshot are truncated: then it is not known whether it belongs to this history.
    pub is_compared: bool,
}

/// Whether a decoded state was proved to be the one that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Proof {
    /// Its digest is the one in the record.
    Verified,
    /// This load was not among those that are verified: see
    /// [`Verify::Sampled`](crate::engine::Verify).
    Sampled,
    /// The record has no digest, or the codec has none to compare it with.
    Absent,
    /// The type had another shape when the state was written, and the application vouches for its
    /// defaults: see
    /// [`tolerate_shape_changes`](crate::engine::EngineBuilder::tolerate_shape_changes).
    Tolerated,
    /// Its digest is another one, the events are gone, and the application accepts that: see
    /// [`accept_unverified`](crate::engine::EngineBuilder::accept_unverified).
    Accepted,
}

/// A candidate that was not used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rejected {
    /// The version under which the store has it; `None` if the store itself failed.
    pub version: Option<u64>,
    /// Why it was not used.
    pub reason: RejectReason,
}

/// How long the phases of a load took, by the engine's clock.
///
/// Events are applied while they are read, so one phase ends with the first event applied: waiting
/// for it counts as fetching, all after it as folding. A state from the cache that needed no event
/// is not timed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timings {
    /// Waiting for records from the store, and for the first event from the event source.
    pub fetch: Duration,
    /// Verifying, decompressing and decoding records.
    pub decode: Duration,
    /// Applying events, and waiting for those after the first.
    pub fold: Duration,
}

impl Timings {
    /// All phases together.
    pub fn total(&self) -> Duration {
        self.fetch.saturating_add(self.decode).saturating_add(self.fold)
    }
}

impl Provenance {
    pub(crate) const fn new(origin: Origin) -> Self {
        Self {
            origin,
            snapshot: None,
            rejected: Vec::new(),
            events_replayed: 0,
            timings: Timings {
                fetch: Duration::ZERO,
                decode: Duration::ZERO,
                fold: Duration::ZERO,
            },
        }
    }
}

impl Proof {
    /// What readers of a log should know; nothing for the usual case.
    const fn note(self) -> Option<&'static str> {
        match self {
            Self::Verified => None,
            Self::Sampled => Some("not verified this time"),
            Self::Absent => Some("unverified"),
            Self::Tolerated => Some("of a tolerated shape"),
            Self::Accepted => Some("accepted though it is not the state that was written"),
        }
    }
}

impl fmt::Display for Provenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.origin, &self.snapshot) {
            (Origin::Cache, _) => f.write_str("from the cache")?,
            (Origin::Snapshot, Some(used)) => {
                write!(f, "from the snapshot at {}", used.id.version)?;
                let notes = [used.proof.note(), (!used.is_compared).then_some("not compared")];
                let mut notes = notes.into_iter().flatten();
                if let Some(first) = notes.next() {
                    write!(f, " ({first}")?;
                    notes.try_for_each(|note| write!(f, ", {note}"))?;
                    f.write_str(")")?;
                }
            }
            (Origin::Snapshot, None) => f.write_str("from a snapshot")?,
            (Origin::Replay, _) => f.write_str("by replay from the beginning")?,
        }
        write!(f, " and {} events in {:?}", self.events_replayed, self.timings.total())?;
        for rejected in &self.rejected {
            write!(f, "; {rejected}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.version {
            Some(version) => write!(f, "not the snapshot at {version}: {}", self.reason),
            None => write!(f, "no snapshot: {}", self.reason),
        }
    }
}
