//! Where events come from: [`EventSource`].

mod hybrid;
mod keyed;
mod lender;
mod progress;
mod range;
mod recorded;
mod replay;
#[cfg(test)]
mod tests;
mod time;
mod witness;

use std::sync::Arc;

use async_trait::async_trait;

use crate::error::{BoxError, Error, ErrorKind};
use crate::key::AggregateKey;
use crate::state::Aggregate;
use crate::store::{Cursor, KeysRequest, Page};

pub use hybrid::{Hybrid, HybridSource, Tail};
pub use keyed::KeyedReplay;
pub(crate) use lender::Lender;
pub(crate) use progress::{Done, Ended, Limits, Position, Progress};
pub use range::EventRange;
pub use recorded::Recorded;
pub use replay::Replay;
pub use time::EventTime;
pub(crate) use time::Times;
#[cfg(feature = "conformance")]
pub(crate) use witness::Witness;

/// Reads the events of the application's event store. The application or the author of an event
/// store implements this trait.
///
/// Only [`read`](Self::read) is required. Every other method has a default; override those that
/// your event store can serve cheaply.
///
/// Each obligation has an id. The `conformance` feature provides tests for the obligations, and the
/// [guide](crate::guide::event_sources) builds a source from scratch.
///
/// ```
/// use std::collections::HashMap;
///
/// use async_trait::async_trait;
/// use snapfold::events::Recorded;
/// use snapfold::{Aggregate, AggregateKey, BoxError, EventRange, EventSource, Replay, Timestamp};
///
/// /// The recorded seconds and the events of each aggregate, from version 1 on.
/// struct Rows<E>(HashMap<AggregateKey, Vec<(i64, E)>>);
///
/// #[async_trait]
/// impl<A: Aggregate> EventSource<A> for Rows<A::Event> {
///     async fn read(
///         &self,
///         key: &AggregateKey,
///         range: EventRange,
///         replay: &mut Replay<'_, A>,
///     ) -> Result<(), BoxError> {
///         let rows = self.0.get(key).into_iter().flatten();
///         for (version, (seconds, event)) in (1_u64..).zip(rows) {
///             if range.contains(version) {
///                 let at = Timestamp::from_seconds(*seconds);
///                 if replay.push(Recorded::new(version, at, event)).is_break() {
///                     break;
///                 }
///             }
///         }
///         Ok(())
///     }
/// }
/// ```
///
/// # Obligations on every method
/// - **E-09** A failure is an `Err`. A lost connection, a row that cannot be read and an event that
///   cannot be decoded never end a call early with `Ok`, because fewer events give another state.
/// - **E-10** A call changes nothing. Its future may be dropped at any await point without an
///   effect on later or concurrent calls.
/// - **E-11** No call panics or waits without a bound, whatever the key and the bounds are.
#[async_trait]
pub trait EventSource<A: Aggregate>: Send + Sync {
    /// Pushes the committed events of `key` within `range` into `replay`, in version order.
    ///
    /// # Obligations
    /// - **E-01** Only committed events are pushed, each with its permanent version: 1, 2, 3 and so
    ///   on without gaps or duplicates. The replay checks this and fails the load if it does not
    ///   hold.
    /// - **E-02** The same event always has the same content, version, recorded time and anchor.
    /// - **E-03** All events of the range that were committed before the call began are pushed. For
    ///   an aggregate without events, nothing is pushed.
    /// - **E-04** When [`Replay::push`] returns `Break`, stop and return `Ok`. Events that are
    ///   pushed after that are ignored.
    /// - **E-05** No event in the middle is left out, for example by recorded time.
    /// - **E-06** Times are those of the event store. An event without a known time is pushed as
    ///   [`Recorded::untimed`], never with an invented time.
    /// - **E-07** Only events of exactly this key are pushed. Tenant, kind and id are compared
    ///   bytewise: no case folding, no trimming, no patterns, no joining of the parts. A source
    ///   without tenants fails for a key with a tenant, or pushes nothing.
    /// - **E-08** Only events within `range` are pushed: above [`EventRange::after`] (exclusive)
    ///   and up to [`EventRange::until`] (inclusive). A range without events pushes nothing and is
    ///   not an error.
    ///
    /// # Errors
    /// Any error. The load then fails with an [`ErrorKind::EventSource`] error, whose source is the
    /// error returned here. Events that were already pushed are discarded.
    ///
    /// # Cancellation
    /// The future may be dropped at any await point (E-10).
    async fn read(
        &self,
        key: &AggregateKey,
        range: EventRange,
        replay: &mut Replay<'_, A>,
    ) -> Result<(), BoxError>;

