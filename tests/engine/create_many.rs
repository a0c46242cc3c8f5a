//! Taking many snapshots at once gives what taking each of them gives.
//!
//! Guards against: a request that fails, panics or is dropped and takes others with it; results in
//! another order; a label or version that is lost on the way; states that pile up in memory; a
//! duration that counts the whole batch for each of its snapshots.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::{self, StreamExt};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use snapfold::engine::{InFlight, ManualClock, Observation, Observer};
use snapfold::ledger::{AuditOutcome, Day, Ledger, StoreLedger};
use snapfold::manager::{AdminContext, CreateOptions, CreateOutcome, CreateRequest};
use snapfold::{
    Aggregate, AggregateKey, BoxError, Error, ErrorKind, EventRange, EventSource, MemoryEvents,
    MemoryStore, Replay, SnapshotEngine,
};

use crate::support::{Event, Gate, Op, World, at, key, poll_times, until};

fn keys(many: usize) -> Vec<AggregateKey> {
    (0..many).map(|n| key(&format!("a{n:05}"))).collect()
}

/// Aggregates with this many events each.
fn grown(world: &World, many: usize, events: u64) -> Vec<AggregateKey> {
    let keys = keys(many);
    for key in &keys {
        world.grow(key, events);
    }
    keys
}

fn request(key: &AggregateKey, options: CreateOptions) -> CreateRequest {
    CreateRequest::new(key.clone(), options)
}

fn version(created: &Result<CreateOutcome, Error>) -> Option<u64> {
    created.as_ref().ok()?.meta().map(|meta| meta.version)
}

#[tokio::test]
async fn requests_keep_their_versions_labels_and_pins() {
    let world = World::new();
    let keys = grown(&world, 300, 9);
    let requests: Vec<_> = (1..)
        .zip(&keys)
        .map(|(n, key)| {
            let options = CreateOptions::new().label(format!("label {n}"));
            let options = if n % 3 == 0 { options.at_version(n % 9 + 1) } else { options };
            request(key, if n % 50 == 0 { options.pin("audit") } else { options })
        })
        .collect();
    let created = world.engine.create_many(&requests).await;
    assert_eq!(created.len(), 300);
    for (n, (request, created)) in (1..).zip(requests.iter().zip(&created)) {
        let Ok(CreateOutcome::Stored(meta)) = created else { panic!("{created:?}") };
        assert_eq!(meta.key, request.key);
        assert_eq!(meta.version, request.options.version.unwrap_or(9));
        assert_eq!(meta.labels, [format!("label {n}")]);
        let stored = world.engine.snapshots(&request.key, 0..=9).await.unwrap();
        assert_eq!(stored, std::slice::from_ref(meta));
        assert_eq!(meta.is_pinned(), n % 50 == 0);
    }
    // Together where possible: 300 requests in 5 chunks, and 6 pinned ones by themselves.
    assert_eq!(world.store.calls(Op::Put), 5 + 6);
    assert_eq!(world.store.put_records(), 300);
}

#[tokio::test]
async fn requests_for_one_aggregate_are_handled_in_order() {
    let world = World::new();
    let keys = grown(&world, 100, 5);
    let labelled = |label: &str| CreateOptions::new().label(label);
    let mut requests: Vec<_> = keys.iter().map(|key| request(key, labelled("first"))).collect();
    requests.extend(keys.iter().map(|key| request(key, labelled("second"))));
    requests.extend(keys.iter().map(|key| request(key, labelled("past").at_version(2))));
    requests.extend(keys.iter().map(|key| request(key, CreateOptions::new().if_changed())));
    let created = world.engine.create_many(requests).await;
    for (n, created) in created.iter().enumerate() {
        match (n / 100, created) {
            (0 | 2, Ok(CreateOutcome::Stored(_)))
            | (1, Ok(CreateOutcome::Existing { identical: true, .. }))
            | (3, Ok(CreateOutcome::Unchanged { version: 5 })) => {}
            other => panic!("{n}: {other:?}"),
        }
    }
    for key in &keys {
        let stored = world.engine.snapshots(key, 0..=9).await.unwrap();
        let labels: Vec<_> = stored.iter().map(|meta| meta.labels[0].as_str()).collect();
        assert_eq!(labels, ["first", "past"]);
    }
}

