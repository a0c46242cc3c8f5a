//! One case: events, a store and an engine, next to a history that is folded by hand.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use snapfold::codec::{Bincode, Json, MessagePack, Postcard};
use snapfold::engine::{Incremental, ManualClock, OnStoreFailure};
use snapfold::manager::{CreateOptions, CreateOutcome, Fetched, Origin};
use snapfold::record::SnapshotMeta;
use snapfold::retention::{Retention, keep_last, keep_within};
use snapfold::store::{DeleteOptions, ListRequest, Selection};
use snapfold::trigger::Trigger;
use snapfold::{
    AggregateKey, Error, ErrorKind, Loaded, MemoryEvents, Point, SnapshotEngine, SnapshotStore,
    Timestamp,
};

use crate::faulty_store::FaultyStore;
use crate::own_coding::NoCipher;
use crate::property::coverage::Coverage;
use crate::script::{At, Codecs, Config, KEYS, Step, Turn};
use crate::states::{Changed, Subject};

pub(crate) struct World<'c, S: Subject> {
    coverage: &'c Coverage,
    events: MemoryEvents<Changed>,
    store: FaultyStore,
    engine: SnapshotEngine<S>,
    clock: ManualClock,
    seal: NoCipher,
    keys: Vec<AggregateKey>,
    histories: Vec<History>,
    anchors: bool,
    replays_on_failure: bool,
    /// Something was damaged, or a lie was told.
    faulty: bool,
    appended: u64,
    life: i64,
}

/// What happened to one aggregate, for the fold by hand.
#[derive(Clone, Default)]
struct History {
    events: Vec<(Timestamp, Changed)>,
    floor: u64,
    /// The lowest version that the stream was ever rewound to.
    rewound_to: Option<u64>,
}

impl History {
    fn head(&self) -> u64 {
        self.events.len() as u64
    }

    /// R9 by hand: how many events there are before the first one that was recorded after `time`.
    fn version_at(&self, time: Timestamp) -> u64 {
        let mut version = 0;
        for (recorded_at, _) in &self.events {
            if *recorded_at > time {
                break;
            }
            version += 1;
        }
        version
    }

    fn state<S: Subject>(&self, key: &AggregateKey, version: u64) -> (S, Option<Timestamp>) {
        let mut state = S::initial(key);
        let mut as_of = None;
        for (recorded_at, event) in &self.events[..usize::try_from(version).unwrap()] {
            state.apply(event);
            as_of = as_of.max(Some(*recorded_at));
        }
        (state, as_of)
    }
}

/// What a load was asked for.
#[derive(Clone, Copy, Debug)]
enum Asked {
    Now,
    /// The current state, loaded together with those of all other aggregates.
    Together,
    Version(u64),
    Time(Timestamp),
    Known(Point),
}

impl<'c, S: Subject> World<'c, S> {
    pub(crate) fn new(
        config: &Config,
        coverage: &'c Coverage,
        store: Arc<dyn SnapshotStore>,
    ) -> Self {
        let events = MemoryEvents::new();
        let store = FaultyStore::over(store);
        let clock = ManualClock::at(Timestamp::from_micros(0));
        let begin = |events: &MemoryEvents<Changed>| match config.codec {
            Codecs::Postcard => builder(events, &store, Postcard),
            Codecs::MessagePack => builder(events, &store, MessagePack),
            Codecs::Json => builder(events, &store, Json),
            Codecs::Bincode => builder(events, &store, Bincode),
        };
        let on_failure =
            if config.replays_on_failure { OnStoreFailure::Replay } else { OnStoreFailure::Fail };
        let mut engine = begin(&events)
            .compression(config.compression.clone())
            .trigger(Arc::<dyn Trigger>::from(config.trigger.build()))
            .on_store_failure(on_failure)
            .clock(clock.clone());
        if let Some(cache) = config.cache {
            engine = engine.cache(cache);
        }
        if let Some(deltas) = config.deltas {
            let all = Incremental::lz4().min_bytes(0).max_percent(u8::MAX);
            engine = engine.incremental(all.max_deltas(deltas));
        }
        let seal = NoCipher::new("k0");
        if config.sealed {
            engine = engine.seal(seal.clone());
        }
        let key = |(tenant, id): &(String, String)| {
            AggregateKey::from_parts(tenant, S::KIND, id).unwrap()
        };
        Self {
            coverage,
            engine: engine.build().unwrap(),
            events,
            store,
            clock,
            seal,
            keys: config.keys.iter().map(key).collect(),
            histories: vec![History::default(); KEYS],
            anchors: config.anchors,
            replays_on_failure: config.replays_on_failure,
            faulty: false,
            appended: 0,
            life: 0,
        }
    }

