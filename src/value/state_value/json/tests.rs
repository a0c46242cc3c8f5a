//! [`write_state`] writes what [`canonical::write`] writes.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use serde::ser::{
    Error as _, SerializeMap as _, SerializeSeq as _, SerializeStruct as _,
    SerializeStructVariant as _, SerializeTuple as _, SerializeTupleStruct as _,
    SerializeTupleVariant as _,
};
use serde::{Serialize, Serializer};

use super::{canonical, write_state};
use crate::value::StateValue;
use crate::walker::{JSON_NUMBER, Name};

/// Writes a state both ways, after other text. Returns what both wrote, or why both failed.
fn written<T: Serialize + ?Sized>(state: &T) -> Result<String, String> {
    let (mut direct, mut by_tree) = (b"state:".to_vec(), b"state:".to_vec());
    let outcome = write_state(state, &mut direct).map_err(|error| error.to_string());
    let expected = StateValue::of(state).map_err(|error| error.to_string());
    let expected = expected.map(|tree| canonical::write(&tree, &mut by_tree));
    assert_eq!(String::from_utf8(direct).unwrap(), String::from_utf8(by_tree.clone()).unwrap());
    assert_eq!(outcome, expected);
    outcome.map(|()| String::from_utf8(by_tree).unwrap().split_off("state:".len()))
}

/// A value that describes itself to serde in any way there is.
#[derive(Clone, Debug)]
enum Described {
    Bool(bool),
    I8(i8),
    I16(i16),
    I32(i32),
    I64(i64),
    I128(i128),
    U8(u8),
    U16(u16),
    U32(u32),
    U64(u64),
    U128(u128),
    F32(f32),
    F64(f64),
    Char(char),
    Str(String),
    Displayed(String),
    Bytes(Vec<u8>),
    None,
    Unit,
    UnitStruct,
    UnitVariant(Name),
    Some(Box<Self>),
    Newtype(Box<Self>),
    NewtypeVariant(Name, Box<Self>),
    Seq(Vec<Self>),
    Set(HashSet<Vec<String>>),
    CharSet(Arc<HashSet<char>>),
    SetOfMaps(HashSet<BTreeMap<String, Option<u8>>>),
    Tuple(Vec<Self>),
    TupleStruct(Vec<Self>),
    TupleVariant(Name, Vec<Self>),
    Map(Vec<(Self, Self)>),
    Texts(HashMap<String, i32>),
    Numbers(BTreeMap<u64, Option<i8>>),
    /// A field without a value is skipped.
    Struct(Vec<(Name, Option<Self>)>),
    StructVariant(Name, Vec<(Name, Option<Self>)>),
    JsonNumber(String),
    HumanReadable,
    /// Fails.
    Failing,
    /// A list that leaves out what fails.
    Lenient(Vec<Self>),
}

