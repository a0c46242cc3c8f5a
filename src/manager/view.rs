//! [`View`]: a loaded state without its type.

use super::provenance::Provenance;
use crate::key::AggregateKey;
use crate::timestamp::Timestamp;
use crate::value::StateValue;

/// A state as a tree of values, and where the state came from. Returned by [`Inspect::view`],
/// for code that does not know the state type.
///
/// [`Inspect::view`]: crate::manager::Inspect::view
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct View {
    /// The aggregate.
    pub key: AggregateKey,
    /// The number of folded events; 0 for the empty state.
    pub version: u64,
    /// The latest recorded time among the folded events; `None` for the empty state.
    pub as_of: Option<Timestamp>,
    /// The state, as converted by the engine's [viewer](crate::engine::EngineBuilder::viewer).
    pub state: StateValue,
    /// How the state was obtained.
    pub provenance: Provenance,
}

impl View {
    /// Creates a view. For implementers of [`SnapshotAdmin`](crate::SnapshotAdmin).
    pub const fn new(
        key: AggregateKey,
        version: u64,
        as_of: Option<Timestamp>,
        state: StateValue,
        provenance: Provenance,
    ) -> Self {
        Self { key, version, as_of, state, provenance }
    }
}
