//! Event sources and stores as people write them over SQL: signed bounds, pages that nothing
//! follows, replicas that lag.
//!
//! Guards against: a bound that turns into -1, so that no event comes and the load says "version 0";
//! a source that yields less than it has, so that a state of the past is loaded as the newest one.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::support::{Account, Event, World, at, key};
use async_trait::async_trait;
use snapfold::engine::ReplayLoader;
use snapfold::events::Recorded;
use snapfold::manager::{CreateOptions, Decision, Origin};
use snapfold::record::{Record, SnapshotMeta};
use snapfold::retention::keep_last;
use snapfold::store::{
    Capabilities, Cursor, DeleteOptions, Deleted, KeysRequest, ListRequest, Lookup, MarkChange,
    Page, PutOptions, PutOutcome, Query, Selection,
};
use snapfold::{
    AggregateKey, BoxError, Error, ErrorKind, EventRange, EventSource, Loader, MemoryEvents,
    MemoryStore, Point, Replay, SnapshotEngine, SnapshotId, SnapshotStore, Timestamp,
};

// Signed bounds -----------------------------------------------------------------------------------

/// `SELECT .. WHERE version > $after AND version <= $until ORDER BY version`, with the casts that
/// everyone writes. It cannot tell its head.
#[derive(Clone)]
struct Sql(i64);