impl Serialize for Described {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        const NAME: Name = "Described";
        match self {
            Self::Bool(value) => to.serialize_bool(*value),
            Self::I8(value) => to.serialize_i8(*value),
            Self::I16(value) => to.serialize_i16(*value),
            Self::I32(value) => to.serialize_i32(*value),
            Self::I64(value) => to.serialize_i64(*value),
            Self::I128(value) => to.serialize_i128(*value),
            Self::U8(value) => to.serialize_u8(*value),
            Self::U16(value) => to.serialize_u16(*value),
            Self::U32(value) => to.serialize_u32(*value),
            Self::U64(value) => to.serialize_u64(*value),
            Self::U128(value) => to.serialize_u128(*value),
            Self::F32(value) => to.serialize_f32(*value),
            Self::F64(value) => to.serialize_f64(*value),
            Self::Char(value) => to.serialize_char(*value),
            Self::Str(value) => to.serialize_str(value),
            Self::Displayed(value) => to.collect_str(value),
            Self::Bytes(value) => to.serialize_bytes(value),
            Self::None => to.serialize_none(),
            Self::Unit => to.serialize_unit(),
            Self::UnitStruct => to.serialize_unit_struct(NAME),
            Self::UnitVariant(variant) => to.serialize_unit_variant(NAME, 0, variant),
            Self::Some(inner) => to.serialize_some(inner),
            Self::Newtype(inner) => to.serialize_newtype_struct(NAME, inner),
            Self::NewtypeVariant(variant, inner) => {
                to.serialize_newtype_variant(NAME, 1, variant, inner)
            }
            Self::Seq(items) => to.collect_seq(items),
            Self::Set(items) => to.serialize_newtype_struct(NAME, items),
            Self::CharSet(items) => to.serialize_some(items),
            Self::SetOfMaps(items) => to.serialize_newtype_variant(NAME, 2, "sets", items),
            Self::Tuple(items) => {
                let mut parts = to.serialize_tuple(items.len())?;
                items.iter().try_for_each(|item| parts.serialize_element(item))?;
                parts.end()
            }
            Self::TupleStruct(items) => {
                let mut parts = to.serialize_tuple_struct(NAME, items.len())?;
                items.iter().try_for_each(|item| parts.serialize_field(item))?;
                parts.end()
            }
            Self::TupleVariant(variant, items) => {
                let mut parts = to.serialize_tuple_variant(NAME, 3, variant, items.len())?;
                items.iter().try_for_each(|item| parts.serialize_field(item))?;
                parts.end()
            }
            Self::Map(entries) => to.collect_map(entries.iter().map(|(key, value)| (key, value))),
            Self::Texts(entries) => to.collect_map(entries),
            Self::Numbers(entries) => entries.serialize(to),
            Self::Struct(fields) => {
                let mut parts = to.serialize_struct(NAME, fields.len())?;
                for (name, field) in fields {
                    match field {
                        Some(field) => parts.serialize_field(name, field)?,
                        None => parts.skip_field(name)?,
                    }
                }
                parts.end()
            }
            Self::StructVariant(variant, fields) => {
                let mut parts = to.serialize_struct_variant(NAME, 4, variant, fields.len())?;
                for (name, field) in fields {
                    match field {
                        Some(field) => parts.serialize_field(name, field)?,
                        None => parts.skip_field(name)?,
                    }
                }
                parts.end()
            }
            Self::JsonNumber(text) => {
                let mut parts = to.serialize_struct(JSON_NUMBER, 1)?;
                parts.serialize_field(JSON_NUMBER, text)?;
                parts.end()
            }
            Self::HumanReadable => {
                let is_human_readable = to.is_human_readable();
                to.serialize_bool(is_human_readable)
            }
            Self::Failing => Err(S::Error::custom("it always fails")),
            Self::Lenient(items) => {
                let mut parts = to.serialize_seq(None)?;
                for item in items {
                    drop(parts.serialize_element(item));
                }
                parts.end()
            }
        }
    }
}

/// Few texts, so that names meet each other: with escapes, and with characters around the quote.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -#a\\\\\n\u{8}\u{1}\u{7f}\u{85}\u{e9}\u{10ffff}]{0,3}",
        Just("null".to_owned()),
        "-?[0-9]{1,3}",
    ]
}

fn name() -> BoxedStrategy<Name> {
    let names = vec!["a", "b", "", "null", "1", "a b", "quote\"", "tab\t", "\u{7f}"];
    prop::sample::select(names).boxed()
}

