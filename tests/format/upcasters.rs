//! An upcaster reads what the engine of the old type wrote: as deep as this engine allows, and with
//! the same samples.

use serde::{Deserialize, Serialize};
use snapfold::codec::{Bincode, Codec, Json, MessagePack, Postcard};
use snapfold::engine::EngineBuilder;
use snapfold::manager::{Origin, Proof};
use snapfold::record::RejectReason;
use snapfold::trigger::manual;
use snapfold::{Aggregate, AggregateKey, MemoryEvents, MemoryStore, SnapshotEngine, Timestamp};

/// Counts. What [`Nested`] and [`Coded`] were before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Count(i64);

/// As many levels as were counted.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Nested {
    inner: Option<Box<Self>>,
}

/// The count, behind a code of which no made-up value is one.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Coded {
    code: (Code, Amount),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Amount {
    amount: i64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct Code(String);

impl TryFrom<String> for Code {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        if text.starts_with("XK-") { Ok(Self(text)) } else { Err("a code begins with XK-") }
    }
}

impl From<Code> for String {
    fn from(code: Code) -> Self {
        code.0
    }
}

fn coded(amount: i64) -> Coded {
    Coded { code: (Code("XK-7".to_owned()), Amount { amount }) }
}

macro_rules! aggregate {
    ($name:ident, $version:literal, $initial:expr, |$state:ident| $apply:expr) => {
        impl Aggregate for $name {
            type Event = ();
            const KIND: &'static str = "count";
            const SCHEMA_VERSION: u32 = $version;

            fn initial(_: &AggregateKey) -> Self {
                $initial
            }

            fn apply(&mut self, (): &()) {
                let $state = self;
                $apply;
            }
        }
    };
}

aggregate!(Count, 2, Self(0), |state| state.0 += 1);
aggregate!(Nested, 1, Self::default(), |state| {
    *state = Self { inner: Some(Box::new(std::mem::take(state))) };
});
aggregate!(Coded, 1, coded(0), |state| state.code.1.amount += 1);

struct World {
    events: MemoryEvents<()>,
    store: MemoryStore,
}

impl World {
    fn of(events: usize) -> Self {
        let world = Self { events: MemoryEvents::new(), store: MemoryStore::new() };
        for _ in 0..events {
            world.events.append(&key(), Timestamp::from_seconds(1), ());
        }
        world
    }

    fn builder<A: Aggregate<Event = ()>>(&self, codec: impl Codec<A>) -> EngineBuilder<A> {
        let (events, store) = (self.events.clone(), self.store.clone());
        SnapshotEngine::builder_with_codec(events, store, codec).trigger(manual())
    }
}

fn key() -> AggregateKey {
    AggregateKey::new("count", "a").unwrap()
}

fn levels(nested: Nested) -> Count {
    let (mut count, mut at) = (0, nested);
    while let Some(inner) = at.inner {
        (count, at) = (count + 1, *inner);
    }
    Count(count)
}

#[tokio::test]
async fn an_old_state_is_read_as_deep_as_the_engine_allows() {
    async fn with(codec: impl Codec<Nested> + Codec<Count> + Copy) {
        let world = World::of(200);
        let old = world.builder::<Nested>(codec).max_depth(1_000).build().unwrap();
        old.create(&key()).await.unwrap();

        let upcast = |old| Ok(levels(old));
        let deep = world.builder::<Count>(codec).upcasts(1, codec, upcast).max_depth(1_000);
        let loaded = deep.build().unwrap().load(&key()).await.unwrap();
        assert_eq!(loaded.provenance.origin, Origin::Snapshot, "{}", loaded.provenance);
        assert_eq!(loaded.provenance.snapshot.unwrap().proof, Proof::Verified);
        assert_eq!(*loaded.state, Count(200));

        let flat = world.builder::<Count>(codec).max_depth(100).upcasts(1, codec, upcast);
        let loaded = flat.build().unwrap().load(&key()).await.unwrap();
        assert_eq!(loaded.provenance.origin, Origin::Replay);
        let reject = &loaded.provenance.rejected[0].reason;
        assert!(matches!(reject, RejectReason::Decode(_)), "{reject}");
        assert_eq!(*loaded.state, Count(200));
    }
    with(Postcard).await;
    with(Bincode).await;
    with(MessagePack).await;
    with(Json).await;
}

#[tokio::test]
async fn an_upcaster_with_the_samples_of_the_old_engine_finds_its_snapshots() {
    let world = World::of(9);
    let old = world.builder::<Coded>(Postcard).sample(coded(1)).build().unwrap();
    old.create(&key()).await.unwrap();
    let upcast = |old: Coded| Ok(Count(old.code.1.amount));

    let with = world.builder::<Count>(Postcard);
    // Another sample of the same shape.
    let with = with.upcasts_with_samples(1, Postcard, &[coded(77)], upcast).build().unwrap();
    let loaded = with.load(&key()).await.unwrap();
    assert_eq!(loaded.provenance.origin, Origin::Snapshot, "{}", loaded.provenance);
    assert_eq!(*loaded.state, Count(9));

    let without = world.builder::<Count>(Postcard).upcasts(1, Postcard, upcast).build().unwrap();
    let loaded = without.load(&key()).await.unwrap();
    assert_eq!(loaded.provenance.rejected[0].reason, RejectReason::Stale(old.generation()));
    assert_eq!(*loaded.state, Count(9));
}
