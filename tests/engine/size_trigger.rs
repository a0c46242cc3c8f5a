//! Triggers that look at the size of the state: by today's state, and never at a command's cost.
//!
//! Guards against: a size that is that of the last snapshot, so that growth is not seen; a state
//! that is encoded while a command waits, or for a verdict that another part decides; a measurement
//! that runs at each commit, fills the queue, or fails in silence.

use std::collections::HashMap;
use std::sync::Mutex;
use std::thread::{self, ThreadId};
use std::time::Duration;

use crate::support::{Log, at, poll_times};
use serde::{Deserialize, Serialize, Serializer};
use snapfold::engine::{EngineBuilder, ManualClock};
use snapfold::manager::Decision;
use snapfold::trigger::{
    Trigger, TriggerContext, Verdict, every_events, grown_by, larger_than, manual,
};
use snapfold::{Aggregate, AggregateKey, MemoryEvents, MemoryStore, SnapshotEngine};

const LONG: Duration = Duration::from_secs(3_600);

/// Grows by so many bytes with each event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Blob {
    #[serde(serialize_with = "noted")]
    id: String,
    text: String,
}

impl Aggregate for Blob {
    type Event = usize;
    const KIND: &'static str = "blob";
    const SCHEMA_VERSION: u32 = 1;

    fn initial(key: &AggregateKey) -> Self {
        Self { id: key.id().to_owned(), text: String::new() }
    }

    fn apply(&mut self, bytes: &usize) {
        self.text.push_str(&"x".repeat(*bytes));
    }
}

/// What the encoding of an aggregate does, and who has encoded it.
#[derive(Default)]
struct Encoding {
    by: Vec<ThreadId>,
    refuses: bool,
    panics: bool,
    takes: Option<(ManualClock, Duration)>,
}

static ENCODINGS: Mutex<Option<HashMap<String, Encoding>>> = Mutex::new(None);

fn encoding<T>(id: &str, look: impl FnOnce(&mut Encoding) -> T) -> T {
    let mut all = ENCODINGS.lock().unwrap();
    look(all.get_or_insert_default().entry(id.to_owned()).or_default())
}

fn noted<S: Serializer>(id: &str, serializer: S) -> Result<S::Ok, S::Error> {
    let (refuses, panics) = encoding(id, |encoding| {
        encoding.by.push(thread::current().id());
        if let Some((clock, takes)) = &encoding.takes {
            clock.advance(*takes);
        }
        (encoding.refuses, encoding.panics)
    });
    assert!(!panics, "the encoder panics");
    if refuses {
        return Err(serde::ser::Error::custom("it refuses"));
    }
    serializer.serialize_str(id)
}

struct World {
    events: MemoryEvents<usize>,
    clock: ManualClock,
    engine: SnapshotEngine<Blob>,
    key: AggregateKey,
    log: Log,
}

impl World {
    /// Each test has an aggregate of its own, by which its encodings are told from others.
    fn new(id: &str, trigger: impl Trigger) -> Self {
        Self::with(id, trigger, |builder| builder)
    }

    fn with(
        id: &str,
        trigger: impl Trigger,
        change: impl FnOnce(EngineBuilder<Blob>) -> EngineBuilder<Blob>,
    ) -> Self {
        let (events, clock, log) =
            (MemoryEvents::new(), ManualClock::at(at(1_000)), Log::default());
        let builder = SnapshotEngine::builder(events.clone(), MemoryStore::new())
            .trigger(trigger)
            .clock(clock.clone())
            .observer(log.clone());
        let engine = change(builder).build().unwrap();
        Self { events, clock, engine, key: Blob::key(id).unwrap(), log }
    }

    /// Loads, commits one event of so many bytes, and asks the trigger. Nothing is encoded meanwhile
    /// on this thread by the question.
    async fn commit(&self, bytes: usize) -> Decision {
        let loaded = self.engine.load(&self.key).await.unwrap();
        let version = self.events.append(&self.key, at(loaded.version + 1), bytes);
        let before = self.encoded_here();
        let decision = self.engine.committed(&loaded, version);
        assert_eq!(self.encoded_here(), before, "encoded while the command waited");
        decision
    }

