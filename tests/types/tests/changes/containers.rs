//! Fields of several values, or of none, that get another type under the same schema version.
//!
//! The values differ where the new code folds something that the old one did not.

use std::collections::{BTreeMap, HashSet};
use std::process::ExitCode;

use chrono::{DateTime, Utc};
use snapfold_types::changes::{self, Blind, Expected};
use uuid::Uuid;

/// Only a whole value shows it, and types nearby refuse all made-up ones.
const BLIND: Blind = &[("flattened_map_of_other_values", &["after newtypes"])];

fn main() -> ExitCode {
    changes::run(all(), Expected::ExactBut(BLIND))
}

fn text(n: u32) -> String {
    format!("text {n}")
}

snapfold_types::changes! {
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
    free_form_to_struct
        { struct Part { a: serde_json::Value } } |n| Part { a: serde_json::json!({ "x": n }) };
        { struct Part { a: Inner } struct Inner { x: u32, #[serde(default)] y: Option<u32> } }
        |n| Part { a: Inner { x: n, y: Some(1) } };
    // The way back, from a set to a list, is one that no bytes show.
    list_to_set_only_forth
        { struct Part { a: Vec<u32> } } |n| Part { a: vec![1, 1, n] };
        { struct Part { a: HashSet<u32> } } |n| Part { a: HashSet::from([4, n]) };

    // Old values stay as they are, and the new fold makes something else of the same events.
    flattened_map_of_other_values
        { struct Part { a: u32, #[serde(flatten)] more: BTreeMap<String, u32> } } |n| Part { a: n, more: BTreeMap::new() };
        { struct Part { a: u32, #[serde(flatten)] more: BTreeMap<String, String> } } |n| Part { a: n, more: BTreeMap::from([("bb".to_owned(), text(n))]) };
    elements_of_an_empty_list
        { struct Part { a: Vec<u32> } } |n| Part { a: vec![] };
        { struct Part { a: Vec<i64> } } |n| Part { a: vec![-1, n.into()] };
    values_of_an_empty_map
        { struct Part { a: BTreeMap<String, Status> } enum Status { New, Old } } |n| Part { a: BTreeMap::new() };
        { struct Part { a: BTreeMap<String, Status> } enum Status { New, Mid, Old } } |n| Part { a: BTreeMap::from([(text(n), Status::Mid)]) };
    content_of_an_empty_option
        { struct Part { a: Option<u32>, at: Option<DateTime<Utc>>, key: Option<Uuid> } } |n| Part { a: None, at: None, key: None };
        { struct Part { a: Option<u32>, at: Option<DateTime<Utc>>, key: Option<String> } } |n| Part { a: None, at: None, key: Some(text(n)) };
}
