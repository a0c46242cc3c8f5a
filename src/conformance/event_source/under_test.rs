//! [`SourceUnderTest`]: a site and its source without the type of the aggregate, so that the cases
//! are compiled only once.

use std::ops::ControlFlow;
use std::sync::Arc;

use async_trait::async_trait;

use super::site::{EventSite, Kept, NewEvent};
use crate::error::{BoxError, Error};
use crate::events::{
    EventRange, EventTime, Hybrid, KeyedReplay, Position, Recorded, Replay, Witness,
};
use crate::key::AggregateKey;
use crate::state::Aggregate;
use crate::store::{Cursor, KeysRequest, Lookup, Page, Query, SnapshotStore};

/// A pushed event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) version: u64,
    /// `None` if it was pushed as untimed.
    pub(super) time: Option<crate::timestamp::Timestamp>,
    pub(super) anchor: Option<Vec<u8>>,
    /// `None` if the site does not recognize the event.
    pub(super) number: Option<u64>,
}

/// The events pushed into one replay.
#[derive(Clone, Debug, Default)]
pub(super) struct Pushed {
    pub(super) seen: Vec<Seen>,
    /// The number of pushes after the one that returned `Break`.
    pub(super) after_break: usize,
}

/// A read: the range, and the number of events before `Break`.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) key: AggregateKey,
    pub(super) range: EventRange,
    pub(super) stop_after: usize,
}

/// The answer from a hybrid source.
pub(super) struct Reply {
    pub(super) lookup: Lookup,
    /// The tail's `until`, the events that it pushed, and the result of its replay.
    pub(super) tail: Option<(u64, Pushed, Result<(), BoxError>)>,
}

