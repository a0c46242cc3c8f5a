//! Events are truncated while loads and compactions run, and nothing is lost or misreported.
//!
//! The defects, all found by the simulation: a load that reads a snapshot, and whose events are
//! truncated before it reads them, gave an old state as the newest one, or called the history
//! broken, or called the aggregate lost although a newer snapshot made up for the events. And
//! compaction deleted the only snapshot that worked: of a generation that only other code decodes,
//! because a newer one of a lost history counted as usable; and of its own, because one read of it
//! was damaged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::support::{Account, Event, Source, at, key};
use async_trait::async_trait;
use snapfold::layer::{Fault, Faults, FaultyStore, StoreCall};
use snapfold::manager::{CreateOptions, Origin};
use snapfold::retention::keep_last;
use snapfold::{
    Aggregate, AggregateKey, BoxError, ErrorKind, EventRange, EventSource, MemoryEvents,
    MemoryStore, Replay, SnapshotEngine,
};

/// Truncates just after the n-th question for the floor was answered.
#[derive(Clone)]
struct Truncating {
    events: MemoryEvents<Event>,
    at_question: usize,
    up_to: u64,
    questions: Arc<AtomicUsize>,
    armed: Arc<AtomicBool>,
}

impl Truncating {
    fn new(at_question: usize, up_to: u64) -> Self {
        let events = MemoryEvents::new();
        for version in 1..=20 {
            events.append(&key("a"), at(version), Event::Deposited(1));
        }
        Self { events, at_question, up_to, questions: Arc::default(), armed: Arc::default() }
    }
}

#[async_trait]
impl<A: Aggregate<Event = Event>> EventSource<A> for Truncating {
    async fn read(
        &self,
        key: &AggregateKey,
        range: EventRange,
        replay: &mut Replay<'_, A>,
    ) -> Result<(), BoxError> {
        self.events.read(key, range, replay).await
    }

    async fn floor(&self, key: &AggregateKey) -> Result<u64, BoxError> {
        let floor = EventSource::<A>::floor(&self.events, key).await?;
        if self.armed.load(Ordering::SeqCst)
            && self.questions.fetch_add(1, Ordering::SeqCst) + 1 == self.at_question
        {
            self.events.truncate_below(key, self.up_to);
        }
        Ok(floor)
    }
}

/// Events from 4 on are committed just after the first read, and those up to 4 are truncated
/// before the next events are read.
#[derive(Clone)]
struct Growing {
    events: MemoryEvents<Event>,
    /// One read reads both.
    is_paged: bool,
    armed: Arc<AtomicBool>,
}

#[async_trait]
impl<A: Aggregate<Event = Event>> EventSource<A> for Growing {
    async fn read(
        &self,
        key: &AggregateKey,
        range: EventRange,
        replay: &mut Replay<'_, A>,
    ) -> Result<(), BoxError> {
        if range.after > 0 || !self.armed.load(Ordering::SeqCst) {
            return self.events.read(key, range, replay).await;
        }
        self.events.read(key, EventRange::new(0, 3), replay).await?;
        if self.is_paged {
            self.events.truncate_below(key, 4);
            self.events.read(key, EventRange::new(3, range.until), replay).await?;
        }
        Ok(())
    }

    async fn head(&self, key: &AggregateKey) -> Result<Option<u64>, BoxError> {
        EventSource::<A>::head(&self.events, key).await
    }

    async fn floor(&self, key: &AggregateKey) -> Result<u64, BoxError> {
        let floor = EventSource::<A>::floor(&self.events, key).await?;
        if self.armed.load(Ordering::SeqCst) {
            self.events.truncate_below(key, 4);
        }
        Ok(floor)
    }
}

#[tokio::test]
async fn events_that_are_truncated_between_two_reads_are_no_gap_in_the_history() {
    for (is_paged, version) in [(true, None), (true, Some(5)), (false, Some(5))] {
        let Truncating { events, armed, .. } = Truncating::new(0, 0);
        let source = Growing { events, is_paged, armed };
        let store = FaultyStore::new(MemoryStore::new(), Faults::new(1));
        let engine = SnapshotEngine::<Account>::builder(source.clone(), store.clone());
        let engine = engine.build().unwrap();
        // The earlier answer that the store comes back to: there is nothing.
        engine.load(&key("a")).await.unwrap();
        engine.create_with(&key("a"), CreateOptions::new().at_version(10)).await.unwrap();
        source.armed.store(true, Ordering::SeqCst);
        let Some(version) = version else {
            store.fail_next(StoreCall::Get, Fault::Stale).unwrap();
            let loaded = engine.load(&key("a")).await.unwrap();
            assert_eq!((loaded.version, loaded.provenance.origin), (20, Origin::Snapshot));
            continue;
        };
        let error = engine.at_version(&key("a"), version).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unrecoverable, "{error}");
    }
}

/// An engine over a snapshot at 10, from which everything was truncated up to 10 already, and
/// whose events go up to `up_to` while it is read. The first answer of the store lags behind.
async fn truncated_under_a_load(up_to: u64, newest: Option<u64>) -> SnapshotEngine<Account> {
    let source = Truncating::new(1, up_to);
    let store = FaultyStore::new(MemoryStore::new(), Faults::new(1));
    let engine = SnapshotEngine::builder(source.clone(), store.clone()).build().unwrap();
    engine.create_with(&key("a"), CreateOptions::new().at_version(10)).await.unwrap();
    if let Some(version) = newest {
        engine.create_with(&key("a"), CreateOptions::new().at_version(version)).await.unwrap();
        // As if it were stored just after the load has asked.
        store.fail_next(StoreCall::Get, Fault::Stale).unwrap();
    }
    source.events.truncate_below(&key("a"), 10);
    source.armed.store(true, Ordering::SeqCst);
    engine
}

