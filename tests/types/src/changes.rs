//! What each test target of `tests/changes` does with its changes: [`run`].

mod places;

use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use libtest_mimic::{Arguments, Trial};

use crate::{Change, judge_change, silence_panics};

pub use places::{Pair, pairs};

/// A change: its name, and the pair of releases for each place and codec.
pub type Named = (&'static str, Vec<Pair>);

/// The names of changes, each with the places where nothing shows it; with none: everywhere.
pub type Blind = &'static [(&'static str, &'static [&'static str])];

/// Declares changes: the types of each release, and the part of the state that is made of the
/// number `n` of an aggregate. Makes the function `all`.
#[macro_export]
macro_rules! changes {
    ($($name:ident
        { $($old:tt)* } |$n:ident| $old_part:expr;
        { $($new:tt)* } |$m:ident| $new_part:expr;
    )*) => {
        $(mod $name {
            pub(super) mod v1 {
                #[allow(unused_imports)]
                use super::super::*;
                $crate::state! { $($old)* }
                pub(crate) fn part($n: u32) -> Part { let _ = $n; $old_part }
            }
            pub(super) mod v2 {
                #[allow(unused_imports)]
                use super::super::*;
                $crate::state! { $($new)* }
                pub(crate) fn part($m: u32) -> Part { let _ = $m; $new_part }
            }
        })*
        fn all() -> Vec<$crate::changes::Named> {
            vec![$((stringify!($name), $crate::changes::pairs($name::v1::part, $name::v2::part))),*]
        }
    };
}
/// What is to become of the changes of a target.
#[derive(Clone, Copy, Debug)]
pub enum Expected {
    /// Each load gives what a replay gives, but for changes that leave old values as they are, and
    /// change what the fold makes of the same events. Where nothing shows them but samples, each
    /// release is given those in a run of its own. The guide to state types says so.
    ExactBut(Blind),
    /// Each load after the change gives something else: nothing can show it.
    Wrong,
}

impl Expected {
    fn is_blind(self, name: &str, place: &str) -> bool {
        match self {
            Self::Wrong => true,
            Self::ExactBut(all) => all.iter().any(|&(blind, places)| {
                blind == name && (places.is_empty() || places.contains(&place))
            }),
        }
    }
}

type Results = Arc<Mutex<Vec<(String, Change)>>>;

fn trials(changes: Vec<Named>, expected: Expected, results: &Results) -> Vec<Trial> {
    let mut trials = Vec::new();
    for (name, pairs) in changes {
        for Pair { place, codec, old, new } in pairs {
            for (way, from, to) in [("forth", old.clone(), new.clone()), ("back", new, old)] {
                if way == "back" && name.ends_with("_only_forth") {
                    continue;
                }
                let title = format!("{name}, {place}, {codec}, {way}");
                let is_blind = expected.is_blind(name, place);
                if is_blind && matches!(expected, Expected::ExactBut(_)) {
                    let (from, to) = (from.clone().with_samples(), to.clone().with_samples());
                    trials.push(Trial::test(format!("with samples: {title}"), move || {
                        match judge_change(&from, &to) {
                            Change::Miss | Change::Refused(_) => Ok(()),
                            other => Err(format!("{other:?}").into()),
                        }
                    }));
                }
                let results = Arc::clone(results);
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

/// The old release of each change saves, and the new one loads what a replay gives: each change is
/// some tests of this process.
pub fn run(changes: Vec<Named>, expected: Expected) -> ExitCode {
    let arguments = Arguments::from_args();
    silence_panics();
    let listed: Vec<&str> = match expected {
        Expected::ExactBut(blind) => blind.iter().map(|&(name, _)| name).collect(),
        Expected::Wrong => changes.iter().map(|&(name, _)| name).collect(),
    };
    let results = Results::default();
    let conclusion = libtest_mimic::run(&arguments, trials(changes, expected, &results));
    let results = results.lock().unwrap();
    report(&results);
    // A list of what is wrong is not to grow old. With a filter nothing is known about the rest.
    let is_exact = |name: &&str| {
        !results.iter().any(|(title, change)| {
            title.starts_with(&format!("{name}, ")) && matches!(change, Change::Fault(_))
        })
    };
    let exact: Vec<&str> = listed.into_iter().filter(is_exact).collect();
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

fn report(results: &[(String, Change)]) {
    let count = |is: fn(&Change) -> bool| results.iter().filter(|(_, change)| is(change)).count();
    println!(
        "{} runs: {} missed, {} read, {} refused by a codec, {} faults",
        results.len(),
        count(|change| matches!(change, Change::Miss)),
        count(|change| matches!(change, Change::Read)),
        count(|change| matches!(change, Change::Refused(_))),
        count(|change| matches!(change, Change::Fault(_))),
    );
}
