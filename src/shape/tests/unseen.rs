//! A type that refuses every made-up value hides what comes after it from formats that read in
//! order: `{ billed_on: Weekday, cents: u64 }` and `{ billed_on: Weekday, cents: (u32, u32) }` once
//! had the same fingerprint, and half of the money was loaded. Everything unseen must be noted, and
//! nothing else.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Debug;

use chrono::Weekday;
use serde::de::{DeserializeOwned, Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::{cost, trace};

/// Accepts only a value that is hard to guess, and reads it as `#[serde(try_from = "T")]` does.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
struct Coded<T>(T);

impl<'de, T: Deserialize<'de> + Secret + PartialEq> Deserialize<'de> for Coded<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = T::deserialize(deserializer)?;
        if value == T::secret() { Ok(Self(value)) } else { Err(D::Error::custom("wrong")) }
    }
}

trait Secret {
    fn secret() -> Self;
}

macro_rules! secrets {
    ($($type:ty: $value:expr;)*) => {$(
        impl Secret for $type {
            fn secret() -> Self {
                $value
            }
        }
    )*};
}

secrets! {
    String: "Xyzzy-7".to_owned();
    u32: 424_242;
    i64: -77_777;
    (u8, i16): (99, -999);
    Vec<u8>: vec![1, 2, 3];
    Pair: Pair { left: 31, right: "rechts".to_owned() };
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Pair {
    left: u16,
    right: String,
}

#[derive(Serialize, Deserialize)]
struct Bill<W, C> {
    id: u8,
    billed_on: W,
    cents: C,
}

#[derive(Serialize, Deserialize)]
struct Deep<W, C> {
    lines: Vec<Option<Line<W, C>>>,
    last: C,
}

#[derive(Serialize, Deserialize)]
enum Line<W, C> {
    Empty,
    Billed { day: W, times: u8, bill: Bill<W, C> },
    Paid(C),
}

#[derive(Serialize, Deserialize)]
struct Outer<W, C> {
    first: Bill<W, u8>,
    middle: BTreeMap<String, Bill<W, C>>,
    plain: Bill<u8, C>,
}

fn fingerprint<T: Serialize + DeserializeOwned>() -> u64 {
    let shape = trace::<T>();
    assert_eq!(shape, trace::<T>(), "the same each time");
    shape.fingerprint
}

/// The fingerprints of types that differ only after a `W`.
fn behind<W: Serialize + DeserializeOwned>() -> Vec<u64> {
    vec![
        fingerprint::<Bill<W, u64>>(),
        fingerprint::<Bill<W, i64>>(),
        fingerprint::<Bill<W, (u32, u32)>>(),
        fingerprint::<Bill<W, Option<u64>>>(),
        fingerprint::<Bill<W, Vec<u64>>>(),
        fingerprint::<Bill<W, Vec<W>>>(),
        fingerprint::<Deep<W, u64>>(),
        fingerprint::<Deep<W, i64>>(),
        fingerprint::<Deep<W, Line<W, u8>>>(),
        fingerprint::<Deep<W, Line<W, u16>>>(),
        fingerprint::<Outer<W, u64>>(),
        fingerprint::<Outer<W, i64>>(),
    ]
}

fn all_differ(fingerprints: &[u64]) {
    let distinct: HashSet<_> = fingerprints.iter().collect();
    assert_eq!(distinct.len(), fingerprints.len(), "{fingerprints:x?}");
}

#[test]
fn what_stands_behind_a_type_that_refuses_all_samples_is_seen() {
    all_differ(&behind::<Weekday>());
    all_differ(&behind::<Coded<String>>());
    all_differ(&behind::<Coded<u32>>());
    all_differ(&behind::<Coded<i64>>());
    all_differ(&behind::<Coded<(u8, i16)>>());
    all_differ(&behind::<Coded<Vec<u8>>>());
    all_differ(&behind::<Coded<Pair>>());
}

#[test]
fn what_is_unseen_is_noted_with_the_kind_that_it_asked_for() {
    all_differ(&[
        fingerprint::<Bill<Coded<String>, u64>>(),
        fingerprint::<Bill<String, u64>>(),
        fingerprint::<Bill<Coded<u32>, u64>>(),
        fingerprint::<Bill<u32, u64>>(),
        fingerprint::<Bill<Coded<i64>, u64>>(),
        fingerprint::<Bill<Coded<(u8, i16)>, u64>>(),
        fingerprint::<Bill<(u8, i16), u64>>(),
        fingerprint::<Bill<Coded<Pair>, u64>>(),
        fingerprint::<Bill<Option<Coded<u32>>, u64>>(),
        fingerprint::<Bill<Vec<Coded<u32>>, u64>>(),
    ]);
    // The refusing type itself does not count: type names differ between compilers.
    assert_eq!(fingerprint::<Bill<Coded<String>, u64>>(), fingerprint::<Bill<Weekday, u64>>());
    assert!(!trace::<Bill<Weekday, u64>>().complete);
}

#[test]
fn fields_with_aliases_are_asked_once_behind_what_refuses() {
    macro_rules! aliased {
        ($name:ident $cents:ty) => {
            #[derive(Serialize, Deserialize)]
            #[serde(deny_unknown_fields)]
            struct $name {
                #[serde(alias = "a", alias = "z")]
                id: u8,
                day: Weekday,
                #[serde(alias = "b")]
                cents: $cents,
                note: Option<Bill<Weekday, $cents>>,
            }
        };
    }
    aliased!(Unsigned u64);
    aliased!(Signed i64);
    all_differ(&[fingerprint::<Unsigned>(), fingerprint::<Signed>()]);
}

/// Hand-written, as in serde's guide: fields are only known by name.
struct Manual<C> {
    day: Weekday,
    cents: C,
}

impl<C: Serialize> Serialize for Manual<C> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.day, &self.cents).serialize(serializer)
    }
}

