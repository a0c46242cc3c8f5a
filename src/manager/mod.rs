//! What applications call, by audience: [`Loader`] reads states, [`SnapshotAdmin`] looks after
//! snapshots without knowing their type, [`SnapshotManager`] is both for one type of aggregate.

mod admin;
mod context;
mod created;
mod decision;
mod kinds;
mod loaded;
mod loader;
mod provenance;
mod retained;
mod shared;
mod stats;
mod view;

use async_trait::async_trait;

use crate::error::Error;
use crate::key::AggregateKey;
use crate::state::Aggregate;

pub use admin::SnapshotAdmin;
pub use context::AdminContext;
pub use created::{CreateOptions, CreateOutcome, Rebuilt};
pub use decision::Decision;
pub use kinds::Kinds;
pub use loaded::{Fetched, Loaded, Point, Snapshot};
pub use loader::Loader;
pub use provenance::{Origin, Proof, Provenance, Rejected, SnapshotUsed, Timings};
pub use retained::Retained;
pub use stats::AggregateStats;
pub use view::View;

pub use crate::value::StateValue;

/// Loads states through snapshots, looks after the snapshots, and takes new ones after commits.
///
/// [`SnapshotEngine`](crate::SnapshotEngine) is the real one, and has all of these methods itself:
/// no trait need be imported to call them. The traits are for code that works with any
/// implementation, and for tests that replace it. The simplest replacement is an engine over
/// `MemoryEvents` and `MemoryStore`.
#[async_trait]
pub trait SnapshotManager<A: Aggregate>: Loader<A> + SnapshotAdmin {
    /// The stored snapshot at just this version, decoded. It is not compared with the events.
    async fn snapshot(&self, key: &AggregateKey, version: u64) -> Result<Fetched<A>, Error>;

    /// The newest stored snapshot that is not retired, decoded. It is not compared with the events.
    async fn latest_snapshot(&self, key: &AggregateKey) -> Result<Fetched<A>, Error>;

    /// Tells that the application has committed events on top of `loaded`, up to `version`. Asks
    /// the trigger; if it says so, a snapshot is taken in the background, from the committed
    /// events, which are read again then.
    ///
    /// Never blocks, never fails, never waits for the store, never encodes a state (R12). The
    /// decision is explained. A version above
    /// [`SnapshotId::MAX_VERSION`](crate::SnapshotId::MAX_VERSION) is answered with
    /// [`Decision::Wait`], as there is none.
    ///
    /// Where the trigger looks at the size of the state and that is not known well enough, the
    /// state is measured in the background, and the trigger is asked again: a snapshot may follow a
    /// [`Decision::Wait`] then.
    fn committed(&self, loaded: &Loaded<A>, version: u64) -> Decision;
}
