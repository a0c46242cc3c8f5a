//! Changes that neither bytes nor digest can show: names, kinds and values are the same, and only
//! the meaning or the order of a container differs. `SCHEMA_VERSION` is for these; they are listed
//! in `docs/state-types.md`.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet};
use std::process::ExitCode;
use std::time::Duration;

use indexmap::IndexMap;
use snapfold_types::changes::{self, Expected};

fn main() -> ExitCode {
    changes::run(all(), Expected::Wrong)
}

fn lots(n: u32) -> [(String, u32); 2] {
    [("march".to_owned(), n), ("april".to_owned(), 9)]
}

/// Whole seconds, as a number.
mod seconds {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(d: &Duration, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u64(d.as_secs())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
        u64::deserialize(d).map(Duration::from_secs)
    }
}

/// Whole minutes, as a number.
mod minutes {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(d: &Duration, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u64(d.as_secs() / 60)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
        u64::deserialize(d).map(|minutes| Duration::from_secs(minutes * 60))
    }
}

snapfold_types::changes! {
    sorted_map_to_insertion_order
        { struct Part { lots: BTreeMap<String, u32> } } |n| Part { lots: lots(n).into() };
        { struct Part { lots: IndexMap<String, u32> } } |n| Part { lots: lots(n).into() };
    hash_map_to_insertion_order
        { struct Part { lots: HashMap<String, u32> } } |n| Part { lots: lots(n).into() };
        { struct Part { lots: IndexMap<String, u32> } } |n| Part { lots: lots(n).into() };
    sorted_set_to_list
        { struct Part { queue: BTreeSet<u32> } } |n| Part { queue: [n + 7, 3].into() };
        { struct Part { queue: Vec<u32> } } |n| Part { queue: vec![n + 7, 3] };
    hash_set_to_list
        { struct Part { queue: HashSet<u32> } } |n| Part { queue: (n..n + 9).collect() };
        { struct Part { queue: Vec<u32> } } |n| Part { queue: (n..n + 9).collect() };
    heap_to_list
        { struct Part { queue: BinaryHeap<u32> } } |n| Part { queue: vec![1, n + 2, 9].into() };
        { struct Part { queue: Vec<u32> } } |n| Part { queue: vec![1, n + 2, 9] };
    unit_of_a_number
        { struct Part { euros: u64 } } |n| Part { euros: n.into() };
        { struct Part { #[serde(rename = "euros")] cents: u64 } } |n| Part { cents: 100 * u64::from(n) + 1 };
    meaning_of_with
        { struct Part { #[serde(with = "seconds")] wait: Duration } } |n| Part { wait: Duration::from_secs(n.into()) };
        { struct Part { #[serde(with = "minutes")] wait: Duration } } |n| Part { wait: Duration::from_secs(60 * (n as u64 + 1)) };
    names_exchanged
        { struct Part { a: u32, b: u32 } } |n| Part { a: n, b: 9 };
        { struct Part { #[serde(rename = "b")] a: u32, #[serde(rename = "a")] b: u32 } } |n| Part { a: n, b: 9 };
}
