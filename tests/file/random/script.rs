//! What happens in one random case.

use proptest::collection::vec;
use proptest::prelude::*;
use snapfold::codec::CodecId;
use snapfold::file::{Durability, FileStoreConfig, ZeroAhead};
use snapfold::record::{Base, Generation, Record, RecordBuilder};
use snapfold::store::{Mark, MarkKind, Marks};
use snapfold::{AggregateKey, Timestamp};

/// The longest part of a key that a file store takes.
const LONGEST: usize = 1024;
pub(crate) const KEYS: usize = 12;
pub(crate) const GENERATIONS: usize = 3;

/// Keys that differ in one part, in one byte, or only in where one part ends and the next begins.
pub(crate) fn key(number: usize) -> AggregateKey {
    let long = "x".repeat(LONGEST - 1);
    let (tenant, kind, id) = match number % KEYS {
        0 => ("", "account", "a".to_owned()),
        1 => ("", "account", "aa".to_owned()),
        2 => ("", "accounta", "a".to_owned()),
        3 => ("north", "account", "a".to_owned()),
        4 => ("", "", String::new()),
        5 => ("", "account", "\0".to_owned()),
        6 => ("", "account", "../../MANIFEST".to_owned()),
        7 => ("", "account", "\u{202e}\u{1f980}\n".to_owned()),
        8 => ("", "account", format!("{long}x")),
        9 => ("", "account", format!("{long}y")),
        10 => ("", "account", long),
        _ => return AggregateKey::from_parts(&"t".repeat(1024), &"k".repeat(1024), "").unwrap(),
    };
    AggregateKey::from_parts(tenant, kind, &id).unwrap()
}

/// A key with one part that is longer than the store takes.
pub(crate) fn too_long(part: usize, by: usize) -> AggregateKey {
    let mut parts = ["", "account", "a"].map(str::to_owned);
    parts[part % 3] = "z".repeat((LONGEST + by).min(AggregateKey::MAX_PART_BYTES));
    AggregateKey::from_parts(&parts[0], &parts[1], &parts[2]).unwrap()
}

pub(crate) fn generation(number: usize) -> Generation {
    let all = [(1, 7), (1, 8), (2, 7)];
    let (schema_version, fingerprint) = all[number % GENERATIONS];
    Generation { schema_version, fingerprint }
}

/// A snapshot to put.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) key: usize,
    pub(crate) generation: usize,
    pub(crate) version: u64,
    /// When its last event was recorded, in seconds.
    pub(crate) at: i64,
    pub(crate) fill: u8,
    pub(crate) bytes: usize,
}

impl Snapshot {
    pub(crate) fn record(&self) -> Record {
        self.record_of(key(self.key))
    }

    pub(crate) fn record_of(&self, key: AggregateKey) -> Record {
        let at = Timestamp::from_seconds(self.at);
        // No two places of a page are alike.
        let pattern: Vec<_> = (0..251).map(|i| self.fill ^ i).collect();
        let mut payload = pattern.repeat(self.bytes / pattern.len() + 1);
        payload.truncate(self.bytes);
        let builder = RecordBuilder::new(key, generation(self.generation), self.version, at)
            .codec(CodecId::custom(1));
        // Most are deltas, a few of them of a version that cannot be a base.
        let distance = [0, 1, 1, 2, 2, 3][usize::from(self.fill / 3 % 6)];
        let base = self.version.checked_sub(distance).filter(|_| !self.fill.is_multiple_of(3));
        with_base(builder, base.map(|version| Base { version, checksum: 7 }))
            .build(&payload)
            .unwrap()
    }
}

#[cfg(feature = "conformance")]
pub(crate) fn with_base(builder: RecordBuilder, base: Option<Base>) -> RecordBuilder {
    match base {
        Some(base) => builder.base(base),
        None => builder,
    }
}

