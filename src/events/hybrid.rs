//! Reading a snapshot and its tail in one call: [`HybridSource`].

use std::fmt;

use async_trait::async_trait;

use super::Replay;
use crate::error::{BoxError, Error};
use crate::state::Aggregate;
use crate::store::{Lookup, Query};

/// A source that returns a snapshot and the events after it in one round trip. Backends that store
/// snapshots beside the events implement this trait. Pass an implementation to
/// [`EngineBuilder::hybrid`](crate::engine::EngineBuilder::hybrid).
///
/// A hybrid source is a shortcut. The engine checks its results as it checks those of the
/// [`SnapshotStore`](crate::SnapshotStore) and the [`EventSource`](crate::EventSource), and uses
/// those two for everything else.
#[async_trait]
pub trait HybridSource<A: Aggregate>: fmt::Debug + Send + Sync {
    /// Returns the result of `query` and the events that the load needs next.
    ///
    /// # Obligations
    /// - **H-01** [`Hybrid::lookup`] is what [`SnapshotStore::get`](crate::SnapshotStore::get)
    ///   would return.
    /// - **H-02** [`Hybrid::tail`] begins with the event *at* the version of the snapshot that was
    ///   found, or with the first event if none was. It may end anywhere up to
    ///   [`Query::at_most`]; with [`Query::as_of`], it need not go beyond the first event that was
    ///   recorded later. The obligations of
    ///   [`EventSource::read`](crate::EventSource::read) hold for what it contains.
    /// - **H-03** Memory is bounded: a long tail is cut, at the latest after
    ///   [`Hybrid::MAX_TAIL`] events, and `None` is always possible. The engine reads the rest from
    ///   the event source.
    /// - **H-04** [`Tail::until`] is correct: no event up to that version is missing from the tail.
    /// - **H-05** A failure is an `Err`, never an absent snapshot or a shorter tail.
    /// - **H-06** The future may be dropped at any await point, and a tail may be dropped without
    ///   being replayed. Neither affects the next call.
    ///
    /// # Errors
    /// An error counts as a failure of the snapshot store.
    async fn fetch(&self, query: Query<'_>) -> Result<Hybrid<A>, Error>;

    /// Answers several queries, with one answer per query, in order. The default calls
    /// [`fetch`](Self::fetch) for one query after the other, up to the first error.
    ///
    /// # Obligations
    /// - **H-07** Each answer is one that [`fetch`](Self::fetch) could give to its query. The same
    ///   query may be given twice. Without queries, the result is `Ok` with no answers.
    ///
    /// Memory is bounded for the call as a whole: tails that are too long together are cut or left
    /// out.
    ///
    /// # Errors
    /// An error counts as a failure of the snapshot store, for all queries.
    async fn fetch_many(&self, queries: &[Query<'_>]) -> Result<Vec<Hybrid<A>>, Error> {
        let mut answers = Vec::with_capacity(queries.len());
        for query in queries {
            answers.push(self.fetch(*query).await?);
        }
        Ok(answers)
    }
}

/// The result of a [`HybridSource`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Hybrid<A> {
    /// The snapshot, or why there is none.
    pub lookup: Lookup,
    /// The events after the snapshot, as far as they were fetched.
    pub tail: Option<Box<dyn Tail<A>>>,
}

impl<A> Hybrid<A> {
    /// The maximum number of events in a tail.
    pub const MAX_TAIL: usize = 10_000;

    /// Creates a result without events.
    pub const fn new(lookup: Lookup) -> Self {
        Self { lookup, tail: None }
    }

    /// Sets the events.
    pub fn with_tail(mut self, tail: Box<dyn Tail<A>>) -> Self {
        self.tail = Some(tail);
        self
    }
}

/// Events that were fetched with a snapshot and are not decoded yet.
pub trait Tail<A>: fmt::Debug + Send + Sync {
    /// Returns the last version (inclusive) of the tail: the tail contains all events from its
    /// beginning up to this version. `u64::MAX` if it contains all committed events, or all events
    /// within the bounds of the query. The event source is not read in that case.
    fn until(&self) -> u64;

    /// Pushes the events into `replay` in version order until `replay` returns `Break`.
    ///
    /// # Errors
    /// An error counts as a failure of the event source.
    fn replay(self: Box<Self>, replay: &mut Replay<'_, A>) -> Result<(), BoxError>
    where
        A: Aggregate;
}
