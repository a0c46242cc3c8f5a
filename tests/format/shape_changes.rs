//! A changed type never reads old bytes as something else (R7).
//!
//! The defect: a field is inserted, removed, swapped or widened, the new release starts over the
//! old store, and a format without names decodes the old bytes without complaint: credit becomes
//! balance, -1 becomes 18 quintillion. Or the other way round: the new release rejects all old
//! snapshots and nobody can see why loads became slow.
//!
//! In each test an old type has written a snapshot, and a new type with the same kind loads over
//! the same store and the same events.

use std::collections::BTreeMap;
use std::fmt::Debug;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use snapfold::codec::{Bincode, Codec, CodecId, DecodeLimits, Json, MessagePack, Postcard};
use snapfold::manager::{CreateOptions, CreateOutcome, Origin};
use snapfold::record::{Generation, RejectReason};
use snapfold::trigger::manual;
use snapfold::{
    Aggregate, AggregateKey, Error, ErrorKind, Loaded, MemoryEvents, MemoryStore, SnapshotEngine,
    Timestamp,
};

/// The events that all types fold.
#[derive(Clone, Debug)]
enum Happened {
    Named(&'static str, &'static str),
    Moved(i64),
    Tagged(&'static str),
    Closed,
}

const HISTORY: [Happened; 6] = [
    Happened::Named("ada", "lovelace"),
    Happened::Moved(-7),
    Happened::Tagged("vip"),
    Happened::Moved(300),
    Happened::Tagged("late"),
    Happened::Closed,
];
/// Where the old type takes its snapshot.
const SNAPSHOT_AT: u64 = 5;

trait State: Aggregate<Event = Happened> + Serialize + DeserializeOwned + Debug + PartialEq {}
impl<S: Aggregate<Event = Happened> + Serialize + DeserializeOwned + Debug + PartialEq> State
    for S
{
}

/// A state as the macro makes it: begins with its default, folds with a function.
macro_rules! state {
    (
        $(#[$meta:meta])*
        $name:ident, $version:literal {
            $($(#[$on_field:meta])* $field:ident: $ty:ty,)*
        }
        $apply:expr
    ) => {
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        $(#[$meta])*
        struct $name {
            $($(#[$on_field])* $field: $ty,)*
        }

        impl Aggregate for $name {
            type Event = Happened;
            const KIND: &'static str = "person";
            const SCHEMA_VERSION: u32 = $version;

            fn initial(_: &AggregateKey) -> Self {
                Self::default()
            }

            fn apply(&mut self, event: &Happened) {
                let apply: fn(&mut Self, &Happened) = $apply;
                apply(self, event);
            }
        }
    };
}

fn key() -> AggregateKey {
    AggregateKey::new("person", "p").unwrap()
}

fn history() -> MemoryEvents<Happened> {
    let events = MemoryEvents::new();
    for (at, event) in HISTORY.iter().enumerate() {
        let at = Timestamp::from_seconds(i64::try_from(at).unwrap());
        events.append(&key(), at, event.clone());
    }
    events
}

fn folded<S: State>(version: u64) -> S {
    let mut state = S::initial(&key());
    HISTORY.iter().take(usize::try_from(version).unwrap()).for_each(|event| state.apply(event));
    state
}

fn builder<S: State>(
    events: &MemoryEvents<Happened>,
    store: &MemoryStore,
    codec: impl Codec<S>,
) -> snapfold::engine::EngineBuilder<S> {
    SnapshotEngine::builder_with_codec(events.clone(), store.clone(), codec).trigger(manual())
}

fn engine<S: State>(
    events: &MemoryEvents<Happened>,
    store: &MemoryStore,
    codec: impl Codec<S>,
) -> SnapshotEngine<S> {
    builder(events, store, codec).build().unwrap()
}

async fn write<S: State>(engine: &SnapshotEngine<S>, version: u64) {
    let created = engine.create_with(&key(), CreateOptions::new().at_version(version)).await;
    assert!(matches!(created, Ok(CreateOutcome::Stored(_))), "{created:?}");
}

fn is_stale<S>(loaded: &Loaded<S>, generation: Generation) -> bool {
    loaded.provenance.rejected.iter().any(|r| r.reason == RejectReason::Stale(generation))
}

fn assert_replayed<S: State>(loaded: &Loaded<S>, old: Generation) {
    assert_eq!(loaded.provenance.origin, Origin::Replay, "{}", loaded.provenance);
    assert!(is_stale(loaded, old), "{}", loaded.provenance);
    let shown = loaded.provenance.to_string();
    assert!(shown.contains(&format!("another generation ({old})")), "{shown}");
    assert_eq!(*loaded.state, folded::<S>(loaded.version));
}

/// The old type writes, the new one loads, now and in the past, and then writes its own; the old
/// one still finds its own after that.
async fn changes<Old: State, New: State>(
    name: &str,
    old_codec: impl Codec<Old>,
    new_codec: impl Codec<New>,
) {
    println!("{name}");
    let (events, store) = (history(), MemoryStore::new());
    let old = engine::<Old>(&events, &store, old_codec);
    let new = engine::<New>(&events, &store, new_codec);
    assert_ne!(old.generation(), new.generation(), "{name}: the change is not seen");
    write(&old, SNAPSHOT_AT).await;

    let loaded = new.load(&key()).await.unwrap();
    assert_eq!(loaded.version, HISTORY.len() as u64);
    assert_replayed(&loaded, old.generation());
    assert_replayed(&new.at_version(&key(), SNAPSHOT_AT).await.unwrap(), old.generation());
    let before = new.at_version(&key(), SNAPSHOT_AT - 1).await.unwrap();
    assert_eq!(before.provenance.rejected, [], "{name}: nothing of any generation is that old");

    write(&new, SNAPSHOT_AT).await;
    let own = new.load(&key()).await.unwrap();
    assert_eq!((own.provenance.origin, own.provenance.events_replayed), (Origin::Snapshot, 1));
    assert_eq!(own.provenance.snapshot.unwrap().id.generation, new.generation());
    assert_eq!(*own.state, folded::<New>(own.version));
    let own = old.load(&key()).await.unwrap();
    assert_eq!((own.provenance.origin, own.provenance.events_replayed), (Origin::Snapshot, 1));
    assert_eq!(own.provenance.snapshot.unwrap().id.generation, old.generation());
    assert_eq!(*own.state, folded::<Old>(own.version));
}

async fn changes_with_each_codec<Old: State, New: State>() {
    changes::<Old, New>("postcard", Postcard, Postcard).await;
    changes::<Old, New>("bincode", Bincode, Bincode).await;
    changes::<Old, New>("MessagePack", MessagePack, MessagePack).await;
    changes::<Old, New>("JSON", Json, Json).await;
}

state! {
    Person, 1 {
        first: String,
        last: String,
        balance: i64,
        credit: i64,
        moves: u32,
        tags: Vec<Tag>,
    }
    |state, event| match event {
        Happened::Named(first, last) => {
            (state.first, state.last) = ((*first).to_owned(), (*last).to_owned());
        }
        Happened::Moved(by) => {
            state.balance += by;
            state.credit -= 1;
            state.moves += 1;
        }
        Happened::Tagged(name) => state.tags.push(Tag { name: (*name).to_owned() }),
        Happened::Closed => state.balance = 0,
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Tag {
    name: String,
}

/// A test for one class of change: the new struct, and how it folds.
macro_rules! change {
    ($test:ident { $($(#[$on_field:meta])* $field:ident: $ty:ty,)* } $apply:expr) => {
        #[tokio::test]
        async fn $test() {
            state! { Changed, 1 { $($(#[$on_field])* $field: $ty,)* } $apply }
            changes_with_each_codec::<Person, Changed>().await;
            // The way back: a release that is rolled back meets what the newer one wrote.
            changes_with_each_codec::<Changed, Person>().await;
        }
    };
}

/// The fold of `Person`, for the fields that the struct still has under these names.
macro_rules! fold {
    ($state:ident, $event:ident, $moved:expr, $tag:expr) => {
        match $event {
            Happened::Named(first, last) => {
                ($state.first, $state.last) = ((*first).to_owned(), (*last).to_owned());
            }
            Happened::Moved(by) => {
                let moved: fn(&mut Self_, i64) = $moved;
                moved($state, *by);
            }
            Happened::Tagged(name) => $state.tags.push($tag((*name).to_owned())),
            Happened::Closed => $state.balance = 0,
        }
    };
}

change!(a_field_added_at_the_end_is_not_read_from_old_bytes {
    first: String,
    last: String,
    balance: i64,
    credit: i64,
    moves: u32,
    tags: Vec<Tag>,
    #[serde(default)] largest: i64,
} |state, event| {
    type Self_ = Changed;
    fold!(state, event, |s, by| {
        s.balance += by;
        s.credit -= 1;
        s.moves += 1;
        s.largest = s.largest.max(by);
    }, |name| Tag { name });
});

change!(a_field_added_inside_an_element_is_not_read_from_old_bytes {
    first: String,
    last: String,
    balance: i64,
    credit: i64,
    moves: u32,
    tags: Vec<LongTag>,
} |state, event| {
    type Self_ = Changed;
    fold!(state, event, |s, by| {
        s.balance += by;
        s.credit -= 1;
        s.moves += 1;
    }, |name: String| LongTag { length: name.len(), name });
});

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct LongTag {
    name: String,
    #[serde(default)]
    length: usize,
}

change!(a_field_added_in_the_middle_is_not_read_from_old_bytes {
    first: String,
    last: String,
    #[serde(default)] smallest: i64,
    balance: i64,
    credit: i64,
    moves: u32,
    tags: Vec<Tag>,
} |state, event| {
    type Self_ = Changed;
    fold!(state, event, |s, by| {
        s.balance += by;
        s.credit -= 1;
        s.moves += 1;
        s.smallest = s.smallest.min(by);
    }, |name| Tag { name });
});

change!(
    a_removed_last_field_does_not_go_unnoticed {
        first: String,
        last: String,
        balance: i64,
        credit: i64,
        moves: u32,
    } | state,
    event
        | match event {
            Happened::Named(first, last) => {
                (state.first, state.last) = ((*first).to_owned(), (*last).to_owned());
            }
            Happened::Moved(by) => {
                state.balance += by;
                state.credit -= 1;
                state.moves += 1;
            }
            Happened::Tagged(_) => {}
            Happened::Closed => state.balance = 0,
        }
);

change!(a_removed_middle_field_does_not_shift_the_others {
    first: String,
    last: String,
    balance: i64,
    moves: u32,
    tags: Vec<Tag>,
} |state, event| {
    type Self_ = Changed;
    fold!(state, event, |s, by| {
        s.balance += by;
        s.moves += 1;
    }, |name| Tag { name });
});

change!(two_swapped_fields_of_one_type_are_not_swapped_in_the_state {
    first: String,
    last: String,
    credit: i64,
    balance: i64,
    moves: u32,
    tags: Vec<Tag>,
} |state, event| {
    type Self_ = Changed;
    fold!(state, event, |s, by| {
        s.balance += by;
        s.credit -= 1;
        s.moves += 1;
    }, |name| Tag { name });
});

change!(a_renamed_field_does_not_go_unnoticed {
    first: String,
    last: String,
    balance: i64,
    credit: i64,
    #[serde(rename = "movements")] moves: u32,
    tags: Vec<Tag>,
} |state, event| {
    type Self_ = Changed;
    fold!(state, event, |s, by| {
        s.balance += by;
        s.credit -= 1;
        // A renamed field often means something else by now.
        s.moves += 10;
    }, |name| Tag { name });
});

change!(a_widened_field_does_not_go_unnoticed {
    first: String,
    last: String,
    balance: i64,
    credit: i64,
    moves: u64,
    tags: Vec<Tag>,
} |state, event| {
    type Self_ = Changed;
    fold!(state, event, |s, by| {
        s.balance += by;
        s.credit -= 1;
        s.moves += u64::from(u32::MAX);
    }, |name| Tag { name });
});

change!(a_negative_number_does_not_become_a_large_one {
    first: String,
    last: String,
    balance: i64,
    // -2 in the old bytes; used-up credit counts upwards now.
    credit: u64,
    moves: u32,
    tags: Vec<Tag>,
} |state, event| {
    type Self_ = Changed;
    fold!(state, event, |s, by| {
        s.balance += by;
        s.credit += 1;
        s.moves += 1;
    }, |name| Tag { name });
});

#[tokio::test]
async fn an_enum_variant_inserted_first_does_not_shift_the_others() {
    #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
    enum Standing {
        #[default]
        New,
        Moved(i64),
        Marked(String),
    }
    #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
    enum LongStanding {
        Gone,
        #[default]
        New,
        Moved(i64),
        Marked(String),
    }
    state! {
        Before, 1 { standing: Standing, all: Vec<Standing>, }
        |state, event| {
            state.all.push(state.standing.clone());
            state.standing = match event {
                Happened::Named(..) | Happened::Closed => Standing::New,
                Happened::Moved(by) => Standing::Moved(*by),
                Happened::Tagged(name) => Standing::Marked((*name).to_owned()),
            };
        }
    }
    state! {
        After, 1 { standing: LongStanding, all: Vec<LongStanding>, }
        |state, event| {
            state.all.push(state.standing.clone());
            state.standing = match event {
                Happened::Named(..) => LongStanding::New,
                Happened::Closed => LongStanding::Gone,
                Happened::Moved(by) => LongStanding::Moved(*by),
                Happened::Tagged(name) => LongStanding::Marked((*name).to_owned()),
            };
        }
    }
    changes_with_each_codec::<Before, After>().await;
    changes_with_each_codec::<After, Before>().await;
}

// The meaning of a state changes, its shape does not: only the schema version can tell.
state! {
    Cents, 2 {
        first: String,
        last: String,
        balance: i64,
        credit: i64,
        moves: u32,
        tags: Vec<Tag>,
    }
    |state, event| {
        type Self_ = Cents;
        fold!(state, event, |s, by| {
            s.balance += by * 100;
            s.credit -= 1;
            s.moves += 1;
        }, |name| Tag { name });
    }
}

impl From<Person> for Cents {
    fn from(old: Person) -> Self {
        let Person { first, last, balance, credit, moves, tags } = old;
        Self { first, last, balance: balance * 100, credit, moves, tags }
    }
}

#[tokio::test]
async fn a_raised_schema_version_keeps_a_changed_meaning_apart() {
    changes_with_each_codec::<Person, Cents>().await;
    changes_with_each_codec::<Cents, Person>().await;
    let (events, store) = (history(), MemoryStore::new());
    let old = engine::<Person>(&events, &store, Postcard).generation();
    let new = engine::<Cents>(&events, &store, Postcard).generation();
    assert_eq!((old.schema_version, new.schema_version), (1, 2));
    assert_eq!(old.fingerprint, new.fingerprint, "the shape is the same");
}

#[tokio::test]
async fn an_upcaster_turns_old_snapshots_into_what_a_replay_gives() {
    async fn with<C: Codec<Person> + Codec<Cents> + Copy>(codec: C) {
        let (events, store) = (history(), MemoryStore::new());
        let old = engine::<Person>(&events, &store, codec);
        write(&old, 2).await;
        write(&old, SNAPSHOT_AT).await;
        let new = builder::<Cents>(&events, &store, codec)
            .upcasts::<Person>(1, codec, |old| Ok(old.into()))
            .build()
            .unwrap();
        // The events below the snapshot are gone: only the upcast state can be the base.
        events.truncate_below(&key(), 4);
        let loaded = new.load(&key()).await.unwrap();
        assert_eq!(*loaded.state, folded::<Cents>(6));
        assert_eq!(loaded.provenance.origin, Origin::Snapshot, "{}", loaded.provenance);
        assert_eq!(loaded.provenance.snapshot.unwrap().id.generation, old.generation());
        assert_eq!((loaded.provenance.events_replayed, loaded.as_of.is_some()), (1, true));
        // What the new type writes is of the new generation, and is preferred from then on.
        write(&new, 6).await;
        let own = new.load(&key()).await.unwrap();
        assert_eq!(own.provenance.snapshot.unwrap().id.generation, new.generation());
        let theirs = old.load(&key()).await.unwrap();
        assert_eq!(*theirs.state, folded::<Person>(6));
    }
    with(Postcard).await;
    with(Bincode).await;
    with(MessagePack).await;
    with(Json).await;
}

#[tokio::test]
async fn an_upcaster_that_refuses_is_a_miss_with_its_reason() {
    let (events, store) = (history(), MemoryStore::new());
    write(&engine::<Person>(&events, &store, Postcard), SNAPSHOT_AT).await;
    let new = builder::<Cents>(&events, &store, Postcard)
        .upcasts::<Person>(1, Postcard, |_| Err("no exchange rate".into()))
        .build()
        .unwrap();
    let loaded = new.load(&key()).await.unwrap();
    assert_eq!(*loaded.state, folded::<Cents>(6));
    assert_eq!(loaded.provenance.origin, Origin::Replay);
    let reason = &loaded.provenance.rejected[0];
    assert_eq!(reason.version, Some(SNAPSHOT_AT));
    assert_eq!(reason.reason, RejectReason::Upcast("no exchange rate".to_owned()));
}

#[tokio::test]
async fn an_upcaster_reads_only_the_schema_version_and_shape_that_it_was_made_for() {
    let (events, store) = (history(), MemoryStore::new());
    let old = engine::<Person>(&events, &store, Postcard);
    write(&old, SNAPSHOT_AT).await;
    // Registered under a version that nobody wrote, and for a type that nobody wrote.
    let new = builder::<Cents>(&events, &store, Postcard)
        .upcasts::<Person>(7, Postcard, |_| panic!("not for these"))
        .upcasts::<(String, String, i64, i64, u32, Vec<Tag>)>(1, Postcard, |_| {
            panic!("not for these")
        })
        .build()
        .unwrap();
    assert_replayed(&new.load(&key()).await.unwrap(), old.generation());
}

// Fields come and go, and their defaults equal what a replay gives: then names are enough.
state! {
    #[serde(default)]
    Lean, 1 {
        tags: Vec<Tag>,
        balance: i64,
        never_set: Option<String>,
    }
    |state, event| match event {
        Happened::Moved(by) => state.balance += by,
        Happened::Tagged(name) => state.tags.push(Tag { name: (*name).to_owned() }),
        Happened::Closed => state.balance = 0,
        Happened::Named(..) => {}
    }
}

#[tokio::test]
async fn a_tolerant_engine_reads_other_shapes_by_name_and_only_with_names() {
    async fn with<C: Codec<Person> + Codec<Lean> + Copy>(codec: C) {
        let (events, store) = (history(), MemoryStore::new());
        let old = engine::<Person>(&events, &store, codec);
        write(&old, SNAPSHOT_AT).await;
        let strict = engine::<Lean>(&events, &store, codec);
        assert_replayed(&strict.load(&key()).await.unwrap(), old.generation());
        let tolerant =
            builder::<Lean>(&events, &store, codec).tolerate_shape_changes().build().unwrap();
        let loaded = tolerant.load(&key()).await.unwrap();
        assert_eq!(*loaded.state, folded::<Lean>(6));
        if <C as Codec<Lean>>::is_self_describing(&codec) {
            assert_eq!(loaded.provenance.origin, Origin::Snapshot, "{}", loaded.provenance);
        } else {
            assert_replayed(&loaded, old.generation());
        }
    }
    with(MessagePack).await;
    with(Json).await;
    with(Postcard).await;
    with(Bincode).await;
}

#[tokio::test]
async fn a_tolerant_engine_still_keeps_schema_versions_apart() {
    let (events, store) = (history(), MemoryStore::new());
    let old = engine::<Person>(&events, &store, MessagePack);
    write(&old, SNAPSHOT_AT).await;
    let new =
        builder::<Cents>(&events, &store, MessagePack).tolerate_shape_changes().build().unwrap();
    assert_replayed(&new.load(&key()).await.unwrap(), old.generation());
}

#[tokio::test]
async fn a_store_can_change_codecs_without_losing_its_snapshots() {
    let (events, store) = (history(), MemoryStore::new());
    write(&engine::<Person>(&events, &store, MessagePack), 2).await;
    write(&engine::<Person>(&events, &store, Json), 3).await;
    write(&engine::<Person>(&events, &store, Bincode), 4).await;
    let migrating = builder::<Person>(&events, &store, Postcard)
        .also_reads(MessagePack)
        .also_reads(Json)
        .build()
        .unwrap();
    for (version, snapshot) in [(2, Some(2)), (3, Some(3))] {
        let loaded = migrating.at_version(&key(), version).await.unwrap();
        assert_eq!(*loaded.state, folded::<Person>(version));
        assert_eq!(loaded.provenance.snapshot.map(|used| used.id.version), snapshot);
    }
    // The newest is of a codec that is not registered: named, and passed over.
    let loaded = migrating.load(&key()).await.unwrap();
    assert_eq!(*loaded.state, folded::<Person>(6));
    assert_eq!(loaded.provenance.snapshot.unwrap().id.version, 3);
    let rejected = &loaded.provenance.rejected;
    assert_eq!(rejected.len(), 1, "{}", loaded.provenance);
    assert_eq!(rejected[0].version, Some(4));
    assert_eq!(rejected[0].reason, RejectReason::Codec(CodecId::BINCODE));
    // It writes with the first one.
    write(&migrating, 5).await;
    let plain = engine::<Person>(&events, &store, Postcard);
    let loaded = plain.load(&key()).await.unwrap();
    assert_eq!(loaded.provenance.snapshot.unwrap().id.version, 5);
}

/// Types that refuse what nobody guesses, and hide what is behind them from formats that read in
/// order.
mod unseen {
    use super::*;

    #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
    #[serde(try_from = "String", into = "String")]
    struct Code(String);

    impl TryFrom<String> for Code {
        type Error = &'static str;

        fn try_from(text: String) -> Result<Self, Self::Error> {
            if text.starts_with("Xyzzy-") { Ok(Self(text)) } else { Err("not a code") }
        }
    }

    impl From<Code> for String {
        fn from(code: Code) -> Self {
            code.0
        }
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Line<T> {
        code: Code,
        cents: T,
    }

    /// A day before the money, a code before the money, and both deep inside.
    macro_rules! plan {
        ($name:ident: $cents:ty, |$was:ident, $by:ident| $add:expr) => {
            #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
            struct $name {
                billed_on: chrono::Weekday,
                cents: $cents,
                lines: Vec<Option<Line<$cents>>>,
            }

            impl Aggregate for $name {
                type Event = Happened;
                const KIND: &'static str = "person";
                const SCHEMA_VERSION: u32 = 1;

                fn initial(_: &AggregateKey) -> Self {
                    let (billed_on, cents) = (chrono::Weekday::Mon, Default::default());
                    Self { billed_on, cents, lines: Vec::new() }
                }

                fn apply(&mut self, event: &Happened) {
                    if let Happened::Moved(by) = event {
                        let ($was, $by) = (self.cents, by.unsigned_abs());
                        self.cents = $add;
                        let code = Code(format!("Xyzzy-{by}"));
                        self.lines.push(Some(Line { code, cents: self.cents }));
                    }
                }
            }
        };
    }

    plan!(Unsigned: u64, |was, by| was + by);
    plan!(Signed: i64, |was, by| was + by.cast_signed());
    plan!(Halves: (u32, u32), |was, by| (was.0 + u32::try_from(by).unwrap(), was.1 + 1));

    #[tokio::test]
    async fn a_change_behind_a_type_that_refuses_all_samples_is_seen() {
        changes_with_each_codec::<Unsigned, Signed>().await;
        changes_with_each_codec::<Unsigned, Halves>().await;
        changes_with_each_codec::<Halves, Signed>().await;
    }

    fn generation<S: State>(sample: Option<S>) -> Generation {
        let mut builder = builder::<S>(&history(), &MemoryStore::new(), MessagePack);
        if let Some(sample) = sample {
            builder = builder.sample(sample);
        }
        builder.build().unwrap().generation()
    }

    macro_rules! release {
        ($module:ident: $($more:tt)*) => {
            mod $module {
                use super::*;

                #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
                pub(super) struct Totals { moves: i64, $($more)* }
                #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
                #[serde(tag = "is")]
                pub(super) enum Case { Open(Totals), Closed }
                state! {
                    Flat, 1 { name: String, #[serde(flatten)] totals: Totals, }
                    |state, event| if let Happened::Moved(by) = event { state.totals.moves += by; }
                }
                state! {
                    Tagged, 1 { name: String, case: Option<Case>, }
                    |state, event| if let Happened::Moved(_) = event {
                        state.case = Some(Case::Open(Totals::default()));
                    }
                }

                pub(super) fn flat() -> Generation {
                    generation(Some(folded::<Flat>(6)))
                }

                pub(super) fn tagged() -> Generation {
                    generation(Some(folded::<Tagged>(6)))
                }
            }
        };
    }
    release!(before:);
    release!(after: #[serde(default)] cents: i64);

    #[test]
    fn a_sample_shows_what_is_in_opaque_parts() {
        assert_eq!(before::flat(), before::flat());
        assert_ne!(before::flat(), after::flat());
        assert_ne!(before::tagged(), after::tagged());
    }

    /// Its conversion cannot fail, and panics for texts that were never stored.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(from = "String", into = "String")]
    struct Country([u8; 2]);

    impl Default for Country {
        fn default() -> Self {
            Self(*b"DE")
        }
    }

    impl From<String> for Country {
        fn from(text: String) -> Self {
            let bytes = text.as_bytes();
            Self([bytes[0], bytes[1]])
        }
    }

    impl From<Country> for String {
        fn from(country: Country) -> Self {
            String::from_utf8_lossy(&country.0).into_owned()
        }
    }

    state! { Located, 1 { country: Country, moved: i64, } |state, event| {
        if let Happened::Moved(by) = event { state.moved += by; }
    } }
    state! { Located2, 1 { country: Country, moved: u64, } |state, event| {
        if let Happened::Moved(by) = event { state.moved += by.unsigned_abs(); }
    } }

    #[tokio::test]
    async fn a_type_that_panics_on_samples_refuses_them() {
        changes_with_each_codec::<Located, Located2>().await;
    }
}

/// States that no format without names can carry.
mod unsuitable {
    use super::*;

    state! {
        Flattened, 1 {
            balance: i64,
            #[serde(flatten)] more: BTreeMap<String, i64>,
        }
        |_, _| {}
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(i64),
        Text(String),
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "kind")]
    enum Tagged {
        Plain,
        Priced { price: i64 },
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "kind", content = "of")]
    enum Adjacent {
        Plain,
        Priced { price: i64 },
    }

    state! { Untagged, 1 { balance: i64, all: Vec<Either>, } |_, _| {} }
    state! { InternallyTagged, 1 { balance: i64, all: Vec<Tagged>, } |_, _| {} }
    state! { AdjacentlyTagged, 1 { balance: i64, all: Option<Adjacent>, } |_, _| {} }
    state! {
        Skipping, 1 {
            #[serde(default, skip_serializing_if = "Option::is_none")] note: Option<String>,
            balance: i64,
        }
        |state, event| if let Happened::Moved(by) = event {
            state.balance += by;
        }
    }
    state! {
        SkippingEmpty, 1 {
            #[serde(default, skip_serializing_if = "Vec::is_empty")] notes: Vec<String>,
            balance: i64,
        }
        |state, event| if let Happened::Moved(by) = event {
            state.balance += by;
        }
    }

    fn refused<S: State>(codec: impl Codec<S>) {
        let name = std::any::type_name::<S>();
        let error: Error =
            builder::<S>(&history(), &MemoryStore::new(), codec).build().expect_err(name);
        assert_eq!(error.kind(), ErrorKind::UnsuitableCodec, "{name}");
        assert!(!error.is_retryable());
        let text = error.to_string();
        assert!(text.contains("MessagePack") && text.contains("`msgpack`"), "{name}: {text}");
    }

    async fn carried<S: State>(codec: impl Codec<S>) {
        let (events, store) = (history(), MemoryStore::new());
        let engine = engine::<S>(&events, &store, codec);
        write(&engine, SNAPSHOT_AT).await;
        let loaded = engine.load(&key()).await.unwrap();
        assert_eq!(*loaded.state, folded::<S>(6));
        assert_eq!(loaded.provenance.origin, Origin::Snapshot);
    }

    async fn only_with_names<S: State>() {
        refused::<S>(Postcard);
        refused::<S>(Bincode);
        carried::<S>(MessagePack).await;
        carried::<S>(Json).await;
    }

    #[tokio::test]
    async fn a_format_without_names_refuses_flatten_at_registration() {
        only_with_names::<Flattened>().await;
    }

    #[tokio::test]
    async fn a_format_without_names_refuses_untagged_and_tagged_enums_at_registration() {
        only_with_names::<Untagged>().await;
        only_with_names::<InternallyTagged>().await;
        only_with_names::<AdjacentlyTagged>().await;
    }

    #[tokio::test]
    async fn a_format_without_names_refuses_skipped_fields_at_registration() {
        only_with_names::<Skipping>().await;
        only_with_names::<SkippingEmpty>().await;
    }

    #[tokio::test]
    async fn an_upcaster_and_a_second_codec_are_refused_at_registration_too() {
        let also =
            builder::<Flattened>(&history(), &MemoryStore::new(), MessagePack).also_reads(Postcard);
        assert_eq!(also.build().unwrap_err().kind(), ErrorKind::UnsuitableCodec);
        let upcast = builder::<Person>(&history(), &MemoryStore::new(), MessagePack)
            .upcasts::<Skipping>(1, Bincode, |_| Ok(Person::default()));
        assert_eq!(upcast.build().unwrap_err().kind(), ErrorKind::UnsuitableCodec);
    }
}

/// States that pass registration and then do not survive their codec: nothing may be stored.
mod lossy {
    use super::*;

    async fn not_stored<S: State>(codec: impl Codec<S>, version: u64) {
        let (events, store) = (history(), MemoryStore::new());
        let engine = engine::<S>(&events, &store, codec);
        let options = CreateOptions::new().at_version(version);
        let error = engine.create_with(&key(), options).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Encode, "{error:?}");
        let shown = format!("{error}");
        assert!(shown.contains("person"), "{shown}");
        assert_eq!(engine.stats(&key()).await.unwrap().snapshots, 0);
        assert_eq!(*engine.load(&key()).await.unwrap().state, folded::<S>(6));
    }

    /// Comes back with at most 100, from any format.
    #[derive(Clone, Debug, Default, PartialEq)]
    struct Capped(i64);

    impl Serialize for Capped {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_i64(self.0)
        }
    }

    impl<'de> Deserialize<'de> for Capped {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            Ok(Self(i64::deserialize(deserializer)?.min(100)))
        }
    }

    state! { Capping, 1 { sum: Capped, } |state, event| if let Happened::Moved(by) = event {
        state.sum.0 += by;
    } }

    #[tokio::test]
    async fn a_pair_of_implementations_that_loses_data_is_caught_at_the_first_write() {
        not_stored::<Capping>(Postcard, 6).await;
        not_stored::<Capping>(Bincode, 6).await;
        not_stored::<Capping>(MessagePack, 6).await;
        not_stored::<Capping>(Json, 6).await;
    }

    /// What no sample of the type shows when the engine is built is refused when it is written.
    mod one_way {
        #![expect(clippy::trivially_copy_pass_by_ref, reason = "the signatures are serde's")]

        use super::*;

        async fn not_stored_in_order<S: State>() {
            not_stored::<S>(Postcard, 6).await;
            not_stored::<S>(Bincode, 6).await;
        }

        fn number(number: &i64) -> u8 {
            u8::try_from(*number).unwrap_or(u8::MAX)
        }

        #[tokio::test]
        async fn a_field_that_is_read_but_never_written() {
            state! { InTheMiddle, 1 { #[serde(default, skip_serializing)] secret: u16, moved: i64, } |s, e| {
                if let Happened::Moved(by) = e { s.moved += by; }
            } }
            state! { AtTheEnd, 1 { moved: i64, #[serde(default, skip_serializing)] secret: u16, } |s, e| {
                if let Happened::Moved(by) = e { s.moved += by; }
            } }
            not_stored_in_order::<InTheMiddle>().await;
            not_stored_in_order::<AtTheEnd>().await;
        }

        #[tokio::test]
        async fn a_field_that_is_written_but_never_read() {
            state! { InTheMiddle, 1 { #[serde(skip_deserializing)] cached: u16, moved: i64, } |s, e| {
                if let Happened::Moved(by) = e { s.cached += 1; s.moved += by; }
            } }
            state! { AtTheEnd, 1 { moved: i64, #[serde(skip_deserializing)] cached: u16, } |s, e| {
                if let Happened::Moved(by) = e { s.cached += 1; s.moved += by; }
            } }
            not_stored_in_order::<InTheMiddle>().await;
            not_stored_in_order::<AtTheEnd>().await;
        }

        #[tokio::test]
        async fn a_field_that_is_left_out_for_a_value_that_nobody_guesses() {
            fn is_293(moved: &i64) -> bool {
                *moved == 293
            }
            state! { Skipping, 1 {
                #[serde(default, skip_serializing_if = "is_293")] moved: i64, tags: Vec<u8>,
            } |s, e| if let Happened::Moved(by) = e { s.moved += by; } }
            not_stored_in_order::<Skipping>().await;
        }

        #[tokio::test]
        async fn a_tuple_that_is_shorter_at_times() {
            #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
            struct Pair(u8, #[serde(default, skip_serializing_if = "Option::is_none")] Option<u8>);
            state! { Paired, 1 { pair: Pair, } |s, e| if let Happened::Moved(by) = e {
                s.pair.0 = number(by);
            } }
            not_stored_in_order::<Paired>().await;
        }

        #[tokio::test]
        async fn a_variant_behind_one_that_is_skipped() {
            #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
            enum Kind {
                #[default]
                #[serde(alias = "New")]
                Open,
                #[serde(skip)]
                #[allow(dead_code, reason = "it is there to be skipped")]
                Cached,
                Paid(u8),
                Sent(u8),
            }
            state! { Shifted, 1 { kind: Kind, last: u8, } |s, e| match e {
                Happened::Moved(by) => s.kind = Kind::Paid(number(by)),
                Happened::Tagged(_) => s.kind = Kind::Sent(s.last),
                _ => {}
            } }
            not_stored::<Shifted>(Postcard, 4).await;
            not_stored_in_order::<Shifted>().await;
        }

        #[tokio::test]
        async fn a_value_that_is_written_as_another_kind_than_it_is_read() {
            fn as_text<S: Serializer>(number: &i64, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(number)
            }
            fn or_zero<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
                Ok(Option::deserialize(deserializer)?.unwrap_or_default())
            }
            fn no_length<S: Serializer>(list: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
                let mut seq = serializer.serialize_seq(None)?;
                for item in list {
                    serde::ser::SerializeSeq::serialize_element(&mut seq, item)?;
                }
                serde::ser::SerializeSeq::end(seq)
            }
            state! { Text, 1 { #[serde(serialize_with = "as_text")] moved: i64, } |s, e| {
                if let Happened::Moved(by) = e { s.moved += by; }
            } }
            state! { Nullable, 1 { #[serde(deserialize_with = "or_zero")] moved: i64, } |s, e| {
                if let Happened::Moved(by) = e { s.moved += by; }
            } }
            state! { Unsized, 1 { #[serde(serialize_with = "no_length")] list: Vec<u8>, } |s, e| {
                if let Happened::Moved(by) = e { s.list.push(number(by)); }
            } }
            not_stored_in_order::<Text>().await;
            not_stored_in_order::<Nullable>().await;
            not_stored_in_order::<Unsized>().await;
        }
    }

    /// A place that is not known, known to be none, or known.
    type Place = Option<Option<u32>>;

    state! { Nested, 1 { place: Place, } |state, event| state.place = match event {
        Happened::Named(..) => None,
        Happened::Moved(_) => Some(Some(1)),
        _ => Some(None),
    } }

    #[tokio::test]
    async fn a_some_that_would_come_back_as_none_is_never_written() {
        not_stored::<Nested>(MessagePack, SNAPSHOT_AT).await;
        not_stored::<Nested>(Json, SNAPSHOT_AT).await;
        // Formats with a byte for each option carry it.
        let (events, store) = (history(), MemoryStore::new());
        let engine = engine::<Nested>(&events, &store, Postcard);
        write(&engine, SNAPSHOT_AT).await;
        let loaded = engine.at_version(&key(), SNAPSHOT_AT).await.unwrap();
        assert_eq!(loaded.state.place, Some(None));
        assert_eq!(loaded.provenance.origin, Origin::Snapshot);
    }

    #[tokio::test]
    async fn a_some_that_would_come_back_as_none_is_not_written_later_either() {
        async fn with(codec: impl Codec<Nested>) {
            let (events, store) = (history(), MemoryStore::new());
            let engine = engine::<Nested>(&events, &store, codec);
            write(&engine, 1).await;
            write(&engine, 2).await;
            let options = CreateOptions::new().at_version(SNAPSHOT_AT);
            let error = engine.create_with(&key(), options).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Encode);
            let loaded = engine.load(&key()).await.unwrap();
            assert_eq!(loaded.state.place, Some(None), "{}", loaded.provenance);
        }
        with(MessagePack).await;
        with(Json).await;
    }

    #[derive(Clone, Debug, Default, Serialize, Deserialize)]
    struct Ratio {
        mean: f64,
        last: Option<f32>,
    }

    // NaN equals NaN here: the same state.
    impl PartialEq for Ratio {
        fn eq(&self, other: &Self) -> bool {
            self.mean.to_bits() == other.mean.to_bits()
                && self.last.map(f32::to_bits) == other.last.map(f32::to_bits)
        }
    }

    state! { Mean, 1 { ratio: Ratio, } |state, event| if let Happened::Moved(by) = event {
        state.ratio.mean = if *by < 0 { f64::NAN } else { 1.5 };
    } }
    state! { Last, 1 { ratio: Ratio, } |state, event| if let Happened::Moved(by) = event {
        state.ratio.last = Some(if *by < 0 { f32::INFINITY } else { 1.5 });
    } }

    #[tokio::test]
    async fn a_number_that_json_does_not_have_is_never_written_as_nothing() {
        not_stored::<Mean>(Json, 2).await;
        not_stored::<Last>(Json, 2).await;
        let (events, store) = (history(), MemoryStore::new());
        for version in [2, 4] {
            let engine = engine::<Last>(&events, &store, MessagePack);
            write(&engine, version).await;
            let loaded = engine.at_version(&key(), version).await.unwrap();
            assert_eq!(*loaded.state, folded::<Last>(version));
        }
    }
}

/// A codec that fails half way must not leave its bytes to the next one.
#[test]
fn a_codec_leaves_what_the_buffer_held_untouched() {
    fn with<C: Codec<Person> + Copy>(codec: C) {
        let state = folded::<Person>(6);
        let mut out = b"before".to_vec();
        codec.encode(&state, &mut out).unwrap();
        let encoded = out.strip_prefix(b"before").unwrap();
        assert_eq!(codec.decode(encoded, DecodeLimits::UNLIMITED).unwrap(), state);
        let longer = [encoded, b"\0"].concat();
        assert!(codec.decode(&longer, DecodeLimits::UNLIMITED).is_err(), "a byte is left over");
        for shorter in 0..encoded.len() {
            assert!(codec.decode(&encoded[..shorter], DecodeLimits::UNLIMITED).is_err());
        }
    }
    with(Postcard);
    with(Bincode);
    with(MessagePack);
    with(Json);
}