    /// The same, and waits for what follows in the background.
    async fn settled(&self, bytes: usize) -> Decision {
        let decision = self.commit(bytes).await;
        self.engine.flush(LONG).await.unwrap();
        decision
    }

    fn encoded_here(&self) -> usize {
        let here = thread::current().id();
        encoding(self.key.id(), |encoding| encoding.by.iter().filter(|by| **by == here).count())
    }

    /// How often the state was serialized since the last time this was asked. A measurement does
    /// it once: this type cannot nest too deep, and its digest is not needed.
    fn encoded(&self) -> usize {
        encoding(self.key.id(), |encoding| std::mem::take(&mut encoding.by).len())
    }
}

#[tokio::test]
async fn growth_since_the_last_snapshot_is_seen() {
    let world = World::new("growth", larger_than(1_000).and(every_events(2)));
    world.events.append(&world.key, at(1), 10);
    world.engine.create(&world.key).await.unwrap();
    // One event too near, then one that is far enough: the state is small by all that is known.
    assert!(!world.settled(2_000).await.is_queued());
    let decision = world.commit(10).await;
    assert!(matches!(decision, Decision::Wait { .. }), "{decision}");
    assert!(decision.reason().contains("about 18 bytes, the threshold is 1000"), "{decision}");
    assert_eq!(world.log.lines(), [""; 0]);
    // Measured in the background, the trigger says yes.
    world.engine.flush(LONG).await.unwrap();
    assert_eq!(world.log.lines(), ["saved growth Some(3)"]);
    // From then on the size is known.
    assert!(!world.settled(10).await.is_queued(), "too near");
    let decision = world.settled(10).await;
    assert!(decision.is_queued(), "{decision}");
    assert!(decision.reason().contains("the state has about 2"), "{decision}");
}

#[tokio::test]
async fn without_a_snapshot_the_size_is_measured_once_and_by_another_thread() {
    let world = World::new("first", larger_than(1_000));
    assert!(!world.settled(10).await.is_queued());
    assert_eq!(world.encoded(), 1, "of the state before the commit");
    let decision = world.commit(2_000).await;
    assert!(decision.reason().contains("about 7 bytes, the threshold"), "{decision}");
    // Further commits while it waits are measured with it.
    for _ in 0..5 {
        assert!(!world.commit(1).await.is_queued());
    }
    assert_eq!(world.encoded(), 0);
    world.engine.flush(LONG).await.unwrap();
    assert_eq!(world.log.lines(), ["saved first Some(7)"]);
    let here = thread::current().id();
    let first = encoding("first", |encoding| encoding.by[0]);
    assert_ne!(first, here, "the measurement");
}

#[tokio::test]
async fn a_size_over_which_another_part_decides_is_not_measured() {
    let world = World::new("short", larger_than(1_000).and(every_events(100)));
    for _ in 0..20 {
        assert!(!world.settled(500).await.is_queued());
    }
    assert_eq!(world.encoded(), 0, "too near anyway");

    let world = World::new("never", larger_than(1_000).and(manual()));
    assert!(!world.settled(500).await.is_queued());
    assert_eq!(world.encoded(), 0, "never anyway");

    let world = World::new("always", larger_than(1_000).or(every_events(1)));
    world.engine.create(&world.key).await.unwrap();
    assert!(world.commit(500).await.is_queued());
    assert_eq!(world.encoded(), 0, "taken anyway");

    let world = World::new("other", every_events(1_000));
    assert!(!world.settled(500).await.is_queued());
    assert_eq!(world.encoded(), 0, "nobody asks");
}

