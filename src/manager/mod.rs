//! The traits that applications call: [`Loader`] reads states, [`SnapshotAdmin`] manages snapshots
//! without knowing the state type, and [`SnapshotManager`] does both for one type of aggregate.

mod admin;
mod bisected;
mod context;
mod created;
mod decision;
mod explained;
mod fold_comparison;
mod inspect;
mod kinds;
mod loaded;
mod loader;
mod mark_names;
mod opaque_state;
mod provenance;
mod retained;
mod shared;
mod snapshot_filter;
mod stats;
mod truncation;
mod verified;
mod view;

use async_trait::async_trait;

use crate::error::Error;
use crate::key::AggregateKey;
use crate::state::Aggregate;

pub use admin::SnapshotAdmin;
pub use bisected::Bisected;
pub(crate) use bisected::Bisection;
pub use context::AdminContext;
pub use created::{CreateOptions, CreateOutcome, CreateRequest, Rebuilt};
pub use decision::Decision;
pub use explained::{Explained, ExplainedSnapshot, SnapshotRole};
pub use fold_comparison::{FoldCause, FoldComparison, FoldDifference};
pub(crate) use inspect::ascending;
pub use inspect::{Inspect, Question};
pub use kinds::Kinds;
pub use loaded::{Fetched, Loaded, Point, Snapshot};
pub use loader::Loader;
pub use mark_names::{REFOLD, REPLACED, ROLLBACK};
pub use opaque_state::OpaqueState;
pub use provenance::{Origin, Proof, Provenance, Rejected, SnapshotUsed, Timings};
pub use retained::Retained;
pub use snapshot_filter::SnapshotFilter;
pub use stats::AggregateStats;
pub use truncation::{SafeTruncation, TruncationLimit, TruncationRequest};
pub use verified::Verified;
pub use view::View;

pub use crate::value::{StateChange, StateDiff, StatePath, StateStep, StateValue};

/// Loads states through snapshots, manages the snapshots, and takes new ones after commits.
///
/// [`SnapshotEngine`](crate::SnapshotEngine) implements this trait. It also has all of these
/// methods as inherent methods, so you can call them without importing a trait. This trait is for
/// code that works with any implementation, and for test doubles. The simplest test double is an
/// engine over `MemoryEvents` and `MemoryStore`.
#[async_trait]
pub trait SnapshotManager<A: Aggregate>: Loader<A> + SnapshotAdmin {
    /// Fetches and decodes the snapshot at exactly `version`, even if it is retired. The snapshot is
    /// not compared with the events.
    async fn snapshot(&self, key: &AggregateKey, version: u64) -> Result<Fetched<A>, Error>;

    /// Fetches and decodes the newest snapshot that is not retired. The snapshot is not compared
    /// with the events.
    async fn latest_snapshot(&self, key: &AggregateKey) -> Result<Fetched<A>, Error>;

    /// Reports that the application has committed events on top of `loaded`, up to `version`.
    ///
    /// If the trigger then asks for a snapshot, one is taken in the background. For this, the
    /// committed events are read again.
    ///
    /// This method never blocks, fails, waits for the store or encodes a state. The returned
    /// decision contains the reason. A version above
    /// [`SnapshotId::MAX_VERSION`](crate::SnapshotId::MAX_VERSION) cannot exist and returns
    /// [`Decision::Wait`].
    ///
    /// If the trigger depends on the size of the state and that size is not known well enough, the
    /// state is measured in the background and the trigger is asked again. A snapshot may then
    /// follow a [`Decision::Wait`].
    fn committed(&self, loaded: &Loaded<A>, version: u64) -> Decision;
}
