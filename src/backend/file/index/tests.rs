//! The index is the only way to a snapshot: a lost slot is a lost snapshot. Checked against a
//! plain ordered map under random changes, with tags that crowd and chains that grow to trees.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn item(version: u64, generation: u32, offset: u64) -> Item {
    Item { version, place: Place { slot: 1, offset: offset * 8, len: 9, generation } }
}

#[derive(Clone, Debug)]
enum Change {
    Insert(u8, u64, u32),
    Below(u8, u64),
    Even(u8),
    Swap(u8, u64, u32),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        8 => (any::<u8>(), 0..60_u64, 0..2_u32).prop_map(|(t, v, g)| Change::Insert(t % 24, v, g)),
        1 => (any::<u8>(), 0..70_u64).prop_map(|(t, v)| Change::Below(t % 24, v)),
        1 => any::<u8>().prop_map(|t| Change::Even(t % 24)),
        1 => (any::<u8>(), 0..60_u64, 0..2_u32).prop_map(|(t, v, g)| Change::Swap(t % 24, v, g)),
    ]
}

/// Few tags, most of them neighbours at the ends of two shards.
fn tag(number: u8) -> Tag {
    let number = u64::from(number);
    match number % 3 {
        0 => Tag { high: u64::MAX - number, low: 0 },
        1 => Tag { high: 5, low: u32::try_from(number).unwrap() },
        _ => Tag { high: number.wrapping_mul(0x9e37_79b9_7f4a_7c15), low: 0 },
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_index_agrees_with_an_ordered_map(changes in prop::collection::vec(change(), 1..800)) {
        let index = Index::new();
        let mut model: BTreeMap<Tag, BTreeMap<(u64, u32), Item>> = BTreeMap::new();
        for (number, change) in changes.iter().enumerate() {
            let number = number as u64;
            match *change {
                Change::Insert(t, v, g) => {
                    let new = item(v, g, number);
                    let old = model.entry(tag(t)).or_default().insert((v, g), new);
                    prop_assert_eq!(index.insert(tag(t), new), old);
                }
                Change::Below(t, below) => {
                    index.remove(tag(t), |item| item.version < below);
                    if let Some(items) = model.get_mut(&tag(t)) {
                        items.retain(|(version, _), _| *version >= below);
                    }
                }
                Change::Even(t) => {
                    index.remove(tag(t), |item| item.version % 2 == 0);
                    if let Some(items) = model.get_mut(&tag(t)) {
                        items.retain(|(version, _), _| *version % 2 == 1);
                    }
                }
                Change::Swap(t, v, g) => {
                    let there = model.entry(tag(t)).or_default().get_mut(&(v, g));
                    let old = there.as_deref().copied().unwrap_or(item(v, g, 0));
                    let new = item(v, g, number);
                    prop_assert_eq!(index.swap(tag(t), &old, new), there.is_some());
                    if let Some(there) = there {
                        *there = new;
                    }
                }
            }
            model.retain(|_, items| !items.is_empty());
        }
        prop_assert_eq!(index.len(), model.len());
        prop_assert_eq!(index.tags_after(None, 100), model.keys().copied().collect::<Vec<_>>());
        for t in 0..24 {
            let empty = BTreeMap::new();
            let items = model.get(&tag(t)).unwrap_or(&empty);
            let versions: Vec<_> =
                index.list(tag(t), u64::MAX, |_, _| true).iter().map(|item| item.version).collect();
            let expected: Vec<_> = items.keys().rev().map(|(version, _)| *version).collect();
            prop_assert_eq!(versions, expected);
            let after: Vec<_> = model.keys().filter(|key| **key > tag(t)).copied().collect();
            prop_assert_eq!(index.tags_after(Some(tag(t)), 100), after);
            for at_most in 0..62 {
                for g in 0..2 {
                    let expected = items
                        .range(..=(at_most, u32::MAX))
                        .rev()
                        .find(|((_, generation), _)| *generation == g)
                        .map(|(_, item)| *item);
                    let found = index.newest(tag(t), Some(g), at_most, |found| found);
                    prop_assert_eq!(found.ok(), expected);
                    let exact = index.exact(tag(t), g, at_most, |item| item);
                    prop_assert_eq!(exact, items.get(&(at_most, g)).copied());
                }
            }
        }
    }
}

#[test]
fn memory_stays_near_forty_bytes_per_aggregate_and_twenty_four_per_older_version() {
    for aggregates in [10_000_u64, 100_000, 130_000, 190_000] {
        let index = Index::new();
        let tag = |i: u64| Tag { high: i.wrapping_mul(0x9e37_79b9_7f4a_7c15), low: 0 };
        for i in 0..aggregates {
            index.insert(tag(i), item(1, 0, i));
        }
        let per_aggregate = index.memory() as u64 / aggregates;
        assert!(per_aggregate <= 48, "{per_aggregate} B at {aggregates}");
        let before = index.memory() as u64;
        for version in 2..6 {
            for i in 0..aggregates {
                index.insert(tag(i), item(version, 0, i));
            }
        }
        let per_version = (index.memory() as u64 - before) * 10 / (aggregates * 4);
        assert!(per_version <= 255, "{per_version} tenths of a byte at {aggregates}");
    }
}

#[test]
fn a_million_versions_of_one_aggregate_are_inserted_and_found_quickly_in_any_order() {
    for descending in [false, true] {
        let index = Index::new();
        let tag = Tag { high: 1, low: 1 };
        let versions = 200_000;
        for i in 1..=versions {
            index.insert(tag, item(if descending { versions + 1 - i } else { i }, 0, i));
        }
        for version in (1..=versions).step_by(7) {
            assert_eq!(index.newest(tag, Some(0), version, |f| f).unwrap().version, version);
        }
    }
}
