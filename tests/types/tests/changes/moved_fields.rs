//! Fields that a release removes, moves or renames under the same schema version.
//!
//! The values differ where the new code folds something that the old one did not.

use std::process::ExitCode;

use snapfold_types::changes::{self, Expected};

fn main() -> ExitCode {
    changes::run(all(), Expected::ExactBut(&[]))
}

fn text(n: u32) -> String {
    format!("text {n}")
}

snapfold_types::changes! {
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
}
