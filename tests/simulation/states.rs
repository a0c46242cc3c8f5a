//! One kind of account in three generations of code. Every state depends on each of its events,
//! their order and its key, so that an event left out, folded twice or taken from elsewhere shows.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::hash::BuildHasherDefault;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use snapfold::codec::{Codec, Postcard};
use snapfold::engine::EngineBuilder;
use snapfold::record::Generation;
use snapfold::{Aggregate, AggregateKey};

pub(crate) const KIND: &str = "account";

/// One event, the same type for all generations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Posted {
    pub(crate) pot: u8,
    pub(crate) amount: i32,
}

pub(crate) trait Subject:
    Aggregate<Event = Posted> + Serialize + DeserializeOwned + PartialEq + Debug
{
    /// Adds what reads older generations.
    fn upcasting(builder: EngineBuilder<Self>) -> EngineBuilder<Self> {
        builder
    }

    /// The generations that this code reads, its own first.
    fn readable() -> Vec<Generation> {
        vec![generation::<Self>()]
    }
}

pub(crate) fn generation<A: Subject>() -> Generation {
    let info = Codec::<A>::inspect(&Postcard, &[]).unwrap();
    Generation { schema_version: A::SCHEMA_VERSION, fingerprint: info.fingerprint }
}

fn begin(key: &AggregateKey) -> u64 {
    let bytes = [key.tenant(), "|", key.id()].into_iter().flat_map(str::bytes);
    bytes.fold(0xcbf2_9ce4_8422_2325, |trail, byte| mix(trail, byte.into()))
}

fn mix(trail: u64, value: u64) -> u64 {
    (trail ^ value).wrapping_mul(0x0100_0000_01b3).rotate_left(7)
}

fn follow(trail: u64, event: Posted) -> u64 {
    mix(mix(trail, event.pot.into()), u64::from(event.amount.cast_unsigned()))
}

/// Long enough to be compressed now and then.
fn note(event: Posted) -> Option<String> {
    let length = usize::try_from(event.amount.unsigned_abs() % 900).unwrap();
    (event.amount % 3 != 0).then(|| "paid ".repeat(length / 5))
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct First {
    trail: u64,
    balances: BTreeMap<u8, i64>,
    note: Option<String>,
}

impl Aggregate for First {
    type Event = Posted;
    const KIND: &'static str = KIND;
    const SCHEMA_VERSION: u32 = 1;

    fn initial(key: &AggregateKey) -> Self {
        Self { trail: begin(key), balances: BTreeMap::new(), note: None }
    }

    fn apply(&mut self, event: &Posted) {
        self.trail = follow(self.trail, *event);
        *self.balances.entry(event.pot).or_default() += i64::from(event.amount);
        self.note = note(*event);
    }
}

impl Subject for First {}

/// An unordered map that is in the same order in each run, so that a run can be repeated.
type Unordered = HashMap<String, i64, BuildHasherDefault<DefaultHasher>>;

/// Raised the schema version, and can read the first one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Second {
    trail: u64,
    balances: Unordered,
    note: Option<String>,
    total: i64,
}

impl Aggregate for Second {
    type Event = Posted;
    const KIND: &'static str = KIND;
    const SCHEMA_VERSION: u32 = 2;

    fn initial(key: &AggregateKey) -> Self {
        Self { trail: begin(key), balances: Unordered::default(), note: None, total: 0 }
    }

    fn apply(&mut self, event: &Posted) {
        self.trail = follow(self.trail, *event);
        *self.balances.entry(pot(event.pot)).or_default() += i64::from(event.amount);
        self.note = note(*event);
        self.total += i64::from(event.amount);
    }
}

fn pot(number: u8) -> String {
    format!("pot {number}")
}

impl Subject for Second {
    fn upcasting(builder: EngineBuilder<Self>) -> EngineBuilder<Self> {
        builder.upcasts(First::SCHEMA_VERSION, Postcard, |old: First| {
            Ok(Self {
                trail: old.trail,
                total: old.balances.values().sum(),
                balances: old.balances.into_iter().map(|(at, sum)| (pot(at), sum)).collect(),
                note: old.note,
            })
        })
    }

    fn readable() -> Vec<Generation> {
        vec![generation::<Self>(), generation::<First>()]
    }
}

/// Another shape under the version of the second one, which somebody forgot to raise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Third {
    trail: u64,
    balances: BTreeMap<u8, (i64, u32)>,
    last: Vec<i32>,
}

impl Aggregate for Third {
    type Event = Posted;
    const KIND: &'static str = KIND;
    const SCHEMA_VERSION: u32 = 2;

    fn initial(key: &AggregateKey) -> Self {
        Self { trail: begin(key), balances: BTreeMap::new(), last: Vec::new() }
    }

    fn apply(&mut self, event: &Posted) {
        self.trail = follow(self.trail, *event);
        let (sum, count) = self.balances.entry(event.pot).or_default();
        *sum += i64::from(event.amount);
        *count += 1;
        if self.last.len() >= 8 {
            self.last.remove(0);
        }
        self.last.push(event.amount);
    }
}

impl Subject for Third {}