#[tokio::test]
async fn growth_triggers_a_snapshot_for_each_so_many_bytes() {
    let world = World::new("grown", grown_by(1_000));
    for _ in 0..50 {
        world.settled(100).await;
    }
    let metas = world.engine.snapshots(&world.key, 0..=u64::MAX).await.unwrap();
    let mut sizes: Vec<_> = metas.iter().map(|meta| meta.raw_bytes).collect();
    sizes.push(0);
    // 5,000 bytes in all. An estimate may be early or late by an event.
    assert!((4..=5).contains(&metas.len()), "{sizes:?}");
    for pair in sizes.windows(2) {
        assert!((899..=1_201).contains(&(pair[0] - pair[1])), "{sizes:?}");
    }
}

#[tokio::test]
async fn a_measurement_that_takes_long_is_not_repeated_soon() {
    let world = World::new("slow", larger_than(1_000_000));
    let takes = Some((world.clock.clone(), Duration::from_millis(100)));
    encoding("slow", |encoding| encoding.takes = takes);
    world.settled(10).await;
    assert_eq!(world.encoded(), 1);
    for _ in 0..10 {
        let decision = world.settled(10).await;
        assert!(!decision.reason().contains("not measured"), "{decision}");
    }
    world.clock.advance(Duration::from_micros(1_999_999));
    world.settled(10).await;
    assert_eq!(world.encoded(), 0, "within twenty times as long");
    world.clock.advance(Duration::from_micros(1));
    world.settled(10).await;
    assert_eq!(world.encoded(), 1);
}

#[tokio::test]
async fn a_state_that_cannot_be_measured_is_reported_and_backed_off() {
    for (id, panics) in [("refuses", false), ("panics", true)] {
        let world = World::new(id, larger_than(1_000));
        encoding(id, |encoding| (encoding.refuses, encoding.panics) = (!panics, panics));
        let decision = world.settled(10).await;
        assert!(matches!(decision, Decision::Wait { .. }), "{decision}");
        assert_eq!(world.log.lines(), [format!("failed {id} Encode 1s")]);
        assert_eq!(world.encoded(), 1);
        let decision = world.settled(10).await;
        let says = "the state is not measured: no new attempt for";
        assert!(decision.reason().contains(says), "{decision}");
        assert_eq!(world.encoded(), 0);
        // Once it works again, so does the trigger.
        encoding(id, |encoding| (encoding.refuses, encoding.panics) = (false, false));
        world.clock.advance(LONG);
        world.settled(2_000).await;
        world.settled(10).await;
        assert_eq!(world.log.lines().last().unwrap(), &format!("saved {id} Some(4)"));
    }
}

/// A list that nests once per event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Chain(Option<Box<Chain>>);

impl Aggregate for Chain {
    type Event = ();
    const KIND: &'static str = "chain";
    const SCHEMA_VERSION: u32 = 1;

    fn initial(_: &AggregateKey) -> Self {
        Self(None)
    }

    fn apply(&mut self, (): &()) {
        self.0 = Some(Box::new(Self(self.0.take())));
    }
}

/// Encoding recurses as deep as the state: deeper than the stack, that ends the process.
#[tokio::test]
async fn a_state_that_nests_too_deep_to_be_written_is_not_encoded_to_be_measured() {
    let (events, log) = (MemoryEvents::new(), Log::default());
    let builder = SnapshotEngine::<Chain>::builder(events.clone(), MemoryStore::new())
        .trigger(larger_than(1_000_000))
        .observer(log.clone());
    let engine = builder.build().unwrap();
    let key = Chain::key("deep").unwrap();
    for version in 1..=2_000 {
        events.append(&key, at(version), ());
    }
    let loaded = engine.load(&key).await.unwrap();
    assert!(!engine.committed(&loaded, 2_001).is_queued());
    engine.flush(LONG).await.unwrap();
    assert_eq!(log.lines(), ["failed deep Encode 1s"]);
}

