//! Types that reject most made-up values, are recursive, or cannot be satisfied at all.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroI8, NonZeroU32, NonZeroU128};
use std::ops::{Bound, RangeInclusive};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use super::{clean, cost, trace};
use crate::shape::pass::{MAX_PASSES, MAX_VISITS};

#[derive(Serialize, Deserialize)]
struct Nothing;

#[derive(Serialize, Deserialize)]
struct Cents(i64);

#[derive(Serialize, Deserialize)]
struct Pair(u8, String);

#[derive(Serialize, Deserialize)]
struct Empty {}

#[derive(Serialize, Deserialize)]
struct Typed<T> {
    id: u64,
    marker: PhantomData<T>,
}

#[test]
fn every_plain_type_is_traced_whole() {
    clean::<bool>();
    clean::<i8>();
    clean::<i16>();
    clean::<u128>();
    clean::<i128>();
    clean::<(f32, f64, char)>();
    clean::<()>();
    clean::<Nothing>();
    clean::<Empty>();
    clean::<Cents>();
    clean::<Pair>();
    clean::<Typed<Vec<u8>>>();
    clean::<String>();
    clean::<Box<str>>();
    clean::<Arc<str>>();
    clean::<Rc<String>>();
    clean::<Cow<'static, str>>();
    clean::<Option<Option<u8>>>();
    clean::<Result<u8, String>>();
    clean::<[u8; 32]>();
    clean::<[[u16; 3]; 2]>();
    clean::<(u8, (u8, u8), [u8; 0])>();
    clean::<Vec<Vec<Option<String>>>>();
    clean::<VecDeque<u8>>();
    clean::<BTreeMap<String, Vec<u8>>>();
    clean::<HashMap<(u8, u8), HashSet<u8>>>();
    clean::<BTreeSet<char>>();
    clean::<Box<[u8]>>();
    clean::<PathBuf>();
    clean::<Duration>();
    clean::<SystemTime>();
    clean::<RangeInclusive<u8>>();
    clean::<Bound<u8>>();
    clean::<IpAddr>();
    clean::<SocketAddr>();
    clean::<NonZeroI8>();
    clean::<NonZeroU32>();
    clean::<NonZeroU128>();
    clean::<std::ffi::CString>();
}

#[test]
fn common_foreign_types_are_traced_whole() {
    #[derive(Serialize, Deserialize)]
    struct Order {
        id: Uuid,
        by_line: BTreeMap<Uuid, NonZeroU32>,
        placed: chrono::DateTime<chrono::Utc>,
        day: chrono::NaiveDate,
        time: Option<chrono::NaiveTime>,
        local: Vec<chrono::NaiveDateTime>,
        #[serde(with = "rust_decimal::serde::str")]
        total: rust_decimal::Decimal,
        at: jiff::Timestamp,
        zoned: jiff::ZonedDateTime,
        span: jiff::Span,
        from: IpAddr,
    }
    clean::<Order>();
    clean::<Uuid>();
}

#[derive(Serialize, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(try_from = "String")]
struct Email(String);

impl TryFrom<String> for Email {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.contains('@') { Ok(Self(text)) } else { Err("no @") }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(try_from = "(i32, i32)", into = "(i32, i32)")]
#[derive(Clone)]
struct Span {
    from: i32,
    to: i32,
}

impl TryFrom<(i32, i32)> for Span {
    type Error = &'static str;

    fn try_from((from, to): (i32, i32)) -> Result<Self, Self::Error> {
        if from < to { Ok(Self { from, to }) } else { Err("empty") }
    }
}

impl From<Span> for (i32, i32) {
    fn from(span: Span) -> Self {
        (span.from, span.to)
    }
}

#[derive(Deserialize)]
struct RawBox {
    width: u32,
    height: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(try_from = "RawBox")]
struct Rect {
    width: u32,
    height: u32,
}

impl TryFrom<RawBox> for Rect {
    type Error = &'static str;

    fn try_from(raw: RawBox) -> Result<Self, Self::Error> {
        if raw.width > 0 && raw.height > 0 {
            Ok(Self { width: raw.width, height: raw.height })
        } else {
            Err("flat")
        }
    }
}

/// Accepts only one value, in which only the first part is not the plainest.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "(u8, u8, u8)", into = "(u8, u8, u8)")]
struct Exact;

impl TryFrom<(u8, u8, u8)> for Exact {
    type Error = &'static str;

    fn try_from(code: (u8, u8, u8)) -> Result<Self, Self::Error> {
        if code == (10, 0, 0) { Ok(Self) } else { Err("wrong") }
    }
}

impl From<Exact> for (u8, u8, u8) {
    fn from(_: Exact) -> Self {
        (10, 0, 0)
    }
}

fn not_empty<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let list = Vec::deserialize(deserializer)?;
    if list.is_empty() { Err(D::Error::custom("empty")) } else { Ok(list) }
}

