//! Which types a positional codec cannot represent: the results of the trace, compared with
//! postcard.

#![expect(
    clippy::trivially_copy_pass_by_ref,
    clippy::option_option,
    clippy::cloned_ref_to_slice_refs,
    reason = "the signatures are serde's, the types are odd on purpose"
)]

use std::collections::BTreeMap;
use std::fmt::Debug;

use serde::de::{DeserializeOwned, IgnoredAny, MapAccess, Visitor};
use serde::ser::{SerializeMap, SerializeStruct};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{clean, trace};

/// The type has this obstacle, and postcard indeed loses one of the values.
fn refused<T>(values: &[T], why: &str)
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    let shape = trace::<T>();
    assert_eq!(shape, trace::<T>(), "the same each time");
    assert_ne!(shape.fingerprint, 0);
    assert_eq!(shape.obstacle.map(|obstacle| obstacle.to_string()).as_deref(), Some(why));
    #[cfg(feature = "postcard")]
    assert!(!super::carries(values), "postcard carries {values:?}");
    #[cfg(not(feature = "postcard"))]
    let _ = values;
}

/// The type has no obstacle, and postcard indeed carries the values.
fn allowed<T>(values: &[T])
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    clean::<T>();
    #[cfg(feature = "postcard")]
    assert!(super::carries(values), "postcard loses one of {values:?}");
    #[cfg(not(feature = "postcard"))]
    let _ = values;
}

