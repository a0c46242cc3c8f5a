//! The index is the only way to a snapshot: a lost slot is a lost snapshot. These tests compare it
//! with an ordered map under random changes, with crowded tags and with lists that become trees.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn item(version: u64, generation: u32, offset: u64) -> Item {
    Item { version, place: Place { slot: 1, offset: offset * 8, len: 9, generation } }
}

fn added(item: Item, as_of: Timestamp) -> Added {
    Added { item, as_of, base: None }
}

fn sought(generation: u32, at_most: u64, as_of: Timestamp) -> Sought {
    Sought { generation: Some(generation), at_most, as_of, include_retired: false }
}

#[derive(Clone, Debug)]
enum Change {
    Insert(u8, u64, u32, i64),
    Below(u8, u64),
    Even(u8),
    Swap(u8, u64, u32),
    KeepTimes(u8),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        8 => (any::<u8>(), 0..60_u64, 0..2_u32, -1..30_i64)
            .prop_map(|(t, v, g, time)| Change::Insert(t % 24, v, g, time)),
        1 => (any::<u8>(), 0..70_u64).prop_map(|(t, v)| Change::Below(t % 24, v)),
        1 => any::<u8>().prop_map(|t| Change::Even(t % 24)),
        1 => (any::<u8>(), 0..60_u64, 0..2_u32).prop_map(|(t, v, g)| Change::Swap(t % 24, v, g)),
        1 => any::<u8>().prop_map(|t| Change::KeepTimes(t % 24)),
    ]
}

/// Returns one of a few tags, most of them adjacent at the borders of two shards.
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
        let mut times: BTreeMap<(Tag, u64, u32), Timestamp> = BTreeMap::new();
        let mut bases: BTreeMap<(Tag, u64, u32), u64> = BTreeMap::new();
        for (number, change) in changes.iter().enumerate() {
            let number = number as u64;
            match *change {
                Change::Insert(t, v, g, time) => {
                    let new = item(v, g, number);
                    // Negative times become unknown.
                    let time = if time < 0 { UNKNOWN } else { Timestamp::from_micros(time) };
                    times.insert((tag(t), v, g), time);
                    // A third of the snapshots are deltas.
                    let base = v.checked_sub(1 + number % 5).filter(|_| number.is_multiple_of(3));
                    let old = model.entry(tag(t)).or_default().insert((v, g), new);
                    let old_base = bases.remove(&(tag(t), v, g));
                    bases.extend(base.map(|base| ((tag(t), v, g), base)));
                    let replaced = old.map(|item| Replaced { item, base: old_base });
                    let added = Added { item: new, as_of: time, base };
                    prop_assert_eq!(index.insert(tag(t), added), replaced);
                }
                Change::Below(t, below) => {
                    index.remove(tag(t), |_, version| version < below, |_| ());
                    if let Some(items) = model.get_mut(&tag(t)) {
                        items.retain(|(version, _), _| *version >= below);
                    }
                }
                Change::KeepTimes(t) => index.keep_times(tag(t)),
                Change::Even(t) => {
                    index.remove(tag(t), |_, version| version % 2 == 0, |_| ());
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
            let there = |(tag, version, generation): &(Tag, u64, u32)| {
                model.get(tag).is_some_and(|items| items.contains_key(&(*version, *generation)))
            };
            bases.retain(|key, _| there(key));
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
            let own = bases.iter().filter(|((of, ..), _)| *of == tag(t));
            let own: HashMap<_, _> = own.map(|((_, v, g), base)| ((*g, *v), *base)).collect();
            prop_assert_eq!(index.has_deltas(tag(t)), !own.is_empty());
            prop_assert_eq!(index.bases_of(tag(t)), own);
            let after: Vec<_> = model.keys().filter(|key| **key > tag(t)).copied().collect();
            prop_assert_eq!(index.tags_after(Some(tag(t)), 100), after);
            for at_most in 0..62 {
                for g in 0..2 {
                    let expected = items
                        .range(..=(at_most, u32::MAX))
                        .rev()
                        .find(|((_, generation), _)| *generation == g)
                        .map(|(_, item)| *item);
                    let found = index.newest(tag(t), sought(g, at_most, Timestamp::MAX), |found| found);
                    let mut chain = Vec::new();
                    let mut above = expected;
                    while let Some(item) = above {
                        let base = bases.get(&(tag(t), item.version, g));
                        above = base.and_then(|base| items.get(&(*base, g))).copied();
                        chain.extend(above);
                    }
                    chain.truncate(Found::MAX_BASES);
                    prop_assert_eq!(found.as_ref().ok().map(|hit| hit.item), expected);
                    prop_assert_eq!(found.map_or(Vec::new(), |hit| hit.bases), chain);
                    let exact = index.exact(tag(t), g, at_most, |item| item);
                    prop_assert_eq!(exact, items.get(&(at_most, g)).copied());
                    for as_of in [0, 3, 17, 29].map(Timestamp::from_micros) {
                        let time = |item: &Item| times[&(tag(t), item.version, g)];
                        let expected = items
                            .range(..=(at_most, u32::MAX))
                            .rev()
                            .find(|((_, own), item)| *own == g && time(item) <= as_of)
                            .map(|(_, item)| *item);
                        let (found, _) = as_of_query(&index, tag(t), g, at_most, as_of, &time);
                        prop_assert_eq!(found, expected);
                    }
                }
            }
        }
    }
}

