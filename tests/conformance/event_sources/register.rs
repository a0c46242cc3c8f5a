//! Every obligation has a case.

use std::collections::BTreeSet;

use snapfold::conformance::{Level, source_cases};

/// The ids like `E-20` that stand in bold in a source file.
fn obligations(path: &str) -> BTreeSet<String> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join(path)).unwrap();
    let bold = text.split("**").skip(1).step_by(2);
    bold.filter(|id| id.len() == 4 && id.as_bytes()[1] == b'-').map(str::to_owned).collect()
}

#[test]
fn every_obligation_of_a_source_has_a_case() {
    let mut obliged = obligations("src/events/mod.rs");
    obliged.extend(obligations("src/events/hybrid.rs"));
    assert!(obliged.len() >= 30, "are the ids still written as they were? {obliged:?}");
    let checked: BTreeSet<String> =
        source_cases().flat_map(|case| case.ids().iter().map(|id| (*id).to_owned())).collect();
    assert_eq!(checked, obliged);
}

#[test]
fn statements_differ_and_every_level_has_some() {
    let mut names = BTreeSet::new();
    for case in source_cases() {
        assert!(names.insert(case.name()), "twice: {}", case.name());
        assert!(case.name().len() <= 70, "too long for a table: {}", case.name());
    }
    for level in Level::OF_EVENT_SOURCES {
        assert!(source_cases().any(|case| case.level() == *level), "{level} has no case");
    }
}