fn scalar() -> impl Strategy<Value = Described> {
    use Described as D;
    let characters = prop::sample::select(vec!['a', '"', '\\', '\n', '\u{8}', '\u{7f}', '\u{9f}']);
    let numbers =
        prop::sample::select(vec!["12", "-7", "1.50", "1e999", "99999999999999999999999"]);
    prop_oneof![
        any::<bool>().prop_map(D::Bool),
        any::<i8>().prop_map(D::I8),
        any::<i16>().prop_map(D::I16),
        any::<i32>().prop_map(D::I32),
        any::<i64>().prop_map(D::I64),
        any::<i128>().prop_map(D::I128),
        any::<u8>().prop_map(D::U8),
        any::<u16>().prop_map(D::U16),
        any::<u32>().prop_map(D::U32),
        any::<u64>().prop_map(D::U64),
        any::<u128>().prop_map(D::U128),
        any::<u32>().prop_map(|bits| D::F32(f32::from_bits(bits))),
        any::<u64>().prop_map(|bits| D::F64(f64::from_bits(bits))),
        prop::sample::select(vec![f64::NAN, f64::INFINITY, -0.0, 1e16, 0.1]).prop_map(D::F64),
        characters.prop_map(D::Char),
        text().prop_map(D::Str),
        text().prop_map(D::Displayed),
        prop::collection::vec(any::<u8>(), 0..3).prop_map(D::Bytes),
        Just(D::None),
        Just(D::Unit),
        Just(D::UnitStruct),
        name().prop_map(D::UnitVariant),
        prop::collection::hash_set(prop::collection::vec(text(), 0..3), 0..4).prop_map(D::Set),
        prop::collection::hash_set(any::<char>(), 0..4).prop_map(|set| D::CharSet(set.into())),
        prop::collection::hash_set(
            prop::collection::btree_map(text(), any::<Option<u8>>(), 0..3),
            0..4
        )
        .prop_map(D::SetOfMaps),
        prop::collection::hash_map(text(), any::<i32>(), 0..9).prop_map(D::Texts),
        prop::collection::btree_map(0..1_000_u64, any::<Option<i8>>(), 0..9).prop_map(D::Numbers),
        numbers.prop_map(|text| D::JsonNumber(text.to_owned())),
        Just(D::HumanReadable),
    ]
}

/// Values that nest; `with_failing` ones among them.
fn described(with_failing: bool) -> impl Strategy<Value = Described> {
    use Described as D;
    let leaf = if with_failing {
        prop_oneof![9 => scalar(), 1 => Just(D::Failing)].boxed()
    } else {
        scalar().boxed()
    };
    leaf.prop_recursive(5, 60, 6, |inner| {
        let items = prop::collection::vec(inner.clone(), 0..6);
        let pairs = prop::collection::vec((inner.clone(), inner.clone()), 0..6);
        let field = (name(), prop::option::weighted(0.8, inner.clone()));
        let fields = prop::collection::vec(field, 0..6);
        let boxed = inner.prop_map(Box::new);
        prop_oneof![
            boxed.clone().prop_map(D::Some),
            boxed.clone().prop_map(D::Newtype),
            (name(), boxed).prop_map(|(name, inner)| D::NewtypeVariant(name, inner)),
            items.clone().prop_map(D::Seq),
            items.clone().prop_map(D::Tuple),
            items.clone().prop_map(D::TupleStruct),
            (name(), items.clone()).prop_map(|(name, items)| D::TupleVariant(name, items)),
            items.prop_map(D::Lenient),
            pairs.clone().prop_map(D::Map),
            pairs.prop_map(D::Map),
            fields.clone().prop_map(D::Struct),
            (name(), fields).prop_map(|(name, fields)| D::StructVariant(name, fields)),
        ]
    })
}

proptest! {
    #[test]
    fn any_state_has_the_same_bytes_with_and_without_a_tree(state in described(false)) {
        prop_assert!(written(&state).is_ok());
    }

    #[test]
    fn a_state_that_has_no_tree_is_not_written(state in described(true)) {
        let _ = written(&state);
    }
}