/// Only the feature `conformance` makes records that name a base.
#[cfg(not(feature = "conformance"))]
pub(crate) fn with_base(builder: RecordBuilder, _: Option<Base>) -> RecordBuilder {
    builder
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum By {
    Thread,
    Task,
}

#[derive(Clone, Debug)]
pub(crate) enum Which {
    All,
    Below(u64),
    /// Generation and version, whether they exist or not.
    Ids(Vec<(usize, u64)>),
    Generation(usize),
    ExceptGeneration(usize),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Leave {
    Close,
    Drop,
    /// The process dies: its directory is taken over as it is.
    Kill,
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Put {
        snapshots: Vec<Snapshot>,
        replace: bool,
        marks: Marks,
        by: By,
    },
    /// A stored snapshot is made again at another time, and put: the same payload.
    Again {
        which: usize,
        replace: bool,
        by: By,
    },
    PutTooLong {
        part: usize,
        extra: usize,
        with: Vec<Snapshot>,
        by: By,
    },
    /// Several puts are queued; then their futures are awaited, from the last to the first if so
    /// wanted, or dropped.
    Submit {
        puts: Vec<(Vec<Snapshot>, bool)>,
        dropped: u8,
        backwards: bool,
    },
    Delete {
        key: usize,
        which: Which,
        overrule_pins: bool,
        by: By,
    },
    /// Sets the mark, or clears the one of its kind and name.
    Mark {
        key: usize,
        which: Which,
        mark: Mark,
        clear: bool,
        by: By,
    },
    DeleteBelow {
        all: Vec<(usize, u64)>,
        by: By,
    },
    Get {
        key: usize,
        generation: usize,
        at_most: u64,
        as_of: Option<i64>,
        include_retired: bool,
    },
    List {
        key: usize,
        at_most: u64,
        at_least: u64,
        limit: usize,
    },
    Keys {
        tenant: Option<&'static str>,
        kind: Option<&'static str>,
        limit: usize,
    },
    Compact,
    Backup {
        go_on_there: bool,
    },
    Reopen {
        leave: Leave,
        settings: Settings,
    },
}

/// How a store is opened.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    segment_bytes: u64,
    durability: Durability,
    zero_ahead: ZeroAhead,
    compact_at: f64,
    reserve_bytes: u64,
    pub(crate) background: bool,
}

impl Settings {
    pub(crate) fn apply(&self, config: FileStoreConfig) -> FileStoreConfig {
        config
            .segment_bytes(self.segment_bytes)
            .durability(self.durability)
            .zero_ahead(self.zero_ahead)
            .compact_at(self.compact_at)
            .reserve_bytes(self.reserve_bytes)
            .background(self.background)
    }
}

pub(crate) fn settings() -> impl Strategy<Value = Settings> {
    let durability = prop_oneof![Just(Durability::Sync), Just(Durability::Os)];
    let segment_bytes = prop_oneof![8 => Just(4096_u64), 2 => Just(20_000), 1 => Just(1 << 20)];
    let compact_at = prop_oneof![Just(0.01), Just(0.3), Just(1.0)];
    let reserve_bytes = prop_oneof![Just(0_u64), Just(5000)];
    let zero_ahead = prop_oneof![
        2 => Just(ZeroAhead::SmallWrites),
        1 => Just(ZeroAhead::Never),
        1 => Just(ZeroAhead::WholeFiles),
    ];
    (segment_bytes, durability, zero_ahead, compact_at, reserve_bytes, 0..4).prop_map(
        |(segment_bytes, durability, zero_ahead, compact_at, reserve_bytes, background)| Settings {
            segment_bytes,
            durability,
            zero_ahead,
            compact_at,
            reserve_bytes,
            background: background == 0,
        },
    )
}

fn version() -> impl Strategy<Value = u64> {
    prop_oneof![30 => 1..=8_u64, 1 => Just(1_u64 << 40), 1 => Just(u64::MAX)]
}

/// A bound of versions: near what is stored, or none.
fn bound() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0..=9_u64, 1 => Just(u64::MAX - 1), 2 => Just(u64::MAX)]
}

fn bytes() -> impl Strategy<Value = usize> {
    prop_oneof![
        2 => Just(0_usize),
        8 => 1..600_usize,
        // Around what is copied, a page and a segment.
        3 => 900..1100_usize,
        2 => 3900..4200_usize,
        1 => 9_000..30_000_usize,
        1 => 100_000..300_000_usize,
    ]
}

/// Most is about a few aggregates, so that it meets.
fn some_key() -> impl Strategy<Value = usize> {
    prop_oneof![2 => 0..3_usize, 1 => 0..KEYS]
}

