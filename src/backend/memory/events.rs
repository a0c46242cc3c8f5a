//! [`MemoryEvents`]: an event source in memory.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;

use crate::error::BoxError;
use crate::events::{EventRange, EventSource, Recorded, Replay};
use crate::key::AggregateKey;
use crate::state::Aggregate;
use crate::store::{Cursor, KeysRequest, Page};
use crate::timestamp::Timestamp;

/// An [`EventSource`] in memory, for tests, examples and benchmarks. Applications implement the
/// trait for their own event store instead.
///
/// Clones share the same events. Readers hold no lock while events are applied.
pub struct MemoryEvents<E> {
    streams: Arc<RwLock<Streams<E>>>,
}

struct Streams<E> {
    by_key: HashMap<AggregateKey, Arc<Stream<E>>>,
    /// The same keys in order, for lists.
    keys: BTreeSet<AggregateKey>,
}

#[derive(Clone)]
struct Stream<E> {
    /// The highest version that was truncated.
    floor: u64,
    events: Vec<StoredEvent<E>>,
}

#[derive(Clone)]
struct StoredEvent<E> {
    /// `None` if the event has no time.
    recorded_at: Option<Timestamp>,
    anchor: Option<Box<[u8]>>,
    event: E,
}

impl<E: Clone> MemoryEvents<E> {
    /// Creates a source without events.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends an event to the stream of `key` and returns its version.
    pub fn append(&self, key: &AggregateKey, recorded_at: Timestamp, event: E) -> u64 {
        self.push(key, StoredEvent { recorded_at: Some(recorded_at), anchor: None, event })
    }

    /// Appends an event without a recorded time and returns its version.
    pub fn append_untimed(&self, key: &AggregateKey, event: E) -> u64 {
        self.push(key, StoredEvent { recorded_at: None, anchor: None, event })
    }

    /// Appends an event with an anchor and returns its version.
    pub fn append_anchored(
        &self,
        key: &AggregateKey,
        recorded_at: Timestamp,
        anchor: &[u8],
        event: E,
    ) -> u64 {
        let anchor = Some(anchor.into());
        self.push(key, StoredEvent { recorded_at: Some(recorded_at), anchor, event })
    }

    /// Removes the events up to `version` (inclusive). The replay floor rises to `version`, or to
    /// the head if the head is lower.
    pub fn truncate_below(&self, key: &AggregateKey, version: u64) {
        self.change(key, |stream| {
            let gone = version.saturating_sub(stream.floor).min(stream.events.len() as u64);
            stream.events.drain(..usize::try_from(gone).unwrap_or(usize::MAX));
            stream.floor += gone;
        });
    }

    /// Removes the events above `version`, which simulates an event store that lost its newest
    /// events.
    pub fn rewind(&self, key: &AggregateKey, version: u64) {
        self.change(key, |stream| {
            let kept = version.saturating_sub(stream.floor);
            stream.events.truncate(usize::try_from(kept).unwrap_or(usize::MAX));
        });
    }

    fn push(&self, key: &AggregateKey, stored: StoredEvent<E>) -> u64 {
        self.change(key, |stream| {
            stream.events.push(stored);
            stream.floor + stream.events.len() as u64
        })
    }

    fn change<T>(&self, key: &AggregateKey, change: impl FnOnce(&mut Stream<E>) -> T) -> T {
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        let Streams { by_key, keys } = &mut *streams;
        let stream = by_key.entry(key.clone()).or_insert_with(|| {
            keys.insert(key.clone());
            Arc::new(Stream { floor: 0, events: Vec::new() })
        });
        change(Arc::make_mut(stream))
    }
}

impl<E> MemoryEvents<E> {
    fn stream(&self, key: &AggregateKey) -> Option<Arc<Stream<E>>> {
        self.streams.read().unwrap_or_else(PoisonError::into_inner).by_key.get(key).cloned()
    }
}

#[async_trait]
impl<A, E> EventSource<A> for MemoryEvents<E>
where
    A: Aggregate<Event = E>,
    E: Send + Sync + 'static,
{
    async fn read(
        &self,
        key: &AggregateKey,
        range: EventRange,
        replay: &mut Replay<'_, A>,
    ) -> Result<(), BoxError> {
        let Some(stream) = self.stream(key) else { return Ok(()) };
        let after = range.after.max(stream.floor);
        let skipped = usize::try_from(after - stream.floor).unwrap_or(usize::MAX);
        // The events come first in the zip, because the version counter would overflow after the
        // highest version.
        for (stored, version) in stream.events.iter().skip(skipped).zip(after.saturating_add(1)..) {
            if version > range.until {
                break;
            }
            let mut recorded = match stored.recorded_at {
                Some(at) => Recorded::new(version, at, &stored.event),
                None => Recorded::untimed(version, &stored.event),
            };
            recorded.anchor = stored.anchor.as_deref();
            if replay.push(recorded).is_break() {
                break;
            }
        }
        Ok(())
    }

    async fn head(&self, key: &AggregateKey) -> Result<Option<u64>, BoxError> {
        Ok(Some(self.stream(key).map_or(0, |s| s.floor + s.events.len() as u64)))
    }

    async fn floor(&self, key: &AggregateKey) -> Result<u64, BoxError> {
        Ok(self.stream(key).map_or(0, |stream| stream.floor))
    }

    /// Returns keys in ascending order.
    async fn keys(&self, request: KeysRequest<'_>) -> Result<Page<AggregateKey, Cursor>, BoxError> {
        let after = request.after.map(Cursor::to_key).transpose()?;
        let lower = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let streams = self.streams.read().unwrap_or_else(PoisonError::into_inner);
        let has_events =
            |key: &AggregateKey| streams.by_key.get(key).is_some_and(|it| !it.events.is_empty());
        let mut admitted = streams
            .keys
            .range::<AggregateKey, _>((lower, Bound::Unbounded))
            .filter(|key| request.admits(key) && has_events(key));
        let items: Vec<_> = admitted.by_ref().take(request.limit.max(1)).cloned().collect();
        let more = admitted.next().is_some();
        let next = items.last().filter(|_| more).map(Cursor::of_key);
        Ok(Page::new(items, next))
    }
}

impl<E> Default for MemoryEvents<E> {
    fn default() -> Self {
        let streams = Streams { by_key: HashMap::new(), keys: BTreeSet::new() };
        Self { streams: Arc::new(RwLock::new(streams)) }
    }
}

impl<E> Clone for MemoryEvents<E> {
    fn clone(&self) -> Self {
        Self { streams: Arc::clone(&self.streams) }
    }
}

impl<E> fmt::Debug for MemoryEvents<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let streams = self.streams.read().unwrap_or_else(PoisonError::into_inner).keys.len();
        f.debug_struct("MemoryEvents").field("streams", &streams).finish()
    }
}
