//! Snapshot and events in one go: [`HybridSource`].

use std::fmt;

use async_trait::async_trait;

use super::Replay;
use crate::error::{BoxError, Error};
use crate::state::Aggregate;
use crate::store::{Lookup, Query};

/// Answers a snapshot store's question and reads the events that follow the answer, in one round
/// trip. Offered by backends that keep snapshots where the events are; given to
/// [`EngineBuilder::hybrid`](crate::EngineBuilder::hybrid), which then asks it first.
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
    /// - **H-03** Memory is bounded: a long tail is cut, and `None` is always possible. The engine
    ///   reads the rest from the event source.
    ///
    /// # Errors
    /// Taken for a failure of the snapshot store.
    async fn fetch(&self, query: Query<'_>) -> Result<Hybrid<A>, Error>;
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
    /// A lookup without events.
    pub const fn new(lookup: Lookup) -> Self {
        Self { lookup, tail: None }
    }

    /// The same with events.
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
    /// Taken for a failure of the event source.
    fn replay(self: Box<Self>, replay: &mut Replay<'_, A>) -> Result<(), BoxError>
    where
        A: Aggregate;
}
