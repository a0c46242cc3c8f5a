//! Changes of state types: the old release saves, and the new one loads what a replay gives.

mod changes;
mod places;
mod unseen;

use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use libtest_mimic::{Arguments, Trial};
use snapfold_types::{Change, judge_change};

use places::Pair;

/// A change: its name, and the pair of releases for each place and codec.
pub(crate) type Named = (&'static str, Vec<Pair>);

/// Declares changes: the types of each release, and the part of the state that is made of the
/// number `n` of an aggregate.
macro_rules! change {
    ($($name:ident
        { $($old:tt)* } |$n:ident| $old_part:expr;
        { $($new:tt)* } |$m:ident| $new_part:expr;
    )*) => {
        $(mod $name {
            pub(super) mod v1 {
                #[allow(unused_imports)]
                use super::super::*;
                snapfold_types::state! { $($old)* }
                pub(crate) fn part($n: u32) -> Part { let _ = $n; $old_part }
            }
            pub(super) mod v2 {
                #[allow(unused_imports)]
                use super::super::*;
                snapfold_types::state! { $($new)* }
                pub(crate) fn part($m: u32) -> Part { let _ = $m; $new_part }
            }
        })*
        pub(crate) fn all() -> Vec<crate::Named> {
            vec![$((stringify!($name), crate::places::pairs($name::v1::part, $name::v2::part))),*]
        }
    };
}
pub(crate) use change;

/// Changes that leave old values as they are, and change what the fold makes of the same events,
/// with the places where nothing shows them but samples, which each release is given in a run of
/// its own. The guide to state types says so.
const BLIND: [(&str, &[&str]); 7] = [
    // What a flattened struct leaves out of a value, and the variants of an enum that is flattened
    // without a tag, are told by no one.
    ("added_list_that_is_skipped", &["flatten"]),
    ("added_number_that_is_skipped", &["flatten"]),
    ("added_option_that_is_skipped", &["flatten"]),
    ("flattened_variant_comes", &[]),
    // Only a whole value shows these, and types nearby refuse all made-up ones.
    ("flattened_map_of_other_values", &["after newtypes"]),
    ("tagged_variant_beside_other_comes", &["after newtypes"]),
    // Behind a type that refuses every made-up value, a variant that no value has.
    ("content_of_an_unused_adjacent_variant", &["after newtypes"]),
];

/// Whether a run is expected to be wrong.
fn is_blind(name: &str, place: &str) -> bool {
    BLIND
        .iter()
        .any(|&(blind, places)| blind == name && (places.is_empty() || places.contains(&place)))
}

type Results = Arc<Mutex<Vec<(String, Change)>>>;

fn trials(changes: Vec<Named>, expected_wrong: bool, results: &Results) -> Vec<Trial> {
    let mut trials = Vec::new();
    for (name, pairs) in changes {
        for Pair { place, codec, old, new } in pairs {
            for (way, from, to) in [("forth", old.clone(), new.clone()), ("back", new, old)] {
                if way == "back" && name.ends_with("_only_forth") {
                    continue;
                }
                let title = format!("{name}, {place}, {codec}, {way}");
                if !expected_wrong && is_blind(name, place) {
                    let (from, to) = (from.clone().with_samples(), to.clone().with_samples());
                    trials.push(Trial::test(format!("with samples: {title}"), move || {
                        match judge_change(&from, &to) {
                            Change::Miss | Change::Refused(_) => Ok(()),
                            other => Err(format!("{other:?}").into()),
                        }
                    }));
                }
                let results = Arc::clone(results);
                let is_blind = expected_wrong || is_blind(name, place);
                trials.push(Trial::test(title.clone(), move || {
                    let change = judge_change(&from, &to);
                    results.lock().unwrap().push((title, change.clone()));
                    match change {
                        Change::Fault(outcome) if !is_blind => {
                            Err(format!("{outcome}: {}", outcome.text()).into())
                        }
                        _ => Ok(()),
                    }
                }));
            }
        }
    }
    trials
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    std::panic::set_hook(Box::new(|_| {}));
    let (seen, unseen) = (Results::default(), Results::default());
    let mut all = trials(changes::all(), false, &seen);
    all.extend(trials(unseen::all(), true, &unseen));
    let conclusion = libtest_mimic::run(&arguments, all);
    let (seen, unseen) = (seen.lock().unwrap(), unseen.lock().unwrap());
    report("changes", &seen);
    report("changes that no bytes show", &unseen);
    let blind = BLIND.iter().map(|&(name, _)| (name, &*seen));
    let listed = blind.chain(unseen::all().into_iter().map(|(name, _)| (name, &*unseen)));
    // A list of what is wrong is not to grow old. With a filter nothing is known about the rest.
    let is_exact = |&(name, results): &(&str, &Vec<(String, Change)>)| {
        !results.iter().any(|(title, change)| {
            title.starts_with(&format!("{name}, ")) && matches!(change, Change::Fault(_))
        })
    };
    let exact: Vec<&str> = listed.filter(is_exact).map(|(name, _)| name).collect();
    if arguments.filter.is_none()
        && arguments.skip.is_empty()
        && !arguments.list
        && !exact.is_empty()
    {
        println!("is exact now: remove it from the list: {}", exact.join(", "));
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}

fn report(what: &str, results: &[(String, Change)]) {
    let count = |is: fn(&Change) -> bool| results.iter().filter(|(_, change)| is(change)).count();
    println!(
        "{what}: {} runs: {} missed, {} read, {} refused by a codec, {} faults",
        results.len(),
        count(|change| matches!(change, Change::Miss)),
        count(|change| matches!(change, Change::Read)),
        count(|change| matches!(change, Change::Refused(_))),
        count(|change| matches!(change, Change::Fault(_))),
    );
}