/// A batch is a matter of speed: the results and what is stored are those of single calls.
#[tokio::test]
async fn many_requests_give_what_each_gives_alone() {
    let (together, alone) = (World::new(), World::new());
    let mut requests = Vec::new();
    for (n, key) in (0_u64..).zip(&keys(200)) {
        for world in [&together, &alone] {
            world.grow(key, n % 7);
            world.snapshots_at(key, if n % 7 == 6 { &[3] } else { &[] }).await;
            if n % 11 == 0 {
                world.source.events.rewind(key, n % 5);
            }
        }
        let options = match n % 4 {
            0 => CreateOptions::new(),
            1 => CreateOptions::new().at_version(3),
            2 => CreateOptions::new().if_changed(),
            _ => CreateOptions::new().pin("x".repeat(if n % 8 == 3 { 1 } else { 1 << 20 })),
        };
        requests.push(request(key, options));
    }
    requests.push(AggregateKey::new("invoice", "a").unwrap().into());
    let created = together.engine.create_many(&requests).await;
    for (request, created) in requests.iter().zip(created) {
        let CreateRequest { key, options, .. } = request;
        let single = alone.engine.create_with(key, options.clone()).await;
        assert_eq!(format!("{created:?}"), format!("{single:?}"));
    }
    let keys: Vec<_> = requests.iter().map(|request| request.key.clone()).collect();
    assert_eq!(together.store.dump(&keys).await, alone.store.dump(&keys).await);
}

#[tokio::test]
async fn a_panic_fails_one_aggregate_only() {
    let fuse = Arc::new(AtomicBool::new(true));
    let world = World::new();
    let keys = keys(150);
    for (n, key) in keys.iter().enumerate() {
        world.grow(key, 4);
        if n == 70 {
            world.source.append(key, 9, Event::Fused(Arc::clone(&fuse)));
        }
    }
    let is_as_expected = |n: usize, error: Option<&Error>| match error {
        Some(error) => {
            assert_eq!((n, error.kind()), (70, ErrorKind::Encode), "{error:#}");
            assert!(format!("{error:#}").contains("panicked: the fuse blew"), "{error:#}");
        }
        None => assert_ne!(n, 70),
    };
    let loaded = world.engine.load_many(&keys).await;
    for (n, loaded) in loaded.iter().enumerate() {
        is_as_expected(n, loaded.as_ref().err());
    }
    let loads = world.engine.load_stream(stream::iter(keys.clone()), InFlight::new(100));
    for (n, (key, loaded)) in loads.collect::<Vec<_>>().await.iter().enumerate() {
        assert_eq!(*key, keys[n]);
        is_as_expected(n, loaded.as_ref().err());
    }
    let snapshots = world.engine.create_stream(stream::iter(keys.clone()), InFlight::new(100));
    for (n, (request, created)) in snapshots.collect::<Vec<_>>().await.iter().enumerate() {
        assert_eq!(request.key, keys[n]);
        is_as_expected(n, created.as_ref().err());
    }
    // In the past, where states are not loaded together, and in the store.
    world.grow(&keys[70], 6);
    world.store.panic_over(&keys[80]);
    let past = |key: &AggregateKey| request(key, CreateOptions::new().at_version(3));
    let requests = keys.iter().enumerate().map(|(n, key)| match n % 2 {
        0 if n != 70 => past(key),
        _ => request(key, CreateOptions::new().at_version(if n == 70 { 5 } else { 4 })),
    });
    for (n, created) in world.engine.create_many(requests).await.into_iter().enumerate() {
        match created {
            Ok(CreateOutcome::Stored(meta)) => assert_eq!((n % 2, meta.version), (0, 3)),
            Ok(CreateOutcome::Existing { meta, .. }) => assert_eq!((n % 2, meta.version), (1, 4)),
            Err(_) => assert!([70, 80].contains(&n)),
            Ok(other) => panic!("{n}: {other}"),
        }
    }
    fuse.store(false, Ordering::SeqCst);
    assert!(world.engine.create_many(&keys[70..71]).await[0].is_ok());
}

