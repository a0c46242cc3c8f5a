//! [`EngineCore`]: the parts of an engine that loads and saves share.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use futures_util::FutureExt as _;

use super::cache::HotCache;
use super::delta_plan::DeltaPlan;
use super::health::HealthWatch;
use super::learning::Learning;
use super::observer::{Observation, Observer};
use super::on_store_failure::OnStoreFailure;
use super::reader::Reader;
use super::recorder::Recorder;
use super::shared_limits::SharedLimits;
use super::spot_checks::SpotTurns;
use super::statistics::{Counters, Trouble};
use super::store_breaker::StoreBreaker;
use super::verify::Turns;
use super::workload::Gauges;
use crate::clock::Clock;
use crate::codec::{Codec, Digester, TypeInfo, Viewer};
use crate::compress::Compression;
use crate::error::{BoxError, Error, ErrorKind, panic_text};
use crate::events::{EventSource, HybridSource};
use crate::generation::Generation;
use crate::key::AggregateKey;
use crate::record::Openers;
use crate::retention::Retention;
use crate::state::Aggregate;
use crate::store::SnapshotStore;
use crate::trigger::Trigger;

/// The application's own comparison of a state with the decoded snapshot.
pub(super) type Compare<A> = dyn Fn(&A, &A) -> bool + Send + Sync;

/// The application's own check of a state before it is stored.
pub(super) type Validate<A> = dyn Fn(&A) -> Result<(), BoxError> + Send + Sync;

/// The parts of an engine that loading and capturing need. The saver's tasks hold the core but not
/// the saver.
pub(super) struct EngineCore<A: Aggregate> {
    pub(super) source: Arc<dyn EventSource<A>>,
    pub(super) store: Arc<dyn SnapshotStore>,
    /// Gets the records that are replaced, if set.
    pub(super) evidence: Option<Arc<dyn SnapshotStore>>,
    pub(super) hybrid: Option<Arc<dyn HybridSource<A>>>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) codec: Arc<dyn Codec<A>>,
    pub(super) type_info: TypeInfo,
    pub(super) generation: Generation,
    /// The first reader reads what `codec` writes now.
    pub(super) readers: Vec<Reader<A>>,
    pub(super) compression: Compression,
    /// What snapshots are opened with.
    pub(super) openers: Openers,
    /// Makes deltas, if set.
    pub(super) deltas: Option<DeltaPlan>,
    pub(super) trigger: Box<dyn Trigger>,
    /// Applied after background snapshots.
    pub(super) retention: Option<Box<dyn Retention>>,
    /// Decides which background snapshots are compared with the events.
    pub(super) spot_turns: Option<Arc<SpotTurns>>,
    /// Learns what the trigger needs to know of costs, if it does.
    pub(super) learning: Option<Box<Learning>>,
    pub(super) observer: Option<Arc<dyn Observer>>,
    pub(super) on_store_failure: OnStoreFailure,
    pub(super) max_state_bytes: u64,
    pub(super) origin: Option<String>,
    pub(super) producer: Option<String>,
    pub(super) digester: Digester<A>,
    /// The application's own comparison of a state with the decoded snapshot.
    pub(super) compare: Option<Box<Compare<A>>>,
    /// The application's own check of a state before it is stored.
    pub(super) validate: Option<Box<Validate<A>>>,
    pub(super) turns: Turns,
    pub(super) accept_unverified: bool,
    pub(super) cache: HotCache<A>,
    /// Converts states to trees of values, if the codec or the application provides a viewer.
    pub(super) viewer: Option<Arc<dyn Viewer<A>>>,
    pub(super) counters: Counters,
    /// Writes to the ledger, if there is one.
    pub(super) recorder: Option<Arc<Recorder>>,
    /// States of up to this size (inclusive) are encoded on the saver's task.
    pub(super) encode_in_place: u64,
    /// The size of the largest state encoded for a background snapshot, in bytes; 0 before the
    /// first one.
    pub(super) largest_saved: AtomicU64,
    pub(super) limits: SharedLimits,
    pub(super) gauges: Gauges,
    pub(super) watch: HealthWatch,
    /// Only with [`OnStoreFailure::Replay`].
    pub(super) breaker: Option<StoreBreaker>,
}

impl<A: Aggregate> EngineCore<A> {
    #[inline]
    pub(super) fn report(&self, report: &Observation<'_>) {
        if let Some(observer) = &self.observer {
            self.tell(&**observer, report);
        }
    }

    // A separate function, so that loads without an observer stay small enough to be inlined.
    #[inline(never)]
    fn tell(&self, observer: &dyn Observer, report: &Observation<'_>) {
        // Only the application's observer can panic, so no state of the engine is left
        // inconsistent.
        if catch_unwind(AssertUnwindSafe(|| observer.observe(report))).is_err() {
            self.observer_panicked();
        }
    }

    #[cold]
    fn observer_panicked(&self) {
        let what = "the observer panicked, and the operation continued";
        self.failed(Trouble::ObserverPanicked, what, None);
    }

    /// Counts a failure. `what` is followed by the error.
    pub(super) fn failed(&self, trouble: Trouble, what: &str, error: Option<&Error>) {
        self.counters.failed(trouble, self.clock.now(), what, error);
    }
}

/// Runs a future that may run code of the application or of the store, and catches its panic. The
/// future is dropped then, as if it had been cancelled.
pub(super) async fn caught<T>(
    operation: &'static str,
    future: impl Future<Output = T>,
) -> Result<T, Error> {
    let caught = AssertUnwindSafe(future).catch_unwind().await;
    caught.map_err(|panic| panicked(operation, &*panic))
}

/// Returns the error for a panic in code of the application or of the store.
pub(super) fn panicked(operation: &'static str, panic: &(dyn Any + Send)) -> Error {
    let message = "the code of the application or of the store panicked";
    let error = Error::new(ErrorKind::Encode, operation, message);
    match panic_text(panic) {
        Some(text) => error.with_source(text.to_owned()),
        None => error,
    }
}

/// Runs `work` on a thread for blocking work. `shut_down` is the message of the error if the runtime
/// ends first.
pub(super) async fn off_the_runtime<T: Send + 'static>(
    operation: &'static str,
    shut_down: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|join| match join.try_into_panic() {
        Ok(panic) => panicked(operation, &*panic),
        Err(join) => Error::new(ErrorKind::Encode, operation, shut_down).with_source(join),
    })
}

/// Builds a future directly in its box. `Box::pin` would copy it there.
pub(super) fn boxed<F: Future>(make: impl FnOnce() -> F) -> Pin<Box<F>> {
    let place = Box::new_uninit();
    Box::into_pin(Box::write(place, make()))
}

pub(super) fn check_kind<A: Aggregate>(key: &AggregateKey) -> Result<(), Error> {
    if key.kind() == A::KIND {
        return Ok(());
    }
    Err(other_kind::<A>(key))
}

#[cold]
pub(super) fn other_kind<A: Aggregate>(key: &dyn fmt::Display) -> Error {
    let message = format!("{key} is not of kind \"{}\": use the engine for its kind", A::KIND);
    Error::new(ErrorKind::InvalidInput, "use this engine", message)
}
