//! [`PostgresTail`]: the events that were fetched with a snapshot.

use std::fmt;
use std::ops::Range;

use super::event_row::{Decode, RawEvent};
use crate::error::BoxError;
use crate::events::{Replay, Tail};
use crate::state::Aggregate;
use crate::timestamp::Timestamp;

/// The maximum size of the kept events. Further events are read again when needed.
const MAX_BYTES: usize = 16 << 20;

/// Events, copied out of their rows. Keeping a row would cost more than the copy, because it
/// prevents the reuse of the connection's read buffer.
pub(super) struct Events {
    /// The maximum number of bytes to keep.
    max_bytes: usize,
    bytes: Vec<u8>,
    slots: Vec<TailSlot>,
    /// The number of events received, including those that are not kept.
    pub(super) seen: usize,
}

struct TailSlot {
    version: u64,
    recorded_at: Option<Timestamp>,
    payload: Range<usize>,
    anchor: Option<Range<usize>>,
    event_type: Option<Range<usize>>,
    event_version: Option<Range<usize>>,
    metadata: Option<Range<usize>>,
}

impl Default for Events {
    fn default() -> Self {
        Self::shared_by(1)
    }
}

impl Events {
    /// Creates the events of one of several aggregates, which share the limit on bytes.
    pub(super) fn shared_by(aggregates: usize) -> Self {
        let max_bytes = MAX_BYTES / aggregates.max(1);
        Self { max_bytes, bytes: Vec::new(), slots: Vec::new(), seen: 0 }
    }

    /// Adds the next event. An unreadable event ends the kept ones. The event source reports the
    /// error when it reads that event again.
    pub(super) fn add(&mut self, event: Result<RawEvent<'_>, BoxError>) {
        let is_next = self.are_whole();
        self.seen += 1;
        let Ok(event) = event else { return };
        if !is_next {
            return;
        }
        // Always keep the first event, which otherwise would be read again endlessly.
        let bytes = event.payload.len() + event.metadata.map_or(0, <[u8]>::len);
        if !self.slots.is_empty() && self.bytes.len() + bytes > self.max_bytes {
            return;
        }
        let RawEvent { version, recorded_at, .. } = event;
        let payload = self.keep(event.payload);
        let anchor = event.anchor.map(|bytes| self.keep(bytes));
        let event_type = event.event_type.map(|text| self.keep(text.as_bytes()));
        let event_version = event.event_version.map(|text| self.keep(text.as_bytes()));
        let metadata = event.metadata.map(|bytes| self.keep(bytes));
        self.slots.push(TailSlot {
            version,
            recorded_at,
            payload,
            anchor,
            event_type,
            event_version,
            metadata,
        });
    }

    fn keep(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    /// Sorts the events by version, because SQL does not guarantee the order of a union.
    pub(super) fn sort(&mut self) {
        if !self.slots.is_sorted_by_key(|slot| slot.version) {
            self.slots.sort_by_key(|slot| slot.version);
        }
    }

    /// Returns whether all received events are kept.
    pub(super) fn are_whole(&self) -> bool {
        self.slots.len() == self.seen
    }

    /// Returns the version of the first event; 0 if there is none.
    pub(super) fn first(&self) -> u64 {
        self.slots.first().map_or(0, |slot| slot.version)
    }

    /// Returns the version of the last event; 0 if there is none.
    pub(super) fn last(&self) -> u64 {
        self.slots.last().map_or(0, |slot| slot.version)
    }

    fn part(&self, range: &Range<usize>) -> &[u8] {
        self.bytes.get(range.clone()).unwrap_or_default()
    }

    fn text(&self, range: Option<&Range<usize>>) -> Result<Option<&str>, std::str::Utf8Error> {
        range.map(|range| std::str::from_utf8(self.part(range))).transpose()
    }
}

/// The events that were fetched with a snapshot, up to the version `until`.
pub(super) struct PostgresTail<E> {
    pub(super) events: Events,
    pub(super) until: u64,
    pub(super) decode: Decode<E>,
}

impl<A, E> Tail<A> for PostgresTail<E>
where
    A: Aggregate<Event = E>,
    E: Send + Sync + 'static,
{
    fn until(&self) -> u64 {
        self.until
    }

    fn replay(self: Box<Self>, replay: &mut Replay<'_, A>) -> Result<(), BoxError> {
        let events = &self.events;
        for slot in &events.slots {
            let event = RawEvent {
                version: slot.version,
                recorded_at: slot.recorded_at,
                payload: events.part(&slot.payload),
                anchor: slot.anchor.as_ref().map(|range| events.part(range)),
                event_type: events.text(slot.event_type.as_ref())?,
                event_version: events.text(slot.event_version.as_ref())?,
                metadata: slot.metadata.as_ref().map(|range| events.part(range)),
            };
            if !event.push(&self.decode, replay)? {
                break;
            }
        }
        Ok(())
    }
}

impl<E> fmt::Debug for PostgresTail<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresTail({} events)", self.events.slots.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(version: u64, payload: &[u8]) -> RawEvent<'_> {
        let recorded_at = Some(Timestamp::from_micros(0));
        RawEvent {
            version,
            recorded_at,
            payload,
            anchor: None,
            event_type: None,
            event_version: None,
            metadata: None,
        }
    }

    #[test]
    fn what_is_kept_is_bounded_and_has_no_gap() {
        let (mut events, large) = (Events::default(), vec![0; MAX_BYTES / 4 + 1]);
        for version in 1..=5 {
            events.add(Ok(event(version, &large)));
        }
        // It would fit, but an earlier event is missing.
        events.add(Ok(event(6, b"")));
        assert_eq!((events.last(), events.seen), (3, 6));
        assert!(!events.are_whole());
        let (mut events, larger) = (Events::default(), vec![0; MAX_BYTES + 1]);
        events.add(Ok(event(1, &larger)));
        assert!(events.are_whole(), "the first one always");
    }

    #[test]
    fn events_are_in_version_order_however_they_came() {
        let mut events = Events::default();
        for version in [3, 1, 2] {
            events.add(Ok(event(version, &[u8::try_from(version).unwrap()])));
        }
        events.sort();
        let payloads: Vec<_> = events.slots.iter().map(|slot| events.part(&slot.payload)).collect();
        assert_eq!(payloads, [[1], [2], [3]]);
        assert_eq!(events.last(), 3);
    }
}