/// Does what a get does. Returns the answer and the number of records whose time had to be read.
fn as_of_query(
    index: &Index,
    tag: Tag,
    generation: u32,
    mut at_most: u64,
    as_of: Timestamp,
    time: &impl Fn(&Item) -> Timestamp,
) -> (Option<Item>, usize) {
    let mut asked = 0;
    loop {
        match index.newest(tag, sought(generation, at_most, as_of), |found| found) {
            Err(_) => return (None, asked),
            Ok(Hit { item, as_of: known, .. }) if known != UNKNOWN => {
                assert_eq!(known, time(&item));
                return (Some(item), asked);
            }
            Ok(Hit { item, .. }) => {
                asked += 1;
                if asked == 2 {
                    index.keep_times(tag);
                }
                index.learn(tag, item, time(&item));
                if time(&item) <= as_of {
                    return (Some(item), asked);
                }
                let Some(below) = item.version.checked_sub(1) else { return (None, asked) };
                at_most = below;
            }
        }
    }
}

/// A search by time reads few records, however many newer snapshots there are.
#[test]
fn times_of_many_snapshots_are_known() {
    let (index, tag) = (Index::new(), Tag { high: 1, low: 1 });
    let time = |item: &Item| Timestamp::from_micros(item.version.cast_signed() * 10);
    for version in 1..=100_000 {
        let new = item(version, 0, version);
        index.insert(tag, added(new, time(&new)));
    }
    for (version, most) in [(50_000, 0), (200, 0), (3, 64), (3, 0), (0, 2), (0, 0)] {
        let as_of = Timestamp::from_micros(version * 10 + 5);
        let (found, asked) = as_of_query(&index, tag, 0, u64::MAX, as_of, &time);
        assert_eq!(found.map_or(0, |item| item.version), version.cast_unsigned());
        assert!(asked <= most, "{asked} asked for version {version}");
    }
    // Compaction moves them and a delete keeps the rest: their times stay known.
    let old = index.exact(tag, 0, 50_000, |item| item).unwrap();
    assert!(index.swap(tag, &old, item(50_000, 0, 7)));
    index.remove(tag, |_, version| version % 2 == 1, |_| ());
    let as_of = Timestamp::from_micros(500_005);
    let (found, asked) = as_of_query(&index, tag, 0, u64::MAX, as_of, &time);
    assert_eq!((found, asked), (Some(item(50_000, 0, 7)), 0));
    let per_version = index.memory() / 50_000;
    assert!(per_version <= 32, "{per_version} B per version");
}

