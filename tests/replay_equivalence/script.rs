//! What happens in one random case: the configuration, and the steps.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use snapfold::codec::Compression;
use snapfold::engine::CacheConfig;
use snapfold::trigger::{
    Adaptive, Trigger, all, every_events, every_interval, larger_than, manual, slower_than,
};

use crate::faulty_store::{Damage, Lie};
use crate::own_coding::Runs;
use crate::states::Changed;

pub(crate) const KEYS: usize = 3;

#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) codec: Codecs,
    pub(crate) compression: Compression,
    /// The number of deltas of each whole snapshot, if there are deltas.
    pub(crate) deltas: Option<u32>,
    /// Whether payloads are sealed.
    pub(crate) sealed: bool,
    pub(crate) cache: Option<CacheConfig>,
    pub(crate) anchors: bool,
    pub(crate) replays_on_failure: bool,
    pub(crate) trigger: When,
    pub(crate) keys: [(String, String); KEYS],
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Codecs {
    Postcard,
    MessagePack,
    Json,
    Bincode,
}

#[derive(Clone, Debug)]
pub(crate) enum When {
    Manual,
    Events(u64),
    Interval(u64),
    Size(u64),
    Slow,
    Any(Vec<When>),
    All(Vec<When>),
}

impl When {
    pub(crate) fn build(&self) -> Box<dyn Trigger> {
        let built = |parts: &[Self]| parts.iter().map(Self::build).collect();
        match self {
            Self::Manual => Box::new(manual()),
            Self::Events(events) => Box::new(every_events(*events)),
            Self::Interval(seconds) => Box::new(every_interval(Duration::from_secs(*seconds))),
            Self::Size(bytes) => Box::new(larger_than(*bytes)),
            Self::Slow => {
                let adaptive = Adaptive::minimise_cost().fallback(4).ceiling(9);
                Box::new(slower_than(Duration::ZERO).or(adaptive))
            }
            Self::Any(parts) => Box::new(snapfold::trigger::any(built(parts))),
            Self::All(parts) => Box::new(all(built(parts))),
        }
    }
}

/// A recorded time. Two events of different lives of a stream (see `World::rewind`) never get the
/// same one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum At {
    Seconds(i64),
    Micros(i64),
}

impl At {
    pub(crate) fn micros(self, life: i64) -> i64 {
        match self {
            Self::Seconds(seconds) => seconds * 1_000_000 + life,
            Self::Micros(micros) => (micros & !63) + life,
        }
    }
}

/// A version: somewhere in the stream, or up to two beyond its head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place(u16);

impl Place {
    pub(crate) fn version(self, head: u64) -> u64 {
        u64::from(self.0) % (head + 3)
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Load, append, report the commit: what a command does.
    Command(Vec<(At, Changed)>),
    /// Appended by somebody else.
    Append(Vec<(At, Changed)>),
    Create,
    CreateAt(Place),
    CreateAll,
    Compact {
        last: usize,
        within: Option<u64>,
    },
    Delete(Place),
    DeleteBefore(Place),
    Repair(Place),
    Damage(usize, Damage),
    Lie(Vec<Lie>),
    Truncate(Place),
    Rewind(Place),
    ClockForward(u64),
    ClockTo(At),
    /// Seals with another key from now on.
    Rotate(u8),
    /// All keys are gone but a new one.
    ForgetKeys,
    Nothing,
}

/// A step on one of the keys, and where to look after it.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    pub(crate) key: usize,
    pub(crate) step: Step,
    pub(crate) place: Place,
    pub(crate) time: At,
    pub(crate) lies: Vec<Lie>,
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        Just("a".to_owned()),
        Just("../a".to_owned()),
        Just("a\0".to_owned()),
        Just("%61/a:b|c".to_owned()),
        Just("\u{202e}\u{e4}A\u{308}'; drop table".to_owned()),
        "\\PC{0,12}",
        Just("x".repeat(70)),
    ]
}

fn keys() -> impl Strategy<Value = [(String, String); KEYS]> {
    [(text(), text()), (text(), text()), (text(), text())]
        .prop_filter("keys differ", |[a, b, c]| a != b && b != c && a != c)
}

fn when() -> impl Strategy<Value = When> {
    let one = prop_oneof![
        1 => Just(When::Manual),
        4 => (0_u64..12).prop_map(When::Events),
        2 => (0_u64..8).prop_map(When::Interval),
        2 => (0_u64..400).prop_map(When::Size),
        1 => Just(When::Slow),
    ];
    one.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(When::Any),
            vec(inner, 0..3).prop_map(When::All)
        ]
    })
}

