//! [`RepositoryEvents`]: the events of any database of cqrs-es.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;
use cqrs_es::persist::{EventUpcaster, PersistedEventRepository};
use snapfold::events::Recorded;
use snapfold::{AggregateKey, BoxError, EventRange, EventSource, Replay};

use crate::state::State;
use crate::upcast::Upcasters;

/// The events of a repository of cqrs-es, read for the aggregate `A`. Clones share the repository.
///
/// A repository returns all events after a version at once, so a replay of a long history needs
/// memory for all of them.
pub struct RepositoryEvents<R, A> {
    pub(crate) repository: Arc<R>,
    pub(crate) upcasters: Upcasters,
    aggregate: PhantomData<fn() -> A>,
}

impl<R, A> RepositoryEvents<R, A> {
    /// Creates an event source that reads through `repository`.
    pub fn new(repository: R) -> Self {
        let repository = Arc::new(repository);
        Self { repository, upcasters: Upcasters::default(), aggregate: PhantomData }
    }

    /// Sets the upcasters of events. They run in this order, each on what the one before returned.
    #[must_use]
    pub fn upcasters(mut self, upcasters: Vec<Box<dyn EventUpcaster>>) -> Self {
        self.upcasters = Upcasters::new(upcasters);
        self
    }
}

impl<R, A> Clone for RepositoryEvents<R, A> {
    fn clone(&self) -> Self {
        Self {
            repository: Arc::clone(&self.repository),
            upcasters: self.upcasters.clone(),
            aggregate: PhantomData,
        }
    }
}

impl<R, A> fmt::Debug for RepositoryEvents<R, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RepositoryEvents").finish_non_exhaustive()
    }
}

#[async_trait]
impl<R, A, const SCHEMA: u32> EventSource<State<A, SCHEMA>> for RepositoryEvents<R, A>
where
    R: PersistedEventRepository,
    A: cqrs_es::Aggregate + Clone + 'static,
    A::Event: 'static,
{
    async fn read(
        &self,
        key: &AggregateKey,
        range: EventRange,
        replay: &mut Replay<'_, State<A, SCHEMA>>,
    ) -> Result<(), BoxError> {
        // A repository knows neither tenants nor other kinds: it would return the events of another
        // aggregate.
        if !key.tenant().is_empty() || key.kind() != A::TYPE {
            return Err(format!("{key} is not a key of {} without a tenant", A::TYPE).into());
        }
        let after = usize::try_from(range.after)?;
        let events = self.repository.get_last_events::<A>(key.id(), after).await?;
        for event in events {
            let version = u64::try_from(event.sequence)?;
            if version > range.until {
                break;
            }
            let event = self.upcasters.read::<A>(event)?.payload;
            if replay.push(Recorded::untimed(version, &event)).is_break() {
                break;
            }
        }
        Ok(())
    }
}