#[async_trait]
#[expect(clippy::cast_possible_wrap, clippy::cast_sign_loss, reason = "the casts are the point")]
impl EventSource<Account> for Sql {
    async fn read(
        &self,
        _: &AggregateKey,
        range: EventRange,
        replay: &mut Replay<'_, Account>,
    ) -> Result<(), BoxError> {
        let (after, until) = (range.after as i64, range.until as i64);
        for version in (1..=self.0).filter(|version| after < *version && *version <= until) {
            let event = Event::Deposited(version);
            if replay.push(Recorded::new(version as u64, at(version as u64), &event)).is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// The same for snapshots.
#[derive(Debug, Default)]
struct SqlStore(MemoryStore);

impl SqlStore {
    /// As the server compares, after the cast.
    #[expect(clippy::cast_possible_wrap, reason = "the cast is the point")]
    fn within(at_least: u64, version: u64, at_most: u64) -> bool {
        (at_least as i64) <= (version as i64) && (version as i64) <= (at_most as i64)
    }
}

#[async_trait]
impl SnapshotStore for SqlStore {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    async fn put(
        &self,
        records: Vec<Record>,
        options: PutOptions,
    ) -> Result<Vec<PutOutcome>, Error> {
        self.0.put(records, options).await
    }

    async fn get(&self, query: Query<'_>) -> Result<Lookup, Error> {
        assert!(i64::try_from(query.at_most).is_ok(), "{query:?}");
        self.0.get(query).await
    }

    async fn list(
        &self,
        request: ListRequest<'_>,
    ) -> Result<Page<SnapshotMeta, SnapshotId>, Error> {
        let mut page = self.0.list(ListRequest::new(request.key)).await?;
        page.items.retain(|meta| Self::within(request.at_least, meta.version, request.at_most));
        Ok(page)
    }

    async fn keys(&self, request: KeysRequest<'_>) -> Result<Page<AggregateKey, Cursor>, Error> {
        self.0.keys(request).await
    }

    async fn delete(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        options: DeleteOptions,
    ) -> Result<Deleted, Error> {
        if let Selection::Below(version) = selection {
            let all = self.0.list(ListRequest::new(key)).await?.items;
            let below = all.iter().map(SnapshotMeta::id);
            let below: Vec<_> = below
                .filter(|id| version > 0 && Self::within(0, id.version, version - 1))
                .collect();
            return self.0.delete(key, Selection::Ids(&below), options).await;
        }
        self.0.delete(key, selection, options).await
    }

    async fn mark(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        change: MarkChange<'_>,
    ) -> Result<u64, Error> {
        self.0.mark(key, selection, change).await
    }
}

#[tokio::test]
async fn no_bound_is_a_number_that_a_signed_column_holds() {
    let engine = SnapshotEngine::builder(Sql(9), SqlStore::default()).build().unwrap();
    let (key, beyond) = (key("a"), SnapshotId::MAX_VERSION + 1);
    assert_eq!(engine.load(&key).await.unwrap().version, 9);
    assert_eq!(engine.at_time(&key, Timestamp::MAX).await.unwrap().version, 9);
    assert_eq!(ReplayLoader::new(Sql(9)).load(&key).await.unwrap().version, 9);
    engine.create_with(&key, CreateOptions::new().at_version(5)).await.unwrap();
    engine.create(&key).await.unwrap();
    for version in [SnapshotId::MAX_VERSION, beyond, u64::MAX] {
        let known = engine.latest_known(&key, Point::Version(version)).await.unwrap();
        assert_eq!((known.version, known.provenance.origin), (9, Origin::Snapshot));
        let create = engine.create_with(&key, CreateOptions::new().at_version(version)).await;
        let repair = engine.rebuild(&key, version).await;
        let at = engine.at_version(&key, version).await;
        for error in [create.unwrap_err(), repair.unwrap_err(), at.unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::BeyondHead, "{version}");
        }
        assert!(engine.snapshot(&key, version).await.unwrap().usable().is_none());
        assert_eq!(engine.snapshots(&key, version..=version).await.unwrap(), []);
        assert_eq!(engine.snapshots(&key, version..=u64::MAX).await.unwrap(), []);
        assert_eq!(engine.snapshots(&key, 6..=version).await.unwrap().len(), 1);
        assert_eq!(engine.delete(&key, version).await.unwrap().snapshots, 0);
    }
    assert!(engine.latest_snapshot(&key).await.unwrap().usable().is_some());
    assert_eq!(engine.stats(&key).await.unwrap().snapshots, 2);
    assert_eq!(engine.apply_retention(&key, &keep_last(2)).await.unwrap().plan.judged.len(), 2);
    let loaded = engine.load(&key).await.unwrap();
    assert_eq!(loaded.provenance.origin, Origin::Snapshot);
    let decision = engine.committed(&loaded, beyond);
    assert!(matches!(decision, Decision::Wait { .. }), "{decision}");
    assert!(decision.reason().contains("version 9223372036854775808 is above"), "{decision}");
    assert_eq!(engine.delete_before(&key, u64::MAX).await.unwrap().snapshots, 2);
}

#[test]
fn a_range_holds_no_version_that_a_signed_column_does_not() {
    let highest = i64::MAX.unsigned_abs();
    assert_eq!(SnapshotId::MAX_VERSION, highest);
    let all = EventRange::new(0, u64::MAX);
    assert_eq!((all.after, all.until), (0, highest));
    assert!(all.contains(highest) && !all.contains(highest + 1));
    let none = EventRange::new(u64::MAX, u64::MAX);
    assert_eq!((none.after, none.until), (highest, highest));
}

// Less than there is ------------------------------------------------------------------------------

/// Events of which a read yields too few. It counts what it is asked.
#[derive(Clone)]
struct Lazy {
    events: MemoryEvents<Event>,
    way: Arc<Mutex<Way>>,
    knows_its_head: bool,
    asked: Arc<AtomicUsize>,
}

#[derive(Clone, Copy)]
enum Way {
    Whole,
    Nothing,
    /// One page, and no next one.
    Page(usize),
    /// All but the last one of the range.
    Exclusive,
    /// Nothing the first time: what is there was committed just after the read.
    LateOnce,
    /// The same, and the history is taken back to this version before the next question.
    Rewound(u64),
    /// The same, and it is truncated.
    Truncated(u64),
}

impl Lazy {
    fn new(events: u64) -> Self {
        let lazy = Self {
            events: MemoryEvents::new(),
            way: Arc::new(Mutex::new(Way::Whole)),
            knows_its_head: true,
            asked: Arc::default(),
        };
        for version in 1..=events {
            lazy.events.append(&key("a"), at(version), Event::Deposited(1));
        }
        lazy
    }

    fn set(&self, way: Way) {
        *self.way.lock().unwrap() = way;
        self.asked.store(0, Ordering::SeqCst);
    }

    fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::SeqCst)
    }

    fn engine(&self, cached: bool) -> SnapshotEngine<Account> {
        let builder = SnapshotEngine::builder(self.clone(), MemoryStore::new());
        #[cfg(feature = "cache")]
        let builder =
            if cached { builder.cache(snapfold::engine::CacheConfig::default()) } else { builder };
        let _ = cached;
        builder.build().unwrap()
    }
}