impl<'de, C: Deserialize<'de>> Deserialize<'de> for Manual<C> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<C>(std::marker::PhantomData<C>);
        impl<'de, C: Deserialize<'de>> Visitor<'de> for Fields<C> {
            type Value = Manual<C>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Manual<C>, A::Error> {
                let (mut day, mut cents) = (None, None);
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "day" => day = Some(map.next_value()?),
                        "cents" => cents = Some(map.next_value()?),
                        _ => return Err(A::Error::custom("unknown")),
                    }
                }
                let missing = || A::Error::custom("missing");
                Ok(Manual { day: day.ok_or_else(missing)?, cents: cents.ok_or_else(missing)? })
            }
        }
        deserializer.deserialize_struct(
            "Manual",
            &["day", "cents"],
            Fields(std::marker::PhantomData),
        )
    }
}

#[test]
fn a_type_written_by_hand_is_asked_by_name() {
    all_differ(&[
        fingerprint::<Manual<u64>>(),
        fingerprint::<Manual<i64>>(),
        fingerprint::<Bill<Manual<u8>, u64>>(),
        fingerprint::<Bill<Manual<u8>, i64>>(),
        fingerprint::<Bill<Manual<u16>, i64>>(),
    ]);
}

#[test]
fn many_refusing_fields_do_not_use_up_the_passes() {
    macro_rules! many {
        ($name:ident: $($field:ident)*; $last:ty) => {
            #[derive(Serialize, Deserialize)]
            struct $name { $($field: Coded<String>,)* last: $last }
        };
    }
    many!(Unsigned: a b c d e f g h i j k l m n o p q r s t u v w x y z; u64);
    many!(Signed: a b c d e f g h i j k l m n o p q r s t u v w x y z; i64);
    all_differ(&[fingerprint::<Unsigned>(), fingerprint::<Signed>()]);
    let (_, passes, visits) = cost::<Unsigned>();
    assert!(passes < 1_000 && visits < 8_000, "{passes} passes, {visits} visits");
}