#[async_trait]
pub(super) trait SourceUnderTest: Send + Sync {
    fn keeps(&self) -> Kept;
    fn key(&self, n: u64) -> Result<AggregateKey, Error>;
    fn kind(&self) -> &'static str;
    fn takes(&self, key: &AggregateKey) -> bool;
    async fn append(&self, key: &AggregateKey, events: &[NewEvent]) -> Result<(), BoxError>;
    async fn truncate(&self, key: &AggregateKey, version: u64) -> Result<bool, BoxError>;
    async fn fail(&self, failing: bool) -> Result<bool, BoxError>;
    async fn read(&self, ask: &Question) -> (Pushed, Result<(), BoxError>);
    async fn read_many(&self, asks: &[Question]) -> (Vec<Pushed>, Result<(), BoxError>);
    async fn head(&self, key: &AggregateKey) -> Result<Option<u64>, BoxError>;
    async fn floor(&self, key: &AggregateKey) -> Result<u64, BoxError>;
    async fn floor_many(&self, keys: &[&AggregateKey]) -> Result<Vec<u64>, BoxError>;
    async fn keys(&self, request: KeysRequest<'_>) -> Result<Page<AggregateKey, Cursor>, BoxError>;
    async fn times(
        &self,
        key: &AggregateKey,
        range: EventRange,
        limit: usize,
    ) -> Result<Vec<EventTime>, BoxError>;
    /// Returns the store of the hybrid source, or `None` if there is none.
    fn store(&self) -> Option<Arc<dyn SnapshotStore>>;
    async fn fetch(&self, query: Query<'_>) -> Result<Reply, Error>;
    async fn fetch_many(&self, queries: &[Query<'_>]) -> Result<Vec<Reply>, Error>;
}

/// A site whose aggregate type is hidden.
pub(super) struct Erased<A>(pub(super) Box<dyn EventSite<A>>);

/// Records the pushed events.
struct Scribe<'s, A> {
    site: &'s dyn EventSite<A>,
    stop_after: usize,
    pushed: Pushed,
}

impl<A: Aggregate> Witness<A> for Scribe<'_, A> {
    fn wants_events(&self) -> bool {
        true
    }

    fn see(&mut self, recorded: Recorded<'_, ()>, event: Option<&A::Event>) -> ControlFlow<()> {
        if self.pushed.seen.len() >= self.stop_after {
            self.pushed.after_break += 1;
            return ControlFlow::Break(());
        }
        self.pushed.seen.push(Seen {
            version: recorded.version,
            time: recorded.has_time().then_some(recorded.recorded_at),
            anchor: recorded.anchor.map(<[u8]>::to_vec),
            number: event.and_then(|event| self.site.number(event)),
        });
        let is_full = self.pushed.seen.len() == self.stop_after;
        if is_full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

impl<A: Aggregate> Erased<A> {
    fn scribe(&self, stop_after: usize) -> Scribe<'_, A> {
        Scribe { site: &*self.0, stop_after, pushed: Pushed::default() }
    }

    fn answer(&self, hybrid: Hybrid<A>) -> Reply {
        let Hybrid { lookup, tail } = hybrid;
        let tail = tail.map(|tail| {
            let until = tail.until();
            let (mut scribe, mut position) = (self.scribe(usize::MAX), Position::at(0));
            let result = tail.replay(&mut Replay::witnessed(&mut position, u64::MAX, &mut scribe));
            (until, scribe.pushed, result)
        });
        Reply { lookup, tail }
    }
}

#[async_trait]
impl<A: Aggregate> SourceUnderTest for Erased<A> {
    fn keeps(&self) -> Kept {
        self.0.keeps()
    }

    fn key(&self, n: u64) -> Result<AggregateKey, Error> {
        self.0.key(n)
    }

    fn kind(&self) -> &'static str {
        A::KIND
    }

    fn takes(&self, key: &AggregateKey) -> bool {
        self.0.takes(key)
    }

    async fn append(&self, key: &AggregateKey, events: &[NewEvent]) -> Result<(), BoxError> {
        self.0.append(key, events).await
    }

    async fn truncate(&self, key: &AggregateKey, version: u64) -> Result<bool, BoxError> {
        self.0.truncate(key, version).await
    }

    async fn fail(&self, failing: bool) -> Result<bool, BoxError> {
        self.0.fail(failing).await
    }

    async fn read(&self, ask: &Question) -> (Pushed, Result<(), BoxError>) {
        let mut scribe = self.scribe(ask.stop_after);
        let mut position = Position::at(ask.range.after);
        let mut replay = Replay::witnessed(&mut position, ask.range.until, &mut scribe);
        let result = self.0.source().read(&ask.key, ask.range, &mut replay).await;
        (scribe.pushed, result)
    }

    async fn read_many(&self, asks: &[Question]) -> (Vec<Pushed>, Result<(), BoxError>) {
        let mut scribes: Vec<_> = asks.iter().map(|ask| self.scribe(ask.stop_after)).collect();
        let mut positions: Vec<_> = asks.iter().map(|ask| Position::at(ask.range.after)).collect();
        let mut reads: Vec<_> = asks
            .iter()
            .zip(&mut scribes)
            .zip(&mut positions)
            .map(|((ask, scribe), position)| {
                let replay = Replay::witnessed(position, ask.range.until, scribe);
                KeyedReplay::new(&ask.key, ask.range, replay)
            })
            .collect();
        let result = self.0.source().read_many(&mut reads).await;
        drop(reads);
        (scribes.into_iter().map(|scribe| scribe.pushed).collect(), result)
    }

    async fn head(&self, key: &AggregateKey) -> Result<Option<u64>, BoxError> {
        self.0.source().head(key).await
    }

    async fn floor(&self, key: &AggregateKey) -> Result<u64, BoxError> {
        self.0.source().floor(key).await
    }

    async fn floor_many(&self, keys: &[&AggregateKey]) -> Result<Vec<u64>, BoxError> {
        self.0.source().floor_many(keys).await
    }

    async fn keys(&self, request: KeysRequest<'_>) -> Result<Page<AggregateKey, Cursor>, BoxError> {
        self.0.source().keys(request).await
    }

    async fn times(
        &self,
        key: &AggregateKey,
        range: EventRange,
        limit: usize,
    ) -> Result<Vec<EventTime>, BoxError> {
        self.0.source().times(key, range, limit).await
    }

    fn store(&self) -> Option<Arc<dyn SnapshotStore>> {
        self.0.hybrid().map(|hybrid| hybrid.store)
    }

    async fn fetch(&self, query: Query<'_>) -> Result<Reply, Error> {
        let Some(hybrid) = self.0.hybrid() else { return Err(no_hybrid()) };
        Ok(self.answer(hybrid.hybrid.fetch(query).await?))
    }

    async fn fetch_many(&self, queries: &[Query<'_>]) -> Result<Vec<Reply>, Error> {
        let Some(hybrid) = self.0.hybrid() else { return Err(no_hybrid()) };
        let answers = hybrid.hybrid.fetch_many(queries).await?;
        Ok(answers.into_iter().map(|hybrid| self.answer(hybrid)).collect())
    }
}

fn no_hybrid() -> Error {
    Error::new(crate::error::ErrorKind::Unsupported, "fetch", "the site has no hybrid source")
}