#[async_trait]
impl EventSource<Account> for Lazy {
    async fn read(
        &self,
        key: &AggregateKey,
        range: EventRange,
        replay: &mut Replay<'_, Account>,
    ) -> Result<(), BoxError> {
        let way = *self.way.lock().unwrap();
        let mut range = range;
        match way {
            Way::Whole => {}
            Way::Nothing | Way::Rewound(_) | Way::Truncated(_) => return Ok(()),
            Way::Exclusive => range.until -= 1,
            Way::Page(events) => range.until = range.until.min(range.after + events as u64),
            Way::LateOnce => {
                *self.way.lock().unwrap() = Way::Whole;
                return Ok(());
            }
        }
        self.events.read(key, range, replay).await
    }

    async fn head(&self, key: &AggregateKey) -> Result<Option<u64>, BoxError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if !self.knows_its_head {
            return Ok(None);
        }
        let head = EventSource::<Account>::head(&self.events, key).await;
        match *self.way.lock().unwrap() {
            Way::Rewound(version) => self.events.rewind(key, version),
            Way::Truncated(version) => self.events.truncate_below(key, version),
            _ => {}
        }
        head
    }

    async fn floor(&self, key: &AggregateKey) -> Result<u64, BoxError> {
        EventSource::<Account>::floor(&self.events, key).await
    }
}

async fn every_load(source: &Lazy, engine: &SnapshotEngine<Account>) -> Vec<Option<Error>> {
    let key = key("a");
    let replay = ReplayLoader::<Account>::new(source.clone());
    vec![
        engine.load(&key).await.err(),
        engine.at_version(&key, 3).await.err(),
        engine.at_time(&key, at(3)).await.err(),
        engine.latest_known(&key, Point::Now).await.err(),
        engine.create(&key).await.err(),
        engine.rebuild(&key, 3).await.err(),
        replay.load(&key).await.err(),
        replay.at_time(&key, at(3)).await.err(),
    ]
}

#[tokio::test]
async fn a_source_that_yields_nothing_of_what_its_head_counts_is_an_error_and_not_version_0() {
    for cached in [false, true] {
        let source = Lazy::new(9);
        let engine = source.engine(cached);
        source.set(Way::Nothing);
        for error in every_load(&source, &engine).await {
            let error = error.unwrap();
            assert_eq!(error.kind(), ErrorKind::BrokenHistory, "{error}");
            assert!(error.to_string().contains("after version 0"), "{error}");
            assert!(error.to_string().contains("the newest is 9"), "{error}");
            assert!(error.is_retryable(), "a replica catches up");
        }
        // Nothing of it stays.
        source.set(Way::Whole);
        assert_eq!(every_load(&source, &engine).await.iter().flatten().count(), 0);
        assert_eq!(engine.load(&key("a")).await.unwrap().version, 9);
    }
}

#[tokio::test]
async fn a_source_that_stops_yielding_after_a_state_was_cached_or_stored_is_an_error() {
    for cached in [false, true] {
        let source = Lazy::new(9);
        let engine = source.engine(cached);
        engine.create(&key("a")).await.unwrap();
        engine.load(&key("a")).await.unwrap();
        source.set(Way::Nothing);
        let error = engine.load(&key("a")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenHistory, "{error}");
        // All up to the snapshot is truncated: there is nothing to compare it with, but more to come.
        source.events.truncate_below(&key("a"), 9);
        source.set(Way::Nothing);
        assert_eq!(engine.load(&key("a")).await.unwrap().version, 9);
        source.events.append(&key("a"), at(10), Event::Deposited(1));
        let error = engine.load(&key("a")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenHistory, "{error}");
        source.set(Way::Whole);
        assert_eq!(engine.load(&key("a")).await.unwrap().version, 10);
    }
    // A cached empty state.
    #[cfg(feature = "cache")]
    {
        let source = Lazy::new(0);
        let engine = source.engine(true);
        assert_eq!(engine.load(&key("a")).await.unwrap().version, 0);
        source.events.append(&key("a"), at(1), Event::Deposited(1));
        source.set(Way::Nothing);
        let error = engine.load(&key("a")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenHistory, "{error}");
    }
}

