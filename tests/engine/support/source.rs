//! An event source that counts, waits and misbehaves on demand.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use snapfold::events::Recorded;
use snapfold::{AggregateKey, BoxError, EventRange, EventSource, MemoryEvents, Replay, Timestamp};

use super::{Account, Event, Gate, Yields, at};

/// Clones share everything.
#[derive(Clone, Default)]
pub struct Source {
    pub events: MemoryEvents<Event>,
    /// Before a read begins.
    pub gate: Gate,
    /// Before a read of the first event.
    pub start_gate: Gate,
    /// At each await point: before and after a read, before head and floor.
    pub yields: Yields,
    reads: Arc<AtomicUsize>,
    fault: Arc<Mutex<Option<Fault>>>,
}

#[derive(Clone)]
enum Fault {
    /// Fails after so many events of the range.
    Failing(usize),
    /// Fails if the first event is asked for.
    FailingAtFirst,
    /// Pushes events with just these versions, whatever the range is.
    Yielding(Vec<u64>),
}

impl Source {
    pub fn grow(&self, key: &AggregateKey, version: u64) {
        let next = self.head_now(key) + 1;
        for version in next..=version {
            let amount = i64::try_from(version).unwrap();
            self.events.append(key, at(version), Event::Deposited(amount));
        }
    }

    pub fn append(&self, key: &AggregateKey, seconds: u64, event: Event) -> u64 {
        self.events.append(key, at(seconds), event)
    }

    fn head_now(&self, key: &AggregateKey) -> u64 {
        let head = EventSource::<Account>::head(&self.events, key);
        super::poll_times(head, 1).unwrap().unwrap().unwrap()
    }

    /// How many reads were begun.
    pub fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }

    /// From now on reads fail after `events` events.
    pub fn fail_after(&self, events: usize) {
        *self.fault.lock().unwrap() = Some(Fault::Failing(events));
    }

    /// From now on reads of the first event fail.
    pub fn fail_at_first(&self) {
        *self.fault.lock().unwrap() = Some(Fault::FailingAtFirst);
    }

    /// From now on reads push events with these versions.
    pub fn yield_versions(&self, versions: &[u64]) {
        *self.fault.lock().unwrap() = Some(Fault::Yielding(versions.to_vec()));
    }

    /// From now on all is well.
    pub fn heal(&self) {
        *self.fault.lock().unwrap() = None;
    }
}

fn recorded_at(version: u64) -> Timestamp {
    Timestamp::from_seconds(i64::try_from(version).unwrap_or(i64::MAX))
}

#[async_trait]
impl EventSource<Account> for Source {
    async fn read(
        &self,
        key: &AggregateKey,
        range: EventRange,
        replay: &mut Replay<'_, Account>,
    ) -> Result<(), BoxError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.gate.pass().await;
        if range.after == 0 {
            self.start_gate.pass().await;
        }
        self.yields.pass().await;
        let fault = self.fault.lock().unwrap().clone();
        match fault {
            Some(Fault::FailingAtFirst) if range.after == 0 => {
                return Err("the archive is down".into());
            }
            None | Some(Fault::FailingAtFirst) => self.events.read(key, range, replay).await?,
            Some(Fault::Failing(events)) => {
                for version in (range.after + 1..).take(events) {
                    let event = Event::Deposited(1);
                    let _ = replay.push(Recorded::new(version, recorded_at(version), &event));
                }
                return Err("the network is down".into());
            }
            Some(Fault::Yielding(versions)) => {
                for version in versions {
                    let event = Event::Deposited(i64::try_from(version).unwrap_or(0));
                    let recorded = Recorded::new(version, recorded_at(version), &event);
                    if replay.push(recorded).is_break() {
                        break;
                    }
                }
            }
        }
        self.yields.pass().await;
        Ok(())
    }

    async fn head(&self, key: &AggregateKey) -> Result<Option<u64>, BoxError> {
        self.yields.pass().await;
        EventSource::<Account>::head(&self.events, key).await
    }

    async fn floor(&self, key: &AggregateKey) -> Result<u64, BoxError> {
        self.yields.pass().await;
        EventSource::<Account>::floor(&self.events, key).await
    }
}
