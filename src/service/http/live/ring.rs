//! [`LiveRing`]: the last events of one tenant, and who waits for the next ones.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Notify;

use crate::key::AggregateKey;

/// The events of a ring have at most so many bytes together, or there is only one.
const MAX_BYTES: usize = 1 << 20;

/// Which events of a tenant a stream has.
#[derive(Clone, Debug)]
pub(crate) enum WantedEvents {
    /// All of them.
    Project,
    /// Those of the aggregates of a kind.
    Kind(String),
    Aggregate(AggregateKey),
}

/// What follows a position.
#[derive(Debug, PartialEq)]
pub(super) enum LiveStep {
    /// The first wanted event, and its number.
    Event(Bytes, u64),
    /// A wanted event may have been dropped from the ring. The number is that of the last event.
    Gap(u64),
    /// No wanted event up to this number, which is that of the last event.
    Idle(u64),
}

/// The last events of one tenant. They are numbered from 1 without gaps.
#[derive(Debug)]
pub(super) struct LiveRing {
    epoch: u64,
    max_events: usize,
    /// The number of the last event.
    head: u64,
    events: VecDeque<RingEntry>,
    bytes: usize,
    /// The aggregates that have events in the ring, or listeners.
    keys: HashMap<AggregateKey, RingKey>,
    woken: Arc<Notify>,
    listeners: usize,
    /// Counts publications over all tenants.
    pub(super) published: u64,
}

#[derive(Debug)]
struct RingEntry {
    text: Bytes,
    key: Option<AggregateKey>,
}

#[derive(Debug)]
struct RingKey {
    /// The numbers of its events in the ring.
    kept: VecDeque<u64>,
    /// Events up to this number may have been dropped.
    dropped: u64,
    woken: Arc<Notify>,
    listeners: usize,
}

impl LiveRing {
    pub(super) fn new(epoch: u64, max_events: usize) -> Self {
        Self {
            epoch,
            max_events: max_events.max(1),
            head: 0,
            events: VecDeque::new(),
            bytes: 0,
            keys: HashMap::new(),
            woken: Arc::default(),
            listeners: 0,
            published: 0,
        }
    }

    pub(super) const fn head(&self) -> u64 {
        self.head
    }

    pub(super) const fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(super) const fn listeners(&self) -> usize {
        self.listeners
    }

    /// The number of the last event that was dropped.
    fn floor(&self) -> u64 {
        self.head.saturating_sub(self.events.len() as u64)
    }

    /// Adds an event, whose lines after the id are `lines`. Returns who must be woken.
    pub(super) fn push(
        &mut self,
        lines: &str,
        key: Option<&AggregateKey>,
    ) -> (Arc<Notify>, Option<Arc<Notify>>) {
        self.head += 1;
        let text = format!("id: {}\n{lines}", id(self.epoch, self.head));
        self.bytes += text.len();
        self.events.push_back(RingEntry { text: text.into(), key: key.cloned() });
        let own = key.map(|key| {
            let head = self.head;
            let own = self.key(key);
            own.kept.push_back(head);
            Arc::clone(&own.woken)
        });
        while self.events.len() > self.max_events || self.bytes > MAX_BYTES && self.events.len() > 1
        {
            self.drop_first();
        }
        (Arc::clone(&self.woken), own)
    }

    fn drop_first(&mut self) {
        let Some(entry) = self.events.pop_front() else { return };
        self.bytes = self.bytes.saturating_sub(entry.text.len());
        let Some(key) = entry.key else { return };
        let floor = self.floor();
        if let Some(own) = self.keys.get_mut(&key) {
            own.kept.pop_front();
            own.dropped = floor;
            if own.kept.is_empty() && own.listeners == 0 {
                self.keys.remove(&key);
            }
        }
    }

    fn key(&mut self, key: &AggregateKey) -> &mut RingKey {
        // Events of the aggregate may have been dropped before it was known.
        let dropped = self.floor();
        self.keys.entry(key.clone()).or_insert_with(|| RingKey {
            kept: VecDeque::new(),
            dropped,
            woken: Arc::default(),
            listeners: 0,
        })
    }

    /// Adds a listener. It is woken by the returned value.
    pub(super) fn listen(&mut self, wanted: &WantedEvents) -> Arc<Notify> {
        self.listeners += 1;
        let WantedEvents::Aggregate(key) = wanted else { return Arc::clone(&self.woken) };
        let own = self.key(key);
        own.listeners += 1;
        Arc::clone(&own.woken)
    }

    /// Removes a listener.
    pub(super) fn leave(&mut self, wanted: &WantedEvents) {
        self.listeners = self.listeners.saturating_sub(1);
        let WantedEvents::Aggregate(key) = wanted else { return };
        if let Some(own) = self.keys.get_mut(key) {
            own.listeners = own.listeners.saturating_sub(1);
            if own.kept.is_empty() && own.listeners == 0 {
                self.keys.remove(key);
            }
        }
    }

    /// What a listener finds after `position`.
    pub(super) fn after(&self, wanted: &WantedEvents, position: u64) -> LiveStep {
        let floor = self.floor();
        let dropped = match wanted {
            WantedEvents::Aggregate(key) => self.keys.get(key).map_or(floor, |own| own.dropped),
            _ => floor,
        };
        if position < dropped || position > self.head {
            return LiveStep::Gap(self.head);
        }
        let next = match wanted {
            WantedEvents::Aggregate(key) => self.keys.get(key).and_then(|own| {
                let at = own.kept.partition_point(|number| *number <= position);
                own.kept.get(at).copied()
            }),
            WantedEvents::Project => Some(position + 1),
            WantedEvents::Kind(kind) => (position + 1..=self.head).find(|number| {
                let key = self.entry(*number).and_then(|entry| entry.key.as_ref());
                key.is_some_and(|key| key.kind() == kind)
            }),
        };
        match next.and_then(|number| Some((self.entry(number)?, number))) {
            Some((entry, number)) => LiveStep::Event(entry.text.clone(), number),
            None => LiveStep::Idle(self.head),
        }
    }

    fn entry(&self, number: u64) -> Option<&RingEntry> {
        let place = number.checked_sub(self.floor() + 1)?;
        self.events.get(usize::try_from(place).ok()?)
    }
}

/// The id of an event, or of a position.
pub(super) fn id(epoch: u64, number: u64) -> String {
    format!("{epoch:016x}-{number}")
}

/// The epoch and the number of an id; `None` if it is no id of this service.
pub(super) fn parse_id(text: &str) -> Option<(u64, u64)> {
    let (epoch, number) = text.split_once('-')?;
    let parsed = (u64::from_str_radix(epoch, 16).ok()?, number.parse().ok()?);
    // One form for each id: no signs, no leading zeros.
    (id(parsed.0, parsed.1) == text).then_some(parsed)
}