fn at_least_two<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let list = Vec::deserialize(deserializer)?;
    if list.len() < 2 { Err(D::Error::custom("too few")) } else { Ok(list) }
}

#[test]
fn types_that_validate_are_offered_values_until_one_is_accepted() {
    #[derive(Serialize, Deserialize)]
    struct Picky {
        mail: Email,
        copies: Vec<Email>,
        reply_to: Option<Email>,
        by_mail: BTreeMap<Email, Span>,
        area: Rect,
        exact: Exact,
        #[serde(deserialize_with = "not_empty")]
        lines: Vec<Span>,
        #[serde(deserialize_with = "at_least_two")]
        points: Vec<u8>,
    }
    clean::<Picky>();
    let (_, passes, visits) = cost::<Picky>();
    assert!(passes < 60 && visits < 1_500, "{passes} passes, {visits} visits");
}

#[test]
fn values_refused_on_the_way_do_not_end_the_search_for_obstacles() {
    #[derive(Serialize, Deserialize)]
    struct Page {
        #[serde(deserialize_with = "not_empty")]
        lines: Vec<u8>,
        mail: Email,
        lists: Vec<Vec<Note>>,
    }
    #[derive(Serialize, Deserialize)]
    struct Note {
        #[serde(skip_serializing_if = "Vec::is_empty")]
        words: Vec<u8>,
    }
    #[derive(Serialize, Deserialize)]
    struct Letter<T> {
        mail: Email,
        other: T,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        numbers: Vec<u8>,
    }
    let why = |shape: super::Shape| shape.obstacle.map(|obstacle| obstacle.to_string());
    let left_out = |field| Some(format!("field {field} is left out by skip_serializing_if"));
    assert_eq!(why(trace::<Page>()), left_out("`words` of `Note`"));
    assert_eq!(why(trace::<Letter<u8>>()), left_out("`numbers` of `Letter`"));
    assert_eq!(why(trace::<Letter<Option<Never>>>()), left_out("`numbers` of `Letter`"));
}

/// Accepts no value.
#[derive(Serialize)]
struct Never(String);

impl<'de> Deserialize<'de> for Never {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?;
        Err(D::Error::custom("no"))
    }
}

#[derive(Serialize, Deserialize)]
struct Around<T> {
    before: u8,
    never: T,
    after: Later,
}

#[derive(Serialize, Deserialize)]
struct Later {
    list: Vec<Option<u16>>,
}

fn incomplete<T: Serialize + DeserializeOwned>() -> u64 {
    let (shape, passes, visits) = cost::<T>();
    assert_eq!(shape, trace::<T>(), "the same each time");
    assert!(!shape.complete);
    assert_eq!(shape.obstacle, None);
    assert_ne!(shape.fingerprint, 0);
    assert!(passes <= MAX_PASSES && visits <= MAX_VISITS);
    shape.fingerprint
}

#[test]
fn a_leaf_that_nothing_satisfies_leaves_an_incomplete_shape() {
    #[derive(Serialize, Deserialize)]
    struct WiderBefore {
        before: u16,
        never: Never,
        after: Later,
    }
    assert_ne!(incomplete::<Around<Never>>(), incomplete::<WiderBefore>());
}

#[test]
fn an_unsatisfiable_part_is_gone_round_where_the_type_allows() {
    #[derive(Serialize, Deserialize)]
    enum Choice {
        Never(Never),
        Fine { deep: Later },
    }
    #[derive(Serialize, Deserialize)]
    struct Wider {
        list: Vec<Option<u32>>,
    }
    #[derive(Serialize, Deserialize)]
    struct AroundWider<T> {
        before: u8,
        never: T,
        after: Wider,
    }
    assert_ne!(incomplete::<Around<Vec<Never>>>(), incomplete::<AroundWider<Vec<Never>>>());
    assert_ne!(incomplete::<Around<Option<Never>>>(), incomplete::<AroundWider<Option<Never>>>());
    assert_ne!(
        incomplete::<Around<BTreeMap<u8, Never>>>(),
        incomplete::<AroundWider<BTreeMap<u8, Never>>>()
    );
    assert_ne!(incomplete::<Around<Choice>>(), incomplete::<AroundWider<Choice>>());
}

#[derive(Serialize, Deserialize)]
struct Chain {
    value: u8,
    next: Option<Box<Chain>>,
}

#[derive(Serialize, Deserialize)]
struct ShapeTree {
    name: String,
    kids: Vec<ShapeTree>,
    by_name: BTreeMap<String, ShapeTree>,
}

#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Nest(Vec<Nest>);

#[derive(Serialize, Deserialize)]
enum Expr {
    Add(Box<Expr>, Box<Expr>),
    Neg(Box<Expr>),
    Call { name: String, args: Vec<Expr> },
    If(Box<(Expr, Expr, Expr)>),
    Number(i64),
    Block(Box<Block>),
}

#[derive(Serialize, Deserialize)]
struct Block {
    first: Statement,
    rest: Vec<Statement>,
}

