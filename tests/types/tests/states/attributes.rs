//! Every attribute of serde on fields and containers.

use std::collections::BTreeMap;
use std::fmt;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_with::{DeserializeFromStr, DisplayFromStr, SerializeDisplay, serde_as};
use snapfold_types::{Gen, Value, cases, specimen, state, states};

fn seven() -> u32 {
    7
}

fn is_seven(n: &u32) -> bool {
    *n == 7
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// 7 is what most have.
fn vat(g: &mut Gen) -> u32 {
    g.pick(&[0, 1, 7, 7, 19])
}

fn as_text<S: Serializer>(n: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(n)
}

fn from_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

mod text_as {
    use super::*;

    pub(super) fn serialize<S: Serializer>(n: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        as_text(n, serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<u64, D::Error> {
        from_text(d)
    }
}

state! {
    struct Plain { owner: String, cents: i64, open: Vec<u32>, note: Option<String> }
    struct Unit0 {}
    struct Tuple(a: u32, b: String, c: Option<i64>);
    struct Newtype(n: u64);
    #[serde(transparent)]
    struct Transparent { inner: Vec<u32> }
    #[serde(rename = "account-v1")]
    struct Renamed { #[serde(rename = "Ünïque key")] owner: String, #[serde(rename = "type")] kind: u8 }
    #[serde(rename_all = "camelCase")]
    struct CamelCase { first_name: String, last_seen_at: i64, r#type: u8 }
    #[serde(rename_all = "SCREAMING-KEBAB-CASE")]
    struct Screaming { first_name: String, last_seen_at: i64 }
    #[serde(rename_all(serialize = "camelCase", deserialize = "kebab-case"))]
    struct TwoCases { first_name: String, last_seen_at: i64 }
    struct TwoNames { #[serde(rename(serialize = "a", deserialize = "b"))] x: u32, y: u32 }
    struct TwoNamesAliased { #[serde(rename(serialize = "a", deserialize = "b"), alias = "a")] x: u32 }
    struct Alias { #[serde(alias = "total", alias = "sum")] cents: i64, after: u8 }
    struct Default0 { #[serde(default)] cents: i64, #[serde(default)] tags: Vec<String> }
    struct DefaultPath { #[serde(default = "seven")] vat: u32 => |g| vat(g), open: Vec<u32> }
    struct SkipIfNone { #[serde(skip_serializing_if = "Option::is_none")] note: Option<String>, n: u32 }
    struct SkipIfNoneDefault {
        #[serde(default, skip_serializing_if = "Option::is_none")] note: Option<String>,
        n: u32,
    }
    struct SkipIfEmpty {
        #[serde(default, skip_serializing_if = "Vec::is_empty")] tags: Vec<String>,
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")] by_name: BTreeMap<String, u32>,
        #[serde(default, skip_serializing_if = "String::is_empty")] text: String,
        n: u32,
    }
    struct SkipIfZero { #[serde(default, skip_serializing_if = "is_zero")] n: u32 => |g| vat(g), m: u32 }
    struct SkipIfUnguessed {
        #[serde(default = "seven", skip_serializing_if = "is_seven")] vat: u32 => |g| vat(g),
        open: Vec<u32>,
    }
    struct SkipIfUnguessedLast {
        open: Vec<u32>,
        #[serde(default = "seven", skip_serializing_if = "is_seven")] vat: u32 => |g| vat(g),
    }
    struct SkipWrong { #[serde(default, skip_serializing_if = "is_seven")] vat: u32 => |g| vat(g), n: u32 }
    struct SkipSerializingUnused {
        #[serde(default, skip_serializing)] cache: Option<u32> => |g| { let _ = g; None },
        n: u32,
    }
    struct SkipDeserializingUnused {
        #[serde(skip_deserializing)] cache: u32 => |g| { let _ = g; 0 },
        n: u32,
    }
    struct SkipUnused { #[serde(skip)] cache: Option<u32> => |g| { let _ = g; None }, n: u32 }
    struct With { #[serde(with = "text_as")] n: u64, m: u64 }
    struct WithPair {
        #[serde(serialize_with = "as_text", deserialize_with = "from_text")] n: u64,
        m: u64,
    }
    struct SerdeBytes { #[serde(with = "serde_bytes")] raw: Vec<u8>, n: u32 }
    #[serde(deny_unknown_fields)]
    struct DenyUnknown { a: u32, b: String }
    struct Flat { id: u32, #[serde(flatten)] rest: Plain, after: u8 }
    struct FlatTwo { #[serde(flatten)] a: Default0, id: u32, #[serde(flatten)] b: SkipIfNoneDefault }
    struct FlatOption { id: u32, #[serde(flatten)] rest: Option<Plain> }
    struct FlatMap { id: u32, #[serde(flatten)] extra: BTreeMap<String, u32> => |g| {
        (0..g.len()).map(|_| (format!("x{}", g.word()), g.any())).collect() } }
    struct FlatMapShadow { id: u32, #[serde(flatten)] extra: BTreeMap<String, u32> => |g| {
        (0..g.len()).map(|_| (g.pick(&["id", "x", "y"]).to_owned(), g.any())).collect() } }
    struct FlatDeep { #[serde(flatten)] flat: Flat, #[serde(flatten)] two: Alias0 }
    struct Alias0 { #[serde(alias = "zz")] z: u64 }
    struct FlatEnum { id: u32, #[serde(flatten)] what: Kind }
    enum Kind { Card { last4: u16 }, Cash { cents: i64 }, Iban(text: String) }
    struct FlatMixed { #[serde(default)] a: u32, #[serde(flatten)] kind: Kind, #[serde(flatten)] d: DefaultPath }
    #[serde(default)]
    #[derive(Default)]
    struct ContainerDefault { a: u32, b: String, #[serde(rename = "sea")] c: Option<u8> }
    #[serde(from = "u64", into = "u64")]
    #[derive(Copy)]
    struct FromInto { high: u32, low: u32 }
    #[serde(try_from = "String", into = "String")]
    struct Prefixed { text: String => |g| format!("ok:{}", g.text()) }
    #[serde(try_from = "(u8, u8)", into = "(u8, u8)")]
    #[derive(Copy)]
    struct MonthDay { month: u8 => |g| 1 + g.any::<u8>() % 12, day: u8 => |g| 1 + g.any::<u8>() % 28 }
    struct AfterTryFrom { who: Prefixed, born: MonthDay, cents: u64, owed: (u32, u32) }
    #[serde(from = "String", into = "String")]
    struct Country { code: [u8; 2] => |g| g.pick(&[*b"DE", *b"FR", *b"XK"]) }
    struct WithCountry { country: Country, points: u32 }
    struct Remote { #[serde(with = "PointDef")] at: Point, n: u32 }
    struct Shared { one: Arc<Plain>, many: Vec<Arc<str>> }
    struct OrDefaultBool { #[serde(default = "yes", skip_serializing_if = "is_yes")] active: bool, n: u32 }
}

fn yes() -> bool {
    true
}

fn is_yes(b: &bool) -> bool {
    *b
}

impl From<u64> for FromInto {
    fn from(n: u64) -> Self {
        Self { high: (n >> 32) as u32, low: n as u32 }
    }
}

impl From<FromInto> for u64 {
    fn from(f: FromInto) -> Self {
        (Self::from(f.high) << 32) | Self::from(f.low)
    }
}

impl std::convert::TryFrom<String> for Prefixed {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.starts_with("ok:") { Ok(Self { text }) } else { Err("it begins with ok:".into()) }
    }
}

impl From<Prefixed> for String {
    fn from(t: Prefixed) -> Self {
        t.text
    }
}

impl std::convert::TryFrom<(u8, u8)> for MonthDay {
    type Error = &'static str;

    fn try_from((month, day): (u8, u8)) -> Result<Self, &'static str> {
        let valid = (1..=12).contains(&month) && (1..=28).contains(&day);
        if valid { Ok(Self { month, day }) } else { Err("no such day") }
    }
}

impl From<MonthDay> for (u8, u8) {
    fn from(m: MonthDay) -> Self {
        (m.month, m.day)
    }
}

/// Panics on a text that is too short: nobody ever stored one.
impl From<String> for Country {
    fn from(text: String) -> Self {
        let bytes = text.as_bytes();
        Self { code: [bytes[0], bytes[1]] }
    }
}

impl From<Country> for String {
    fn from(country: Country) -> Self {
        String::from_utf8_lossy(&country.code).into_owned()
    }
}

/// A type of another crate that has no serde.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    x: f64,
    y: f64,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Point")]
struct PointDef {
    x: f64,
    y: f64,
}

/// Generic, with a bound of its own.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound(serialize = "T: Serialize", deserialize = "T: Deserialize<'de>"))]
struct Bounded<T> {
    inner: T,
    n: u32,
}

/// Written as text by `Display`, read by `FromStr`.
#[derive(Clone, Debug, PartialEq, SerializeDisplay, DeserializeFromStr)]
struct Version3(u32, u32, u32);

impl fmt::Display for Version3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl FromStr for Version3 {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Result<Vec<u32>, _> = text.split('.').map(str::parse).collect();
        match parts.as_deref() {
            Ok(&[a, b, c]) => Ok(Self(a, b, c)),
            _ => Err("three numbers".into()),
        }
    }
}

#[serde_as]
#[derive(Clone, Debug, Serialize, Deserialize)]
struct SerdeAs {
    #[serde_as(as = "DisplayFromStr")]
    id: u64,
    #[serde_as(as = "Vec<(DisplayFromStr, _)>")]
    by_number: BTreeMap<u32, String>,
    #[serde_as(as = "serde_with::base64::Base64")]
    raw: Vec<u8>,
    #[serde_as(as = "Option<serde_with::hex::Hex>")]
    hash: Option<[u8; 4]>,
    #[serde_as(as = "serde_with::DurationSeconds<u64>")]
    wait: std::time::Duration,
}

#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Serialize, Deserialize)]
struct SkipNone {
    a: Option<u32>,
    b: Option<String>,
    n: u32,
}

specimen! {
    Point => |g| Point { x: g.any(), y: g.any() };
    Version3 => |g| Version3(g.any(), g.any(), g.any());
    SerdeAs => |g| SerdeAs {
        id: g.any(),
        by_number: g.any(),
        raw: g.any(),
        hash: g.any(),
        wait: std::time::Duration::from_secs(g.scaled()),
    };
    SkipNone => |g| SkipNone { a: g.any(), b: g.any(), n: g.any() };
}

impl<T: Value> Value for Bounded<T> {
    fn make(g: &mut Gen) -> Self {
        Self { inner: g.any(), n: g.any() }
    }

    fn same(&self, other: &Self) -> bool {
        self.inner.same(&other.inner) && self.n == other.n
    }
}

fn main() -> ExitCode {
    states::run(cases! {
        Plain, Unit0 as "no fields", Tuple, Newtype,
        Transparent as "transparent",
        Renamed as "rename",
        CamelCase as "rename_all camelCase",
        Screaming as "rename_all SCREAMING-KEBAB",
        TwoCases as "rename_all two ways",
        TwoNames as "rename two ways",
        TwoNamesAliased as "rename two ways, alias",
        Alias as "alias",
        Default0 as "default",
        DefaultPath as "default = path",
        ContainerDefault as "default on struct",
        SkipIfNone as "skip_if Option::is_none",
        SkipIfNoneDefault as "skip_if is_none, default",
        SkipIfEmpty as "skip_if is_empty",
        SkipIfZero as "skip_if is_zero",
        SkipIfUnguessed as "skip_if is_seven",
        SkipIfUnguessedLast as "skip_if is_seven, last",
        SkipWrong as "skip_if not the default",
        OrDefaultBool as "skip_if is true",
        SkipSerializingUnused as "skip_serializing, unused",
        SkipDeserializingUnused as "skip_deserializing, unused",
        SkipUnused as "skip, unused",
        With as "with",
        WithPair as "serialize_with, deser._with",
        SerdeBytes as "with = serde_bytes",
        DenyUnknown as "deny_unknown_fields",
        Flat as "flatten struct",
        FlatTwo as "flatten two",
        FlatOption as "flatten Option",
        FlatMap as "flatten map",
        FlatMapShadow as "flatten map, same keys",
        FlatDeep as "flatten in flatten",
        FlatEnum as "flatten enum",
        FlatMixed as "flatten enum and struct",
        FromInto as "from, into",
        Prefixed as "try_from String",
        MonthDay as "try_from tuple",
        AfterTryFrom as "fields after try_from",
        WithCountry as "from that panics on samples",
        Remote as "remote",
        Bounded<u32> as "bound",
        Shared as "Arc of struct",
        Version3 as "SerializeDisplay, FromStr",
        SerdeAs as "serde_as",
        SkipNone as "skip_serializing_none",
    })
}