#[tokio::test]
async fn a_batch_that_is_dropped_leaves_whole_snapshots_only() {
    let ledger = StoreLedger::new(MemoryStore::new());
    let world = World::with(|builder| builder.ledger(ledger.clone()));
    let keys = grown(&world, 1_000, 3);
    // So that the sizes of states are known, and all are encoded in place.
    world.engine.create(&keys[0]).await.unwrap();
    world.store.yields.set(1);
    let mut dropped_midway = 0;
    for times in (0..4_000).step_by(150) {
        if poll_times(world.engine.create_many(&keys), times).is_some() {
            break;
        }
        let stored = world.store.put_records();
        dropped_midway += usize::from((2..1_000).contains(&stored));
    }
    assert!(dropped_midway > 1, "{dropped_midway}");
    world.store.yields.set(0);
    let created = world.engine.create_many(&keys).await;
    for (key, created) in keys.iter().zip(&created) {
        assert_eq!(version(created), Some(3));
        assert_eq!(world.store.versions(key).await, [3]);
    }
    for key in keys.iter().step_by(97) {
        world.load_checked(key).await;
    }
}

#[tokio::test]
async fn a_dropped_batch_is_audited_for_the_requests_it_had_begun() {
    #[derive(Clone, Default)]
    struct Seen(Arc<Mutex<Vec<(String, bool)>>>);
    impl Observer for Seen {
        fn observe(&self, observation: &Observation<'_>) {
            if let Observation::Managed { key: Some(key), outcome, .. } = observation {
                let is_ok = matches!(outcome, AuditOutcome::Ok);
                self.0.lock().unwrap().push((key.id().to_owned(), is_ok));
            }
        }
    }
    let seen = Seen::default();
    let observer = seen.clone();
    let world = World::with(|builder| builder.observer(observer));
    let keys = grown(&world, 1_000, 3);
    world.engine.create(&key("nobody")).await.unwrap();
    seen.0.lock().unwrap().clear();
    world.source.gate.close();
    assert!(poll_times(world.engine.create_many(&keys), 3).is_none());
    let begun = seen.0.lock().unwrap().clone();
    // Four chunks of 64, none of which has stored anything.
    assert_eq!(begun.len(), 256);
    assert!(begun.iter().all(|(_, is_ok)| !is_ok));
    assert_eq!(world.store.put_records(), 0);
}

/// A state of a mebibyte that counts how many of it there are.
struct Heavy {
    text: String,
    _alive: Alive,
}

static ALIVE: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

struct Alive;

