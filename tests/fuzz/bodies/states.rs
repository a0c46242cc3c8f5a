//! State types whose payloads are crafted: what states are made of, and what a format may stumble
//! over.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use snapfold::{Aggregate, AggregateKey};

/// The state of the golden records, so that their payloads are of use.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Order {
    customer: String,
    lines: Vec<Line>,
    notes: BTreeMap<String, Option<i64>>,
    status: Status,
    digest: [u8; 4],
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Line {
    sku: u32,
    price: (i64, char),
    weight: f64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
enum Status {
    #[default]
    Open,
    Paid(u64),
    Returned {
        reason: String,
    },
}

/// Contains itself in every way there is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Outline {
    title: String,
    sections: Vec<Outline>,
    named: BTreeMap<String, Outline>,
    next: Option<Box<Outline>>,
    formula: Formula,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
enum Formula {
    #[default]
    Nothing,
    Not(Box<Formula>),
    Both(Box<Formula>, Box<Formula>),
    Of {
        outline: Box<Outline>,
    },
}

/// One of each kind that serde knows, and a large element behind each length.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[allow(clippy::option_option, reason = "a format may confuse the two")]
pub struct Odds {
    wide: (i128, u128),
    small: (i8, u16, f32, bool, char),
    maybe: Option<Option<u8>>,
    unit: (),
    marker: Marker,
    wrapped: Wrapped,
    bytes: Vec<u8>,
    large: Vec<[u64; 32]>,
    nested: Vec<Vec<Vec<String>>>,
    set: BTreeSet<Option<bool>>,
    map: BTreeMap<u64, BTreeMap<i16, Box<str>>>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Marker;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Wrapped(u32);

impl Outline {
    pub fn sample() -> Self {
        let inner = Self { title: "inside".into(), ..Self::default() };
        let formula = Formula::Both(
            Box::new(Formula::Not(Box::default())),
            Box::new(Formula::Of { outline: Box::new(inner.clone()) }),
        );
        Self {
            title: "outside".into(),
            sections: vec![inner.clone(), Self::default()],
            named: BTreeMap::from([("x".into(), inner.clone())]),
            next: Some(Box::new(inner)),
            formula,
        }
    }
}

impl Odds {
    pub fn sample() -> Self {
        Self {
            wide: (-7, 9),
            small: (-1, 500, 0.5, true, 'x'),
            maybe: Some(Some(3)),
            wrapped: Wrapped(70_000),
            bytes: vec![0, 255, 7],
            large: vec![[3; 32]; 2],
            nested: vec![vec![vec!["a".into()], vec![]]],
            set: BTreeSet::from([None, Some(true)]),
            map: BTreeMap::from([(300, BTreeMap::from([(-3, "y".into())]))]),
            ..Self::default()
        }
    }
}

macro_rules! aggregate {
    ($($state:ident)*) => {$(
        impl Aggregate for $state {
            type Event = ();
            const KIND: &'static str = "fuzzed";
            const SCHEMA_VERSION: u32 = 1;

            fn initial(_: &AggregateKey) -> Self {
                Self::default()
            }

            fn apply(&mut self, (): &()) {}
        }
    )*};
}

aggregate!(Order Outline Odds);
