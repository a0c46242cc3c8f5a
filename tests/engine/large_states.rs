//! Events are applied to a large cached state in place, unless somebody else holds it.
//!
//! Guards against: a copy of a large state for each command; a state that changes behind a reader;
//! a cache that serves a state which a failed, cancelled or panicking load has half advanced.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};

use async_trait::async_trait;
use futures_util::FutureExt as _;
use serde::{Deserialize, Serialize};
use snapfold::engine::CacheConfig;
use snapfold::manager::{Loaded, Origin};
use snapfold::{
    Aggregate, AggregateKey, BoxError, EventRange, EventSource, MemoryEvents, MemoryStore, Replay,
    SnapshotEngine, Timestamp,
};

/// How often a state of this test was copied.
static COPIES: AtomicU64 = AtomicU64::new(0);
/// The tests count copies, so they run one after another.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Ledger {
    rows: Vec<u64>,
}

impl Clone for Ledger {
    fn clone(&self) -> Self {
        COPIES.fetch_add(1, Ordering::Relaxed);
        Self { rows: self.rows.clone() }
    }
}

impl Aggregate for Ledger {
    type Event = u64;
    const KIND: &'static str = "ledger";
    const SCHEMA_VERSION: u32 = 1;

    fn initial(_: &AggregateKey) -> Self {
        Self { rows: (0..2_000).map(|row| row << 40).collect() }
    }

    fn apply(&mut self, event: &u64) {
        assert!(*event != PANIC, "a bad event");
        self.rows[0] = self.rows[0].wrapping_mul(31).wrapping_add(*event);
    }
}

const PANIC: u64 = u64::MAX;

/// Events that can fail or hang after they were pushed.
#[derive(Clone, Default)]
struct Moody {
    events: MemoryEvents<u64>,
    fails: Arc<AtomicBool>,
    hangs: Arc<AtomicBool>,
}

#[async_trait]
impl EventSource<Ledger> for Moody {
    async fn read(
        &self,
        key: &AggregateKey,
        range: EventRange,
        replay: &mut Replay<'_, Ledger>,
    ) -> Result<(), BoxError> {
        self.events.read(key, range, replay).await?;
        if self.hangs.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        if self.fails.load(Ordering::Relaxed) {
            return Err("the connection is gone".into());
        }
        Ok(())
    }
}

struct World {
    source: Moody,
    engine: SnapshotEngine<Ledger>,
    key: AggregateKey,
}

impl World {
    fn new() -> Self {
        let source = Moody::default();
        let engine = SnapshotEngine::<Ledger>::builder(source.clone(), MemoryStore::new())
            .cache(CacheConfig::default())
            .build()
            .unwrap();
        let world = Self { source, engine, key: Ledger::key("a").unwrap() };
        world.append(1);
        world
    }

    fn append(&self, event: u64) {
        self.source.events.append(&self.key, Timestamp::from_seconds(1), event);
    }

    /// Loads, and compares with a fold of all events by hand.
    async fn load(&self, events: &[u64]) -> Loaded<Ledger> {
        let loaded = self.engine.load(&self.key).await.unwrap();
        let mut truth = Ledger::initial(&self.key);
        for event in events {
            truth.apply(event);
        }
        assert_eq!(*loaded.state, truth);
        assert_eq!(loaded.version, events.len() as u64);
        loaded
    }
}

/// Counts the copies that `f` makes.
async fn copies<T>(f: impl Future<Output = T>) -> (u64, T) {
    let before = COPIES.load(Ordering::Relaxed);
    let result = f.await;
    (COPIES.load(Ordering::Relaxed) - before, result)
}

fn run(test: impl AsyncFnOnce(World)) {
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(test(World::new()));
}

#[test]
fn a_state_that_only_the_cache_holds_is_advanced_in_place() {
    run(async |world| {
        drop(world.load(&[1]).await);
        let mut events = vec![1];
        for event in 2..50 {
            world.append(event);
            events.push(event);
            let (copies, loaded) = copies(world.load(&events)).await;
            assert_eq!((copies, loaded.provenance.origin), (0, Origin::Cache));
        }
    });
}

#[test]
fn a_state_that_a_caller_holds_is_copied_once_and_does_not_change() {
    run(async |world| {
        let held = world.load(&[1]).await;
        let before = held.state.rows.clone();
        world.append(2);
        let (first, loaded) = copies(world.load(&[1, 2])).await;
        assert_eq!((first, loaded.provenance.origin), (1, Origin::Cache));
        assert_eq!(held.state.rows, before);
        drop(loaded);
        world.append(3);
        let (second, loaded) = copies(world.load(&[1, 2, 3])).await;
        assert_eq!((second, loaded.provenance.origin), (0, Origin::Cache));
        assert_eq!(held.state.rows, before);
    });
}

#[test]
fn a_load_that_fails_or_is_cancelled_leaves_nothing_half_advanced() {
    run(async |world| {
        drop(world.load(&[1]).await);
        world.append(2);
        world.source.fails.store(true, Ordering::Relaxed);
        world.engine.load(&world.key).await.unwrap_err();
        world.source.fails.store(false, Ordering::Relaxed);
        drop(world.load(&[1, 2]).await);

        world.append(3);
        world.source.hangs.store(true, Ordering::Relaxed);
        let mut cancelled = Box::pin(world.engine.load(&world.key));
        assert!(cancelled.poll_unpin(&mut Context::from_waker(Waker::noop())).is_pending());
        // A load beside the one that hangs.
        world.source.hangs.store(false, Ordering::Relaxed);
        world.append(4);
        drop(world.load(&[1, 2, 3, 4]).await);
        drop(cancelled);
        let loaded = world.load(&[1, 2, 3, 4]).await;
        assert_eq!(loaded.provenance.origin, Origin::Cache);
    });
}

#[test]
fn a_load_that_went_on_beside_another_never_takes_the_cache_back() {
    run(async |world| {
        drop(world.load(&[1]).await);
        world.append(2);
        world.source.hangs.store(true, Ordering::Relaxed);
        let mut slow = Box::pin(world.engine.load(&world.key));
        assert!(slow.poll_unpin(&mut Context::from_waker(Waker::noop())).is_pending());
        world.source.hangs.store(false, Ordering::Relaxed);
        world.append(3);
        drop(world.load(&[1, 2, 3]).await);
        drop(slow);
        world.append(4);
        let loaded = world.load(&[1, 2, 3, 4]).await;
        assert_eq!(
            (loaded.provenance.origin, loaded.provenance.events_replayed),
            (Origin::Cache, 1)
        );
    });
}

#[test]
fn a_panic_in_apply_loses_the_cached_state_and_nothing_else() {
    run(async |world| {
        drop(world.load(&[1]).await);
        world.append(2);
        world.append(PANIC);
        let load = AssertUnwindSafe(world.engine.load(&world.key)).catch_unwind().await;
        // Contained by the engine or passed on to the caller, but no state.
        assert!(!matches!(load, Ok(Ok(_))));
        world.source.events.rewind(&world.key, 2);
        let loaded = world.load(&[1, 2]).await;
        assert_eq!(loaded.version, 2);
    });
}