impl Alive {
    fn new() -> Self {
        let alive = ALIVE.fetch_add(1, Ordering::SeqCst) + 1;
        MOST.fetch_max(alive, Ordering::SeqCst);
        Self
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        ALIVE.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Heavy {
    fn new(text: String) -> Self {
        Self { text, _alive: Alive::new() }
    }
}

impl Clone for Heavy {
    fn clone(&self) -> Self {
        Self::new(self.text.clone())
    }
}

impl Serialize for Heavy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.text.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Heavy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

impl Aggregate for Heavy {
    type Event = usize;
    const KIND: &'static str = "heavy";
    const SCHEMA_VERSION: u32 = 1;

    fn initial(_: &AggregateKey) -> Self {
        Self::new(String::new())
    }

    fn apply(&mut self, bytes: &usize) {
        self.text.extend(std::iter::repeat_n('x', *bytes));
    }
}

#[tokio::test]
async fn few_states_are_held_whatever_the_number_of_requests() {
    const REQUESTS: usize = 200;
    let events = MemoryEvents::new();
    let keys: Vec<_> = (0..REQUESTS).map(|n| Heavy::key(&format!("h{n}")).unwrap()).collect();
    for key in &keys {
        events.append(key, at(1), 1 << 20);
    }
    let engine = SnapshotEngine::<Heavy>::builder(events, MemoryStore::new()).build().unwrap();
    MOST.store(ALIVE.load(Ordering::SeqCst), Ordering::SeqCst);
    let before = ALIVE.load(Ordering::SeqCst);
    let created = engine.create_many(&keys).await;
    assert!(created.iter().all(Result::is_ok));
    let most = MOST.load(Ordering::SeqCst) - before;
    // Four chunks, each of which loads 8 at first and then 4 MiB, and decodes one to prove it.
    assert!((8..=4 * (8 + 1)).contains(&most), "{most} states at once");
    assert_eq!(ALIVE.load(Ordering::SeqCst), before);
}

/// A state that remembers on which thread it was encoded.
#[derive(Clone, Default)]
struct Placed(String);

static ENCODED_ON: Mutex<Option<ThreadId>> = Mutex::new(None);

impl Serialize for Placed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        *ENCODED_ON.lock().unwrap() = Some(std::thread::current().id());
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Placed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

impl Aggregate for Placed {
    type Event = usize;
    const KIND: &'static str = "placed";
    const SCHEMA_VERSION: u32 = 1;

    fn initial(_: &AggregateKey) -> Self {
        Self::default()
    }

    fn apply(&mut self, bytes: &usize) {
        self.0.extend(std::iter::repeat_n('x', *bytes));
    }
}

#[tokio::test]
async fn large_states_are_encoded_off_the_threads_of_the_runtime() {
    let here = std::thread::current().id();
    let encoded_here = || ENCODED_ON.lock().unwrap().take() == Some(here);
    let events = MemoryEvents::new();
    let key = |id: &str| Placed::key(id).unwrap();
    for (id, bytes) in [("small", 10), ("large", 1 << 20)] {
        events.append(&key(id), at(1), bytes);
    }
    let engine = SnapshotEngine::<Placed>::builder(events.clone(), MemoryStore::new());
    let engine = engine.build().unwrap();
    engine.create(&key("small")).await.unwrap();
    assert!(!encoded_here(), "the size of the first state is not known");
    events.append(&key("small"), at(2), 1);
    engine.create(&key("small")).await.unwrap();
    assert!(encoded_here());
    engine.create(&key("large")).await.unwrap();
    events.append(&key("large"), at(2), 1);
    engine.create(&key("large")).await.unwrap();
    assert!(!encoded_here());
    events.append(&key("large"), at(3), 1);
    assert!(engine.create_many([key("large")]).await[0].is_ok());
    assert!(!encoded_here());
}

/// Reads of one aggregate wait at the gate.
#[derive(Clone)]
struct OneWaits(MemoryEvents<Event>, AggregateKey, Gate);

#[async_trait]
impl EventSource<crate::support::Account> for OneWaits {
    async fn read(
        &self,
        key: &AggregateKey,
        range: EventRange,
        replay: &mut Replay<'_, crate::support::Account>,
    ) -> Result<(), BoxError> {
        if *key == self.1 {
            self.2.pass().await;
        }
        self.0.read(key, range, replay).await
    }
}

/// Events whose reading takes a millisecond of the manual clock for each aggregate.
struct Slow(MemoryEvents<Event>, ManualClock);

#[async_trait]
impl EventSource<crate::support::Account> for Slow {
    async fn read(
        &self,
        key: &AggregateKey,
        range: EventRange,
        replay: &mut Replay<'_, crate::support::Account>,
    ) -> Result<(), BoxError> {
        self.1.advance(Duration::from_millis(1));
        self.0.read(key, range, replay).await
    }
}

#[tokio::test]
async fn the_durations_of_a_batch_add_up_to_the_time_it_took() {
    #[derive(Clone, Default)]
    struct Took(Arc<Mutex<Duration>>);
    impl Observer for Took {
        fn observe(&self, observation: &Observation<'_>) {
            if let Observation::Managed { took, .. } = observation {
                *self.0.lock().unwrap() += *took;
            }
        }
    }
    let clock = ManualClock::at(at(1_000));
    let events = MemoryEvents::new();
    let keys = keys(200);
    for key in &keys {
        events.append(key, at(1), Event::Deposited(1));
    }
    let took = Took::default();
    let ledger = StoreLedger::new(MemoryStore::new());
    let engine = SnapshotEngine::builder(Slow(events, clock.clone()), MemoryStore::new())
        .clock(clock)
        .encode_in_place(u64::MAX)
        .observer(took.clone())
        .ledger(ledger.clone())
        .build()
        .unwrap();
    let past = |key: &AggregateKey| request(key, CreateOptions::new().at_version(1));
    let requests =
        keys.iter().enumerate().map(|(n, key)| if n % 2 == 0 { key.into() } else { past(key) });
    assert!(engine.create_many(requests).await.iter().all(Result::is_ok));
    let sum = *took.0.lock().unwrap();
    let whole = Duration::from_millis(200);
    assert!(whole.abs_diff(sum) < Duration::from_micros(1), "{sum:?} instead of {whole:?}");
    engine.flush(Duration::from_secs(60)).await.unwrap();
    let day = Day::of(at(1_000));
    let mut days = Duration::ZERO;
    for key in &keys {
        for (_, statistics) in ledger.daily(key, day..=day).await.unwrap() {
            days += Duration::from_micros(statistics.creation_micros);
        }
    }
    assert!(whole.abs_diff(days) < Duration::from_millis(1), "{days:?} instead of {whole:?}");
}

/// Pulls are counted, so that a test sees how many items a stream has taken and not answered yet.
fn counted<T: Clone + Send + 'static>(
    items: &[T],
) -> (impl stream::Stream<Item = T> + Send + use<T>, Arc<AtomicUsize>) {
    let pulled = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&pulled);
    let items = stream::iter(items.to_vec()).inspect(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
    });
    (items, pulled)
}

