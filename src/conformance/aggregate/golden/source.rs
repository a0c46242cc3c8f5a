//! [`OneHistory`]: an event source with the events of the sample under test.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;

use crate::error::BoxError;
use crate::events::{EventRange, EventSource, Recorded, Replay};
use crate::key::AggregateKey;
use crate::state::Aggregate;
use crate::timestamp::Timestamp;

/// The events of one sample.
pub(super) struct GoldenEvents<E> {
    pub(super) events: Vec<E>,
    /// The version of the snapshot, and the anchor of the event at that version.
    pub(super) anchor: (u64, Vec<u8>),
}

/// An event source that holds one history at a time. Clones share the history.
pub(super) struct OneHistory<E>(Arc<Mutex<Option<Arc<GoldenEvents<E>>>>>);

impl<E> OneHistory<E> {
    pub(super) fn new() -> Self {
        Self(Arc::default())
    }

    pub(super) fn set(&self, events: Arc<GoldenEvents<E>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(events);
    }

    fn get(&self) -> Option<Arc<GoldenEvents<E>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl<E> Clone for OneHistory<E> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// Returns the time at which the event at `version` was recorded.
pub(super) fn recorded_at(version: u64) -> Timestamp {
    Timestamp::from_seconds(i64::try_from(version).unwrap_or(i64::MAX))
}

#[async_trait]
impl<A: Aggregate> EventSource<A> for OneHistory<A::Event> {
    async fn read(
        &self,
        _: &AggregateKey,
        range: EventRange,
        replay: &mut Replay<'_, A>,
    ) -> Result<(), BoxError> {
        let Some(history) = self.get() else { return Ok(()) };
        for (version, event) in (1..).zip(&history.events) {
            if !range.contains(version) {
                continue;
            }
            let mut recorded = Recorded::new(version, recorded_at(version), event);
            if version == history.anchor.0 {
                recorded = recorded.anchor(&history.anchor.1);
            }
            if replay.push(recorded).is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// Polls a future once. Returns `None` if it is not ready. The futures of the memory store and of
/// the source above are always ready.
pub(super) fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = Box::pin(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => None,
    }
}