#[tokio::test]
async fn a_page_that_nothing_follows_is_an_error_and_not_a_state_of_the_past() {
    for page in [100, 128, 250, 256, 500, 1_000, 1_234] {
        let source = Lazy::new(3_000);
        let engine = source.engine(false);
        source.set(Way::Page(page));
        let error = engine.load(&key("a")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenHistory, "{page}: {error}");
        assert!(error.to_string().contains("the newest is 3000"), "{error}");
        // What lies within the page is right; bounds are bounds.
        assert_eq!(engine.at_version(&key("a"), 50).await.unwrap().version, 50);
        assert_eq!(engine.at_time(&key("a"), at(50)).await.unwrap().version, 50);
        // After a snapshot: the first event of the page is the one at its version.
        source.set(Way::Whole);
        engine.create_with(&key("a"), CreateOptions::new().at_version(500)).await.unwrap();
        source.set(Way::Page(page));
        let error = engine.load(&key("a")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenHistory, "{page}: {error}");
        source.set(Way::Whole);
        assert_eq!(engine.load(&key("a")).await.unwrap().version, 3_000);
        // A page that the second read completes is none the worse for it.
        source.set(Way::Page(1_500));
        assert_eq!(ReplayLoader::new(source.clone()).load(&key("a")).await.unwrap().version, 3_000);
    }
}

#[tokio::test]
async fn a_version_that_the_head_counts_and_no_read_yields_is_an_error() {
    let key = key("a");
    let source = Lazy::new(10);
    let engine = source.engine(false);
    let point = Point::Version(7);
    let at_the_end = Point::Version(10);
    source.set(Way::Exclusive);
    for error in [
        engine.at_version(&key, 7).await.unwrap_err(),
        engine.latest_known(&key, point).await.unwrap_err(),
        engine.latest_known(&key, at_the_end).await.unwrap_err(),
        engine.rebuild(&key, 7).await.unwrap_err(),
        ReplayLoader::new(source.clone()).latest_known(&key, point).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::BrokenHistory, "{error}");
    }
    // Beyond the head there is nothing to miss.
    source.set(Way::Whole);
    let beyond = Point::Version(11);
    assert_eq!(engine.latest_known(&key, beyond).await.unwrap().version, 10);
    assert_eq!(source.asked(), 1);
}

#[tokio::test]
async fn a_history_that_changes_between_two_questions_is_no_error() {
    let key = key("a");
    // The first events were committed between the read and the question for the head.
    let source = Lazy::new(5);
    source.set(Way::LateOnce);
    assert_eq!(source.engine(false).load(&key).await.unwrap().version, 5);
    // The history was restored to its beginning.
    let source = Lazy::new(5);
    source.set(Way::Rewound(0));
    assert_eq!(source.engine(false).load(&key).await.unwrap().version, 0);
    // All of it was truncated: not the empty state.
    let source = Lazy::new(5);
    source.set(Way::Truncated(5));
    let error = source.engine(false).load(&key).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unrecoverable, "{error}");
}

#[tokio::test]
async fn a_source_that_cannot_tell_its_head_is_believed() {
    let mut source = Lazy::new(9);
    source.knows_its_head = false;
    source.set(Way::Nothing);
    assert_eq!(source.engine(false).load(&key("a")).await.unwrap().version, 0);
}

#[tokio::test]
async fn the_head_is_asked_for_only_where_a_read_looks_cut_off() {
    let world = World::new();
    world.grow(&key("a"), 1);
    for (events, questions) in
        [(0, 1), (1, 0), (99, 0), (100, 1), (101, 0), (250, 1), (999, 0), (1_001, 1)]
    {
        let source = Lazy::new(events);
        let engine = source.engine(false);
        engine.load(&key("a")).await.unwrap();
        assert_eq!(source.asked(), questions, "{events} events");
        if events > 0 {
            // A snapshot and no events, and a snapshot and a few.
            engine.create(&key("a")).await.unwrap();
            source.asked();
            for more in 0..3 {
                assert_eq!(engine.load(&key("a")).await.unwrap().version, events + more);
                source.events.append(&key("a"), at(events + more + 1), Event::Deposited(1));
            }
            assert_eq!(source.asked(), 0, "{events} events");
        }
        // Bounded loads that reach their bound.
        if events >= 250 {
            engine.at_version(&key("a"), 200).await.unwrap();
            engine.at_time(&key("a"), at(200)).await.unwrap();
            assert_eq!(source.asked(), 0, "{events} events");
        }
    }
}