#[tokio::test]
async fn streams_yield_each_result_once_and_hold_no_more_than_they_may() {
    let world = World::new();
    let keys = keys(700);
    for (n, key) in (0_u64..).zip(&keys) {
        world.grow(key, n % 5);
    }
    for in_flight in [InFlight::new(0), InFlight::new(1), InFlight::new(7), InFlight::default()] {
        for in_flight in [in_flight, in_flight.unordered()] {
            let most = in_flight.aggregates.max(1);
            let (input, pulled) = counted(&keys);
            let mut loads = world.engine.load_stream(input, in_flight);
            let mut seen = BTreeMap::new();
            while let Some((key, loaded)) = loads.next().await {
                let held = pulled.load(Ordering::SeqCst) - seen.len();
                assert!(held <= most, "{held} in flight, {most} allowed");
                if in_flight.ordered {
                    assert_eq!(key, keys[seen.len()]);
                }
                let version = loaded.unwrap().version;
                assert!(seen.insert(key, version).is_none());
            }
            for (n, key) in (0_u64..).zip(&keys) {
                assert_eq!(seen[key], n % 5);
            }
            let (input, pulled) = counted(&keys);
            let mut snapshots = world.engine.create_stream(input, in_flight);
            let mut answered = 0;
            while let Some((request, created)) = snapshots.next().await {
                let held = pulled.load(Ordering::SeqCst) - answered;
                assert!(held <= most, "{held} in flight, {most} allowed");
                created.unwrap();
                if in_flight.ordered {
                    assert_eq!(request.key, keys[answered]);
                }
                answered += 1;
            }
            assert_eq!(answered, 700);
        }
    }
}

#[tokio::test]
async fn an_unordered_stream_does_not_wait_for_a_slow_batch() {
    for (in_flight, is_first_late) in
        [(InFlight::new(4), false), (InFlight::new(4).unordered(), true)]
    {
        let keys = keys(3);
        let source = OneWaits(MemoryEvents::new(), keys[0].clone(), Gate::default());
        source.2.close();
        let builder = SnapshotEngine::builder(source.clone(), MemoryStore::new());
        let engine = builder.build().unwrap();
        let mut loads = engine.load_stream(stream::iter(keys.clone()), in_flight);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let yielded = Arc::clone(&seen);
        let reader = tokio::spawn(async move {
            while let Some((key, _)) = loads.next().await {
                yielded.lock().unwrap().push(key);
            }
        });
        if is_first_late {
            until("the others are there", || seen.lock().unwrap().len() == 2).await;
        } else {
            until("the first waits", || source.2.waiting() == 1).await;
        }
        source.2.open();
        reader.await.unwrap();
        let seen = seen.lock().unwrap().clone();
        assert_eq!(seen.len(), 3);
        assert_eq!(seen[2] == keys[0], is_first_late, "{seen:?}");
    }
}

