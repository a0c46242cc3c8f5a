//! Snapshot and events in one go: [`HybridSource`].

use std::fmt;

use async_trait::async_trait;

use super::Replay;
use crate::error::{BoxError, Error};
use crate::state::Aggregate;
use crate::store::{Lookup, Query};

/// Answers a snapshot store's question and reads the events that follow the answer, in one round
/// trip. Offered by backends that keep snapshots where the events are; given to
/// [`EngineBuilder::hybrid`](crate::engine::EngineBuilder::hybrid), which then asks it first.
///
/// It is a shortcut, never another truth: the engine checks what it delivers just as if the
/// [`SnapshotStore`](crate::SnapshotStore) and the [`EventSource`](crate::EventSource) had been
/// asked, and turns to those for everything further.
#[async_trait]
pub trait HybridSource<A: Aggregate>: fmt::Debug + Send + Sync {
    /// The answer to `query` and the events that the load needs next.
    ///
    /// # Obligations
    /// - **H-01** [`Hybrid::lookup`] is what [`SnapshotStore::get`](crate::SnapshotStore::get)
    ///   would answer.
    /// - **H-02** [`Hybrid::tail`] begins with the event *at* the version of the snapshot that was
    ///   found, or with the first event if none was. It ends where it likes, at the latest at
    ///   [`Query::at_most`]; with [`Query::as_of`], there is nothing to gain from going further
    ///   than the first event that was recorded later. The obligations of
    ///   [`EventSource::read`](crate::EventSource::read) hold for what it contains.
    /// - **H-03** Memory is bounded: a long tail is cut, at the latest after
    ///   [`Hybrid::MAX_TAIL`] events, and `None` is always possible. The engine reads the rest from
    ///   the event source.
    /// - **H-04** [`Tail::until`] is true: no event up to there is missing from the tail.
    /// - **H-05** A failure is an `Err`, never an absent snapshot or a shorter tail.
    /// - **H-06** The future may be dropped at any await point, and a tail without being replayed.
    ///   The next call answers as if nothing had happened.
    ///
    /// # Errors
    /// Counted as a failure of the snapshot store.
    async fn fetch(&self, query: Query<'_>) -> Result<Hybrid<A>, Error>;

    /// Answers several queries, one answer per query, in their order. By default one after the
    /// other, up to the first error.
    ///
    /// # Obligations
    /// - **H-07** Each answer is one that [`fetch`](Self::fetch) could give to its query. The same
    ///   query may be given twice. No queries are `Ok` with no answers.
    ///
    /// Memory is bounded for the call as a whole: tails are cut, or left out, where they are too
    /// long together.
    ///
    /// # Errors
    /// Counted as a failure of the snapshot store, for all queries.
    async fn fetch_many(&self, queries: &[Query<'_>]) -> Result<Vec<Hybrid<A>>, Error> {
        let mut answers = Vec::with_capacity(queries.len());
        for query in queries {
            answers.push(self.fetch(*query).await?);
        }
        Ok(answers)
    }
}

/// What a [`HybridSource`] delivers.
#[derive(Debug)]
#[non_exhaustive]
pub struct Hybrid<A> {
    /// The snapshot, or what there is instead.
    pub lookup: Lookup,
    /// The events that follow, as far as they were fetched.
    pub tail: Option<Box<dyn Tail<A>>>,
}

impl<A> Hybrid<A> {
    /// The most events that a tail may hold.
    pub const MAX_TAIL: usize = 10_000;

    /// A lookup without events.
    pub const fn new(lookup: Lookup) -> Self {
        Self { lookup, tail: None }
    }

    /// Sets the events.
    pub fn with_tail(mut self, tail: Box<dyn Tail<A>>) -> Self {
        self.tail = Some(tail);
        self
    }
}

/// Events that were fetched with a snapshot, not decoded yet.
pub trait Tail<A>: fmt::Debug + Send + Sync {
    /// Up to which version (inclusive) it goes: all events from its beginning to there are in it.
    /// `u64::MAX` if it holds all that is committed, or all up to the bounds of the query; the
    /// event source is not asked then.
    fn until(&self) -> u64;

    /// Pushes the events into `replay`, in version order, until it says `Break`.
    ///
    /// # Errors
    /// Counted as a failure of the event source.
    fn replay(self: Box<Self>, replay: &mut Replay<'_, A>) -> Result<(), BoxError>
    where
        A: Aggregate;
}
