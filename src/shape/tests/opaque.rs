//! Changes within parts that serde buffers: flattened fields, untagged and internally tagged enums.
//! If such a change does not affect old values, only the names that the types request reveal it.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{cost, trace};

#[derive(Serialize, Deserialize)]
struct Flat<P> {
    id: u32,
    #[serde(flatten)]
    part: P,
    tail: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged<P> {
    Part(P),
    Nothing { nothing: bool },
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Last<P> {
    Nothing { nothing: bool },
    Part(P),
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "is")]
enum Internal<P> {
    Nothing { nothing: bool },
    Part(P),
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "is", content = "of")]
enum Adjacent<P> {
    Nothing { nothing: bool },
    Part(P),
}

#[derive(Serialize, Deserialize)]
struct Beside<P> {
    what: P,
    tail: u64,
    other: Option<Untagged<u8>>,
}

#[derive(Serialize, Deserialize)]
struct Behind<P> {
    on: chrono::Weekday,
    what: Option<Untagged<P>>,
}

fn fingerprint<T: Serialize + DeserializeOwned>() -> u64 {
    let (shape, passes, visits) = cost::<T>();
    assert_eq!(shape, trace::<T>(), "the same each time");
    assert!(passes < 1_200 && visits < 16_000, "{passes} passes, {visits} visits");
    assert!(shape.complete);
    shape.fingerprint
}

/// The places where the part may occur, with the fingerprint of the state.
fn places<P: Serialize + DeserializeOwned>() -> Vec<(&'static str, u64)> {
    vec![
        ("flatten", fingerprint::<Flat<P>>()),
        ("untagged", fingerprint::<Beside<Untagged<P>>>()),
        ("last untagged", fingerprint::<Beside<Last<P>>>()),
        ("internally tagged", fingerprint::<Beside<Internal<P>>>()),
        ("adjacently tagged", fingerprint::<Beside<Adjacent<P>>>()),
        ("untagged, adjacent", fingerprint::<Beside<Untagged<Adjacent<P>>>>()),
        ("internal, flattened", fingerprint::<Internal<Flat<P>>>()),
        ("list", fingerprint::<Vec<Untagged<P>>>()),
    ]
}

macro_rules! changes {
    ($($name:ident { $($old:tt)* } { $($new:tt)* } $(except $($place:literal),*)?;)*) => {$(
        #[test]
        fn $name() {
            mod old {
                #[allow(unused_imports)]
                use super::*;
                snippet! { $($old)* }
            }
            mod new {
                #[allow(unused_imports)]
                use super::*;
                snippet! { $($new)* }
            }
            let hidden: &[&str] = &[$($($place),*)?];
            let mut wrong = Vec::new();
            for ((place, old), (_, new)) in places::<old::Part>().into_iter().zip(places::<new::Part>()) {
                if (old == new) != hidden.contains(&place) {
                    wrong.push(place);
                }
            }
            assert!(wrong.is_empty(), "{wrong:?}");
        }
    )*};
}