#[tokio::test]
async fn a_stream_that_is_dropped_leaves_an_engine_that_works() {
    let world = World::new();
    let keys = grown(&world, 500, 3);
    let (input, _) = counted(&keys);
    let mut snapshots = world.engine.create_stream(input, InFlight::new(100));
    for _ in 0..150 {
        snapshots.next().await.unwrap().1.unwrap();
    }
    drop(snapshots);
    let stored = world.store.put_records();
    assert!((150..=250).contains(&stored), "{stored}");
    let created = world.engine.create_many(&keys).await;
    assert!(created.iter().all(|created| version(created) == Some(3)));
    world.load_checked(&keys[499]).await;
}

#[tokio::test]
async fn a_context_that_is_refused_fails_each_request() {
    let world = World::new();
    let requests = keys(3).iter().map(CreateRequest::from).collect::<Vec<_>>();
    let context = AdminContext::new("ops").expect_version(1);
    for created in world.engine.admin().create_many(&requests, &context).await {
        assert_eq!(created.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    assert_eq!(world.source.reads(), 0);
}

/// Ten thousand requests to a store that refuses a call now and then, and sometimes stores without
/// saying so.
#[cfg(feature = "faults")]
#[tokio::test(start_paused = true)]
async fn ten_thousand_requests_survive_a_store_that_fails_now_and_then() {
    use snapfold::layer::{Fault, Faults, FaultyStore};
    use snapfold::manager::Origin;

    let inner = MemoryStore::new();
    let faults = Faults::new(7)
        .rate(Fault::Refused, 0.02)
        .rate(Fault::Unacknowledged, 0.02)
        .rate(Fault::Delayed, 0.1);
    let events = MemoryEvents::new();
    let mut requests = Vec::new();
    for (n, key) in (0..).zip(keys(10_000)) {
        for second in 1..=3 {
            events.append(&key, at(second), Event::Deposited(n));
        }
        let options = CreateOptions::new().label(format!("n{n}"));
        requests.push(request(&key, if n % 10 == 0 { options.at_version(2) } else { options }));
    }
    let store = FaultyStore::new(inner.clone(), faults);
    let builder = SnapshotEngine::<crate::support::Account>::builder(events.clone(), store);
    let engine = builder.encode_in_place(u64::MAX).build().unwrap();
    let sound = SnapshotEngine::<crate::support::Account>::builder(events, inner).build().unwrap();

    let (mut left, mut calls, mut failed) = (requests.clone(), 0, 0);
    while !left.is_empty() {
        let created = engine.create_many(&left).await;
        assert_eq!(created.len(), left.len());
        let mut again = Vec::new();
        for (request, created) in left.into_iter().zip(created) {
            match created {
                Ok(created) => {
                    let meta = created.meta().unwrap();
                    assert_eq!(meta.key, request.key);
                    assert_eq!(meta.version, request.options.version.unwrap_or(3));
                    assert_eq!(meta.labels, request.options.labels);
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Store, "{error:#}");
                    again.push(request);
                }
            }
        }
        (calls, failed) = (calls + 1, failed + again.len());
        assert!(calls < 30, "{} are left", again.len());
        left = again;
    }
    assert!(failed > 100 && failed < 5_000, "{failed} failures in {calls} calls");
    for request in &requests {
        let stored = sound.snapshots(&request.key, 0..=9).await.unwrap();
        assert_eq!(stored.len(), 1);
        assert_eq!(stored[0].version, request.options.version.unwrap_or(3));
        assert_eq!(stored[0].labels, request.options.labels);
    }
    let keys: Vec<_> = requests.iter().map(|request| request.key.clone()).collect();
    for loaded in sound.load_many(&keys).await {
        let loaded = loaded.unwrap();
        assert_eq!((loaded.version, loaded.provenance.origin), (3, Origin::Snapshot));
    }
}
