//! Where the part of a state that changes stands: [`pairs`].

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use snapfold::codec::{Bincode, Json, MessagePack, Postcard};

use crate::{AnyState, Gen, Release, SharedCodec, Specimen, Value};

/// Two releases of a state with the changed part at one place, under one codec.
#[derive(Debug)]
pub struct Pair {
    /// The name of the place.
    pub place: &'static str,
    /// The name of the codec.
    pub codec: &'static str,
    /// The release that saves.
    pub old: Release,
    /// The release that loads.
    pub new: Release,
}

/// A state around a part.
trait Place<P>: Specimen {
    fn around(n: u32, part: P) -> Self;
}

/// A type that accepts few texts, and so hides what follows from a tracer that guesses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct Iban(String);

impl TryFrom<String> for Iban {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let valid = text.len() == 11 && text.starts_with("XK");
        if valid { Ok(Self(text)) } else { Err("an IBAN of the XK kind") }
    }
}

impl From<Iban> for String {
    fn from(iban: Iban) -> Self {
        iban.0
    }
}

/// Declares a place: the struct, and how the part gets into it.
macro_rules! places {
    ($($(#[$m:meta])* $name:ident { $($(#[$fm:meta])* $f:ident: $t:ty = $make:expr),* $(,)? } |$n:ident, $p:ident|;)*) => {$(
        #[derive(Clone, Debug, Serialize, Deserialize)]
        $(#[$m])*
        struct $name<P> { $($(#[$fm])* $f: $t),* }

        impl<P: Value> Value for $name<P> {
            fn make(_: &mut Gen) -> Self {
                unreachable!("states of releases are made from numbers")
            }

            fn same(&self, other: &Self) -> bool {
                true $(&& self.$f.same(&other.$f))*
            }
        }

        impl<P: Specimen> Place<P> for $name<P> {
            fn around($n: u32, $p: P) -> Self {
                let _ = $n;
                Self { $($f: $make),* }
            }
        }
    )*
    };
}

places! {
    Field { id: u32 = n, part: P = part, tail: u64 = 77 } |n, part|;
    Contained { what: Container<P> = Container::around(n, part), tail: u64 = 77 } |n, part|;
    Behind {
        on: Same<chrono::Weekday> = Same(chrono::Weekday::Sat),
        iban: Same<Iban> = Same(Iban(format!("XK{:09}", n))),
        part: P = part,
        tail: u64 = 77,
    } |n, part|;
    Flat { id: u32 = n, #[serde(flatten)] part: P = part, tail: u64 = 77 } |n, part|;
    InUntagged { what: Untagged<P> = Untagged::Part(part), tail: u64 = 77 } |n, part|;
    InInternal { what: Internal<P> = Internal::Part(part), tail: u64 = 77 } |n, part|;
    InAdjacent { what: Adjacent<P> = Adjacent::Part(part), tail: u64 = 77 } |n, part|;
}

/// The part in a container, another one for each aggregate.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Container<P> {
    Maybe(Option<P>),
    List(Vec<P>),
    Map(BTreeMap<String, P>),
}

impl<P: Value> Container<P> {
    fn around(n: u32, part: P) -> Self {
        match n % 3 {
            0 => Self::Maybe(Some(part)),
            1 => Self::List(vec![part.clone(), part]),
            _ => Self::Map(BTreeMap::from([("x".to_owned(), part)])),
        }
    }
}

impl<P: Value> Value for Container<P> {
    fn make(_: &mut Gen) -> Self {
        unreachable!("states of releases are made from numbers")
    }

    fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Maybe(a), Self::Maybe(b)) => a.same(b),
            (Self::List(a), Self::List(b)) => a.same(b),
            (Self::Map(a), Self::Map(b)) => a.same(b),
            _ => false,
        }
    }
}

/// A value that is compared by `==`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Same<T>(T);

impl<T: Clone + Debug + PartialEq + Send + Sync + 'static> Value for Same<T> {
    fn make(_: &mut Gen) -> Self {
        unreachable!("states of releases are made from numbers")
    }

    fn same(&self, other: &Self) -> bool {
        self == other
    }
}

macro_rules! enums {
    ($($(#[$m:meta])* $name:ident;)*) => {$(
        #[derive(Clone, Debug, Serialize, Deserialize)]
        $(#[$m])*
        enum $name<P> {
            Part(P),
            Nothing { nothing: bool },
        }

        impl<P: Value> Value for $name<P> {
            fn make(_: &mut Gen) -> Self {
                unreachable!("states of releases are made from numbers")
            }

            fn same(&self, other: &Self) -> bool {
                match (self, other) {
                    (Self::Part(a), Self::Part(b)) => a.same(b),
                    _ => false,
                }
            }
        }
    )*};
}

enums! {
    #[serde(untagged)]
    Untagged;
    #[serde(tag = "is")]
    Internal;
    #[serde(tag = "is", content = "of")]
    Adjacent;
}

const AGGREGATES: u32 = 6;

/// The iterator is compiled once, not for each type.
fn states(state: &dyn Fn(u32) -> Arc<dyn AnyState>) -> Vec<Arc<dyn AnyState>> {
    (0..AGGREGATES).map(state).collect()
}

/// The change at each place, under each codec that takes such places.
pub fn pairs<Old: Specimen, New: Specimen>(old: fn(u32) -> Old, new: fn(u32) -> New) -> Vec<Pair> {
    let mut pairs = Vec::new();
    macro_rules! add {
        ($place:literal, $place_of:ident, $($codec:ident)*) => {
            let old_states = states(&|n| Arc::new($place_of::<Old>::around(n, old(n))));
            let new_states = states(&|n| Arc::new($place_of::<New>::around(n, new(n))));
            $(pairs.push(Pair {
                place: $place,
                codec: stringify!($codec),
                old: Release {
                    codec: SharedCodec::new::<$place_of<Old>, _>($codec),
                    states: old_states.clone(),
                    has_samples: false,
                },
                new: Release {
                    codec: SharedCodec::new::<$place_of<New>, _>($codec),
                    states: new_states.clone(),
                    has_samples: false,
                },
            });)*
        };
    }
    add!("a field", Field, Postcard Bincode MessagePack Json);
    add!("Option, Vec, map", Contained, Postcard Bincode MessagePack Json);
    add!("after newtypes", Behind, Postcard Bincode MessagePack Json);
    // Positional codecs refuse these, whatever the part is.
    add!("flatten", Flat, MessagePack Json);
    add!("untagged", InUntagged, MessagePack Json);
    add!("internally tagged", InInternal, MessagePack Json);
    add!("adjacently tagged", InAdjacent, MessagePack Json);
    pairs
}