pub(crate) fn config() -> impl Strategy<Value = Config> {
    let codec = prop_oneof![
        Just(Codecs::Postcard),
        Just(Codecs::MessagePack),
        Just(Codecs::Json),
        Just(Codecs::Bincode)
    ];
    let compression = prop_oneof![
        Just(Compression::none()),
        Just(Compression::lz4()),
        Just(Compression::lz4().min_bytes(0).min_saving_percent(0)),
        Just(Compression::custom(Runs::new()).min_bytes(0).min_saving_percent(0)),
        Just(with_dictionary()),
    ];
    let cache = prop_oneof![
        2 => Just(None),
        2 => Just(Some(CacheConfig::default())),
        1 => (1_u64..9, 1_u64..9).prop_map(|(live, idle)| {
            let config = CacheConfig::new(1 << 20).time_to_live(Duration::from_secs(live));
            Some(config.time_to_idle(Duration::from_secs(idle)))
        }),
    ];
    let deltas = proptest::option::of(0_u32..4);
    let payloads = (codec, compression, deltas, any::<bool>());
    (payloads, cache, any::<bool>(), any::<bool>(), when(), keys()).prop_map(
        |(payloads, cache, anchors, replays_on_failure, trigger, keys)| {
            let (codec, compression, deltas, sealed) = payloads;
            Config {
                codec,
                compression,
                deltas,
                sealed,
                cache,
                anchors,
                replays_on_failure,
                trigger,
                keys,
            }
        },
    )
}

#[cfg(feature = "zstd")]
fn with_dictionary() -> Compression {
    let dictionary = snapfold::codec::Dictionary::from_bytes(b"posting of counter trail".to_vec());
    let zstd = Compression::zstd().dictionary(dictionary.unwrap());
    zstd.min_bytes(0).min_saving_percent(0)
}

#[cfg(not(feature = "zstd"))]
fn with_dictionary() -> Compression {
    Compression::lz4()
}

fn at() -> impl Strategy<Value = At> {
    prop_oneof![
        12 => (-6_i64..7).prop_map(At::Seconds),
        1 => any::<i64>().prop_map(At::Micros),
        1 => Just(At::Micros(i64::MIN)),
        1 => Just(At::Micros(i64::MAX)),
    ]
}

fn place() -> impl Strategy<Value = Place> {
    any::<u16>().prop_map(Place)
}

fn events() -> impl Strategy<Value = Vec<(At, Changed)>> {
    let event = (0_u8..4, any::<u8>(), any::<i32>());
    let event = (at(), event).prop_map(|(at, (few, many, by))| {
        // Few different ones, so that counters meet; now and then any.
        (at, Changed { what: if by % 4 == 0 { many % 24 } else { few }, by: by % 100_000 })
    });
    vec(event, 1..9)
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        3 => any::<usize>().prop_map(Damage::Flip),
        1 => any::<usize>().prop_map(Damage::Zero),
        2 => any::<usize>().prop_map(Damage::Cut),
        1 => any::<usize>().prop_map(Damage::Extend),
    ]
}

fn lies() -> impl Strategy<Value = Vec<Lie>> {
    let lie = prop_oneof![
        Just(Lie::Absent),
        Just(Lie::OtherGeneration),
        Just(Lie::Fail),
        (any::<bool>(), any::<usize>())
            .prop_map(|(own_version, which)| Lie::OtherAggregate { own_version, which }),
        any::<usize>().prop_map(Lie::OutOfBounds),
        (1_u64..3).prop_map(Lie::Mislabelled),
    ];
    vec(lie, 1..4)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => events().prop_map(Step::Command),
        3 => events().prop_map(Step::Append),
        3 => Just(Step::Create),
        8 => place().prop_map(Step::CreateAt),
        2 => Just(Step::CreateAll),
        3 => (0_usize..4, proptest::option::of(0_u64..10))
            .prop_map(|(last, within)| Step::Compact { last, within }),
        1 => place().prop_map(Step::Delete),
        1 => place().prop_map(Step::DeleteBefore),
        1 => place().prop_map(Step::Repair),
        3 => (any::<usize>(), damage()).prop_map(|(which, damage)| Step::Damage(which, damage)),
        1 => lies().prop_map(Step::Lie),
        1 => place().prop_map(Step::Truncate),
        1 => place().prop_map(Step::Rewind),
        2 => (0_u64..12).prop_map(Step::ClockForward),
        1 => at().prop_map(Step::ClockTo),
        1 => any::<u8>().prop_map(Step::Rotate),
        1 => Just(Step::ForgetKeys),
        1 => Just(Step::Nothing),
    ]
}

/// A case without faults of the store has to use its snapshots, so a part of the cases is that.
pub(crate) fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let key = prop_oneof![4 => Just(0), 1 => 1..KEYS];
    let turn = (key, step(), place(), at(), proptest::option::weighted(0.15, lies()));
    (any::<bool>(), vec(turn, 1..32)).prop_map(|(honest, turns)| {
        let turns = turns.into_iter().map(|(key, step, place, time, lies)| {
            let faulty = matches!(step, Step::Damage(..) | Step::Lie(_) | Step::ForgetKeys);
            let step = if honest && faulty { Step::Nothing } else { step };
            let lies = lies.filter(|_| !honest).unwrap_or_default();
            Turn { key, step, place, time, lies }
        });
        turns.collect()
    })
}