macro_rules! snippet {
    ($($item:item)*) => { $(#[derive(Serialize, Deserialize)] $item)* };
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn is_seven(n: &u32) -> bool {
    *n == 7
}

fn seven() -> u32 {
    7
}

changes! {
    option_that_is_skipped
        { pub struct Part { a: u32 } }
        { pub struct Part { a: u32, #[serde(default, skip_serializing_if = "Option::is_none")] b: Option<u32> } }
        except "flatten", "internal, flattened";
    number_that_is_skipped
        { pub struct Part { a: u32 } }
        { pub struct Part { a: u32, #[serde(default = "seven", skip_serializing_if = "is_seven")] b: u32 } }
        except "flatten", "internal, flattened";
    option_of_option
        { pub struct Part { a: Option<u32> } }
        { #[allow(clippy::option_option)] pub struct Part { a: Option<Option<u32>> } };
    map_comes
        { pub struct Part { a: u32 } }
        { pub struct Part { a: u32, #[serde(flatten)] more: BTreeMap<String, u32> } };
    flattened_option_comes
        { pub struct Part { a: u32 } }
        { pub struct Part { a: u32, #[serde(flatten)] more: Option<More> } pub struct More { b: u32 } };
    variant_inserted_first
        { pub struct Part { a: Status } pub enum Status { New, Moved(i64) } }
        { pub struct Part { a: Status } pub enum Status { Gone, New, Moved(i64) } };
    variant_removed
        { pub struct Part { a: Status } pub enum Status { New, Mid, Old } }
        { pub struct Part { a: Status } pub enum Status { New, Old } };
    variant_renamed
        { pub struct Part { a: Status } pub enum Status { New, Old } }
        { pub struct Part { a: Status } pub enum Status { #[serde(alias = "New")] Fresh, Old } };
    other_comes
        { pub struct Part { a: Status } pub enum Status { New, Old } }
        { pub struct Part { a: Status } pub enum Status { Old, #[serde(other)] Else } };
    variant_beside_other
        { pub struct Part { a: Status } pub enum Status { New, #[serde(other)] Else } }
        { pub struct Part { a: Status } pub enum Status { New, Mid, #[serde(other)] Else } };
    variant_of_a_default
        { pub struct Part { a: u8, #[serde(default)] s: Status } #[derive(Default)] pub enum Status { #[default] New, Old } }
        { pub struct Part { a: u8, #[serde(default)] s: Status } #[derive(Default)] pub enum Status { #[default] New, Old, Mid } };
    variant_of_an_option
        { pub struct Part { a: Option<Status> } pub enum Status { New, Old } }
        { pub struct Part { a: Option<Status> } pub enum Status { New, Mid, Old } };
    variant_of_a_list
        { pub struct Part { a: Vec<Status> } pub enum Status { New, Old } }
        { pub struct Part { a: Vec<Status> } pub enum Status { New, Mid, Old } };
    variant_of_a_map
        { pub struct Part { a: BTreeMap<String, Status> } pub enum Status { New, Old } }
        { pub struct Part { a: BTreeMap<String, Status> } pub enum Status { New, Mid, Old } };
    contents_of_a_variant
        { pub struct Part { a: Status } pub enum Status { New, Paid { cents: u32 }, Sent(u8, u8) } }
        { pub struct Part { a: Status } pub enum Status { New, Paid { cents: u32 }, Sent(u8, i8) } };
    field_of_a_variant
        { pub struct Part { a: Status } pub enum Status { New, Paid { cents: u32 } } }
        { pub struct Part { a: Status } pub enum Status { New, Paid { cents: u32, #[serde(default)] tax: u8 } } };
    field_of_a_tagged_variant
        { pub struct Part { a: Status } #[serde(tag = "t")] pub enum Status { New, Paid { cents: u32 }, Sent { cents: u32, by: String } } }
        { pub struct Part { a: Status } #[serde(tag = "t")] pub enum Status { New, Paid { cents: u32 }, Sent { cents: u32, by: String, #[serde(default)] n: u8 } } };
    variant_beside_other_tag
        { pub struct Part { a: Status } #[serde(tag = "t")] pub enum Status { New, #[serde(other)] Else } }
        { pub struct Part { a: Status } #[serde(tag = "t")] pub enum Status { New, Mid, #[serde(other)] Else } };
    field_behind_many_numbers
        { pub struct Part { a: f64, b: f64, c: f64, d: u8, e: bool, f: f32, g: Option<i64>, h: [u8; 3], s: Status } pub enum Status { New, Old } }
        { pub struct Part { a: f64, b: f64, c: f64, d: u8, e: bool, f: f32, g: Option<i64>, h: [u8; 3], s: Status } pub enum Status { New, Mid, Old } };
    field_behind_times
        { pub struct Part { at: chrono::DateTime<chrono::Utc>, key: uuid::Uuid, of: rust_decimal::Decimal, s: Status } pub enum Status { New, Old } }
        { pub struct Part { at: chrono::DateTime<chrono::Utc>, key: uuid::Uuid, of: rust_decimal::Decimal, s: Status } pub enum Status { New, Mid, Old } };
    option_behind_a_validated_one
        { pub struct Part { a: Option<u32>, at: Option<chrono::DateTime<chrono::Utc>>, key: Option<uuid::Uuid> } }
        { pub struct Part { a: Option<u32>, at: Option<chrono::DateTime<chrono::Utc>>, key: Option<String> } };
    content_of_an_adjacent_variant
        { #[serde(tag = "s", content = "c")] pub enum Part { New, Old(Option<u32>) } }
        { #[serde(tag = "s", content = "c")] pub enum Part { New, Old(Option<i64>) } };
    alias_comes
        { #[serde(deny_unknown_fields)] pub struct Part { a: u32 } }
        { #[serde(deny_unknown_fields)] pub struct Part { #[serde(alias = "b")] a: u32 } }
        except "flatten", "internal, flattened";
    unknown_fields_are_denied
        { pub struct Part { a: u32 } }
        { #[serde(deny_unknown_fields)] pub struct Part { a: u32 } }
        except "flatten", "internal, flattened";
    variants_swapped
        { pub struct Part { a: Status } pub enum Status { New, Old } }
        { pub struct Part { a: Status } pub enum Status { Old, New } };
    nested_untagged
        { #[serde(untagged)] pub enum Part { A { a: Inner }, B { b: u8 } } #[serde(untagged)] pub enum Inner { C { c: u8 }, D { d: String } } }
        { #[serde(untagged)] pub enum Part { A { a: Inner }, B { b: u8 } } #[serde(untagged)] pub enum Inner { C { c: u8 }, D { d: String }, E { e: String } } };
    two_flattened
        { pub struct Part { #[serde(flatten)] x: X, #[serde(flatten)] y: Y } pub struct X { x: Status } pub struct Y { y: Status } pub enum Status { New, Old } }
        { pub struct Part { #[serde(flatten)] x: X, #[serde(flatten)] y: Y } pub struct X { x: Status } pub struct Y { y: Status, z: Option<u8> } pub enum Status { New, Old } };
    flattened_tagged_enum
        { pub struct Part { n: u8, #[serde(flatten)] x: ShapeKind } #[serde(tag = "kind")] pub enum ShapeKind { A { a: u8 }, B { b: u8 } } }
        { pub struct Part { n: u8, #[serde(flatten)] x: ShapeKind } #[serde(tag = "kind")] pub enum ShapeKind { A { a: u8 }, B { b: u8 }, C { c: u8 } } };
    flattened_adjacent_enum
        { pub struct Part { n: u8, #[serde(flatten)] x: ShapeKind } #[serde(tag = "kind", content = "of")] pub enum ShapeKind { A { a: u8 }, B { b: u8 } } }
        { pub struct Part { n: u8, #[serde(flatten)] x: ShapeKind } #[serde(tag = "kind", content = "of")] pub enum ShapeKind { A { a: u8 }, B { b: u8, c: Option<u8> } } };
}

/// No whole value of such a state can be made, so only the contents of errors are known.
#[test]
fn what_is_behind_a_type_that_refuses_everything_is_asked_for_names() {
    fn sample<P>(part: P) -> Behind<P> {
        Behind { on: chrono::Weekday::Tue, what: Some(Untagged::Part(part)) }
    }
    snippet! {
        pub struct Two { a: Status } pub enum Status { New, Old }
        pub struct Three { a: More } pub enum More { New, Old, Mid }
        #[serde(tag = "s")] pub enum Tagged { New, Old { n: u8 } }
        #[serde(tag = "s")] pub enum Longer { New, Old { n: u8, m: u8 } }
        pub struct Defaulted { a: Status, #[serde(default)] b: u8 }
    }
    assert_ne!(trace::<Behind<Two>>(), trace::<Behind<Three>>());
    assert_ne!(trace::<Behind<Tagged>>(), trace::<Behind<Longer>>());
    // Nothing that is written contains the name of a field with a default.
    assert_eq!(trace::<Behind<Two>>(), trace::<Behind<Defaulted>>());
    let two = crate::shape::trace(&[sample(Two { a: Status::New })]);
    let defaulted = crate::shape::trace(&[sample(Defaulted { a: Status::New, b: 0 })]);
    assert_ne!(two, defaulted);
    // The values of a sample do not matter.
    assert_eq!(two, crate::shape::trace(&[sample(Two { a: Status::Old })]));
}

/// A type whose own code runs a trace while it is read, as building an engine there would.
struct Nested(u8);

impl Serialize for Nested {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.0)
    }
}

impl<'de> Deserialize<'de> for Nested {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        trace::<Flat<BTreeMap<String, u8>>>();
        u8::deserialize(deserializer).map(Self)
    }
}

#[test]
fn a_trace_inside_of_a_trace_is_not_heard() {
    assert_eq!(trace::<Beside<Untagged<Nested>>>(), trace::<Beside<Untagged<u8>>>());
    assert_eq!(trace::<Flat<Untagged<Nested>>>(), trace::<Flat<Untagged<u8>>>());
}

#[test]
fn many_opaque_parts_leave_the_rest_its_passes() {
    macro_rules! wide {
        ($name:ident: $($field:ident)*; $last:ty) => {
            #[derive(Serialize, Deserialize)]
            struct $name { $($field: Untagged<Kinds>,)* last: Vec<Option<$last>> }
        };
    }
    #[derive(Serialize, Deserialize)]
    #[serde(tag = "kind")]
    enum Kinds {
        A { a: u8, text: String },
        B { b: i64, list: Vec<u8> },
        C { c: f32, choice: Option<bool> },
    }
    wide!(Unsigned: a b c d e f g h i j k l m n o p q r s t u v w x y z; u64);
    wide!(Signed: a b c d e f g h i j k l m n o p q r s t u v w x y z; i64);
    let (unsigned, passes, visits) = cost::<Unsigned>();
    assert_ne!(unsigned, trace::<Signed>());
    assert!(unsigned.complete && passes < 2_000, "{passes} passes, {visits} visits");
}
