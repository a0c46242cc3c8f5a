//! Where a type stands in a state: [`Held`] plainly, [`Opaque`] in parts that serde buffers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Gen, Value};

/// The type as a field, an element and a value of a map, with other fields around it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Held<T> {
    before: u32,
    value: T,
    more: Vec<T>,
    named: BTreeMap<String, T>,
    after: i64,
}

impl<T: Value> Value for Held<T> {
    fn make(g: &mut Gen) -> Self {
        let (before, value, more) = (g.any(), g.any(), g.many());
        // Not collected: that would compile a sort for each type.
        let mut named = BTreeMap::new();
        if g.below(2) == 1 {
            named.insert(g.word(), g.any());
        }
        Self { before, value, more, named, after: g.any() }
    }

    fn same(&self, other: &Self) -> bool {
        self.before == other.before
            && self.value.same(&other.value)
            && self.more.same(&other.more)
            && self.named.same(&other.named)
            && self.after == other.after
    }
}

/// One field of the type, to be flattened or tagged.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Place<T> {
    place: T,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "is")]
enum Tagged<T> {
    Open(Place<T>),
    Closed,
}

/// The type as one of the variants of an untagged enum.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Untagged<T> {
    /// It is not. First, because an `Option` that is missing would be `None`.
    Unknown {
        /// Anything else.
        unknown: bool,
    },
    /// It is there.
    Known {
        /// The type.
        known: T,
    },
}

/// The type inside a flattened struct, an internally tagged and an untagged enum: what serde
/// buffers before it reads.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Opaque<T> {
    before: u32,
    #[serde(flatten)]
    flat: Place<T>,
    tagged: Tagged<T>,
    untagged: Untagged<T>,
    after: i64,
}

impl<T: Value> Value for Opaque<T> {
    fn make(g: &mut Gen) -> Self {
        Self {
            before: g.any(),
            flat: Place { place: g.any() },
            tagged: if g.once_in(3) {
                Tagged::Closed
            } else {
                Tagged::Open(Place { place: g.any() })
            },
            untagged: match g.once_in(3) {
                true => Untagged::Unknown { unknown: g.any() },
                false => Untagged::Known { known: g.any() },
            },
            after: g.any(),
        }
    }

    fn same(&self, other: &Self) -> bool {
        let tagged = match (&self.tagged, &other.tagged) {
            (Tagged::Closed, Tagged::Closed) => true,
            (Tagged::Open(a), Tagged::Open(b)) => a.place.same(&b.place),
            _ => false,
        };
        let untagged = match (&self.untagged, &other.untagged) {
            (Untagged::Known { known: a }, Untagged::Known { known: b }) => a.same(b),
            (Untagged::Unknown { unknown: a }, Untagged::Unknown { unknown: b }) => a == b,
            _ => false,
        };
        self.before == other.before
            && self.flat.place.same(&other.flat.place)
            && tagged
            && untagged
            && self.after == other.after
    }
}
