//! [`Provenance`]: where a loaded state came from.

use std::fmt;
use std::time::Duration;

use crate::record::RejectReason;
use crate::snapshot_id::SnapshotId;
use crate::timestamp::Timestamp;

/// Where a loaded state came from, which snapshots were rejected, and what the load cost.
///
/// `Display` formats the provenance as one line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Provenance {
    /// What the state was built from.
    pub origin: Origin,
    /// The newest durably stored snapshot known to the load: the one it used or, for a state from
    /// the cache, the one that the state was originally built from.
    pub snapshot: Option<SnapshotUsed>,
    /// The candidates that were not used, in the order in which they were tried.
    pub rejected: Vec<Rejected>,
    /// The number of events that this load folded.
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

/// A stored snapshot, as seen by a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SnapshotUsed {
    /// The id of the snapshot.
    pub id: SnapshotId,
    /// When the snapshot was created.
    pub created_at: Timestamp,
    /// The size of the record in bytes.
    pub stored_bytes: u64,
    /// The size of the encoded state in bytes, before compression.
    pub raw_bytes: u64,
    /// Whether the state was proved to be the one that was written.
    pub proof: Proof,
    /// Whether the snapshot's last event was compared with the event source. False if the events up
    /// to and including the snapshot's version are gone. It is then unknown whether the snapshot
    /// belongs to this history.
    pub is_compared: bool,
}

/// Whether a decoded state was proved to be the one that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Proof {
    /// The digest equals the one in the record.
    Verified,
    /// This load was not sampled for verification: see [`Verify::Sampled`](crate::engine::Verify).
    Sampled,
    /// The record has no digest, or the codec cannot compute one to compare with.
    Absent,
    /// The type had a different shape when the state was written, and the application accepts serde
    /// defaults for missing fields: see
    /// [`tolerate_shape_changes`](crate::engine::EngineBuilder::tolerate_shape_changes).
    Tolerated,
    /// The digest differs, the events are gone, and the application accepts that: see
    /// [`accept_unverified`](crate::engine::EngineBuilder::accept_unverified).
    Accepted,
}

/// A candidate that was not used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rejected {
    /// The version under which the snapshot is stored; `None` if the store itself failed.
    pub version: Option<u64>,
    /// Why the snapshot was not used.
    pub reason: RejectReason,
}

/// How long the phases of a load took, by the engine's clock.
///
/// Events are applied while they are read, so the phases are split at the first event: waiting for
/// it counts as fetching, everything after it as folding. A state from the cache that needed no
/// event is not timed.
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
    /// Returns the sum of all phases.
    pub fn total(&self) -> Duration {
        self.without_fold().saturating_add(self.fold)
    }

    pub(crate) fn without_fold(&self) -> Duration {
        self.fetch.saturating_add(self.decode)
    }
}

impl Provenance {
    /// Creates the provenance of a state that needed no snapshot and no event. For tests: set the
    /// fields that matter.
    pub const fn new(origin: Origin) -> Self {
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

impl SnapshotUsed {
    /// Creates the description of a verified snapshot whose sizes are 0. For tests: set the fields
    /// that matter.
    pub const fn new(id: SnapshotId, created_at: Timestamp) -> Self {
        Self {
            id,
            created_at,
            stored_bytes: 0,
            raw_bytes: 0,
            proof: Proof::Verified,
            is_compared: true,
        }
    }
}

impl Rejected {
    /// Creates the rejection of the snapshot at `version`; `None` if the store itself failed. For
    /// implementers of [`SnapshotAdmin`](crate::SnapshotAdmin), and for tests.
    pub const fn new(version: Option<u64>, reason: RejectReason) -> Self {
        Self { version, reason }
    }
}

impl Proof {
    /// Returns a note for logs, or `None` for a verified state.
    const fn note(self) -> Option<&'static str> {
        match self {
            Self::Verified => None,
            Self::Sampled => Some("not verified this time"),
            Self::Absent => Some("unverified"),
            Self::Tolerated => Some("a tolerated shape"),
            Self::Accepted => Some("accepted although it differs from the state that was written"),
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
            Some(version) => write!(f, "the snapshot at {version} was not used: {}", self.reason),
            None => write!(f, "no snapshot was used: {}", self.reason),
        }
    }
}