    /// Reads several aggregates in one call. The default reads one after the other, up to the first
    /// error. A source that can read several aggregates in one statement should override this
    /// method.
    ///
    /// # Obligations
    /// - **E-30** Each replay gets exactly what [`read`](Self::read) would push for its key and
    ///   range, in version order. The order among aggregates is unspecified, and their events may
    ///   be interleaved. The elements of `reads` may be reordered.
    /// - **E-31** A replay that returns `Break` ends its own aggregate only.
    /// - **E-32** The same key may occur twice, even with different ranges. An empty list is `Ok`.
    ///
    /// # Errors
    /// Any error fails the whole call. The caller does not know which replays are complete, so it
    /// then reads the aggregates one by one to find the one that fails.
    async fn read_many(&self, reads: &mut [KeyedReplay<'_, '_, A>]) -> Result<(), BoxError> {
        for read in reads {
            self.read(read.key, read.range, &mut read.replay).await?;
        }
        Ok(())
    }

    /// Returns the version of the newest event of `key`, or `None` if the source cannot find it
    /// more cheaply than by reading. The default returns `None`. Implement this method if possible:
    /// it lets the engine detect reads that end too early.
    ///
    /// The engine calls this method for statistics, and when a read may have ended too early: the
    /// requested version was not pushed, no event was pushed, or the number of events is a typical
    /// page size (multiples of 50 and powers of two from 100 up, and every number from 1,000 up).
    /// If a second read does not return the events up to the head either, the load fails with
    /// [`ErrorKind::BrokenHistory`] instead of returning an outdated state.
    ///
    /// # Obligations
    /// - **E-20** Every event that was committed before the call began is at or below the head, and
    ///   the event at the head is committed. The head is 0 if `key` has no events. If all events
    ///   are truncated, it is 0 or the version of the last one.
    async fn head(&self, key: &AggregateKey) -> Result<Option<u64>, BoxError> {
        let _ = key;
        Ok(None)
    }

    /// Returns the replay floor of `key`: the version before the first event that can still be
    /// read. The default returns 0, which means that no event is truncated. The engine calls this
    /// method only if events that a load needs are missing, and before retention deletes snapshots.
    ///
    /// # Obligations
    /// - **E-21** All committed events above the floor can be read. A read that begins below the
    ///   floor pushes the events above it and is not an error.
    /// - **E-22** The floor is 0 as long as the first event can be read, and it is never above the
    ///   head. A floor that is too high makes a recoverable aggregate
    ///   [unrecoverable](ErrorKind::Unrecoverable).
    async fn floor(&self, key: &AggregateKey) -> Result<u64, BoxError> {
        let _ = key;
        Ok(0)
    }

    /// Returns the replay floors of several aggregates. The default asks for one after the other, up
    /// to the first error. A source that can find several floors in one statement should override
    /// this method, which makes retention over whole kinds fast.
    ///
    /// # Obligations
    /// - **E-23** There is one floor per key, in order. Each is a floor that [`floor`](Self::floor)
    ///   could have returned at some moment during the call. The same key may occur twice. An empty
    ///   list gives an empty result.
    ///
    /// # Errors
    /// Any error fails the whole call. The caller then asks for the floors one by one to find the
    /// aggregate that fails.
    async fn floor_many(&self, keys: &[&AggregateKey]) -> Result<Vec<u64>, BoxError> {
        let mut floors = Vec::with_capacity(keys.len());
        for key in keys {
            floors.push(self.floor(key).await?);
        }
        Ok(floors)
    }

