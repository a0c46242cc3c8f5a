//! [`KeyedReplay`]: one aggregate of a read of several.

use std::fmt;

use super::{EventRange, Replay};
use crate::key::AggregateKey;
use crate::state::Aggregate;

/// One aggregate of [`EventSource::read_many`](crate::EventSource::read_many): the arguments that
/// [`EventSource::read`](crate::EventSource::read) would get for it.
#[non_exhaustive]
pub struct KeyedReplay<'k, 'r, A: Aggregate> {
    /// The aggregate.
    pub key: &'k AggregateKey,
    /// The range of events to read.
    pub range: EventRange,
    /// The replay into which the events are pushed.
    pub replay: Replay<'r, A>,
    /// Identifies the aggregate to the caller, who may find the reads in another order afterwards.
    place: usize,
}

impl<'k, 'r, A: Aggregate> KeyedReplay<'k, 'r, A> {
    /// Reads the events of `key` within `range` into `replay`.
    pub const fn new(key: &'k AggregateKey, range: EventRange, replay: Replay<'r, A>) -> Self {
        Self { key, range, replay, place: 0 }
    }

    pub(crate) const fn at(mut self, place: usize) -> Self {
        self.place = place;
        self
    }

    pub(crate) const fn place(&self) -> usize {
        self.place
    }
}

impl<A: Aggregate> fmt::Debug for KeyedReplay<'_, '_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedReplay")
            .field("key", &self.key)
            .field("range", &self.range)
            .finish_non_exhaustive()
    }
}
