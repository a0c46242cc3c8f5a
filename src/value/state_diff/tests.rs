//! Differences of states, and what is no difference.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;

use super::{StateChange, StateDiff, StateValue};

fn diff<T: Serialize, U: Serialize>(earlier: &T, later: &U) -> StateDiff {
    StateDiff::between(&StateValue::of(earlier).unwrap(), &StateValue::of(later).unwrap())
}

fn lines<T: Serialize, U: Serialize>(earlier: &T, later: &U) -> Vec<String> {
    diff(earlier, later).changes.iter().map(ToString::to_string).collect()
}

#[derive(Serialize)]
struct Account {
    owner: Option<&'static str>,
    status: Status,
    cards: Vec<Card>,
    limits: BTreeMap<&'static str, f64>,
}

#[derive(Clone, Serialize)]
struct Card {
    number: u32,
    blocked: bool,
}

#[derive(Serialize)]
enum Status {
    Open,
    Closed { on: u32 },
}

fn account() -> Account {
    let card = |number| Card { number, blocked: false };
    Account {
        owner: Some("Ada"),
        status: Status::Open,
        cards: vec![card(1), card(2), card(3)],
        limits: BTreeMap::from([("EUR", 10.0), ("EUR/USD", 1.5)]),
    }
}

#[test]
fn each_part_is_named_with_its_values() {
    let mut later = account();
    assert!(diff(&account(), &later).is_empty());
    later.owner = None;
    later.status = Status::Closed { on: 7 };
    later.cards[1].blocked = true;
    later.limits = BTreeMap::from([("EUR/USD", 1.25), ("JPY", 0.0)]);
    assert_eq!(
        lines(&account(), &later),
        [
            "~ owner: \"Ada\" -> null",
            "~ status: \"Open\" -> {\"Closed\":{\"on\":7}}",
            "~ cards[1].blocked: false -> true",
            "~ limits[\"EUR/USD\"]: 1.5 -> 1.25",
            "+ limits.JPY: 0.0",
            "- limits.EUR: 10.0",
        ]
    );
    let found = diff(&account(), &later);
    assert_eq!((found.added, found.changed, found.removed), (1, 4, 1));
    assert!(found.is_complete());
    let one = Status::Closed { on: 7 };
    assert_eq!(lines(&one, &Status::Closed { on: 8 }), ["~ on: 7 -> 8"]);
    assert_eq!(lines(&1, &2), ["~ (the state): 1 -> 2"]);
}

#[test]
fn lists_are_aligned() {
    let numbers: Vec<u32> = (0..100).collect();
    let mut later = numbers.clone();
    later.insert(3, 1_000);
    later.remove(50);
    later[90] = 7_777;
    let found = lines(&numbers, &later);
    assert_eq!(found, ["+ [3]: 1000", "- [49]: 49", "~ [90]: 90 -> 7777"]);
    assert_eq!(lines(&vec![1, 2, 3], &vec![3]), ["- [0]: 1", "- [1]: 2"]);
    assert_eq!(lines(&Vec::<u8>::new(), &vec![(); 2]), ["+ [0]: null", "+ [1]: null"]);
    // A changed element is compared part by part even beside an added one.
    let mut cards = account();
    cards.cards[0].blocked = true;
    cards.cards.push(Card { number: 4, blocked: false });
    assert_eq!(
        lines(&account().cards, &cards.cards),
        ["~ [0].blocked: false -> true", "+ [3]: {\"number\":4,\"blocked\":false}"]
    );
}

#[test]
fn long_lists_without_common_elements_are_compared_by_position() {
    let earlier: Vec<u64> = (0..100_000).collect();
    let later: Vec<u64> = (0..100_001).map(|n| n + 1_000_000).collect();
    let found = diff(&earlier, &later);
    assert_eq!((found.added, found.changed, found.removed), (1, 100_000, 0));
    assert_eq!(found.changes.len(), StateDiff::MAX_CHANGES);
    assert!(!found.is_complete());
    assert!(found.to_string().ends_with("1 added, 100000 changed, 0 removed (the first 10000)"));
}

#[test]
fn the_order_of_hash_containers_is_no_difference() {
    for _ in 0..20 {
        let set = || (0..50).collect::<HashSet<u32>>();
        let map = || (0..50).map(|n| (n, set())).collect::<HashMap<u32, _>>();
        assert_eq!(lines(&map(), &map()), [""; 0]);
        let mut changed = map();
        changed.get_mut(&7).unwrap().remove(&3);
        changed.get_mut(&7).unwrap().insert(99);
        let found = diff(&map(), &changed);
        assert_eq!((found.added + found.removed, found.changed), (2, 0), "{found}");
        assert!(found.changes.iter().all(|c| c.path().to_string().starts_with("[7][")), "{found}");
    }
}

#[test]
fn machines_get_each_change_with_its_kind() {
    let json = |change: &StateChange| StateValue::of(change).unwrap().to_string();
    let found = diff(&BTreeMap::from([("a", 1), ("b", 2)]), &BTreeMap::from([("b", 3), ("c", 4)]));
    let all: Vec<_> = found.changes.iter().map(json).collect();
    assert_eq!(
        all,
        [
            r#"{"change":"changed","path":"b","from":2,"to":3}"#,
            r#"{"change":"added","path":"c","value":4}"#,
            r#"{"change":"removed","path":"a","value":1}"#,
        ]
    );
}

#[test]
fn a_key_that_is_written_twice_is_compared_twice() {
    let map = |pairs: &[(u8, u8)]| {
        let entry =
            |(k, v): &(u8, u8)| (StateValue::UInt((*k).into()), StateValue::UInt((*v).into()));
        StateValue::Map(pairs.iter().map(entry).collect())
    };
    let found = StateDiff::between(&map(&[(1, 1), (1, 2)]), &map(&[(1, 1), (1, 3), (1, 4)]));
    assert_eq!(found.to_string(), "~ [1]: 2 -> 3\n+ [1]: 4\n1 added, 1 changed, 0 removed");
}

#[test]
fn floats_differ_if_their_bits_do() {
    assert_eq!(lines(&0.0, &-0.0), ["~ (the state): 0.0 -> -0.0"]);
    assert_eq!(lines(&f64::NAN, &f64::NAN), [""; 0]);
}

#[test]
fn a_path_leads_to_the_part_that_it_names() {
    let keys = ["plain", "EUR/USD", "src/lib.rs", "a\"]b", "back\\slash", "[0]", "", "with space"];
    let earlier: BTreeMap<&str, Vec<u8>> = keys.iter().map(|key| (*key, vec![1, 2])).collect();
    let later: BTreeMap<&str, Vec<u8>> = keys.iter().map(|key| (*key, vec![1, 3])).collect();
    let by_number = |value| BTreeMap::from([(7_u32, value), (8, 0)]);
    let (earlier, later) = ((earlier, by_number(1)), (later, by_number(2)));
    let state = StateValue::of(&later).unwrap();
    let found = diff(&earlier, &later);
    assert_eq!(found.changed, keys.len() as u64 + 1);
    for change in &found.changes {
        let StateChange::Changed { path, to, .. } = change else { panic!("{change}") };
        assert_eq!(state.get(&path.to_string()), Some(to), "{path}");
    }
}