    /// Returns one page of the aggregates that have events. The default fails with
    /// [`Unsupported`](ErrorKind::Unsupported).
    ///
    /// Some event stores do not store every part of the key, because they have only one tenant or
    /// one kind. For the missing part, they use the tenant or kind in the request. If the request
    /// has none, they use the empty tenant or [`Aggregate::KIND`].
    ///
    /// The bounds on the creation time of snapshots in the request do not apply to event sources.
    ///
    /// # Obligations
    /// - **E-40** Each key that has at least one readable event throughout the listing appears
    ///   exactly once over all pages. The only other keys that may appear are keys whose events are
    ///   all truncated. The source chooses the order.
    /// - **E-41** A page has at most [`KeysRequest::limit`] items; 0 is treated as 1.
    ///   [`Page::next`] is `Some` if more items may follow. A page with a `next` is never empty.
    /// - **E-42** If a tenant or a kind is given, only keys with exactly that tenant or kind
    ///   appear.
    /// - **E-43** A cursor from another source gives an error or the end, never a panic.
    async fn keys(&self, request: KeysRequest<'_>) -> Result<Page<AggregateKey, Cursor>, BoxError> {
        let _ = request;
        let message = "this event source does not list its aggregates: implement EventSource::keys";
        Err(Error::new(ErrorKind::Unsupported, "list aggregates", message).into())
    }

    /// Returns the recorded times of the first events of `key` within `range`, in version order, at
    /// most `limit`; 0 is treated as 1. For timelines. The default calls [`read`](Self::read) and
    /// does not decode events that are pushed by [`Replay::push_encoded`].
    ///
    /// A source may return fewer than `limit` times although more events follow, to bound its
    /// memory. To continue, call the method again after the last version. An empty result is the
    /// end.
    ///
    /// # Obligations
    /// - **E-50** The versions are those that [`read`](Self::read) pushes for the range, from the
    ///   first one without a gap, at most `limit`. The result is empty only if the range contains
    ///   no events.
    /// - **E-51** The times are those that [`read`](Self::read) pushes; `None` for an untimed
    ///   event.
    ///
    /// # Errors
    /// The default fails with [`ErrorKind::BrokenHistory`] if `read` pushes a gap, a duplicate or
    /// events out of order.
    async fn times(
        &self,
        key: &AggregateKey,
        range: EventRange,
        limit: usize,
    ) -> Result<Vec<EventTime>, BoxError> {
        let mut times = Times::new(range, limit);
        let mut position = Position::at(range.after);
        let mut replay = Replay::witnessed(&mut position, range.until, &mut times);
        self.read(key, range, &mut replay).await?;
        Ok(times.finish()?)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<A: Aggregate, T: EventSource<A> + ?Sized> EventSource<A> for Arc<T> {
    async fn read(
        &self,
        key: &AggregateKey,
        range: EventRange,
        replay: &mut Replay<'_, A>,
    ) -> Result<(), BoxError> {
        (**self).read(key, range, replay).await
    }

    async fn read_many(&self, reads: &mut [KeyedReplay<'_, '_, A>]) -> Result<(), BoxError> {
        (**self).read_many(reads).await
    }

    async fn head(&self, key: &AggregateKey) -> Result<Option<u64>, BoxError> {
        (**self).head(key).await
    }

    async fn floor(&self, key: &AggregateKey) -> Result<u64, BoxError> {
        (**self).floor(key).await
    }

    async fn floor_many(&self, keys: &[&AggregateKey]) -> Result<Vec<u64>, BoxError> {
        (**self).floor_many(keys).await
    }

    async fn keys(&self, request: KeysRequest<'_>) -> Result<Page<AggregateKey, Cursor>, BoxError> {
        (**self).keys(request).await
    }

    async fn times(
        &self,
        key: &AggregateKey,
        range: EventRange,
        limit: usize,
    ) -> Result<Vec<EventTime>, BoxError> {
        (**self).times(key, range, limit).await
    }
}