    pub(crate) async fn turn(&mut self, turn: &Turn) -> Result<(), TestCaseError> {
        self.step(turn.key, &turn.step).await?;
        // The neighbour too: whatever happened must not have touched it.
        for at in [turn.key, (turn.key + 1) % KEYS] {
            self.look(at, turn).await?;
        }
        Ok(())
    }

    async fn step(&mut self, at: usize, step: &Step) -> Result<(), TestCaseError> {
        let key = self.keys[at].clone();
        let head = self.histories[at].head();
        match step {
            Step::Command(events) => {
                let loaded = self.engine.load(&key).await;
                self.append(at, events);
                if let Ok(loaded) = loaded {
                    let decision = self.engine.committed(&loaded, self.histories[at].head());
                    self.coverage.note("a background snapshot", decision.is_queued());
                }
                self.engine.flush(Duration::from_secs(60)).await.unwrap();
            }
            Step::Append(events) => self.append(at, events),
            Step::Create => drop(self.engine.create(&key).await),
            Step::CreateAt(place) => {
                let version = place.version(head);
                let created =
                    self.engine.create_with(&key, CreateOptions::new().at_version(version)).await;
                let stored = matches!(created, Ok(CreateOutcome::Stored(_)));
                prop_assert!(!stored || (1..=head).contains(&version));
            }
            Step::CreateAll => {
                let created = self.engine.create_many(&self.keys).await;
                prop_assert_eq!(created.len(), KEYS);
            }
            Step::Compact { last, within } => self.compact(&key, *last, *within).await,
            Step::Delete(place) => drop(self.engine.delete(&key, place.version(head)).await),
            Step::DeleteBefore(place) => {
                drop(self.engine.delete_before(&key, place.version(head)).await);
            }
            Step::Repair(place) => drop(self.engine.rebuild(&key, place.version(head)).await),
            Step::Damage(which, damage) => {
                let stored = self.stored(&key).await;
                if let Some(at) = which.checked_rem(stored.len()) {
                    self.faulty = true;
                    self.store.damage(&key, stored[at].id(), *damage);
                }
            }
            Step::Lie(lies) => {
                self.faulty = true;
                self.store.lie(lies);
            }
            Step::Truncate(place) => self.truncate(at, place.version(head)).await,
            Step::Rewind(place) => self.rewind(at, place.version(head)),
            Step::ClockForward(seconds) => self.clock.advance(Duration::from_secs(*seconds)),
            Step::ClockTo(time) => self.clock.set(self.time(*time)),
            Step::Rotate(number) => self.seal.rotate(&format!("k{}", number % 3)),
            Step::ForgetKeys => {
                self.faulty = true;
                self.seal.rotate(&format!("new {}", self.seal.sealed()));
                self.seal.forget_others();
            }
            Step::Nothing => {}
        }
        Ok(())
    }

    fn time(&self, at: At) -> Timestamp {
        Timestamp::from_micros(at.micros(self.life))
    }

    fn append(&mut self, at: usize, events: &[(At, Changed)]) {
        for (time, event) in events {
            let recorded_at = self.time(*time);
            self.appended += 1;
            let key = &self.keys[at];
            if self.anchors {
                let anchor = self.appended.to_be_bytes();
                self.events.append_anchored(key, recorded_at, &anchor, event.clone());
            } else {
                self.events.append(key, recorded_at, event.clone());
            }
            self.histories[at].events.push((recorded_at, event.clone()));
        }
    }

    async fn compact(&self, key: &AggregateKey, last: usize, within: Option<u64>) {
        let policy: Box<dyn Retention> = match within {
            None => Box::new(keep_last(last)),
            Some(seconds) => {
                Box::new(keep_last(last).or(keep_within(Duration::from_secs(seconds))))
            }
        };
        if let Ok(compaction) = self.engine.apply_retention(key, &*policy).await {
            self.coverage.note("a snapshot dropped by retention", compaction.deleted.snapshots > 0);
        }
    }