#[test]
fn the_bytes_are_those_of_the_document() {
    use Described as D;
    let text = |text: &str| D::Str(text.to_owned());
    let entries = vec![
        (D::Char('\n'), D::Some(D::None.into())),
        (D::U8(10), D::Newtype(D::Unit.into())),
        (D::U8(9), D::NewtypeVariant("v", D::Newtype(D::None.into()).into())),
        (D::Seq(vec![text("\u{8}")]), D::NewtypeVariant("v", D::Some(D::Unit.into()).into())),
        (text("a\""), D::F64(f64::NEG_INFINITY)),
        (text("a "), D::Bytes(vec![0, 255])),
        (D::Some(D::UnitVariant("a").into()), D::JsonNumber("1.50".to_owned())),
        (text("a"), D::Char('\u{8}')),
    ];
    assert_eq!(
        written(&D::Map(entries)).unwrap(),
        r#"{"\n":null,"10":null,"9":"v","[\"\\u0008\"]":{"v":null},"a":1.5,"a":"\u0008","a ":"0x00ff","a\"":"-inf"}"#
    );
}

#[test]
fn entries_are_ordered_by_their_names_as_they_are_without_escapes() {
    let names = ["A", "\n", "\"", "!", "\\", "b", "\u{7f}", "\u{85}", "a b", "a", "a!"];
    for (first, second) in names.iter().flat_map(|a| names.iter().map(move |b| (a, b))) {
        written(&Described::Map(vec![
            (Described::Str((*first).to_owned()), Described::U8(1)),
            (Described::Str((*second).to_owned()), Described::U8(2)),
        ]))
        .unwrap();
    }
    let by_char = [('\u{7f}', 1), ('\u{85}', 2), ('\n', 3), ('A', 4)];
    let expected = "{\"\\n\":3,\"A\":4,\"\u{7f}\":1,\"\u{85}\":2}";
    assert_eq!(written(&HashMap::from(by_char)).unwrap(), expected);
}

/// A map whose calls are made one by one: keys, and values that may fail.
struct Calls<'c>(&'c [Call]);

enum Call {
    Key(&'static str),
    FailingKey,
    Value(u8),
    FailingValue,
}

impl Serialize for Calls<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        let failing = Described::Map(vec![(Described::Unit, Described::Failing)]);
        for call in self.0 {
            match call {
                Call::Key(key) => map.serialize_key(key)?,
                Call::FailingKey => drop(map.serialize_key(&failing)),
                Call::Value(value) => map.serialize_value(value)?,
                Call::FailingValue => drop(map.serialize_value(&failing)),
            }
        }
        map.end()
    }
}

