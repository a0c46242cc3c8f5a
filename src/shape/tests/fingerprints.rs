//! What changes a fingerprint and what does not, and values that are stored in files and therefore
//! never change.

#![expect(clippy::option_option, reason = "states may have them")]

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::marker::PhantomData;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Shape, clean, trace};

/// Defines one variation of a type per line, each in its own module, and returns the fingerprint of
/// `Root` in each.
macro_rules! variations {
    ($($name:ident { $($item:item)* })*) => {{
        $(mod $name {
            #![allow(dead_code, reason = "only the shape matters")]
            use serde::{Deserialize, Serialize};
            $(#[derive(Serialize, Deserialize)] $item)*
        })*
        vec![$((stringify!($name), clean::<$name::Root>())),*]
    }};
}

fn all_differ(fingerprints: &[(&str, u64)]) {
    for (at, (name, fingerprint)) in fingerprints.iter().enumerate() {
        for (other, other_fingerprint) in &fingerprints[..at] {
            assert_ne!(fingerprint, other_fingerprint, "{name} and {other}");
        }
    }
}

fn all_agree(fingerprints: &[(&str, u64)]) {
    for (name, fingerprint) in fingerprints {
        assert_eq!(*fingerprint, fingerprints[0].1, "{name} and {}", fingerprints[0].0);
    }
}

#[test]
fn every_change_of_a_struct_changes_the_fingerprint() {
    all_differ(&variations! {
        base { pub struct Root { first: u32, last: u32, tags: Vec<String> } }
        swapped { pub struct Root { last: u32, first: u32, tags: Vec<String> } }
        moved { pub struct Root { tags: Vec<String>, first: u32, last: u32 } }
        renamed { pub struct Root { first: u32, latest: u32, tags: Vec<String> } }
        renamed_for_serde {
            pub struct Root { first: u32, #[serde(rename = "l")] last: u32, tags: Vec<String> }
        }
        all_renamed {
            #[serde(rename_all = "UPPERCASE")]
            pub struct Root { first: u32, last: u32, tags: Vec<String> }
        }
        alias { pub struct Root { first: u32, #[serde(alias = "l")] last: u32, tags: Vec<String> } }
        wider { pub struct Root { first: u64, last: u32, tags: Vec<String> } }
        narrower { pub struct Root { first: u32, last: u16, tags: Vec<String> } }
        signed { pub struct Root { first: i32, last: u32, tags: Vec<String> } }
        float { pub struct Root { first: f32, last: u32, tags: Vec<String> } }
        optional { pub struct Root { first: Option<u32>, last: u32, tags: Vec<String> } }
        twice_optional {
            pub struct Root { first: Option<Option<u32>>, last: u32, tags: Vec<String> }
        }
        listed { pub struct Root { first: Vec<u32>, last: u32, tags: Vec<String> } }
        other_element { pub struct Root { first: u32, last: u32, tags: Vec<char> } }
        map {
            pub struct Root { first: u32, last: u32, tags: std::collections::BTreeMap<u8, String> }
        }
        other_key {
            pub struct Root { first: u32, last: u32, tags: std::collections::BTreeMap<u16, String> }
        }
        other_value {
            pub struct Root { first: u32, last: u32, tags: std::collections::BTreeMap<u8, u8> }
        }
        array { pub struct Root { first: u32, last: u32, tags: [u8; 4] } }
        longer_array { pub struct Root { first: u32, last: u32, tags: [u8; 5] } }
        added { pub struct Root { first: u32, last: u32, tags: Vec<String>, note: u8 } }
        added_unit { pub struct Root { first: u32, last: u32, tags: Vec<String>, note: () } }
        added_in_the_middle { pub struct Root { first: u32, note: u8, last: u32, tags: Vec<String> } }
        removed { pub struct Root { first: u32, tags: Vec<String> } }
        none { pub struct Root {} }
        unit { pub struct Root; }
        newtype { pub struct Root(u32); }
        tuple { pub struct Root(u32, u32); }
        tuple_of_others { pub struct Root(u32, u64); }
        transparent { #[serde(transparent)] pub struct Root(u32); }
    });
}

#[test]
fn every_change_deep_inside_changes_the_fingerprint() {
    all_differ(&variations! {
        base {
            pub struct Root { lines: Vec<Option<Line>> }
            pub struct Line { kind: ShapeKind }
            pub enum ShapeKind { Open, Paid { amount: u32, fee: u32 }, Sent(u8, u8), Gone(u8) }
        }
        swapped {
            pub struct Root { lines: Vec<Option<Line>> }
            pub struct Line { kind: ShapeKind }
            pub enum ShapeKind { Open, Paid { fee: u32, amount: u32 }, Sent(u8, u8), Gone(u8) }
        }
        wider {
            pub struct Root { lines: Vec<Option<Line>> }
            pub struct Line { kind: ShapeKind }
            pub enum ShapeKind { Open, Paid { amount: u32, fee: u64 }, Sent(u8, u8), Gone(u8) }
        }
        wider_in_the_last_variant {
            pub struct Root { lines: Vec<Option<Line>> }
            pub struct Line { kind: ShapeKind }
            pub enum ShapeKind { Open, Paid { amount: u32, fee: u32 }, Sent(u8, u8), Gone(u16) }
        }
        longer_variant {
            pub struct Root { lines: Vec<Option<Line>> }
            pub struct Line { kind: ShapeKind }
            pub enum ShapeKind { Open, Paid { amount: u32, fee: u32 }, Sent(u8, u8, u8), Gone(u8) }
        }
        variant_added {
            pub struct Root { lines: Vec<Option<Line>> }
            pub struct Line { kind: ShapeKind }
            pub enum ShapeKind { Open, Paid { amount: u32, fee: u32 }, Sent(u8, u8), Gone(u8), Lost }
        }
        variant_removed {
            pub struct Root { lines: Vec<Option<Line>> }
            pub struct Line { kind: ShapeKind }
            pub enum ShapeKind { Open, Paid { amount: u32, fee: u32 }, Gone(u8) }
        }
        variant_renamed {
            pub struct Root { lines: Vec<Option<Line>> }
            pub struct Line { kind: ShapeKind }
            pub enum ShapeKind { Begun, Paid { amount: u32, fee: u32 }, Sent(u8, u8), Gone(u8) }
        }
        variants_reordered {
            pub struct Root { lines: Vec<Option<Line>> }
            pub struct Line { kind: ShapeKind }
            pub enum ShapeKind { Paid { amount: u32, fee: u32 }, Open, Sent(u8, u8), Gone(u8) }
        }
        variant_of_another_style {
            pub struct Root { lines: Vec<Option<Line>> }
            pub struct Line { kind: ShapeKind }
            pub enum ShapeKind { Open, Paid { amount: u32, fee: u32 }, Sent(u8, u8), Gone }
        }
        variant_alias {
            pub struct Root { lines: Vec<Option<Line>> }
            pub struct Line { kind: ShapeKind }
            pub enum ShapeKind {
                #[serde(alias = "New")] Open,
                Paid { amount: u32, fee: u32 },
                Sent(u8, u8),
                Gone(u8),
            }
        }
        recursive {
            pub struct Root { lines: Vec<Option<Line>> }
            pub struct Line { kind: ShapeKind }
            pub enum ShapeKind { Open, Paid { amount: u32, fee: u32 }, Sent(u8, u8), Gone(Box<Line>) }
        }
        recursive_to_another_level {
            pub struct Root { lines: Vec<Option<Line>> }
            pub struct Line { kind: ShapeKind }
            pub enum ShapeKind { Open, Paid { amount: u32, fee: u32 }, Sent(u8, u8), Gone(Box<ShapeKind>) }
        }
        recursive_to_the_top {
            pub struct Root { lines: Vec<Option<Line>> }
            pub struct Line { kind: ShapeKind }
            pub enum ShapeKind { Open, Paid { amount: u32, fee: u32 }, Sent(u8, u8), Gone(Box<Root>) }
        }
    });
}

#[test]
fn what_leaves_the_stored_bytes_alone_leaves_the_fingerprint_alone() {
    all_agree(&variations! {
        base { pub struct Root { first: u32, last: Inner } pub struct Inner { text: String } }
        field_default {
            pub struct Root { #[serde(default)] first: u32, last: Inner }
            pub struct Inner { #[serde(default)] text: String }
        }
        container_default {
            pub struct Root { first: u32, last: Inner }
            #[derive(Default)] #[serde(default)] pub struct Inner { text: String }
        }
        strict {
            #[serde(deny_unknown_fields)] pub struct Root { first: u32, last: Inner }
            pub struct Inner { text: String }
        }
        skipped {
            pub struct Root { first: u32, #[serde(skip)] cached: u64, last: Inner }
            pub struct Inner { text: String, #[serde(skip)] length: usize }
        }
        type_renamed { pub struct Root { first: u32, last: Nested } pub struct Nested { text: String } }
        boxed {
            pub struct Root { first: Box<u32>, last: Box<Inner> }
            pub struct Inner { text: std::borrow::Cow<'static, str> }
        }
        checked {
            pub struct Root { first: std::num::NonZeroU32, last: Inner }
            pub struct Inner { text: std::sync::Arc<str> }
        }
        kept_name {
            pub struct Root { #[serde(rename = "first")] begin: u32, last: Inner }
            pub struct Inner { text: String }
        }
        generic {
            pub struct Root { first: u32, last: Inner<String> }
            pub struct Inner<T> { text: T }
        }
    });
    assert_eq!(clean::<String>(), clean::<Cow<'static, str>>());
    assert_eq!(clean::<HashMap<u8, Arc<str>>>(), clean::<BTreeMap<u8, Box<str>>>());
}

/// A list that is recursive through itself, and one that is recursive through a twin type. They
/// have the same bytes.
#[derive(Serialize, Deserialize)]
struct Chain {
    value: u8,
    next: Option<Box<Chain>>,
}

#[derive(Serialize, Deserialize)]
struct Even {
    value: u8,
    next: Option<Box<Odd>>,
}

#[derive(Serialize, Deserialize)]
struct Odd {
    value: u8,
    next: Option<Box<Even>>,
}

#[test]
fn how_a_shape_is_split_into_types_does_not_matter() {
    assert_eq!(clean::<Chain>(), clean::<Even>());
    assert_eq!(clean::<Chain>(), clean::<Odd>());

    all_agree(&variations! {
        one_type {
            pub struct Root { from: Money, to: Money }
            pub struct Money { cents: i64 }
        }
        twins {
            pub struct Root { from: Price, to: Cost }
            pub struct Price { cents: i64 }
            pub struct Cost { cents: i64 }
        }
    });
}

#[test]
fn types_of_one_name_are_told_apart() {
    mod left {
        #[derive(serde::Serialize, serde::Deserialize)]
        pub(super) struct Item {
            id: u32,
        }
    }
    mod right {
        #[derive(serde::Serialize, serde::Deserialize)]
        pub(super) struct Item {
            id: u64,
        }
    }
    #[derive(Serialize, Deserialize)]
    struct Of<A, B> {
        a: A,
        b: B,
    }
    let shapes = [
        ("left, left", clean::<Of<left::Item, left::Item>>()),
        ("left, right", clean::<Of<left::Item, right::Item>>()),
        ("right, left", clean::<Of<right::Item, left::Item>>()),
        ("right, right", clean::<Of<right::Item, right::Item>>()),
    ];
    all_differ(&shapes);
}

#[test]
fn types_that_cannot_be_told_apart_are_not_taken_for_one() {
    #[derive(Serialize, Deserialize)]
    struct Of<A, B> {
        a: A,
        b: B,
    }
    fn of<A, B>(_: PhantomData<A>, _: PhantomData<B>) -> Shape
    where
        A: Serialize + DeserializeOwned,
        B: Serialize + DeserializeOwned,
    {
        trace::<Of<A, B>>()
    }
    // Like two versions of one crate, these types have the same `type_name`.
    let narrow = {
        #[derive(Serialize, Deserialize)]
        struct Item {
            id: u32,
        }
        PhantomData::<Item>
    };
    let wide = {
        #[derive(Serialize, Deserialize)]
        struct Item {
            id: u64,
        }
        PhantomData::<Item>
    };
    let (same, mixed) = (of(narrow, narrow), of(narrow, wide));
    assert!(same.complete);
    assert!(!mixed.complete || mixed.fingerprint != same.fingerprint);
}

#[derive(Serialize, Deserialize)]
struct Account {
    id: uuid::Uuid,
    owner: String,
    balance: i64,
    limits: Option<Limits>,
    entries: Vec<Entry>,
    tags: BTreeMap<String, u8>,
    marker: PhantomData<u8>,
}

#[derive(Serialize, Deserialize)]
struct Limits {
    daily: u32,
    ratio: f64,
}

#[derive(Serialize, Deserialize)]
enum Entry {
    Opened,
    Paid { cents: u64, to: (char, bool) },
    Note(String),
    Undo(Box<Entry>, u16),
}

/// These numbers are stored in files. A change here makes every stored snapshot of every
/// application stale, so it must be intended, and it needs a new format name in `fingerprint`.
#[test]
fn stored_fingerprints_never_change() {
    assert_eq!(clean::<u64>(), 0x6081_2dc4_d5bc_2c74);
    assert_eq!(clean::<Chain>(), 0x61d9_e368_6295_2a96);
    assert_eq!(clean::<Account>(), 0x0af4_8f68_b9ed_7d78);
}

#[test]
fn the_hashed_bytes_are_the_documented_ones() {
    let number = |number: u32| number.to_le_bytes();
    let mut bytes = b"snapfold shape 1\n".to_vec();
    // The root: kind 0, no length, no names, one slot with entry 1.
    bytes.extend_from_slice(&[0; 1 + 8 + 4]);
    bytes.extend_from_slice(&number(1));
    bytes.push(2);
    bytes.extend_from_slice(&number(1));
    // `Chain`: a struct with two named fields, a `u8` and entry 2.
    bytes.push(7);
    bytes.extend_from_slice(&[0; 8]);
    bytes.extend_from_slice(&number(2));
    for name in ["value", "next"] {
        bytes.extend_from_slice(&number(u32::try_from(name.len()).unwrap()));
        bytes.extend_from_slice(name.as_bytes());
    }
    bytes.extend_from_slice(&number(2));
    bytes.extend_from_slice(&[1, 7]);
    bytes.push(2);
    bytes.extend_from_slice(&number(2));
    // The option: one slot, back to entry 1.
    bytes.extend_from_slice(&[1]);
    bytes.extend_from_slice(&[0; 8 + 4]);
    bytes.extend_from_slice(&number(1));
    bytes.push(2);
    bytes.extend_from_slice(&number(1));
    assert_eq!(clean::<Chain>(), twox_hash::XxHash3_64::oneshot(&bytes));
}
