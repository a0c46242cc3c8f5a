//! [`LiveChanges`]: where changes are announced.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hmac_sha256::HMAC;

use super::event::LiveEvent;
use super::ring::LiveRing;
use crate::engine::{Observation, Observer};
use crate::error::Error;
use crate::key::AggregateKey;
use crate::ledger::AuditOutcome;
use crate::manager::CreateOutcome;
use crate::random::random;

/// How many rings without listeners there are at the same time.
const MAX_TENANTS: usize = 256;

/// Announces changes to the clients of a [`Delivery`](super::super::Delivery), as server-sent
/// events. Clones share everything.
///
/// Give one to the [builder](super::super::DeliveryBuilder::live) of the delivery, and as an
/// [`Observer`] to the [builders](crate::engine::EngineBuilder::observer) of the engines. Then clients
/// are told of each commit that an engine is told of
/// ([`SnapshotEngine::committed`](crate::SnapshotEngine::committed)), as an event `version`, and when
/// the stored snapshots of an aggregate change, as an event `snapshots`.
///
/// It knows what happens in its own process. What happens at other nodes, or without an engine, is
/// announced by the application, whatever tells it so (`LISTEN` of PostgreSQL, a broker, a change
/// stream): with [`committed`](Self::committed), or with [`publish`](Self::publish).
///
/// ```
/// # use serde::{Deserialize, Serialize};
/// # use snapfold::{Aggregate, AggregateKey, MemoryEvents, MemoryStore, SnapshotEngine};
/// # #[derive(Clone, Serialize, Deserialize)]
/// # struct Account { cents: i64 }
/// # impl Aggregate for Account {
/// #     type Event = i64;
/// #     const KIND: &'static str = "account";
/// #     const SCHEMA_VERSION: u32 = 1;
/// #     fn initial(_: &AggregateKey) -> Self { Account { cents: 0 } }
/// #     fn apply(&mut self, cents: &i64) { self.cents += cents; }
/// # }
/// # fn start(events: MemoryEvents<i64>, store: MemoryStore) -> Result<(), snapfold::Error> {
/// use snapfold::manager::Kinds;
/// use snapfold::service::http::{Delivery, LiveChanges};
///
/// let changes = LiveChanges::new()?;
/// let engine =
///     SnapshotEngine::<Account>::builder(events, store).observer(changes.clone()).build()?;
/// let kinds = Kinds::new().with(engine)?;
/// let delivery = Delivery::builder(kinds).live(changes).open_to_everybody().build()?;
/// # let _ = delivery;
/// # Ok(())
/// # }
/// ```
///
/// # Bounds
/// Each tenant has a ring of the last 1,024 events ([`keeping`](Self::keeping)) and of at most 1 MiB.
/// At most 256 tenants have one, besides those whose clients are connected: the ring that was used
/// least recently is dropped. Nothing waits for clients: announcing takes no longer than it takes to
/// put an event into a ring and to wake who waits for it.
#[derive(Clone)]
pub struct LiveChanges(Arc<LiveHub>);

/// The rings of all tenants.
pub(super) struct LiveHub {
    secret: [u8; 32],
    max_events: usize,
    rings: Mutex<Rings>,
}

type SharedRing = Arc<Mutex<LiveRing>>;

#[derive(Default)]
struct Rings {
    of: HashMap<String, SharedRing>,
    published: u64,
    /// How many rings with events were dropped.
    dropped: u64,
}

impl LiveChanges {
    /// Creates one that keeps the last 1,024 events of each tenant.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if the operating system has no
    /// random bits. They tell clients that it is not the one of an earlier process.
    pub fn new() -> Result<Self, Error> {
        Self::keeping(1_024)
    }