#[tokio::test]
async fn measurements_leave_places_in_the_queue_and_say_when_there_is_none() {
    let world = World::with("full", larger_than(1_000).or(every_events(3)), |b| b.max_queued(3));
    let others: Vec<_> = (0..4).map(|n| Blob::key(&format!("full {n}")).unwrap()).collect();
    let mut decisions = Vec::new();
    for key in &others {
        world.events.append(key, at(1), 10);
        let loaded = world.engine.load(key).await.unwrap();
        decisions.push(world.engine.committed(&loaded, 2).to_string());
    }
    assert!(!decisions[1].contains("not measured"), "{decisions:?}");
    let says = "the state is not measured: 2 aggregates are already waiting";
    assert!(decisions[2].starts_with("wait: ") && decisions[2].contains(says), "{decisions:?}");
    // A snapshot finds a place.
    let loaded = world.engine.load(&world.key).await.unwrap();
    assert!(world.engine.committed(&loaded, 3).is_queued());
    assert_eq!(world.log.lines(), [""; 0]);
    world.engine.flush(LONG).await.unwrap();
}

#[test]
fn without_a_runtime_the_size_stays_unknown_and_the_decision_says_why() {
    let world = World::new("no runtime", larger_than(1_000));
    let decision = poll_times(world.commit(10), 9).unwrap();
    let says = "wait: the size of the state is not known yet; the state is not measured: there is \
                no tokio runtime";
    assert!(decision.to_string().starts_with(says), "{decision}");
    assert_eq!(world.encoded(), 0);
}

/// Takes a snapshot of small states: a trigger of the application, for which less is more.
#[derive(Debug)]
struct Small;

impl Trigger for Small {
    fn decide(&self, seen: &TriggerContext) -> Verdict {
        let small = seen.state_bytes.is_some_and(|bytes| bytes < 100);
        Verdict::new(small, format!("{:?} bytes", seen.state_bytes))
    }

    fn needs_state_bytes(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn sizes_of_a_history_that_was_rewound_are_forgotten() {
    let world = World::new("rewound", Small);
    world.events.append(&world.key, at(1), 500);
    for _ in 0..10 {
        let decision = world.settled(1).await;
        assert!(!decision.is_queued(), "{decision}");
    }
    assert_eq!(world.log.lines(), [""; 0]);
    world.events.rewind(&world.key, 0);
    assert!(!world.settled(1).await.is_queued());
    assert_eq!(world.log.lines(), ["saved rewound Some(1)"]);
}

#[tokio::test]
async fn a_size_that_is_as_new_as_the_state_is_not_measured_again() {
    let world = World::new("known", larger_than(1_000_000));
    world.events.append(&world.key, at(1), 10);
    world.engine.create(&world.key).await.unwrap();
    world.engine.load(&world.key).await.unwrap();
    world.encoded();
    let loaded = world.engine.load(&world.key).await.unwrap();
    let before = world.encoded();
    for version in 2..5 {
        assert!(!world.engine.committed(&loaded, version).is_queued());
        world.engine.flush(LONG).await.unwrap();
    }
    assert_eq!(world.encoded(), 0, "a load encodes {before} times");
    // One event later it is measured, once.
    world.events.append(&world.key, at(2), 10);
    let loaded = world.engine.load(&world.key).await.unwrap();
    world.encoded();
    for version in 3..6 {
        assert!(!world.engine.committed(&loaded, version).is_queued());
        world.engine.flush(LONG).await.unwrap();
    }
    assert_eq!(world.encoded(), 1);
}

#[cfg(feature = "cache")]
#[tokio::test]
async fn what_the_hot_cache_has_measured_is_not_measured_again() {
    let world = World::with("cached", larger_than(1_000), |builder| {
        builder.cache(snapfold::engine::CacheConfig::default())
    });
    world.events.append(&world.key, at(1), 2_000);
    world.engine.load(&world.key).await.unwrap();
    world.encoded();
    let decision = world.commit(10).await;
    assert!(decision.is_queued(), "{decision}");
    assert!(decision.reason().contains("the state has about 20"), "{decision}");
    assert_eq!(world.encoded(), 0);
}
