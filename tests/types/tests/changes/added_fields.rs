//! Fields that a release adds under the same schema version.
//!
//! The values differ where the new code folds something that the old one did not.

use std::collections::BTreeMap;
use std::process::ExitCode;

use snapfold_types::changes::{self, Blind, Expected};

/// What a flattened struct leaves out of a value is told by no one.
const BLIND: Blind = &[
    ("added_list_that_is_skipped", &["flatten"]),
    ("added_number_that_is_skipped", &["flatten"]),
    ("added_option_that_is_skipped", &["flatten"]),
];

fn main() -> ExitCode {
    changes::run(all(), Expected::ExactBut(BLIND))
}

fn seven() -> u32 {
    7
}

fn is_seven(n: &u32) -> bool {
    *n == 7
}

fn text(n: u32) -> String {
    format!("text {n}")
}

snapfold_types::changes! {
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

    // Old values stay as they are, and the new fold makes something else of the same events.
    flattened_option_grows
        { struct Part { a: u32, #[serde(flatten)] more: Option<More> } struct More { b: u32 } } |n| Part { a: n, more: None };
        { struct Part { a: u32, #[serde(flatten)] more: Option<More> } struct More { b: u32, c: u32 } } |n| Part { a: n, more: Some(More { b: n, c: n }) };
}