#[test]
fn a_map_that_breaks_the_rules_of_serde_is_written_as_its_tree() {
    use Call::{FailingKey, FailingValue, Key, Value};
    for (calls, expected) in [
        (&[Key("b"), Key("a"), Value(1)][..], Ok(r#"{"a":1}"#)),
        (&[Key("b"), Value(1), Key("c"), Key("a"), Value(2)], Ok(r#"{"a":2,"b":1}"#)),
        (&[Key("b"), Value(1), Key("a")], Ok(r#"{"b":1}"#)),
        (&[Key("a")], Ok("{}")),
        (&[Key("a"), FailingKey, Value(1), FailingKey], Ok(r#"{"a":1}"#)),
        (&[FailingKey, Key("a"), FailingValue, Value(1)], Ok(r#"{"a":1}"#)),
        (&[Value(1)], Err("a map value has no key")),
        (&[Key("a"), Value(1), Value(2)], Err("a map value has no key")),
    ] {
        assert_eq!(written(&Calls(calls)), expected.map(str::to_owned).map_err(str::to_owned));
    }
}

#[test]
fn both_ways_refuse_what_nests_too_deep() {
    // Unoptimized, `Described::serialize` takes more of the stack than a thread of a test has.
    let thread = std::thread::Builder::new().stack_size(256 << 20);
    thread.spawn(refuse_what_nests_too_deep).unwrap().join().unwrap();
}

fn refuse_what_nests_too_deep() {
    let nested = |levels: usize, wrap: fn(Box<Described>) -> Described| {
        (0..levels).fold(Described::U8(1), |inner, _| wrap(Box::new(inner)))
    };
    let wraps: [fn(Box<Described>) -> Described; 6] = [
        Described::Some,
        Described::Newtype,
        |inner| Described::NewtypeVariant("v", inner),
        |inner| Described::Seq(vec![*inner]),
        |inner| Described::Map(vec![(Described::U8(0), *inner)]),
        |inner| Described::Struct(vec![("f", Some(*inner))]),
    ];
    for wrap in wraps {
        written(&nested(1_024, wrap)).unwrap();
        let refused = written(&nested(1_025, wrap)).unwrap_err();
        assert_eq!(refused, "the state nests deeper than 1024 levels");
    }
    // A key is one level further down, as a value is.
    let with_key = |key| Described::Map(vec![(key, Described::Unit)]);
    written(&with_key(nested(1_023, Described::Some))).unwrap();
    written(&with_key(nested(1_024, Described::Some))).unwrap_err();
}

#[test]
fn types_of_other_crates_have_the_same_bytes() {
    #[derive(Serialize)]
    struct Order {
        #[serde(flatten)]
        kind: Kind,
        #[serde(flatten)]
        more: HashMap<String, serde_json::Value>,
        #[serde(skip_serializing_if = "Option::is_none")]
        note: Option<String>,
        days: HashMap<chrono::Weekday, Vec<Choice>>,
        keyed: HashMap<(u8, char), BTreeSet<Option<i8>>>,
    }
    #[derive(Serialize)]
    #[serde(tag = "kind", rename_all = "kebab-case")]
    enum Kind {
        InShop { till: u128 },
    }
    #[derive(Serialize)]
    #[serde(untagged)]
    enum Choice {
        Text(&'static str),
        Pair(f32, ()),
    }
    let value = serde_json::json!({ "z": [1, 2.5, -3, null, { "b": {}, "a": "\u{7f}\n" }], "": 1 });
    let numbers = 0..300_u32;
    let order = Order {
        kind: Kind::InShop { till: u128::MAX },
        more: HashMap::from([("y".to_owned(), value.clone()), ("b".to_owned(), value.clone())]),
        note: None,
        days: HashMap::from([
            (chrono::Weekday::Wed, vec![Choice::Text("x"), Choice::Pair(0.1, ())]),
            (chrono::Weekday::Fri, vec![]),
        ]),
        keyed: HashMap::from([((2, '"'), [None, Some(-1)].into()), ((10, 'a'), [].into())]),
    };
    let text = written(&order).unwrap();
    let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(parse(&text)["kind"], "in-shop");
    assert_eq!(parse(&written(&value).unwrap()), value);
    written(&uuid::Uuid::from_u128(7)).unwrap();
    written(&HashMap::from([(uuid::Uuid::nil(), uuid::Uuid::max())])).unwrap();
    written(&chrono::DateTime::from_timestamp(1_700_000_000, 5)).unwrap();
    written(&jiff::Timestamp::UNIX_EPOCH).unwrap();
    written(&BTreeMap::from([(jiff::civil::date(2026, 11, 30), jiff::Span::new().days(1))]))
        .unwrap();
    written(&rust_decimal::Decimal::new(1_234, 2)).unwrap();
    written(&[Duration::MAX, Duration::ZERO]).unwrap();
    written(&std::net::Ipv6Addr::LOCALHOST).unwrap();
    written(&numbers.clone().map(|n| (n, n)).collect::<HashMap<_, _>>()).unwrap();
    written(&numbers.clone().map(|n| (-i128::from(n), n)).collect::<BTreeMap<_, _>>()).unwrap();
    written(&numbers.clone().collect::<HashSet<_>>()).unwrap();
    written(&numbers.clone().map(|n| Some(n.to_string())).collect::<HashSet<_>>()).unwrap();
    written(&numbers.clone().collect::<BinaryHeap<_>>()).unwrap();
    written(&numbers.collect::<VecDeque<_>>()).unwrap();
    written(&std::sync::Mutex::new(std::rc::Rc::new(Ok::<_, ()>(Some(true))))).unwrap();
    written("text").unwrap();
}