    /// Creates one that keeps the last `events` events of each tenant, at least 1. A client that was
    /// away for longer is told that there is a gap.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    pub fn keeping(events: usize) -> Result<Self, Error> {
        let secret = random("announce changes")?;
        Ok(Self(Arc::new(LiveHub { secret, max_events: events, rings: Mutex::default() })))
    }

    /// Announces that an aggregate has a new version. Never blocks and never fails.
    ///
    /// Call it after the commit. An engine that has this as an observer calls it by itself.
    pub fn committed(&self, key: &AggregateKey, version: u64) {
        self.publish(&LiveEvent::known("version", key, Some(version)));
    }

    /// Announces an event. Never blocks and never fails.
    pub fn publish(&self, event: &LiveEvent) {
        let lines = event.lines();
        let (all, own) = {
            let mut rings = self.0.lock();
            rings.published += 1;
            let published = rings.published;
            if rings.of.len() >= MAX_TENANTS && !rings.of.contains_key(event.tenant()) {
                rings.drop_oldest();
            }
            let ring = self.0.ring(&mut rings, event.tenant());
            // The lock of all rings is held, so that nobody drops this one meanwhile.
            let mut ring = lock_ring(&ring);
            ring.published = published;
            ring.push(&lines, event.key())
        };
        all.notify_waiters();
        if let Some(own) = own {
            own.notify_waiters();
        }
    }

    pub(super) fn hub(&self) -> &Arc<LiveHub> {
        &self.0
    }
}

impl LiveHub {
    // No change is interrupted by code that can panic.
    fn lock(&self) -> MutexGuard<'_, Rings> {
        self.rings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the ring of a tenant, and makes it first if need be.
    fn ring(&self, rings: &mut Rings, tenant: &str) -> SharedRing {
        if let Some(ring) = rings.of.get(tenant) {
            return Arc::clone(ring);
        }
        let ring = LiveRing::new(self.epoch(tenant, rings.dropped), self.max_events);
        let ring = Arc::new(Mutex::new(ring));
        rings.of.insert(tenant.to_owned(), Arc::clone(&ring));
        ring
    }

    /// The epoch of a ring: another one in each process, and once a ring with events was dropped.
    /// A ring that never had an event gets the same again.
    fn epoch(&self, tenant: &str, dropped: u64) -> u64 {
        let mut hash = HMAC::new(self.secret);
        hash.update(dropped.to_le_bytes());
        hash.update(tenant.as_bytes());
        let hash = hash.finalize();
        hash.iter().take(8).fold(0, |epoch, byte| epoch << 8 | u64::from(*byte))
    }

    /// Enters the ring of a tenant, and lets `enter` add a listener.
    pub(super) fn enter<T>(
        &self,
        tenant: &str,
        enter: impl FnOnce(&mut LiveRing) -> T,
    ) -> (SharedRing, T) {
        let mut rings = self.lock();
        let ring = self.ring(&mut rings, tenant);
        let entered = enter(&mut lock_ring(&ring));
        (ring, entered)
    }

    /// Lets `leave` remove a listener. Drops a ring that nobody needs.
    pub(super) fn leave(&self, tenant: &str, ring: &SharedRing, leave: impl FnOnce(&mut LiveRing)) {
        let mut rings = self.lock();
        let mut ring = lock_ring(ring);
        leave(&mut ring);
        if ring.listeners() == 0 && ring.head() == 0 {
            rings.of.remove(tenant);
        }
    }
}

impl Rings {
    /// Drops the ring without listeners that was used least recently, if there are too many.
    fn drop_oldest(&mut self) {
        let idle = self.of.iter().filter_map(|(tenant, ring)| {
            let ring = lock_ring(ring);
            (ring.listeners() == 0).then_some((ring.published, tenant))
        });
        let idle: Vec<_> = idle.collect();
        if let (true, Some((_, tenant))) = (idle.len() >= MAX_TENANTS, idle.iter().min()) {
            let tenant = (*tenant).clone();
            self.of.remove(&tenant);
            self.dropped += 1;
        }
    }
}

pub(super) fn lock_ring(ring: &Mutex<LiveRing>) -> MutexGuard<'_, LiveRing> {
    ring.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Observer for LiveChanges {
    fn observe(&self, observation: &Observation<'_>) {
        let (key, version) = match observation {
            Observation::Committed { key, version } => return self.committed(key, *version),
            Observation::Saved {
                key,
                created: CreateOutcome::Stored(meta) | CreateOutcome::Replaced(meta),
                ..
            } => (*key, Some(meta.version)),
            Observation::Retained { key, .. } => (*key, None),
            Observation::Managed { key: Some(key), version, outcome: AuditOutcome::Ok, .. } => {
                (*key, *version)
            }
            _ => return,
        };
        self.publish(&LiveEvent::known("snapshots", key, version));
    }
}

impl fmt::Debug for LiveChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenants = self.0.lock().of.len();
        f.debug_struct("LiveChanges").field("tenants", &tenants).finish_non_exhaustive()
    }
}