    /// Forgets events, as an archiver would.
    async fn truncate(&mut self, at: usize, version: u64) {
        let (key, history) = (&self.keys[at], &mut self.histories[at]);
        let floor = version.min(history.head());
        if history.rewound_to.is_some_and(|to| to < floor) {
            // A snapshot of the lost history, at just the version whose event goes now: no one
            // could tell it from a good one any more. Whoever truncates repairs that one first.
            for meta in stored(&self.store, key).await.iter().filter(|m| m.version == floor) {
                let ids = [meta.id()];
                self.store
                    .inner
                    .delete(key, Selection::Ids(&ids), DeleteOptions::default())
                    .await
                    .unwrap();
            }
        }
        history.floor = history.floor.max(floor);
        self.events.truncate_below(key, version);
    }

    /// The event store loses its newest events, and begins another life: what is appended from
    /// now on differs from what was lost by its anchor, or at least by its recorded time.
    fn rewind(&mut self, at: usize, version: u64) {
        let history = &mut self.histories[at];
        let version = version.max(history.floor).min(history.head());
        self.events.rewind(&self.keys[at], version);
        history.events.truncate(usize::try_from(version).unwrap());
        history.rewound_to = Some(history.rewound_to.map_or(version, |to| to.min(version)));
        self.life += 1;
    }

    async fn stored(&self, key: &AggregateKey) -> Vec<SnapshotMeta> {
        stored(&self.store, key).await
    }

    async fn look(&mut self, at: usize, turn: &Turn) -> Result<(), TestCaseError> {
        let head = self.histories[at].head();
        let place = turn.place.version(head);
        let time = self.time(turn.time);
        let asked = [
            Asked::Now,
            Asked::Version(place),
            Asked::Version(head),
            Asked::Version(0),
            Asked::Time(time),
            Asked::Time(match self.histories[at].events.get(usize::try_from(place).unwrap()) {
                Some((recorded_at, _)) => *recorded_at,
                None => Timestamp::MAX,
            }),
            Asked::Time(Timestamp::MIN),
            Asked::Known(Point::Now),
            Asked::Known(Point::Version(place + 1)),
            Asked::Known(Point::Version(u64::MAX)),
            Asked::Known(Point::Time(time)),
            Asked::Together,
            Asked::Now,
        ];
        for asked in asked {
            self.ask(at, asked, turn).await?;
        }
        self.fetch(at, place).await
    }

    async fn ask(&mut self, at: usize, asked: Asked, turn: &Turn) -> Result<(), TestCaseError> {
        let key = &self.keys[at];
        if !turn.lies.is_empty() {
            self.faulty = true;
            self.store.lie(&turn.lies);
        }
        let failures = self.store.failures();
        let result = match asked {
            Asked::Now => self.engine.load(key).await,
            Asked::Together => self.engine.load_many(&self.keys).await.swap_remove(at),
            Asked::Version(version) => self.engine.at_version(key, version).await,
            Asked::Time(time) => self.engine.at_time(key, time).await,
            Asked::Known(point) => self.engine.latest_known(key, point).await,
        };
        let failed = self.store.failures() > failures;
        if let Err(error) = &result
            && failed
            && !self.replays_on_failure
        {
            // Of several loads it may be another one that met the failure.
            let is_own = !matches!(asked, Asked::Together);
            prop_assert!(!is_own || error.kind() == ErrorKind::Store, "{:?}", error);
            return Ok(());
        }
        let (history, stored) = (&self.histories[at], self.stored(key).await);
        for meta in &stored {
            self.coverage.note("a delta", meta.base.is_some());
            self.coverage.note("a sealed delta", meta.base.is_some() && meta.seal_key.is_some());
        }
        let bridged = !self.faulty && history.is_bridged(&stored, asked);
        self.coverage.note("a floor bridged by a snapshot", bridged && history.floor > 0);
        history
            .check(key, asked, result, bridged, self.coverage)
            .map_err(|why| TestCaseError::fail(format!("{asked:?} of {key}: {why}")))
    }

    /// A snapshot that can be fetched holds the state of its version.
    async fn fetch(&self, at: usize, version: u64) -> Result<(), TestCaseError> {
        let (key, history) = (&self.keys[at], &self.histories[at]);
        if history.rewound_to.is_some() {
            return Ok(());
        }
        for fetched in
            [self.engine.snapshot(key, version).await, self.engine.latest_snapshot(key).await]
        {
            match fetched {
                Ok(Fetched::Usable(snapshot)) => {
                    let (state, as_of) = history.state::<S>(key, snapshot.meta.version);
                    prop_assert_eq!(&*snapshot.state, &state);
                    prop_assert_eq!(Some(snapshot.meta.as_of), as_of);
                }
                Ok(Fetched::Rejected(_)) => prop_assert!(self.faulty),
                Ok(_) => {}
                Err(error) => prop_assert!(self.faulty, "{error:?}"),
            }
        }
        Ok(())
    }
}

