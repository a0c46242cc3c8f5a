//! [`EventSourceFactory`] and [`EventSite`]: give the kit access to the event sources under test.

use std::sync::Arc;

use async_trait::async_trait;

use crate::error::{BoxError, Error};
use crate::events::{EventSource, HybridSource};
use crate::key::AggregateKey;
use crate::state::Aggregate;
use crate::store::SnapshotStore;
use crate::timestamp::Timestamp;

/// Creates a fresh site for events, once per case. [`event_sites`] creates a factory from a
/// closure.
#[async_trait]
pub trait EventSourceFactory<A: Aggregate>: Send + Sync {
    /// Creates a site without events that shares nothing with other sites.
    async fn site(&self) -> Result<Box<dyn EventSite<A>>, BoxError>;
}

/// The place that holds the events of one event store: a schema, a file, a map. Dropping it removes
/// the events.
///
/// [`source`](Self::source), [`append`](Self::append) and [`number`](Self::number) are required.
/// Every other method that a site supports lets the kit check more. Cases that need an unsupported
/// method are reported as skipped.
#[async_trait]
pub trait EventSite<A: Aggregate>: Send + Sync {
    /// Returns the source under test, over the events of this site.
    fn source(&self) -> Arc<dyn EventSource<A>>;

    /// Appends events to the stream of `key` as the application does, in one transaction or one by
    /// one. Returns after they are committed. Other calls may run concurrently.
    async fn append(&self, key: &AggregateKey, events: &[NewEvent]) -> Result<(), BoxError>;

    /// Returns the [`NewEvent::number`] from which `event` was created, or `None` if there is none.
    fn number(&self, event: &A::Event) -> Option<u64>;

    /// Returns which attributes of an event the event store keeps.
    fn keeps(&self) -> Kept {
        Kept::default()
    }

    /// Returns the key of the aggregate with the number `n`. By default, the id is `k` and the
    /// number, such as `k1`. Override this if the ids of the event store are UUIDs or numbers.
    fn key(&self, n: u64) -> Result<AggregateKey, Error> {
        A::key(&format!("k{n}"))
    }

    /// Returns whether the event store can hold events of `key`. By default, this is any key of
    /// [`Aggregate::KIND`] without a tenant. A store that keeps tenants and kinds returns `true`
    /// for all keys, and the kit then tries keys of other tenants and kinds. The source must refuse
    /// keys that the store cannot hold, or find no events for them.
    fn takes(&self, key: &AggregateKey) -> bool {
        key.kind() == A::KIND && key.tenant().is_empty()
    }

    /// Removes the events of `key` up to `version` (inclusive). The kit keeps at least one event.
    /// Return `false` if events are never removed. The cases are then skipped.
    async fn truncate(&self, key: &AggregateKey, version: u64) -> Result<bool, BoxError> {
        let _ = (key, version);
        Ok(false)
    }

    /// With `true`, makes the medium fail (a lost server, a missing table), so that reads fail.
    /// With `false`, repairs it. Return `false` if the site does not support this. The case is then
    /// skipped.
    async fn fail(&self, failing: bool) -> Result<bool, BoxError> {
        let _ = failing;
        Ok(false)
    }

    /// Returns the hybrid source over the same events, if there is one.
    fn hybrid(&self) -> Option<HybridPair<A>> {
        None
    }

    /// Returns the name for the scorecard. By default, this is the name of the type.
    fn name(&self) -> &'static str {
        std::any::type_name::<Self>()
    }
}

/// An event that the kit appends.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewEvent {
    /// The version, which is one above the aggregate's last version.
    pub version: u64,
    /// A number that no other event of the site has, from which the application creates its event.
    /// At least 1 and below 2^31.
    pub number: u64,
    /// The recorded time, in whole seconds. May be earlier than that of the previous event. `None`
    /// if the time is unknown, which occurs only if the store [keeps untimed
    /// events](Kept::untimed).
    pub recorded_at: Option<Timestamp>,
    /// The anchor of the event, for stores that [keep anchors](Kept::anchors).
    pub anchor: [u8; 16],
}

/// The attributes of an event that an event store keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Kept {
    /// Whether the recorded times that the kit provides are kept; `true` by default. Set it to
    /// `false` for a store that uses its own clock or has no times.
    pub times: bool,
    /// Whether events without a time are kept without one; `false` by default.
    pub untimed: bool,
    /// Whether the anchors that the kit provides are kept; `false` by default.
    pub anchors: bool,
}

impl Kept {
    /// Sets whether the recorded times that the kit provides are kept.
    pub const fn times(mut self, yes: bool) -> Self {
        self.times = yes;
        self
    }

    /// Sets whether events without a time are kept without one.
    pub const fn untimed(mut self, yes: bool) -> Self {
        self.untimed = yes;
        self
    }

    /// Sets whether the anchors that the kit provides are kept.
    pub const fn anchors(mut self, yes: bool) -> Self {
        self.anchors = yes;
        self
    }
}

impl Default for Kept {
    fn default() -> Self {
        Self { times: true, untimed: false, anchors: false }
    }
}

/// A hybrid source and its snapshot store.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HybridPair<A> {
    /// The snapshot store, which is empty at first. The kit puts snapshots into it.
    pub store: Arc<dyn SnapshotStore>,
    /// The hybrid source.
    pub hybrid: Arc<dyn HybridSource<A>>,
}

impl<A: Aggregate> HybridPair<A> {
    /// Pairs `hybrid` with the `store` that it reads.
    pub fn new(store: Arc<dyn SnapshotStore>, hybrid: Arc<dyn HybridSource<A>>) -> Self {
        Self { store, hybrid }
    }
}

/// Returns a factory that creates each site with `make`.
pub fn event_sites<A, S, F>(make: F) -> impl EventSourceFactory<A>
where
    A: Aggregate,
    S: EventSite<A> + 'static,
    F: Fn() -> S + Send + Sync,
{
    Sites(make)
}

struct Sites<F>(F);

#[async_trait]
impl<A, S, F> EventSourceFactory<A> for Sites<F>
where
    A: Aggregate,
    S: EventSite<A> + 'static,
    F: Fn() -> S + Send + Sync,
{
    async fn site(&self) -> Result<Box<dyn EventSite<A>>, BoxError> {
        Ok(Box::new((self.0)()))
    }
}