#[tokio::test]
async fn a_snapshot_that_was_overtaken_by_the_floor_is_not_taken_for_the_newest_state() {
    let engine = truncated_under_a_load(20, None).await;
    // All events after it are gone: that is no reason to believe that there were none.
    let error = engine.load(&key("a")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unrecoverable, "{error}");
    assert!(error.to_string().contains("below the replay floor 20"), "{error}");
}

#[tokio::test]
async fn a_floor_that_rises_during_a_load_is_no_gap_in_the_history() {
    let engine = truncated_under_a_load(15, None).await;
    let error = engine.load(&key("a")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unrecoverable, "{error}");
    assert_eq!(engine.at_version(&key("a"), 10).await.unwrap_err().kind(), error.kind());
}

#[tokio::test]
async fn a_load_finds_the_snapshot_that_was_taken_before_its_events_went() {
    for (up_to, newest) in [(15, 15), (15, 18), (20, 20)] {
        let engine = truncated_under_a_load(up_to, Some(newest)).await;
        let loaded = engine.load(&key("a")).await.unwrap();
        assert_eq!((loaded.version, loaded.state.balance), (20, 20));
        assert_eq!(loaded.provenance.origin, Origin::Snapshot);
        assert_eq!(loaded.provenance.snapshot.unwrap().id.version, newest);
    }
}

#[tokio::test]
async fn a_load_that_saw_no_snapshot_at_all_looks_again_when_the_events_are_gone() {
    let source = Source::default();
    source.grow(&key("a"), 20);
    let store = FaultyStore::new(MemoryStore::new(), Faults::new(1));
    let engine = SnapshotEngine::<Account>::builder(source.clone(), store.clone()).build().unwrap();
    // The earlier answer that the store comes back to: there is nothing.
    engine.load(&key("a")).await.unwrap();
    engine.create(&key("a")).await.unwrap();
    source.events.truncate_below(&key("a"), 20);
    store.fail_next(StoreCall::Get, Fault::Stale).unwrap();
    assert_eq!(engine.load(&key("a")).await.unwrap().version, 20);
    assert_eq!(store.report().count(Fault::Stale), 1);

    // And only once: what is really lost is reported.
    engine.delete_before(&key("a"), 21).await.unwrap();
    let before = store.report().calls(StoreCall::Get);
    let error = engine.load(&key("a")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unrecoverable);
    assert_eq!(store.report().calls(StoreCall::Get), before + 2);
}

/// The same account after somebody changed its shape, and nothing else.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct NewAccount {
    balance: i64,
    count: u32,
}

impl Aggregate for NewAccount {
    type Event = Event;
    const KIND: &'static str = Account::KIND;
    const SCHEMA_VERSION: u32 = 2;

    fn initial(_: &AggregateKey) -> Self {
        Self { balance: 0, count: 0 }
    }

    fn apply(&mut self, event: &Event) {
        if let Event::Deposited(amount) = event {
            self.balance += amount;
        }
        self.count += 1;
    }
}

#[tokio::test]
async fn new_code_keeps_the_snapshot_of_old_code_that_agrees_with_the_events() {
    let source = Source::default();
    let store = MemoryStore::new();
    let old = SnapshotEngine::<Account>::builder(source.clone(), store.clone()).build().unwrap();
    let new = SnapshotEngine::<NewAccount>::builder(source.events.clone(), store).build().unwrap();
    let key = key("a");
    source.grow(&key, 20);
    for version in [8, 12, 20] {
        old.create_with(&key, CreateOptions::new().at_version(version)).await.unwrap();
    }
    // Restored from a backup: the newest snapshot of the old code belongs to what was lost. It is
    // whole, and the new code cannot decode it.
    source.events.rewind(&key, 15);
    source.events.truncate_below(&key, 10);
    let compaction = new.apply_retention(&key, &keep_last(0)).await.unwrap();
    let kept: Vec<_> = compaction.plan.kept().map(|judged| judged.id.version).collect();
    assert_eq!(kept, [20, 12], "{}", compaction.plan);
    let loaded = old.load(&key).await.unwrap();
    assert_eq!((loaded.version, loaded.provenance.snapshot.unwrap().id.version), (15, 12));
}

#[tokio::test]
async fn one_damaged_read_does_not_cost_the_only_snapshot_that_works() {
    for fault in [Fault::Flipped, Fault::Torn] {
        let source = Source::default();
        source.grow(&key("a"), 20);
        let store = FaultyStore::new(MemoryStore::new(), Faults::new(3));
        let engine =
            SnapshotEngine::<Account>::builder(source.clone(), store.clone()).build().unwrap();
        for version in [8, 12, 20] {
            let options = CreateOptions::new().at_version(version);
            engine.create_with(&key("a"), options).await.unwrap();
        }
        source.events.rewind(&key("a"), 15);
        source.events.truncate_below(&key("a"), 10);
        // The first is that at 20, which is ahead of the events; the second the one that works.
        for _ in 0..2 {
            store.fail_next(StoreCall::Get, fault).unwrap();
        }
        let compaction = engine.apply_retention(&key("a"), &keep_last(0)).await.unwrap();
        assert_eq!(compaction.plan.dropped().count(), 0, "{}", compaction.plan);
        assert!(compaction.plan.to_string().contains("no snapshot of its generation"));
        assert_eq!(engine.load(&key("a")).await.unwrap().version, 15);
        // Seen again, it is what stays.
        let compaction = engine.apply_retention(&key("a"), &keep_last(0)).await.unwrap();
        let kept: Vec<_> = compaction.plan.kept().map(|judged| judged.id.version).collect();
        assert_eq!(kept, [20, 12], "{}", compaction.plan);
    }
}
