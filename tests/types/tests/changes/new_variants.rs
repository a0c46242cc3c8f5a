//! Variants that a release adds or removes under the same schema version.
//!
//! The values differ where the new code folds something that the old one did not.

use std::process::ExitCode;

use chrono::{DateTime, TimeZone as _, Utc};
use snapfold_types::changes::{self, Blind, Expected};

const BLIND: Blind = &[
    // The variants of an enum that is flattened without a tag are told by no one.
    ("flattened_variant_comes", &[]),
    // Only a whole value shows it, and types nearby refuse all made-up ones.
    ("tagged_variant_beside_other_comes", &["after newtypes"]),
    // Behind a type that refuses every made-up value, a variant that no value has.
    ("content_of_an_unused_adjacent_variant", &["after newtypes"]),
];

fn main() -> ExitCode {
    changes::run(all(), Expected::ExactBut(BLIND))
}

fn text(n: u32) -> String {
    format!("text {n}")
}

fn time(n: u32) -> DateTime<Utc> {
    Utc.timestamp_opt(1_700_000_000 + i64::from(n), 0).unwrap()
}

snapfold_types::changes! {
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
    variant_that_waits_in_a_list
        { struct Part { all: Vec<Line> } #[serde(tag = "t")] enum Line { Item { of: Kind, at: DateTime<Utc> } } enum Kind { New, Old } } |n| Part { all: vec![] };
        { struct Part { all: Vec<Line> } #[serde(tag = "t")] enum Line { Item { of: Kind, at: DateTime<Utc> } } enum Kind { New, Mid, Old } }
        |n| Part { all: vec![Line::Item { of: Kind::Mid, at: time(n) }] };
}
