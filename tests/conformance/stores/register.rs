//! Every promise has a case.

use std::collections::BTreeSet;

use snapfold::conformance::{Level, cases};

/// The ids like `C-20` that stand in bold in a source file.
fn promises(path: &str) -> BTreeSet<String> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join(path)).unwrap();
    let bold = text.split("**").skip(1).step_by(2);
    bold.filter(|id| id.len() == 4 && id.as_bytes()[1] == b'-').map(str::to_owned).collect()
}

#[test]
fn every_promise_of_a_store_has_a_case() {
    let promised = promises("src/store/mod.rs");
    assert!(promised.len() >= 30, "are the ids still written as they were? {promised:?}");
    let checked: BTreeSet<String> =
        cases().flat_map(|case| case.ids().iter().map(|id| (*id).to_owned())).collect();
    let unchecked: Vec<_> = promised.difference(&checked).collect();
    assert!(unchecked.is_empty(), "no case checks {unchecked:?}");
    let unknown: Vec<_> = checked.difference(&promised).filter(|id| id.starts_with("C-")).collect();
    assert!(unknown.is_empty(), "cases check what nobody promised: {unknown:?}");
}

#[test]
fn statements_differ_and_every_level_has_some() {
    let mut names = BTreeSet::new();
    for case in cases() {
        assert!(names.insert(case.name()), "twice: {}", case.name());
        assert!(case.name().len() <= 70, "too long for a table: {}", case.name());
        assert!(!case.ids().is_empty());
    }
    for level in Level::ALL {
        assert!(cases().any(|case| case.level() == *level), "{level} has no case");
    }
}
