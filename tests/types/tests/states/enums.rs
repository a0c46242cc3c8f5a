//! Every enum representation with every kind of variant.

use std::collections::BTreeMap;
use std::process::ExitCode;

use serde_repr::{Deserialize_repr, Serialize_repr};
use snapfold_types::{Gen, Value, cases, specimen, state, states};

state! {
    enum Units { New, Open, Closed }
    enum External { Unit, Newtype(n: u32), Tuple(n: u32, text: String), Struct { a: u32, b: Option<String> } }
    #[serde(tag = "type")]
    enum Internal { Unit, Newtype(card: Card), Struct { a: u32, b: Option<String> }, Map(m: BTreeMap<String, u32>) }
    #[serde(tag = "type", content = "data")]
    enum Adjacent { Unit, Newtype(n: u32), Tuple(n: u32, text: String), Struct { a: u32, b: Option<String> } }
    #[serde(untagged)]
    enum Untagged { Struct { a: u32, b: String }, Tuple(n: u32, text: String), Text(text: String), Number(n: i64), Unit }
    #[serde(untagged)]
    enum UntaggedIntegers { Small(n: u32), Large(n: u64), Negative(n: i64 => |g| -1 - (g.scaled() >> 1) as i64) }
    #[serde(untagged)]
    enum UntaggedFloat { Whole(n: i64), Real(x: f64) }
    #[serde(untagged)]
    enum UntaggedOption { Some1 { x: Option<u32> }, Other { y: u32 } }
    #[serde(untagged)]
    enum OneOrMany { One(text: String), Many(texts: Vec<String>) }
    struct Card { last4: u16, name: String }
    #[serde(rename_all = "SCREAMING_SNAKE_CASE")]
    enum RenamedAll { InProgress, OnHold { since_day: u32 }, #[serde(rename = "X")] Done(at: u64) }
    #[serde(rename_all_fields = "camelCase")]
    enum RenamedFields { OnHold { since_day: u32, by_whom: String } }
    enum VariantAlias { #[serde(alias = "Opened", alias = "Start")] Open, Shut }
    enum TwoNames { #[serde(rename(serialize = "a", deserialize = "b"))] A, C }
    #[serde(tag = "kind", rename_all = "snake_case")]
    enum Other { Known { n: u32 }, AlsoKnown, #[serde(other)] Unknown }
    enum OtherExternal { Known, #[serde(other)] Unknown }
    enum SkippedVariant { A, #[serde(skip)] B, C(n: u32) }
    enum VariantWith { #[serde(with = "as_minutes")] Wait(seconds: u64 => |g| (g.scaled() >> 8) * 60), Go }
    enum PartlyUntagged { Named { n: u32 }, Unit, #[serde(untagged)] Text(text: String) }
    enum Nested { Leaf, Inner(i: Internal), Adj(a: Adjacent), More(v: Vec<External>) }
    #[serde(tag = "t")]
    enum InternalOfExternal { Has { what: External }, Not }
    #[serde(tag = "t")]
    enum InternalOfInternal { Has(i: InnerTag), Not }
    #[serde(tag = "u")]
    enum InnerTag { X { n: u32 }, Y }
    #[serde(tag = "t", content = "c")]
    enum AdjacentOfUntagged { Has(u: OneOrMany), Not }
    #[serde(tag = "t", content = "c", deny_unknown_fields)]
    enum AdjacentDeny { Has { n: u32 }, Not }
    #[serde(untagged)]
    enum UntaggedOfTagged { I(i: Internal), A(a: AdjacentDeny) }
    #[serde(tag = "type")]
    struct TaggedStruct { a: u32, b: String }
    enum Empty1 { Nothing {}, None0(unit: ()) }
    struct EnumEverywhere { a: External, b: Option<Units>, c: Vec<Internal>, d: BTreeMap<Units2, Adjacent> }
    #[derive(PartialEq, Eq, PartialOrd, Ord)]
    enum Units2 { Left, Right }
    struct Deep { a: Option<Box<Internal>>, #[serde(flatten)] b: Adjacent }
    #[derive(PartialEq)]
    #[serde(from = "u8", into = "u8")]
    enum FromByte { Off, On, Raw(n: u8 => |g| 2 + g.any::<u8>() % 200) }
    #[serde(tag = "type")]
    enum InternalSkip { A { #[serde(default, skip_serializing_if = "Option::is_none")] note: Option<String>, n: u32 } }
    #[serde(tag = "version")]
    enum Versioned { #[serde(rename = "1")] V1 { cents: u32 }, #[serde(rename = "2")] V2 { cents: u64, currency: String } }
}

mod as_minutes {
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(n: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(n / 60)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<u64, D::Error> {
        Ok(u64::deserialize(d)? * 60)
    }
}

impl From<u8> for FromByte {
    fn from(n: u8) -> Self {
        match n {
            0 => Self::Off,
            1 => Self::On,
            n => Self::Raw(n),
        }
    }
}

impl From<FromByte> for u8 {
    fn from(f: FromByte) -> Self {
        match f {
            FromByte::Off => 0,
            FromByte::On => 1,
            FromByte::Raw(n) => n,
        }
    }
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
enum SkippedVariantUnused {
    A,
    #[serde(skip)]
    #[expect(dead_code, reason = "no value has it, which is the point")]
    B,
    C(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize_repr, Deserialize_repr)]
#[repr(u8)]
enum Level {
    Low = 1,
    Mid = 5,
    High = 250,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize_repr, Deserialize_repr)]
#[repr(i32)]
enum Signed {
    Below = -1,
    #[serde(other)]
    Zero = 0,
    Above = i32::MAX,
}

specimen! {
    SkippedVariantUnused => |g| match g.once_in(2) {
        true => SkippedVariantUnused::A,
        false => SkippedVariantUnused::C(g.any()),
    };
    Level => |g| g.pick(&[Level::Low, Level::Mid, Level::High]);
    Signed => |g| g.pick(&[Signed::Below, Signed::Zero, Signed::Above]);
}

/// An open set of event handlers, kept as trait objects.
#[typetag::serde(tag = "rule")]
trait Rule: std::fmt::Debug + Send + Sync {
    fn boxed(&self) -> Box<dyn Rule>;
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct AtMost {
    cents: i64,
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct OnlyOn {
    days: Vec<String>,
}

#[typetag::serde]
impl Rule for AtMost {
    fn boxed(&self) -> Box<dyn Rule> {
        Box::new(self.clone())
    }
}

#[typetag::serde]
impl Rule for OnlyOn {
    fn boxed(&self) -> Box<dyn Rule> {
        Box::new(self.clone())
    }
}

impl Clone for Box<dyn Rule> {
    fn clone(&self) -> Self {
        self.boxed()
    }
}

impl Value for Box<dyn Rule> {
    fn make(g: &mut Gen) -> Self {
        if g.once_in(2) {
            Box::new(AtMost { cents: g.any() })
        } else {
            Box::new(OnlyOn { days: g.many() })
        }
    }
}

/// The same, tagged from outside, with content of several forms.
#[typetag::serde]
trait Tariff: std::fmt::Debug + Send + Sync {
    fn boxed(&self) -> Box<dyn Tariff>;
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Flat;

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct PerUnit(i64);

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
enum Tiered {
    Steps(Vec<(u32, i64)>),
    Except { rule: Box<dyn Rule> },
}

macro_rules! tariffs {
    ($($name:ident)*) => {$(
        #[typetag::serde]
        impl Tariff for $name {
            fn boxed(&self) -> Box<dyn Tariff> {
                Box::new(self.clone())
            }
        }
    )*};
}
tariffs! { Flat PerUnit Tiered }

impl Clone for Box<dyn Tariff> {
    fn clone(&self) -> Self {
        self.boxed()
    }
}

impl Value for Box<dyn Tariff> {
    fn make(g: &mut Gen) -> Self {
        match g.below(4) {
            0 => Box::new(Flat),
            1 => Box::new(PerUnit(g.any())),
            2 => Box::new(Tiered::Steps((0..g.below(3)).map(|_| (g.any(), g.any())).collect())),
            _ => Box::new(Tiered::Except { rule: g.any() }),
        }
    }
}

fn main() -> ExitCode {
    states::run(cases! {
        Units as "enum of units",
        External as "enum, external",
        Internal as "enum, internal (tag)",
        Adjacent as "enum, adjacent",
        Untagged as "enum, untagged",
        UntaggedIntegers as "untagged u32, u64, i64",
        UntaggedFloat as "untagged i64, f64",
        UntaggedOption as "untagged with Option",
        OneOrMany as "untagged one or many",
        RenamedAll as "enum rename_all",
        RenamedFields as "enum rename_all_fields",
        VariantAlias as "variant alias",
        TwoNames as "variant renamed two ways",
        Other as "other, internal",
        OtherExternal as "other, external",
        SkippedVariant as "skip variant, in use",
        SkippedVariantUnused as "skip variant, unused",
        VariantWith as "with on a variant",
        PartlyUntagged as "one variant untagged",
        Nested as "enum of enums",
        InternalOfExternal as "internal of external",
        InternalOfInternal as "internal of internal",
        AdjacentOfUntagged as "adjacent of untagged",
        AdjacentDeny as "adjacent, deny_unknown",
        UntaggedOfTagged as "untagged of tagged",
        TaggedStruct as "tag on struct",
        Empty1 as "variants without content",
        EnumEverywhere as "enums everywhere",
        Deep as "flatten adjacent",
        FromByte as "enum from, into u8",
        InternalSkip as "internal with skip_if",
        Versioned as "tag = version",
        Level as "serde_repr u8",
        Signed as "serde_repr i32, other",
        Box<dyn Rule> as "typetag",
        Box<dyn Tariff> as "typetag, external",
    })
}
