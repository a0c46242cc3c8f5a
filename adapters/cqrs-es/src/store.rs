//! [`SnapfoldEventStore`]: an event store of cqrs-es that loads with snapfold.

use std::collections::HashMap;
use std::fmt;

use cqrs_es::persist::{PersistedEventRepository, SerializedEvent};
use cqrs_es::{AggregateContext, AggregateError, EventEnvelope, EventStore};
use snapfold::{Loaded, Retry, SnapshotEngine};

use crate::events::RepositoryEvents;
use crate::state::State;

/// An event store of cqrs-es. Events are read and written through a repository of cqrs-es, and
/// states are loaded by an engine of snapfold, which also takes the snapshots.
///
/// Give it to `CqrsFramework::new` in place of a `PersistedEventStore`.
pub struct SnapfoldEventStore<R, A, const SCHEMA: u32 = 1>
where
    A: cqrs_es::Aggregate + Clone + 'static,
    A::Event: 'static,
{
    events: RepositoryEvents<R, A>,
    engine: SnapshotEngine<State<A, SCHEMA>>,
}

impl<R, A, const SCHEMA: u32> SnapfoldEventStore<R, A, SCHEMA>
where
    A: cqrs_es::Aggregate + Clone + 'static,
    A::Event: 'static,
{
    /// Creates an event store. The engine must read the same events, from `events` or from
    /// the same table. It may have any store, trigger, codec and cache.
    pub fn new(events: RepositoryEvents<R, A>, engine: SnapshotEngine<State<A, SCHEMA>>) -> Self {
        Self { events, engine }
    }

    /// Returns the engine: for states at former versions, for comparisons, and for `flush` at the
    /// end of the process.
    pub fn engine(&self) -> &SnapshotEngine<State<A, SCHEMA>> {
        &self.engine
    }
}

impl<R, A, const SCHEMA: u32> fmt::Debug for SnapfoldEventStore<R, A, SCHEMA>
where
    A: cqrs_es::Aggregate + Clone + 'static,
    A::Event: 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapfoldEventStore").finish_non_exhaustive()
    }
}

/// An aggregate that was loaded, and what `commit` needs to know of the load.
pub struct Context<A, const SCHEMA: u32 = 1>
where
    A: cqrs_es::Aggregate + Clone + 'static,
    A::Event: 'static,
{
    /// The id of the aggregate.
    pub aggregate_id: String,
    /// The state, which a command may change.
    pub aggregate: A,
    /// The number of events in the state as it was loaded.
    pub current_sequence: usize,
    /// The version of the snapshot that the load began with, if it had one.
    pub current_snapshot: Option<usize>,
    loaded: Loaded<State<A, SCHEMA>>,
}

impl<A, const SCHEMA: u32> AggregateContext<A> for Context<A, SCHEMA>
where
    A: cqrs_es::Aggregate + Clone + 'static,
    A::Event: 'static,
{
    fn aggregate(&mut self) -> &mut A {
        &mut self.aggregate
    }
}

impl<R, A, const SCHEMA: u32> EventStore<A> for SnapfoldEventStore<R, A, SCHEMA>
where
    R: PersistedEventRepository,
    A: cqrs_es::Aggregate + Clone + 'static,
    A::Event: 'static,
{
    type AC = Context<A, SCHEMA>;

    async fn load_events(
        &self,
        aggregate_id: &str,
    ) -> Result<Vec<EventEnvelope<A>>, AggregateError<A::Error>> {
        let events = self.events.repository.get_events::<A>(aggregate_id).await?;
        let events = events.into_iter().map(|event| self.events.upcasters.read(event));
        Ok(events.collect::<Result<_, _>>()?)
    }

    async fn load_aggregate(
        &self,
        aggregate_id: &str,
    ) -> Result<Context<A, SCHEMA>, AggregateError<A::Error>> {
        let key = State::<A, SCHEMA>::aggregate_key(aggregate_id).map_err(failed)?;
        let loaded = self.engine.load(&key).await.map_err(failed)?;
        let number = |version: u64| usize::try_from(version).map_err(unexpected);
        Ok(Context {
            aggregate_id: aggregate_id.to_owned(),
            aggregate: loaded.state.0.clone(),
            current_sequence: number(loaded.version)?,
            current_snapshot: loaded
                .provenance
                .snapshot
                .as_ref()
                .map(|used| number(used.id.version))
                .transpose()?,
            loaded,
        })
    }

    async fn commit(
        &self,
        events: Vec<A::Event>,
        context: Context<A, SCHEMA>,
        metadata: HashMap<String, String>,
    ) -> Result<Vec<EventEnvelope<A>>, AggregateError<A::Error>> {
        let sequences = context.current_sequence + 1..;
        let envelope = |(sequence, payload)| EventEnvelope {
            aggregate_id: context.aggregate_id.clone(),
            sequence,
            payload,
            metadata: metadata.clone(),
        };
        let envelopes: Vec<EventEnvelope<A>> = sequences.zip(events).map(envelope).collect();
        let serialized: Result<Vec<_>, _> =
            envelopes.iter().map(SerializedEvent::try_from).collect();
        self.events.repository.persist::<A>(&serialized?, None).await?;
        self.engine.committed(&context.loaded, context.loaded.version + envelopes.len() as u64);
        Ok(envelopes)
    }
}

/// An error of a load, as cqrs-es tells them.
fn failed<E: std::error::Error>(error: snapfold::Error) -> AggregateError<E> {
    match error.retry() {
        Retry::Never => unexpected(error),
        _ => AggregateError::DatabaseConnectionError(Box::new(error)),
    }
}

fn unexpected<E: std::error::Error>(
    error: impl std::error::Error + Send + Sync + 'static,
) -> AggregateError<E> {
    AggregateError::UnexpectedError(Box::new(error))
}