impl History {
    /// Whether there is a snapshot that must make up for the truncated events: then even
    /// `Unrecoverable` is wrong.
    fn is_bridged(&self, stored: &[SnapshotMeta], asked: Asked) -> bool {
        let (at_most, until) = match asked {
            Asked::Now | Asked::Together | Asked::Known(Point::Now) => (u64::MAX, Timestamp::MAX),
            Asked::Version(version) | Asked::Known(Point::Version(version)) => {
                (version, Timestamp::MAX)
            }
            Asked::Time(time) | Asked::Known(Point::Time(time)) => (u64::MAX, time),
            Asked::Known(_) => return false,
        };
        let mut served = stored.iter().filter(|m| m.version <= at_most && m.as_of <= until);
        let newest = served.next().map(|meta| meta.version);
        self.rewound_to.is_none() && newest.is_some_and(|version| version >= self.floor)
    }

    fn check<S: Subject>(
        &self,
        key: &AggregateKey,
        asked: Asked,
        result: Result<Loaded<S>, Error>,
        bridged: bool,
        coverage: &Coverage,
    ) -> Result<(), String> {
        let expected = match asked {
            Asked::Now | Asked::Together | Asked::Known(Point::Now) => self.head(),
            Asked::Version(version) => version,
            Asked::Known(Point::Version(version)) => version.min(self.head()),
            Asked::Time(time) | Asked::Known(Point::Time(time)) => self.version_at(time),
            Asked::Known(other) => return Err(format!("{other:?} is not checked")),
        };
        let loaded = match result {
            Ok(loaded) => loaded,
            Err(error) if error.kind() == ErrorKind::Unrecoverable => {
                coverage.note("unrecoverable", true);
                let below = error.to_string().contains("is below the replay floor");
                coverage.note("BelowFloor", below);
                // Whether the first event was recorded after a time is as unknown as its state.
                let by_time = matches!(asked, Asked::Time(_) | Asked::Known(Point::Time(_)));
                let allowed = self.floor > 0 && (expected > 0 || by_time) && !bridged;
                return if allowed { Ok(()) } else { Err(format!("{error:?}")) };
            }
            // Nothing is known to be lost: the store was down, and there is nothing to replay from.
            Err(error) if error.kind() == ErrorKind::Store && self.floor > 0 && !bridged => {
                return Ok(());
            }
            Err(error) if error.kind() == ErrorKind::BeyondHead && expected > self.head() => {
                coverage.note("beyond the head", true);
                return Ok(());
            }
            // Versions: the floor may hide that the version lies beyond the head, nothing else.
            Err(error) => return Err(format!("{error:?}")),
        };
        if loaded.version != expected {
            return Err(format!(
                "version {}, not {expected}: {}",
                loaded.version, loaded.provenance
            ));
        }
        let (state, as_of) = self.state::<S>(key, expected);
        if *loaded.state != state || loaded.as_of != as_of || loaded.key != *key {
            let (Loaded { state: found, as_of: at, provenance, .. }, folded) = (loaded, state);
            return Err(format!(
                "found {found:?} as of {at:?}, folded {folded:?} as of {as_of:?}: {provenance}"
            ));
        }
        let origin = match loaded.provenance.origin {
            Origin::Cache => "from the cache",
            Origin::Snapshot => "from a snapshot",
            _ => "by replay",
        };
        coverage.note(origin, expected > 0);
        for rejected in &loaded.provenance.rejected {
            let named = format!("{:?}", rejected.reason);
            let name = named.split(['(', ' ']).next().unwrap_or_default();
            coverage.note(name, true);
        }
        Ok(())
    }
}

async fn stored(store: &FaultyStore, key: &AggregateKey) -> Vec<SnapshotMeta> {
    store.inner.list(ListRequest::new(key).limit(usize::MAX)).await.unwrap().items
}

fn builder<S: Subject>(
    events: &MemoryEvents<Changed>,
    store: &FaultyStore,
    codec: impl snapfold::codec::Codec<S>,
) -> snapfold::engine::EngineBuilder<S> {
    SnapshotEngine::builder_with_codec(events.clone(), store.clone(), codec)
}
