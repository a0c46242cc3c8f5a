//! [`EventSourceFactory`] and [`EventSite`]: how the kit gets at the event sources that it tests.

use std::sync::Arc;

use async_trait::async_trait;

use crate::error::{BoxError, Error};
use crate::events::{EventSource, HybridSource};
use crate::key::AggregateKey;
use crate::state::Aggregate;
use crate::store::SnapshotStore;
use crate::timestamp::Timestamp;

/// Makes a fresh place for events, once per case. [`event_sites`] makes one from a closure.
#[async_trait]
pub trait EventSourceFactory<A: Aggregate>: Send + Sync {
    /// A new site without events, not shared with any other.
    async fn site(&self) -> Result<Box<dyn EventSite<A>>, BoxError>;
}

/// The place where one event store keeps its events: a schema, a file, a map. Dropping it removes
/// what is stored there.
///
/// [`source`](Self::source), [`append`](Self::append) and [`number`](Self::number) are required.
/// What else a site offers lets the kit prove more; what it does not offer is shown as skipped.
#[async_trait]
pub trait EventSite<A: Aggregate>: Send + Sync {
    /// The source under test, over what is stored here.
    fn source(&self) -> Arc<dyn EventSource<A>>;

    /// Appends events to the stream of `key` as the application does, in one transaction or one by
    /// one. They are committed when it returns. Called while other calls run.
    async fn append(&self, key: &AggregateKey, events: &[NewEvent]) -> Result<(), BoxError>;

    /// The [`NewEvent::number`] that `event` was made from; `None` if it was made from none.
    fn number(&self, event: &A::Event) -> Option<u64>;

    /// What the event store keeps of an event besides its content.
    fn keeps(&self) -> Kept {
        Kept::default()
    }

    /// The key of the aggregate `n`: by default the id `k` and the number, such as `k1`. An event
    /// store whose ids are UUIDs or numbers makes them here.
    fn key(&self, n: u64) -> Result<AggregateKey, Error> {
        A::key(&format!("k{n}"))
    }

    /// Whether the event store can hold events of `key`. By default any key of
    /// [`Aggregate::KIND`] without a tenant. One that keeps tenants, and a kind beside the id, says
    /// `true` to all, and the kit tries keys of other tenants and kinds. The source must refuse the
    /// keys that are not taken, or find no events for them.
    fn takes(&self, key: &AggregateKey) -> bool {
        key.kind() == A::KIND && key.tenant().is_empty()
    }

    /// Removes the events of `key` up to `version` (inclusive). At least one stays. `false` if
    /// events are never removed, which the scorecard shows as skipped.
    async fn truncate(&self, key: &AggregateKey, version: u64) -> Result<bool, BoxError> {
        let _ = (key, version);
        Ok(false)
    }

    /// With `true`, lets the medium fail (a lost server, a table that is gone), so that nothing can
    /// be read; with `false`, heals it. `false` if the site cannot do it, which the scorecard shows
    /// as skipped.
    async fn fail(&self, failing: bool) -> Result<bool, BoxError> {
        let _ = failing;
        Ok(false)
    }

    /// The hybrid source over the same events, if there is one.
    fn hybrid(&self) -> Option<HybridPair<A>> {
        None
    }

    /// What the scorecard calls it: by default the name of the type.
    fn name(&self) -> &'static str {
        std::any::type_name::<Self>()
    }
}

/// An event that the kit wants to be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewEvent {
    /// The version that it gets: the next one of its aggregate.
    pub version: u64,
    /// What tells it from every other event of the site: the application makes its event from this
    /// number. At least 1, below 2^31.
    pub number: u64,
    /// When it was recorded, in whole seconds; may be earlier than the event before. `None`, only if
    /// the store [keeps untimed events](Kept::untimed), for one whose time is not known.
    pub recorded_at: Option<Timestamp>,
    /// What identifies it, for stores that [keep anchors](Kept::anchors).
    pub anchor: [u8; 16],
}

/// What an event store keeps of an event besides its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Kept {
    /// The recorded times that the kit gives; `true` by default. `false` for a store that takes its
    /// own clock, or has no times.
    pub times: bool,
    /// Events without a time; `false` by default.
    pub untimed: bool,
    /// The anchors that the kit gives; `false` by default.
    pub anchors: bool,
}

impl Kept {
    /// Sets whether the recorded times that the kit gives are kept.
    pub const fn times(mut self, yes: bool) -> Self {
        self.times = yes;
        self
    }

    /// Sets whether events without a time are kept as such.
    pub const fn untimed(mut self, yes: bool) -> Self {
        self.untimed = yes;
        self
    }

    /// Sets whether the anchors that the kit gives are kept.
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

/// A hybrid source and the snapshot store that it answers for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HybridPair<A> {
    /// The snapshot store; empty at first. The kit puts snapshots.
    pub store: Arc<dyn SnapshotStore>,
    /// The hybrid source.
    pub hybrid: Arc<dyn HybridSource<A>>,
}

impl<A: Aggregate> HybridPair<A> {
    /// `hybrid` answers for `store`.
    pub fn new(store: Arc<dyn SnapshotStore>, hybrid: Arc<dyn HybridSource<A>>) -> Self {
        Self { store, hybrid }
    }
}

/// A factory that makes each site with `make`.
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