/// The times of few snapshots are not stored until they are requested.
#[test]
fn times_of_few_snapshots_are_known_once_they_were_asked_for() {
    let (index, tag) = (Index::new(), Tag { high: 1, low: 1 });
    let time = |item: &Item| Timestamp::from_micros(item.version.cast_signed() * 10);
    for version in 1..=11 {
        index.insert(tag, added(item(version, 0, version), time(&item(version, 0, version))));
    }
    let ask = |version: i64| {
        let as_of = Timestamp::from_micros(version * 10);
        let (found, asked) = as_of_query(&index, tag, 0, u64::MAX, as_of, &time);
        assert_eq!(found.map_or(0, |item| item.version), version.cast_unsigned());
        asked
    };
    // The newest snapshot, which most queries ask for, needs no stored times.
    assert_eq!((ask(11), ask(11)), (1, 1));
    assert_eq!((ask(1), ask(1), ask(1), ask(5), ask(0)), (11, 1, 0, 0, 0));
    index.insert(tag, added(item(12, 0, 12), time(&item(12, 0, 12))));
    assert_eq!((ask(12), ask(5)), (0, 0));
    // A single snapshot takes no space for times.
    let single = Tag { high: 2, low: 1 };
    index.insert(single, added(item(1, 0, 1), time(&item(1, 0, 1))));
    index.keep_times(single);
    assert!(!index.read(single).shard.keeps_times(single));
}

#[test]
fn memory_stays_near_forty_bytes_per_aggregate_and_twenty_four_per_older_version() {
    for aggregates in [10_000_u64, 100_000, 130_000, 190_000] {
        let index = Index::new();
        let tag = |i: u64| Tag { high: i.wrapping_mul(0x9e37_79b9_7f4a_7c15), low: 0 };
        for i in 0..aggregates {
            index.insert(tag(i), added(item(1, 0, i), Timestamp::from_micros(1)));
        }
        let per_aggregate = index.memory() as u64 / aggregates;
        assert!(per_aggregate <= 48, "{per_aggregate} B at {aggregates}");
        let before = index.memory() as u64;
        for version in 2..6 {
            for i in 0..aggregates {
                index.insert(tag(i), added(item(version, 0, i), Timestamp::from_micros(1)));
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
            let version = if descending { versions + 1 - i } else { i };
            index.insert(tag, added(item(version, 0, i), Timestamp::from_micros(1)));
        }
        for version in (1..=versions).step_by(7) {
            let found = index.newest(tag, sought(0, version, Timestamp::MAX), |found| found);
            assert_eq!(found.unwrap().item.version, version);
        }
    }
}

#[test]
fn a_delta_takes_about_thirty_bytes_more_and_other_snapshots_none() {
    for descending in [false, true] {
        let (index, tag) = (Index::new(), Tag { high: 1, low: 1 });
        for version in 1..=50_000 {
            index.insert(tag, added(item(version, 0, version), UNKNOWN));
        }
        let before = index.memory();
        for i in 1..50_000 {
            let version = if descending { 50_001 - i } else { i + 1 };
            let of_snapshot = added(item(version, 0, version), UNKNOWN);
            index.insert(tag, Added { base: Some(1), ..of_snapshot });
        }
        let per_delta = (index.memory() - before) / 50_000;
        assert!((20..=48).contains(&per_delta), "{per_delta} B per delta");
        index.remove(tag, |_, version| version > 1, |_| ());
        assert!(!index.has_deltas(tag));
    }
    let few = Index::new();
    let tag = |i: u64| Tag { high: i.wrapping_mul(0x9e37_79b9_7f4a_7c15), low: 0 };
    for version in 1..=4 {
        for i in 0..10_000 {
            few.insert(tag(i), added(item(version, 0, i), UNKNOWN));
        }
    }
    let before = few.memory();
    for version in 2..=4 {
        for i in 0..10_000 {
            let of_snapshot = added(item(version, 0, i), UNKNOWN);
            few.insert(tag(i), Added { base: Some(1), ..of_snapshot });
        }
    }
    let per_delta = (few.memory() - before) / 30_000;
    println!("{per_delta} B per delta of aggregates with three");
    assert!(per_delta <= 60, "{per_delta} B per delta of aggregates with three");
}