fn snapshot() -> impl Strategy<Value = Snapshot> {
    (some_key(), 0..GENERATIONS, version(), 0..10_i64, any::<u8>(), bytes()).prop_map(
        |(key, generation, version, at, fill, bytes)| Snapshot {
            key,
            generation,
            version,
            at,
            fill,
            bytes,
        },
    )
}

fn by() -> impl Strategy<Value = By> {
    prop_oneof![Just(By::Thread), Just(By::Task)]
}

fn which() -> impl Strategy<Value = Which> {
    prop_oneof![
        2 => Just(Which::All),
        4 => bound().prop_map(Which::Below),
        4 => vec((0..GENERATIONS, version()), 0..6).prop_map(Which::Ids),
        1 => (0..GENERATIONS).prop_map(Which::Generation),
        1 => (0..GENERATIONS).prop_map(Which::ExceptGeneration),
    ]
}

fn mark() -> impl Strategy<Value = Mark> {
    let kind = prop_oneof![Just(MarkKind::Pin), Just(MarkKind::Retirement)];
    let name = prop_oneof![Just("a"), Just("b\u{0}\u{1f980}")];
    let note = prop_oneof![3 => Just(0_usize), 1 => 0..Mark::MAX_NOTE_BYTES];
    (kind, name, 0..3_i64, note).prop_map(|(kind, name, at, note)| {
        Mark::new(kind, name, Timestamp::from_seconds(at)).note("n".repeat(note))
    })
}

/// Most puts have none.
fn marks() -> impl Strategy<Value = Marks> {
    let some = vec(mark(), 1..3).prop_map(|marks| Marks::new(marks).unwrap());
    prop_oneof![5 => Just(Marks::NONE), 1 => some]
}

fn step() -> impl Strategy<Value = Step> {
    let tenant = prop_oneof![Just(None), Just(Some("")), Just(Some("north")), Just(Some("none"))];
    let kind = prop_oneof![Just(None), Just(Some("")), Just(Some("account"))];
    let leave = prop_oneof![Just(Leave::Close), Just(Leave::Drop), Just(Leave::Kill)];
    let as_of = proptest::option::of(-1..11_i64);
    let several = vec((vec(snapshot(), 0..3), proptest::bool::weighted(0.3)), 1..6);
    prop_oneof![
        14 => (vec(snapshot(), 0..6), proptest::bool::weighted(0.3), marks(), by()).prop_map(
            |(snapshots, replace, marks, by)| Step::Put { snapshots, replace, marks, by }
        ),
        6 => (any::<usize>(), any::<bool>(), by())
            .prop_map(|(which, replace, by)| Step::Again { which, replace, by }),
        1 => (0..3_usize, 1..70_000_usize, vec(snapshot(), 0..3), by())
            .prop_map(|(part, extra, with, by)| Step::PutTooLong { part, extra, with, by }),
        5 => (several, any::<u8>(), any::<bool>())
            .prop_map(|(puts, dropped, backwards)| Step::Submit { puts, dropped, backwards }),
        5 => (some_key(), which(), proptest::bool::weighted(0.2), by()).prop_map(
            |(key, which, overrule_pins, by)| Step::Delete { key, which, overrule_pins, by }
        ),
        6 => (some_key(), which(), mark(), proptest::bool::weighted(0.4), by()).prop_map(
            |(key, which, mark, clear, by)| Step::Mark { key, which, mark, clear, by }
        ),
        2 => (vec((0..KEYS, bound()), 0..8), by())
            .prop_map(|(all, by)| Step::DeleteBelow { all, by }),
        9 => (some_key(), 0..GENERATIONS, bound(), as_of, any::<bool>()).prop_map(
            |(key, generation, at_most, as_of, include_retired)| {
                Step::Get { key, generation, at_most, as_of, include_retired }
            }
        ),
        2 => (some_key(), bound(), bound(), 0..5_usize).prop_map(
            |(key, at_most, at_least, limit)| Step::List { key, at_most, at_least, limit }
        ),
        1 => (tenant, kind, 0..5_usize)
            .prop_map(|(tenant, kind, limit)| Step::Keys { tenant, kind, limit }),
        2 => Just(Step::Compact),
        1 => any::<bool>().prop_map(|go_on_there| Step::Backup { go_on_there }),
        4 => (leave, settings()).prop_map(|(leave, settings)| Step::Reopen { leave, settings }),
    ]
}

pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    vec(step(), 1..60)
}
