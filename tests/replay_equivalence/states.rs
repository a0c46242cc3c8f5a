//! Four states that are as different to a codec as states get. Each one is sensitive to the order
//! and the number of its events, and begins differently for each key, so that any event skipped,
//! folded twice or taken from another aggregate shows.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use snapfold::{Aggregate, AggregateKey};

/// One event, the same type for all states.
#[derive(Clone, Debug)]
pub(crate) struct Changed {
    pub(crate) what: u8,
    pub(crate) by: i32,
}

pub(crate) trait Subject:
    Aggregate<Event = Changed> + Serialize + DeserializeOwned + PartialEq + Debug
{
}

impl<S: Aggregate<Event = Changed> + Serialize + DeserializeOwned + PartialEq + Debug> Subject
    for S
{
}

/// A number that depends on every event before and on the key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Trail(u64);

impl Trail {
    fn of(key: &AggregateKey) -> Self {
        let mut trail = Self(0xcbf2_9ce4_8422_2325);
        for part in [key.tenant(), key.kind(), key.id()] {
            trail.mix(part.len() as u64);
            part.bytes().for_each(|byte| trail.mix(byte.into()));
        }
        trail
    }

    fn mix(&mut self, value: u64) {
        self.0 = (self.0 ^ value).wrapping_mul(0x0100_0000_01b3).rotate_left(7);
    }

    fn follow(&mut self, event: &Changed) {
        self.mix(event.what.into());
        self.mix(u64::from(event.by.cast_unsigned()));
    }
}

/// A struct around an ordered map.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ledger {
    trail: Trail,
    balances: BTreeMap<u8, i64>,
    postings: Vec<(u8, i32)>,
    last: Option<String>,
}

impl Aggregate for Ledger {
    type Event = Changed;
    const KIND: &'static str = "ledger";
    const SCHEMA_VERSION: u32 = 1;

    fn initial(key: &AggregateKey) -> Self {
        let trail = Trail::of(key);
        Self { trail, balances: BTreeMap::new(), postings: Vec::new(), last: None }
    }

    fn apply(&mut self, event: &Changed) {
        self.trail.follow(event);
        *self.balances.entry(event.what).or_default() += i64::from(event.by);
        if self.postings.len() >= 8 {
            self.postings.remove(0);
        }
        self.postings.push((event.what, event.by));
        self.last = (event.by % 3 != 0).then(|| format!("posting of {}", event.by));
    }
}

/// An unordered map: equal states encode differently each time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tally {
    trail: Trail,
    counts: HashMap<String, i64>,
}

impl Aggregate for Tally {
    type Event = Changed;
    const KIND: &'static str = "tally";
    const SCHEMA_VERSION: u32 = 7;

    fn initial(key: &AggregateKey) -> Self {
        Self { trail: Trail::of(key), counts: HashMap::new() }
    }

    fn apply(&mut self, event: &Changed) {
        self.trail.follow(event);
        let name = format!("counter {}", event.what % 32);
        if event.by % 5 == 0 {
            self.counts.remove(&name);
        } else {
            *self.counts.entry(name).or_default() += i64::from(event.by);
        }
    }
}

/// A type that contains itself: a tree that branches on two bits at a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Forest {
    trail: Trail,
    root: Tree,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Tree {
    Empty,
    Leaf { what: u8, by: i64 },
    Branch(Vec<Tree>),
}

impl Tree {
    fn grow(&mut self, event: &Changed, shift: u32) {
        match self {
            Self::Empty => *self = Self::Leaf { what: event.what, by: event.by.into() },
            Self::Leaf { what, by } if *what == event.what => *by += i64::from(event.by),
            Self::Leaf { what, by } => {
                let mut below = vec![Self::Empty; 4];
                let at = usize::from((*what >> shift) & 3);
                below[at] = Self::Leaf { what: *what, by: *by };
                *self = Self::Branch(below);
                self.grow(event, shift);
            }
            Self::Branch(below) => {
                below[usize::from((event.what >> shift) & 3)].grow(event, shift + 2);
            }
        }
    }
}

impl Aggregate for Forest {
    type Event = Changed;
    const KIND: &'static str = "forest";
    const SCHEMA_VERSION: u32 = 1;

    fn initial(key: &AggregateKey) -> Self {
        Self { trail: Trail::of(key), root: Tree::Empty }
    }

    fn apply(&mut self, event: &Changed) {
        self.trail.follow(event);
        self.root.grow(event, 0);
    }
}

/// One large text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Page(Trail, String);

impl Aggregate for Page {
    type Event = Changed;
    const KIND: &'static str = "";
    const SCHEMA_VERSION: u32 = 0;

    fn initial(key: &AggregateKey) -> Self {
        Self(Trail::of(key), String::new())
    }

    fn apply(&mut self, event: &Changed) {
        self.0.follow(event);
        let length = usize::try_from(event.by.unsigned_abs() % 3_000).unwrap();
        let letter = char::from_u32(0x61 + u32::from(event.what) * 5).unwrap();
        self.1.extend(std::iter::repeat_n(letter, length));
        if self.1.len() > 64 << 10 {
            self.1.clear();
        }
    }
}
