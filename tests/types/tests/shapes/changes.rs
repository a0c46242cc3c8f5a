//! Changes that a release makes under the same schema version. The values differ where the new
//! code folds something that the old one did not.

use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::time::Duration;

use chrono::{DateTime, TimeZone as _, Utc, Weekday};
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::change;

fn seven() -> u32 {
    7
}

fn is_seven(n: &u32) -> bool {
    *n == 7
}

fn text(n: u32) -> String {
    format!("text {n}")
}

fn uuid(n: u32) -> Uuid {
    Uuid::from_u128(u128::from(n) + 1)
}

fn time(n: u32) -> DateTime<Utc> {
    Utc.timestamp_opt(1_700_000_000 + i64::from(n), 0).unwrap()
}

change! {
    // Fields come.
    added_last_with_default
        { struct Part { a: u32 } } |n| Part { a: n };
        { struct Part { a: u32, #[serde(default)] b: u64 } } |n| Part { a: n, b: 9 + u64::from(n) };
    added_first_with_default
        { struct Part { a: u32 } } |n| Part { a: n };
        { struct Part { #[serde(default)] b: u64, a: u32 } } |n| Part { a: n, b: 9 };
    added_with_default_path
        { struct Part { a: u32 } } |n| Part { a: n };
        { struct Part { a: u32, #[serde(default = "seven")] b: u32 } } |n| Part { a: n, b: 8 + n };
    added_option
        { struct Part { a: u32 } } |n| Part { a: n };
        { struct Part { a: u32, b: Option<u32> } } |n| Part { a: n, b: Some(n) };
    added_option_that_is_skipped
        { struct Part { a: u32 } } |n| Part { a: n };
        { struct Part { a: u32, #[serde(default, skip_serializing_if = "Option::is_none")] b: Option<u32> } }
        |n| Part { a: n, b: Some(n) };
    added_number_that_is_skipped
        { struct Part { a: u32 } } |n| Part { a: n };
        { struct Part { a: u32, #[serde(default = "seven", skip_serializing_if = "is_seven")] b: u32 } }
        |n| Part { a: n, b: 8 + n };
    added_list_that_is_skipped
        { struct Part { a: u32 } } |n| Part { a: n };
        { struct Part { a: u32, #[serde(default, skip_serializing_if = "Vec::is_empty")] b: Vec<u32> } }
        |n| Part { a: n, b: vec![n] };
    added_list
        { struct Part { a: u32 } } |n| Part { a: n };
        { struct Part { a: u32, #[serde(default)] b: Vec<u32> } } |n| Part { a: n, b: vec![n] };
    added_bool
        { struct Part { a: u32 } } |n| Part { a: n };
        { struct Part { #[serde(default)] b: bool, a: u32 } } |n| Part { a: n, b: true };
    added_without_default
        { struct Part { a: u32, b: u32 } } |n| Part { a: n, b: 1 };
        { struct Part { a: u32, b: u32, c: u8 } } |n| Part { a: n, b: 1, c: 77 };
    added_with_default_of_the_struct
        { #[derive(Default)] #[serde(default)] struct Part { a: u32 } } |n| Part { a: n };
        { #[derive(Default)] #[serde(default)] struct Part { a: u32, b: i64 } } |n| Part { a: n, b: -1 };
    added_two_that_cancel
        { struct Part { a: u64 } } |n| Part { a: n.into() };
        { struct Part { #[serde(default)] b: u32, a: u32 } } |n| Part { b: 3, a: n };
    added_map
        { struct Part { a: u32 } } |n| Part { a: n };
        { struct Part { a: u32, #[serde(default)] b: BTreeMap<String, u32> } }
        |n| Part { a: n, b: BTreeMap::from([(text(n), n)]) };
    was_skipped_and_is_stored
        { struct Part { a: u32, #[serde(skip)] b: u32 } } |n| Part { a: n, b: 0 };
        { struct Part { a: u32, #[serde(default)] b: u32 } } |n| Part { a: n, b: 5 };
    flattened_struct_comes
        { struct Part { a: u32 } } |n| Part { a: n };
        { struct Part { a: u32, #[serde(flatten)] more: More } #[derive(Default)] struct More { #[serde(default)] b: u32 } }
        |n| Part { a: n, more: More { b: 5 } };
    flattened_option_comes
        { struct Part { a: u32 } } |n| Part { a: n };
        { struct Part { a: u32, #[serde(flatten)] more: Option<More> } struct More { b: u32 } }
        |n| Part { a: n, more: Some(More { b: 5 }) };
    flattened_map_comes
        { struct Part { a: u32 } } |n| Part { a: n };
        { struct Part { a: u32, #[serde(flatten)] more: BTreeMap<String, u32> } }
        |n| Part { a: n, more: BTreeMap::from([("bb".to_owned(), 5)]) };

    // Fields go.
    removed_last
        { struct Part { a: u32, b: u32 } } |n| Part { a: n, b: 5 };
        { struct Part { a: u32 } } |n| Part { a: n + 1 };
    removed_first
        { struct Part { b: u32, a: u32 } } |n| Part { a: n, b: 5 };
        { struct Part { a: u32 } } |n| Part { a: n + 1 };
    removed_middle_of_one_kind
        { struct Part { a: u32, b: u32, c: u32 } } |n| Part { a: n, b: 5, c: 6 };
        { struct Part { a: u32, c: u32 } } |n| Part { a: n, c: 7 };
    removed_and_denied
        { struct Part { a: u32, b: u32 } } |n| Part { a: n, b: 5 };
        { #[serde(deny_unknown_fields)] struct Part { a: u32 } } |n| Part { a: n + 1 };

    // Fields move or are called otherwise.
    swapped
        { struct Part { credit: i64, balance: i64 } } |n| Part { credit: 1, balance: n.into() };
        { struct Part { balance: i64, credit: i64 } } |n| Part { credit: 1, balance: n.into() };
    renamed
        { struct Part { a: u32, b: u32 } } |n| Part { a: n, b: 2 };
        { struct Part { a: u32, c: u32 } } |n| Part { a: n, c: 3 };
    renamed_with_alias
        { struct Part { sum: u32 } } |n| Part { sum: n };
        { struct Part { #[serde(alias = "sum")] total: u32 } } |n| Part { total: n + 100 };
    renamed_with_default
        { struct Part { a: u32, sum: u32 } } |n| Part { a: n, sum: n };
        { struct Part { a: u32, #[serde(default)] total: u32 } } |n| Part { a: n, total: n + 1 };
    case_of_names
        { struct Part { first_name: String } } |n| Part { first_name: text(n) };
        { #[serde(rename_all = "camelCase")] struct Part { #[serde(default)] first_name: String } }
        |n| Part { first_name: text(n) };
    tuple_to_struct
        { struct Part(a: u32, b: u32); } |n| Part(n, 1);
        { struct Part { b: u32, a: u32 } } |n| Part { a: n, b: 1 };
    newtype_to_struct
        { struct Part(a: u32); } |n| Part(n);
        { struct Part { a: u32 } } |n| Part { a: n + 1 };

    // Types of fields change.
    widened
        { struct Part { a: u32 } } |n| Part { a: n };
        { struct Part { a: u64 } } |n| Part { a: u64::from(n) + (1 << 40) };
    narrowed
        { struct Part { a: u64 } } |n| Part { a: n.into() };
        { struct Part { a: u32 } } |n| Part { a: n + 1 };
    signed
        { struct Part { a: u64 } } |n| Part { a: 1_000 + u64::from(n) };
        { struct Part { a: i64 } } |n| Part { a: -1 - i64::from(n) };
    unsigned
        { struct Part { a: i32 } } |n| Part { a: -5 };
        { struct Part { a: u32 } } |n| Part { a: n };
    integer_to_float
        { struct Part { a: u32 } } |n| Part { a: n };
        { struct Part { a: f64 } } |n| Part { a: f64::from(n) / 3.0 };
    float_widened
        { struct Part { a: f32 } } |n| Part { a: 0.1 };
        { struct Part { a: f64 } } |n| Part { a: 0.1 };
    integer_to_text
        { struct Part { a: i64 } } |n| Part { a: n.into() };
        { struct Part { a: String } } |n| Part { a: text(n) };
    bool_to_number
        { struct Part { a: bool } } |n| Part { a: true };
        { struct Part { a: u8 } } |n| Part { a: 2 };
    char_to_text
        { struct Part { a: char } } |n| Part { a: 'x' };
        { struct Part { a: String } } |n| Part { a: text(n) };
    pair_to_number
        { struct Part { a: (u32, u32) } } |n| Part { a: (n, 1) };
        { struct Part { a: u64 } } |n| Part { a: n.into() };
    array_to_number
        { struct Part { a: [u8; 4] } } |n| Part { a: [0, 0, 0, 1] };
        { struct Part { a: u32 } } |n| Part { a: n + 5 };
    array_longer
        { struct Part { a: [u32; 2], b: u32 } } |n| Part { a: [n, 1], b: 2 };
        { struct Part { a: [u32; 3] } } |n| Part { a: [n, 1, 3] };
    required_to_option
        { struct Part { a: u32 } } |n| Part { a: 1 };
        { struct Part { a: Option<u32> } } |n| Part { a: n.checked_sub(1) };
    option_to_required
        { struct Part { a: Option<u32> } } |n| Part { a: n.checked_sub(1) };
        { struct Part { a: u32 } } |n| Part { a: n + 3 };
    option_to_default
        { struct Part { a: Option<u32> } } |n| Part { a: None };
        { struct Part { #[serde(default)] a: u32 } } |n| Part { a: n };
    option_of_option
        { struct Part { a: Option<u32> } } |n| Part { a: None };
        { struct Part { a: Option<Option<u32>> } } |n| Part { a: Some(Some(n)) };
    one_to_many
        { struct Part { a: u32 } } |n| Part { a: n };
        { struct Part { a: Vec<u32> } } |n| Part { a: vec![n; 3] };
    option_to_list
        { struct Part { a: Option<u32> } } |n| Part { a: Some(n) };
        { struct Part { a: Vec<u32> } } |n| Part { a: vec![n; 2] };
    pairs_to_map
        { struct Part { a: Vec<(String, u32)> } } |n| Part { a: vec![(text(n), n)] };
        { struct Part { a: BTreeMap<String, u32> } } |n| Part { a: BTreeMap::from([(text(n), n + 1)]) };
    bytes_to_text
        { struct Part { a: Vec<u8> } } |n| Part { a: b"abc".to_vec() };
        { struct Part { a: String } } |n| Part { a: text(n) };
    map_to_struct
        { struct Part { a: BTreeMap<String, u32> } } |n| Part { a: BTreeMap::from([("x".to_owned(), n)]) };
        { struct Part { a: Inner } struct Inner { #[serde(default)] x: u32, #[serde(default)] y: u32 } }
        |n| Part { a: Inner { x: n, y: 4 } };
    values_of_map_widened
        { struct Part { a: BTreeMap<String, u32> } } |n| Part { a: BTreeMap::from([("x".to_owned(), n)]) };
        { struct Part { a: BTreeMap<String, i64> } } |n| Part { a: BTreeMap::from([("x".to_owned(), -1)]) };
    keys_of_map_to_text
        { struct Part { a: BTreeMap<u32, u32> } } |n| Part { a: BTreeMap::from([(n, n)]) };
        { struct Part { a: BTreeMap<String, u32> } } |n| Part { a: BTreeMap::from([(n.to_string(), n + 1)]) };
    to_non_zero
        { struct Part { a: u32 } } |n| Part { a: n };
        { struct Part { a: Option<NonZeroU32> } } |n| Part { a: NonZeroU32::new(n + 1) };
    sum_to_struct
        { struct Part { a: i64 } } |n| Part { a: n.into() };
        { struct Part { a: Money } struct Money { cents: i64, currency: String } }
        |n| Part { a: Money { cents: n.into(), currency: text(n) } };
    text_to_enum
        { struct Part { a: String } } |n| Part { a: "Open".to_owned() };
        { struct Part { a: Status } enum Status { Open, Closed } } |n| Part { a: Status::Closed };
    uuid_to_text
        { struct Part { a: Uuid } } |n| Part { a: uuid(n) };
        { struct Part { a: String } } |n| Part { a: text(n) };
    address_to_text
        { struct Part { a: IpAddr } } |n| Part { a: Ipv4Addr::from_bits(n).into() };
        { struct Part { a: String } } |n| Part { a: text(n) };
    weekday_to_number
        { struct Part { a: Weekday, b: u32 } } |n| Part { a: Weekday::Tue, b: n };
        { struct Part { a: u8, b: u32 } } |n| Part { a: 1, b: n };
    time_to_number
        { struct Part { a: DateTime<Utc> } } |n| Part { a: time(n) };
        { struct Part { #[serde(with = "chrono::serde::ts_seconds")] a: DateTime<Utc> } } |n| Part { a: time(n + 1) };
    duration_to_number
        { struct Part { a: Duration } } |n| Part { a: Duration::from_secs(n.into()) };
        { struct Part { a: u64 } } |n| Part { a: 1_000 * u64::from(n) };
    // The same text in both: it may be read.
    decimal_to_text
        { struct Part { a: Decimal } } |n| Part { a: Decimal::new(n.into(), 2) };
        { struct Part { #[serde(with = "rust_decimal::serde::str")] a: Decimal } } |n| Part { a: Decimal::new(n.into(), 2) };
    free_form_to_struct
        { struct Part { a: serde_json::Value } } |n| Part { a: serde_json::json!({ "x": n }) };
        { struct Part { a: Inner } struct Inner { x: u32, #[serde(default)] y: Option<u32> } }
        |n| Part { a: Inner { x: n, y: Some(1) } };
    // The way back, from a set to a list, is one that no bytes show.
    list_to_set_only_forth
        { struct Part { a: Vec<u32> } } |n| Part { a: vec![1, 1, n] };
        { struct Part { a: HashSet<u32> } } |n| Part { a: HashSet::from([4, n]) };

    // The same inside what a field holds.
    struct_inside_grows
        { struct Part { a: Inner } struct Inner { x: u32 } } |n| Part { a: Inner { x: n } };
        { struct Part { a: Inner } struct Inner { x: u32, #[serde(default)] y: u32 } } |n| Part { a: Inner { x: n, y: 9 } };
    element_grows
        { struct Part { a: Vec<Inner> } struct Inner { x: u32 } } |n| Part { a: vec![Inner { x: n }] };
        { struct Part { a: Vec<Inner> } struct Inner { x: u32, #[serde(default)] y: Option<u8> } }
        |n| Part { a: vec![Inner { x: n, y: Some(9) }] };
    option_inside_grows
        { struct Part { a: Option<Inner> } struct Inner { x: u32 } } |n| Part { a: Some(Inner { x: n }) };
        { struct Part { a: Option<Inner> } struct Inner { x: u32, #[serde(default)] y: u8 } }
        |n| Part { a: Some(Inner { x: n, y: 9 }) };
    recursive_grows
        { struct Part { x: u32, next: Option<Box<Part>> } } |n| Part { x: n, next: Some(Box::new(Part { x: 1, next: None })) };
        { struct Part { x: u32, #[serde(default)] y: u32, next: Option<Box<Part>> } }
        |n| Part { x: n, y: 0, next: Some(Box::new(Part { x: 1, y: 3, next: None })) };
    flattened_inside
        { struct Part { a: Inner } struct Inner { x: u32 } } |n| Part { a: Inner { x: n } };
        { struct Part { #[serde(flatten)] a: Inner } struct Inner { #[serde(default)] x: u32 } } |n| Part { a: Inner { x: n + 1 } };
    boxed
        { struct Part { a: u64, b: Option<String> } } |n| Part { a: n.into(), b: None };
        { struct Part { a: Box<u64>, b: Option<Box<str>> } } |n| Part { a: Box::new(n.into()), b: None };

    // Enums.
    variant_inserted_first
        { struct Part { a: Status } enum Status { New, Moved(by: i64) } } |n| Part { a: Status::New };
        { struct Part { a: Status } enum Status { Gone, New, Moved(by: i64) } } |n| Part { a: Status::Moved(n.into()) };
    variants_swapped
        { struct Part { a: Status } enum Status { New, Old } } |n| Part { a: Status::New };
        { struct Part { a: Status } enum Status { Old, New } } |n| Part { a: Status::New };
    variant_removed
        { struct Part { a: Status } enum Status { New, Mid, Old } } |n| Part { a: Status::Mid };
        { struct Part { a: Status } enum Status { New, Old } } |n| Part { a: Status::Old };
    variant_renamed
        { struct Part { a: Status } enum Status { New, Old } } |n| Part { a: Status::New };
        { struct Part { a: Status } enum Status { #[serde(alias = "New")] Fresh, Old } } |n| Part { a: Status::Old };
    variant_other
        { struct Part { a: Status } enum Status { New, Old } } |n| Part { a: Status::New };
        { struct Part { a: Status } enum Status { Old, #[serde(other)] Else } } |n| Part { a: Status::Old };
    variant_gets_content
        { struct Part { a: Status } enum Status { New, Old(n: u32) } } |n| Part { a: Status::Old(n) };
        { struct Part { a: Status } enum Status { New, Old(n: u32, m: Option<u32>) } } |n| Part { a: Status::Old(n, Some(1)) };
    variant_content_named
        { struct Part { a: Status } enum Status { New, Old(n: u32) } } |n| Part { a: Status::Old(n) };
        { struct Part { a: Status } enum Status { New, Old { n: u32 } } } |n| Part { a: Status::Old { n: n + 1 } };
    variant_field_comes
        { struct Part { a: Status } enum Status { New, Old { n: u32 } } } |n| Part { a: Status::Old { n } };
        { struct Part { a: Status } enum Status { New, Old { n: u32, #[serde(default)] m: u32 } } } |n| Part { a: Status::Old { n, m: 6 } };
    tagged_variant_field_comes
        { struct Part { a: Status } #[serde(tag = "s")] enum Status { New, Old { n: u32 } } } |n| Part { a: Status::Old { n } };
        { struct Part { a: Status } #[serde(tag = "s")] enum Status { New, Old { n: u32, #[serde(default)] m: u32 } } }
        |n| Part { a: Status::Old { n, m: 6 } };
    untagged_variant_comes
        { struct Part { a: What } #[serde(untagged)] enum What { Number { n: u32 } } } |n| Part { a: What::Number { n } };
        { struct Part { a: What } #[serde(untagged)] enum What { Both { n: u32, #[serde(default)] m: u32 }, Number { n: u32 } } }
        |n| Part { a: What::Number { n } };
    external_to_internal
        { struct Part { a: Status } enum Status { Old { n: u32 } } } |n| Part { a: Status::Old { n } };
        { struct Part { a: Status } #[serde(tag = "s")] enum Status { Old { n: u32 } } } |n| Part { a: Status::Old { n: n + 1 } };
    internal_to_adjacent
        { struct Part { a: Status } #[serde(tag = "s")] enum Status { Old { n: u32 } } } |n| Part { a: Status::Old { n } };
        { struct Part { a: Status } #[serde(tag = "s", content = "c")] enum Status { Old { n: u32 } } }
        |n| Part { a: Status::Old { n: n + 1 } };
    external_to_untagged
        { struct Part { a: Status } enum Status { Old { n: u32 } } } |n| Part { a: Status::Old { n } };
        { struct Part { a: Status } #[serde(untagged)] enum Status { Old { n: u32 }, Any(all: BTreeMap<String, BTreeMap<String, u32>>) } }
        |n| Part { a: Status::Old { n: n + 1 } };
    // Old values stay as they are, and the new fold makes something else of the same events.
    variant_beside_other_comes
        { struct Part { a: Status } enum Status { New, #[serde(other)] Else } } |n| Part { a: Status::Else };
        { struct Part { a: Status } enum Status { New, Mid, #[serde(other)] Else } } |n| Part { a: Status::Mid };
    other_goes
        { struct Part { a: Status } enum Status { Old, #[serde(other)] Else } } |n| Part { a: Status::Old };
        { struct Part { a: Status } enum Status { Old, New } } |n| Part { a: Status::New };
    tagged_variant_beside_other_comes
        { struct Part { a: Status } #[serde(tag = "s")] enum Status { New, #[serde(other)] Else } } |n| Part { a: Status::Else };
        { struct Part { a: Status } #[serde(tag = "s")] enum Status { New, Mid, #[serde(other)] Else } } |n| Part { a: Status::Mid };
    tagged_variant_comes
        { struct Part { a: Status } #[serde(tag = "s")] enum Status { New, Old { n: u32 } } } |n| Part { a: Status::New };
        { struct Part { a: Status } #[serde(tag = "s")] enum Status { New, Old { n: u32 }, Mid { n: u32 } } } |n| Part { a: Status::Mid { n } };
    adjacent_variant_comes
        { struct Part { a: Status } #[serde(tag = "s", content = "c")] enum Status { New, Old { n: u32 } } } |n| Part { a: Status::New };
        { struct Part { a: Status } #[serde(tag = "s", content = "c")] enum Status { New, Old { n: u32 }, Mid(n: u32) } } |n| Part { a: Status::Mid(n) };
    content_of_an_unused_adjacent_variant
        { struct Part { a: Status } #[serde(tag = "s", content = "c")] enum Status { New, Old(n: Option<u32>) } } |n| Part { a: Status::Old(None) };
        { struct Part { a: Status } #[serde(tag = "s", content = "c")] enum Status { New, Old(n: Option<i64>) } } |n| Part { a: Status::Old(Some(-1)) };
    flattened_tagged_variant_comes
        { struct Part { a: u32, #[serde(flatten)] s: Status } #[serde(tag = "s")] enum Status { New, Old { n: u32 } } } |n| Part { a: n, s: Status::New };
        { struct Part { a: u32, #[serde(flatten)] s: Status } #[serde(tag = "s")] enum Status { New, Old { n: u32 }, Mid { n: u32 } } }
        |n| Part { a: n, s: Status::Mid { n } };
    flattened_variant_comes
        { struct Part { a: u32, #[serde(flatten)] s: Status } enum Status { New { n: u32 } } } |n| Part { a: n, s: Status::New { n } };
        { struct Part { a: u32, #[serde(flatten)] s: Status } enum Status { New { n: u32 }, Mid { n: u32 } } } |n| Part { a: n, s: Status::Mid { n } };
    flattened_option_grows
        { struct Part { a: u32, #[serde(flatten)] more: Option<More> } struct More { b: u32 } } |n| Part { a: n, more: None };
        { struct Part { a: u32, #[serde(flatten)] more: Option<More> } struct More { b: u32, c: u32 } } |n| Part { a: n, more: Some(More { b: n, c: n }) };
    flattened_map_of_other_values
        { struct Part { a: u32, #[serde(flatten)] more: BTreeMap<String, u32> } } |n| Part { a: n, more: BTreeMap::new() };
        { struct Part { a: u32, #[serde(flatten)] more: BTreeMap<String, String> } } |n| Part { a: n, more: BTreeMap::from([("bb".to_owned(), text(n))]) };
    untagged_variant_comes_last
        { struct Part { a: What } #[serde(untagged)] enum What { Number { n: u32 } } } |n| Part { a: What::Number { n } };
        { struct Part { a: What } #[serde(untagged)] enum What { Number { n: u32 }, Text { t: String } } } |n| Part { a: What::Text { t: text(n) } };
    nested_untagged_variant_comes
        { struct Part { a: What } #[serde(untagged)] enum What { More { w: Deep } } #[serde(untagged)] enum Deep { Number(n: u32) } }
        |n| Part { a: What::More { w: Deep::Number(n) } };
        { struct Part { a: What } #[serde(untagged)] enum What { More { w: Deep } } #[serde(untagged)] enum Deep { Number(n: u32), Pair { x: u32 } } }
        |n| Part { a: What::More { w: Deep::Pair { x: n } } };
    variant_of_a_default_comes
        { struct Part { a: u32, #[serde(default)] s: Status } #[derive(Default)] enum Status { #[default] New, Old } } |n| Part { a: n, s: Status::New };
        { struct Part { a: u32, #[serde(default)] s: Status } #[derive(Default)] enum Status { #[default] New, Old, Mid } } |n| Part { a: n, s: Status::Mid };
    variant_of_an_option_comes
        { struct Part { a: Option<Status> } enum Status { New, Old } } |n| Part { a: None };
        { struct Part { a: Option<Status> } enum Status { New, Old, Mid } } |n| Part { a: Some(Status::Mid) };
    elements_of_an_empty_list
        { struct Part { a: Vec<u32> } } |n| Part { a: vec![] };
        { struct Part { a: Vec<i64> } } |n| Part { a: vec![-1, n.into()] };
    values_of_an_empty_map
        { struct Part { a: BTreeMap<String, Status> } enum Status { New, Old } } |n| Part { a: BTreeMap::new() };
        { struct Part { a: BTreeMap<String, Status> } enum Status { New, Mid, Old } } |n| Part { a: BTreeMap::from([(text(n), Status::Mid)]) };
    content_of_an_empty_option
        { struct Part { a: Option<u32>, at: Option<DateTime<Utc>>, key: Option<Uuid> } } |n| Part { a: None, at: None, key: None };
        { struct Part { a: Option<u32>, at: Option<DateTime<Utc>>, key: Option<String> } } |n| Part { a: None, at: None, key: Some(text(n)) };
    variant_that_waits_in_a_list
        { struct Part { all: Vec<Line> } #[serde(tag = "t")] enum Line { Item { of: Kind, at: DateTime<Utc> } } enum Kind { New, Old } } |n| Part { all: vec![] };
        { struct Part { all: Vec<Line> } #[serde(tag = "t")] enum Line { Item { of: Kind, at: DateTime<Utc> } } enum Kind { New, Mid, Old } }
        |n| Part { all: vec![Line::Item { of: Kind::Mid, at: time(n) }] };

    // The same names in both where it is flattened: it may be read.
    enum_to_struct
        { enum Part { New { a: u32 } } } |n| Part::New { a: n };
        { struct Part { #[serde(default, rename = "New")] new: Inner } #[derive(Default)] struct Inner { a: u32 } }
        |n| Part { new: Inner { a: n } };
}