macro_rules! data {
    ($($item:item)*) => {
        $(#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)] $item)*
    };
}

#[test]
fn a_flattened_field_is_an_obstacle() {
    data! {
        struct Order { id: u8, buyer: Person }
        struct Person { name: String, #[serde(flatten)] address: Address }
        struct Address { city: String }
        struct Extra { id: u8, #[serde(flatten)] rest: BTreeMap<String, u8> }
    }
    let address = Address { city: "B".into() };
    let buyer = Person { name: "A".into(), address };
    let why = "`Person` is read by name (flatten, an adjacently tagged enum, or a hand-written \
               Deserialize)";
    refused(&[buyer.clone()], why);
    refused(&[Order { id: 1, buyer: buyer.clone() }], why);
    refused(&[vec![Some(buyer)]], why);
    refused(
        &[Extra { id: 1, rest: BTreeMap::new() }],
        "`Extra` is read by name (flatten, an adjacently tagged enum, or a hand-written \
         Deserialize)",
    );
}

#[test]
fn an_untagged_enum_is_an_obstacle() {
    data! {
        struct Order { id: u8, amount: Amount }
        #[serde(untagged)]
        enum Amount { Number(u64), Text(String) }
    }
    let why = "needs a self-describing format";
    for shape in [trace::<Order>(), trace::<Amount>(), trace::<Vec<Amount>>()] {
        assert!(shape.obstacle.unwrap().to_string().contains(why));
    }
    let amount = Amount::Number(7);
    let place = "field `amount` of `Order` needs a self-describing format (it expects any \
                 value)";
    refused(&[Order { id: 1, amount: amount.clone() }], place);
    refused(
        &[amount, Amount::Text("x".into())],
        "`Amount` needs a self-describing format (it expects any value)",
    );
}

#[test]
fn a_tagged_enum_is_an_obstacle() {
    data! {
        struct Order { id: u8, inside: Option<Inside> }
        struct Shop { beside: BTreeMap<u8, Beside> }
        #[serde(tag = "kind")]
        enum Inside { Cash { cents: u8 }, Card }
        #[serde(tag = "kind", content = "data")]
        enum Beside { Cash(u8), Card }
    }
    refused(
        &[Order { id: 1, inside: Some(Inside::Cash { cents: 2 }) }],
        "field `inside` of `Order` needs a self-describing format (it expects internally \
         tagged enum Inside)",
    );
    refused(
        &[Inside::Card],
        "`Inside` needs a self-describing format (it expects internally tagged enum Inside)",
    );
    let why = "`Beside` is read by name (flatten, an adjacently tagged enum, or a hand-written \
               Deserialize)";
    refused(&[Beside::Card, Beside::Cash(1)], why);
    refused(&[Shop { beside: BTreeMap::from([(1, Beside::Card)]) }], why);
}

#[test]
fn a_free_form_value_is_an_obstacle() {
    data! {
        struct Order { id: u8, extra: serde_json::Value, later: Vec<u8> }
        struct Priced { price: rust_decimal::Decimal }
    }
    refused(
        &[Order { id: 1, extra: serde_json::json!({"a": [1]}), later: vec![] }],
        "field `extra` of `Order` needs a self-describing format (it expects any valid JSON \
         value)",
    );
    let map = serde_json::Map::from_iter([("a".to_owned(), serde_json::Value::Null)]);
    assert!(trace::<serde_json::Map<String, serde_json::Value>>().obstacle.is_some());
    refused(
        &[map],
        "`Map<String, Value>` needs a self-describing format (it expects any valid JSON \
         value)",
    );
    assert!(trace::<Order>().complete);
}

#[test]
fn a_field_that_is_left_out_at_times_is_an_obstacle() {
    fn is_empty(text: &str) -> bool {
        text.is_empty()
    }
    fn is_zero(number: &u8) -> bool {
        *number == 0
    }
    fn is_plain(inner: &Inner) -> bool {
        *inner == Inner { list: vec![], option: None, number: 0 }
    }
    data! {
        struct Account { id: u8, #[serde(default, skip_serializing_if = "Option::is_none")] note: Option<u8> }
        struct Bank { name: String, accounts: Vec<Account> }
        struct Group { first: Option<Bank>, banks: BTreeMap<String, Option<Bank>> }
        enum Event {
            Opened,
            Paid { cents: u64, #[serde(default, skip_serializing_if = "Vec::is_empty")] tags: Vec<u8> },
            Closed(Box<Event>),
        }
        struct Texts { id: u8, #[serde(default, skip_serializing_if = "is_empty")] text: String }
        struct Zero { id: u8, #[serde(default, skip_serializing_if = "is_zero")] number: u8 }
        struct Flag { id: u8, #[serde(default, skip_serializing_if = "std::ops::Not::not")] flag: bool }
        struct Inner { list: Vec<u8>, option: Option<u8>, number: u8 }
        struct Outer { id: u8, #[serde(skip_serializing_if = "is_plain")] inner: Inner }
        struct Lists {
            id: u8,
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            lists: Vec<Vec<Option<u8>>>,
        }
    }
    let account = Account { id: 1, note: None };
    let why = "field `note` of `Account` is left out by skip_serializing_if";
    refused(&[account.clone()], why);
    let bank = Bank { name: "A".into(), accounts: vec![account] };
    refused(&[bank.clone()], why);
    refused(&[Group { first: Some(bank), banks: BTreeMap::new() }], why);
    let paid = Event::Paid { cents: 1, tags: vec![] };
    let why = "field `tags` of `Event::Paid` is left out by skip_serializing_if";
    refused(&[paid.clone()], why);
    refused(&[vec![Event::Closed(Box::new(paid)), Event::Opened]], why);
    refused(
        &[Texts { id: 1, text: String::new() }],
        "field `text` of `Texts` is left out by skip_serializing_if",
    );
    refused(
        &[Zero { id: 1, number: 0 }],
        "field `number` of `Zero` is left out by skip_serializing_if",
    );
    refused(
        &[Flag { id: 1, flag: false }],
        "field `flag` of `Flag` is left out by skip_serializing_if",
    );
    refused(
        &[Outer { id: 1, inner: Inner { list: vec![], option: None, number: 0 } }],
        "field `inner` of `Outer` is left out by skip_serializing_if",
    );
    refused(
        &[Lists { id: 1, lists: vec![] }],
        "field `lists` of `Lists` is left out by skip_serializing_if",
    );
}

#[test]
fn a_variant_is_numbered_without_its_aliases() {
    data! {
        enum AtTheEnd { Open, Paid(u8), #[serde(skip)] Cached }
        enum Aliased { #[serde(alias = "New", alias = "Begun")] Open, Paid(u8) }
    }
    allowed(&[AtTheEnd::Open, AtTheEnd::Paid(1)]);
    allowed(&[Aliased::Open, Aliased::Paid(1)]);
}

/// Hand-written as a struct that only accepts maps.
#[derive(Debug, PartialEq)]
struct OnlyMaps(u8);

impl Serialize for OnlyMaps {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("OnlyMaps", 1)?;
        fields.serialize_field("value", &self.0)?;
        fields.end()
    }
}

impl<'de> Deserialize<'de> for OnlyMaps {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = OnlyMaps;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<OnlyMaps, A::Error> {
                let mut value = 0;
                while let Some(key) = map.next_key::<String>()? {
                    if key == "value" {
                        value = map.next_value()?;
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(OnlyMaps(value))
            }
        }
        deserializer.deserialize_struct("OnlyMaps", &["value"], Fields)
    }
}

/// Written as a map, read as a list.
#[derive(Debug, PartialEq)]
struct MapToList(Vec<(u8, u8)>);

impl Serialize for MapToList {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for MapToList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self)
    }
}

#[test]
fn a_hand_written_type_is_an_obstacle_if_it_cannot_be_read_in_order() {
    refused(
        &[OnlyMaps(7)],
        "`OnlyMaps` is read by name (flatten, an adjacently tagged enum, or a hand-written \
         Deserialize)",
    );
    // In order, they are the same.
    allowed(&[MapToList(vec![(1, 2), (3, 4)])]);
}

#[test]
fn what_postcard_carries_is_allowed() {
    mod bytes {
        pub(super) fn serialize<S: serde::Serializer>(
            bytes: &[u8],
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            serializer.serialize_bytes(bytes)
        }

        pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Vec<u8>, D::Error> {
            serde::Deserialize::deserialize(deserializer)
        }
    }
    fn two<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
        u8::deserialize(deserializer).map(|number| number.max(2))
    }
    data! {
        struct Plain {
            #[serde(rename = "key", alias = "id")] id: u8,
            #[serde(skip)] cached: u16,
            #[serde(default, deserialize_with = "two")] number: u8,
            #[serde(with = "bytes")] blob: Vec<u8>,
            list: Vec<Option<Option<u8>>>,
            unit: (),
            marker: std::marker::PhantomData<u8>,
            kind: ShapeKind,
        }
        enum ShapeKind {
            Unit,
            New(u8),
            Tuple(u8, #[serde(skip)] u8, u16),
            Struct { a: u8, #[serde(skip)] b: u8 },
            #[serde(other)]
            Other,
        }
        struct Short(u8, #[serde(skip)] u8);
        #[serde(transparent)]
        struct Clear { inner: BTreeMap<char, i128> }
        #[serde(from = "u8", into = "u8")]
        struct Level(u8);
        #[serde(default)]
        struct Defaults { a: u8, b: Vec<String> }
    }
    impl Default for Defaults {
        fn default() -> Self {
            Self { a: 7, b: vec!["x".into()] }
        }
    }
    impl From<u8> for Level {
        fn from(level: u8) -> Self {
            Self(level)
        }
    }
    impl From<Level> for u8 {
        fn from(level: Level) -> Self {
            level.0
        }
    }
    let plain = Plain {
        id: 1,
        cached: 0,
        number: 2,
        blob: vec![1, 200],
        list: vec![None, Some(None), Some(Some(3))],
        unit: (),
        marker: std::marker::PhantomData,
        kind: ShapeKind::Tuple(1, 0, 2),
    };
    let kinds =
        [ShapeKind::Unit, ShapeKind::New(1), ShapeKind::Struct { a: 1, b: 0 }, ShapeKind::Other];
    let more = kinds.map(|kind| Plain { kind, ..plain.clone() });
    allowed(&[plain]);
    allowed(&more);
    allowed(&[Short(1, 0)]);
    allowed(&[Clear { inner: BTreeMap::from([('a', i128::MIN)]) }]);
    allowed(&[Level(1)]);
    allowed(&[Defaults::default()]);
}
