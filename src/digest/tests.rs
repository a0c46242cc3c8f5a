use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::{digest, survey};

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Order {
    id: u64,
    lines: Vec<Line>,
    note: Option<String>,
    status: Status,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Line {
    sku: String,
    cents: i64,
    weight: f64,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
enum Status {
    Open,
    Paid(u32),
    Sent { carrier: String, boxes: (u8, u8) },
}

fn hex(bytes: [u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(bytes))
}

fn kept<T: Serialize>(value: &T) -> String {
    hex(digest(value, false).unwrap())
}

fn free<T: Serialize>(value: &T) -> String {
    hex(digest(value, true).unwrap())
}

fn order() -> Order {
    let line = |sku: &str, cents| Line { sku: sku.into(), cents, weight: 0.5 };
    Order {
        id: 7,
        lines: vec![line("a", -1), line("a longer name of a thing", 250)],
        note: Some("as agreed".into()),
        status: Status::Sent { carrier: "dhl".into(), boxes: (1, 2) },
    }
}

/// `docs/format.md` lists these digests. They never change for the kinds 1 and 2.
#[test]
fn known_answers() {
    for (name, value, expected) in KNOWN {
        assert_eq!(value(), expected, "{name}");
    }
}

type Known = (&'static str, fn() -> String, &'static str);

const KNOWN: [Known; 8] = [
    ("()", || kept(&()), "090862fe3dcb4641798acb1c16e79e75"),
    ("7_u64", || kept(&7_u64), "da9c79ab525434382f0cee6bf90f5d2d"),
    ("\"snapfold\"", || kept(&"snapfold"), "7d4fbf9a2f2a4d5e90cadad0ec7e0f4d"),
    (
        "(-1_i32, 0.5_f64, 'x', true)",
        || kept(&(-1_i32, 0.5_f64, 'x', true)),
        "504280b2e7d3b45caca1e12f0358acfd",
    ),
    ("[1_u8, 2, 3], ordered", || kept(&vec![1_u8, 2, 3]), "3d4200e162dce57cbcccf8bc4051b857"),
    ("[3_u8, 1, 2], free", || free(&vec![3_u8, 1, 2]), "96238186ddc28e0175a98d4064f62a1d"),
    ("the order, ordered", || kept(&order()), "7bd35d4bfed59266aeb5e9975ab59f23"),
    (
        "{1: \"a\", 2: \"b\"}, free",
        || free(&BTreeMap::from([(1_u8, "a"), (2, "b")])),
        "9647b91d9d28d6719d1dcf0c468f1017",
    ),
];

#[test]
fn each_part_of_a_state_counts() {
    let mut seen = HashSet::from([kept(&order())]);
    let changes: [fn(&mut Order); 11] = [
        |o| o.id = 8,
        |o| o.lines.reverse(),
        |o| o.lines[1].cents = 251,
        |o| o.lines[0].weight = -0.5,
        |o| o.lines[0].sku.clear(),
        |o| o.lines.truncate(1),
        |o| o.note = None,
        |o| o.note = Some(String::new()),
        |o| o.status = Status::Open,
        |o| o.status = Status::Paid(0),
        |o| o.status = Status::Sent { carrier: "dhl".into(), boxes: (2, 1) },
    ];
    for change in changes {
        let mut order = order();
        change(&mut order);
        assert!(seen.insert(kept(&order)), "{order:?} looks like another");
        assert!(seen.insert(free(&order)) || order.lines.len() == 2, "{order:?}");
    }
}

#[test]
fn values_that_formats_mix_up_have_digests_of_their_own() {
    #[derive(Serialize)]
    struct Unit;
    #[derive(Serialize)]
    struct Named<T> {
        a: T,
    }
    #[derive(Serialize)]
    struct Renamed<T> {
        b: T,
    }
    let all = [
        kept(&1_u8),
        kept(&1_u16),
        kept(&1_u32),
        kept(&1_u64),
        kept(&1_u128),
        kept(&1_i8),
        kept(&1_i16),
        kept(&1_i32),
        kept(&1_i64),
        kept(&1_i128),
        kept(&1_f32),
        kept(&1_f64),
        kept(&0.0_f64),
        kept(&-0.0_f64),
        kept(&f64::NAN),
        kept(&true),
        kept(&'1'),
        kept(&"1"),
        kept(&Some(1_u8)),
        kept(&Some(Some(1_u8))),
        kept(&None::<u8>),
        kept(&Some(None::<u8>)),
        kept(&Some(())),
        kept(&()),
        kept(&(1_u8,)),
        kept(&[1_u8, 1]),
        kept(&vec![1_u8]),
        kept(&vec![1_u8, 1]),
        kept(&vec![vec![1_u8], vec![]]),
        kept(&vec![vec![], vec![1_u8]]),
        kept(&BTreeMap::from([(1_u8, 1_u8)])),
        kept(&Named { a: 1_u8 }),
        kept(&Renamed { b: 1_u8 }),
        kept(&Named { a: Named { a: 1_u8 } }),
        kept(&Status::Open),
    ];
    let distinct: HashSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
    assert_eq!(kept(&Unit), kept(&()), "neither has a content");
}

#[test]
fn newtypes_and_the_names_of_types_do_not_count() {
    #[derive(Serialize)]
    struct Cents(i64);
    #[derive(Serialize)]
    struct Line {
        sku: &'static str,
        cents: Cents,
        weight: f64,
    }
    let ours = super::tests::Line { sku: "a".into(), cents: 5, weight: 1.0 };
    assert_eq!(kept(&ours), kept(&Line { sku: "a", cents: Cents(5), weight: 1.0 }));
}

#[test]
fn a_field_that_is_left_out_counts() {
    #[derive(Serialize)]
    struct Old {
        a: u8,
    }
    #[derive(Serialize)]
    struct New {
        a: u8,
        #[serde(skip_serializing_if = "Option::is_none")]
        b: Option<u8>,
    }
    assert_ne!(kept(&Old { a: 1 }), kept(&New { a: 1, b: None }));
}

#[test]
fn a_free_digest_does_not_see_the_order_and_sees_everything_else() {
    for size in 0..=40_u32 {
        let set: HashSet<u32> = (0..size).collect();
        let again: HashSet<u32> = (0..size).rev().collect();
        assert_eq!(free(&set), free(&again));
        let nested: HashMap<u32, HashSet<u32>> = (0..size).map(|n| (n, (0..n).collect())).collect();
        let other: HashMap<u32, HashSet<u32>> =
            (0..size).rev().map(|n| (n, (0..n).rev().collect())).collect();
        assert_eq!(free(&nested), free(&other));
    }
    assert_ne!(free(&vec![1, 1, 2]), free(&vec![1, 2, 2]));
    assert_ne!(free(&vec![(1, 2), (3, 4)]), free(&vec![(1, 4), (3, 2)]));
    assert_ne!(free(&vec![vec![1], vec![2, 3]]), free(&vec![vec![1, 2], vec![3]]));
    assert_ne!(
        free(&HashMap::from([(1, 2), (3, 4)])),
        free(&HashMap::from([(1, 4), (3, 2)])),
        "a value belongs to its key"
    );
    assert_ne!(free(&(vec![1], vec![2])), free(&(vec![2], vec![1])), "tuples keep their order");
}

#[test]
fn a_survey_orders_the_containers_that_it_knows() {
    #[derive(Serialize)]
    struct Both {
        list: Vec<u32>,
        set: HashSet<u32>,
    }
    let look = |list: &[u32]| {
        survey(&Both { list: list.to_vec(), set: (0..20).collect() }, u16::MAX).unwrap()
    };
    assert_eq!(look(&[1, 2]), look(&[1, 2]));
    assert_ne!(look(&[1, 2]).bytes, look(&[2, 1]).bytes);
    assert!(!look(&[]).is_ordered);

    let known = (vec![1, 2], BTreeSet::from([vec!['a']]), Some(Box::new([1_u8])));
    let seen = survey(&known, u16::MAX).unwrap();
    assert!(seen.is_ordered);
    assert_eq!(seen.bytes, digest(&known, false).unwrap());
    assert!(!survey(&vec![HashSet::<u8>::new()], u16::MAX).unwrap().is_ordered, "inside of a list");
    assert!(!survey(&HashMap::from([(vec![1], 1)]), u16::MAX).unwrap().is_ordered);
}

#[test]
fn a_survey_ends_at_its_depth() {
    let value = Some(Some(Some(vec![1_u8])));
    assert!(survey(&value, 4).is_ok());
    assert!(survey(&value, 3).is_err_and(|why| why.is_too_deep()));
}

#[test]
fn what_a_feature_of_serde_json_does_to_numbers_does_not_show() {
    struct Number(&'static str);
    impl Serialize for Number {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            use serde::ser::SerializeStruct;
            let key = "$serde_json::private::Number";
            let mut number = serializer.serialize_struct(key, 1)?;
            number.serialize_field(key, self.0)?;
            number.end()
        }
    }
    assert_eq!(kept(&vec![Number("12")]), kept(&vec![12_u64]));
    assert_eq!(kept(&vec![Number("-3")]), kept(&vec![-3_i64]));
    assert_eq!(kept(&vec![Number("0.25")]), kept(&vec![0.25_f64]));
    assert_eq!(kept(&vec![Number("1e999")]), kept(&vec!["1e999"]));
}

/// Random values of one type share no half of a digest unless they are equal.
#[test]
fn many_states_have_as_many_digests() {
    let mut rng = fastrand::Rng::with_seed(1);
    let (mut states, mut lows, mut highs) = (HashSet::new(), HashSet::new(), HashSet::new());
    for _ in 0..100_000 {
        let state: (Vec<u16>, Option<i64>, BTreeMap<u8, Vec<u8>>, String) = (
            (0..rng.usize(0..6)).map(|_| rng.u16(0..4)).collect(),
            rng.bool().then(|| rng.i64(-9..9)),
            (0..rng.u8(0..4)).map(|key| (key, vec![rng.u8(..); rng.usize(0..4)])).collect(),
            (0..rng.usize(0..40)).map(|_| rng.char('a'..'d')).collect(),
        );
        let bytes = digest(&state, false).unwrap();
        if states.insert(state) {
            let (low, high) = bytes.split_at(8);
            assert!(lows.insert(low.to_vec()) && highs.insert(high.to_vec()));
        }
    }
}