#[derive(Serialize, Deserialize)]
enum Statement {
    Expr(Box<Expr>),
    Let { name: String, to: Box<Expr> },
    Inner(Box<Block>),
    Stop(Option<Why>),
}

#[derive(Serialize, Deserialize)]
enum Why {
    End,
    Return(Box<Expr>),
}

/// The only way out of the cycle is the last variant of the last type.
#[derive(Serialize, Deserialize)]
enum Hidden {
    A(Box<HiddenToo>),
    B(Box<Hidden>, Box<HiddenToo>),
}

#[derive(Serialize, Deserialize)]
enum HiddenToo {
    C(Box<Hidden>),
    D(Box<HiddenToo>),
    E(u8),
}

#[test]
fn types_that_contain_themselves_are_traced_whole() {
    clean::<Chain>();
    clean::<ShapeTree>();
    clean::<Nest>();
    clean::<Expr>();
    clean::<Block>();
    clean::<Why>();
    clean::<Vec<Statement>>();
    clean::<Hidden>();
    clean::<HiddenToo>();
    let (_, passes, visits) = cost::<Block>();
    assert!(passes < 40 && visits < 2_000, "{passes} passes, {visits} visits");
}

#[test]
fn a_type_without_any_finite_value_ends() {
    #[derive(Serialize, Deserialize)]
    struct Endless {
        next: Box<Endless>,
    }
    #[derive(Serialize, Deserialize)]
    enum Void {}
    incomplete::<Endless>();
    incomplete::<Void>();
    incomplete::<Vec<Endless>>();
}

#[test]
fn a_deep_type_ends_within_its_bounds() {
    type Deep16 = Option<
        Vec<
            Option<
                Vec<
                    Option<
                        Vec<Option<Vec<Option<Vec<Option<Vec<Option<Vec<Option<Vec<u8>>>>>>>>>>>,
                    >,
                >,
            >,
        >,
    >;
    #[derive(Serialize, Deserialize)]
    struct Wrap<T>(Option<T>);
    type Deep64 = Wrap<Wrap<Wrap<Wrap<Wrap<Wrap<Wrap<Wrap<Wrap<Wrap<Wrap<Wrap<Wrap<Wrap<Wrap<Wrap<
        Wrap<Wrap<Wrap<Wrap<Wrap<Wrap<Wrap<Wrap<Wrap<Wrap<Wrap<Wrap<Wrap<Wrap<Wrap<Wrap<u8>>>>
        >>>>>>>>>>>>>>>>>>>>>>>>>>>>;
    type Deep128 = Wrap<Wrap<Wrap<Wrap<Wrap<Wrap<Wrap<Wrap<Wrap<Wrap<Wrap<Wrap<Wrap<Wrap<Wrap<Wrap<
        Wrap<Wrap<Wrap<Wrap<Wrap<Wrap<Wrap<Wrap<Wrap<Wrap<Wrap<Wrap<Wrap<Wrap<Wrap<Wrap<
        Deep64>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>;
    clean::<Deep16>();
    clean::<Deep64>();
    incomplete::<Wrap<Deep128>>();
}
/// Every variant but the last leads back into a cycle: a trace that followed each of them in turn
/// would exhaust the stack.
macro_rules! many_circles {
    ($name:ident: $($variant:ident)*) => {
        #[derive(Serialize, Deserialize)]
        enum $name {
            $($variant { pad: [[u64; 8]; 8], next: Box<$name>, list: Vec<$name> },)*
            End,
        }
    };
}

many_circles!(Circles:
    A00 A01 A02 A03 A04 A05 A06 A07 A08 A09 A10 A11 A12 A13 A14 A15 A16 A17 A18 A19
    B00 B01 B02 B03 B04 B05 B06 B07 B08 B09 B10 B11 B12 B13 B14 B15 B16 B17 B18 B19
    C00 C01 C02 C03 C04 C05 C06 C07 C08 C09 C10 C11 C12 C13 C14 C15 C16 C17 C18 C19
    D00 D01 D02 D03 D04 D05 D06 D07 D08 D09 D10 D11 D12 D13 D14 D15 D16 D17 D18 D19
);

#[test]
fn many_ways_back_into_a_type_do_not_use_up_the_stack() {
    let traced = std::thread::Builder::new().stack_size(1 << 19).spawn(clean::<Circles>);
    traced.unwrap().join().unwrap();
    let (_, passes, visits) = cost::<Circles>();
    assert!(passes < 200 && visits < MAX_VISITS / 2, "{passes} passes, {visits} visits");
}

#[test]
fn a_type_too_large_to_build_ends_within_its_bounds() {
    #[derive(Serialize, Deserialize)]
    struct Twice<T>(Box<T>, Box<T>);
    type Twice4<T> = Twice<Twice<Twice<Twice<T>>>>;
    clean::<Twice4<Twice4<u8>>>();
    incomplete::<Twice4<Twice4<Twice4<Twice4<Twice<u8>>>>>>();
}
