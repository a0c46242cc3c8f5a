//! What each test target of `tests/states` does with its types: [`run`].

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use libtest_mimic::{Arguments, Failed, Trial};

use crate::{COLUMNS, Case, Outcome, Report, refusals, silence_panics};

/// By the row and the column of the table.
type Reports = Arc<Mutex<BTreeMap<(usize, usize), (String, Report)>>>;

/// The cases of types, each with a shorter name if need be.
#[macro_export]
macro_rules! cases {
    ($($t:ty $(as $name:literal)?),* $(,)?) => {{
        let mut cases = Vec::new();
        $({
            #[allow(unused_mut, unused_assignments)]
            let mut name = stringify!($t).replace(char::is_whitespace, "");
            $(name = $name.to_owned();)?
            cases.extend($crate::Case::all::<$t>(&name));
        })*
        cases
    }};
}

/// Judges types under all codecs, as the tests of this process: each is exact, or refused for a
/// reason that the docs give. `cases` has those of [`Case::all`], type by type.
pub fn run(cases: Vec<Case>) -> ExitCode {
    let arguments = Arguments::from_args();
    let is_listing = arguments.list;
    silence_panics();
    let reports = Reports::default();
    let trial = |(at, case): (usize, Case)| {
        let reports = Arc::clone(&reports);
        Trial::test(case.title(), move || {
            let report = case.judge();
            let verdict = expected(&case, &report);
            let place = (at / COLUMNS.len(), case.column);
            let mut reports = reports.lock().unwrap_or_else(PoisonError::into_inner);
            reports.insert(place, (case.name, report));
            verdict
        })
    };
    let trials = cases.into_iter().enumerate().map(trial).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    if !is_listing {
        print_table(&reports.lock().unwrap_or_else(PoisonError::into_inner));
    }
    conclusion.exit_code()
}

/// Exact, unless the table of refusals says otherwise; then refused, and not exact.
fn expected(case: &Case, Report { outcome, works_by_hand }: &Report) -> Result<(), Failed> {
    let refusal = refusals::find(&case.name, case.column);
    match (outcome, refusal) {
        (outcome, _) if outcome.is_fault() => Err(format!("{outcome}: {}", outcome.text()).into()),
        (Outcome::Exact, None) => Ok(()),
        (Outcome::Exact, Some(_)) => Err("is exact now: take it out of the refusals".into()),
        (outcome, None) => Err(format!("refused for no listed reason: {}", outcome.text()).into()),
        (_, Some(refusal)) if *works_by_hand && !refusal.although_it_works_by_hand => {
            Err("refused, and the format's own crate carries it".into())
        }
        (outcome, Some(refusal)) => {
            let text = outcome.text();
            let helps = refusal.message.is_empty() || text.contains(refusal.message);
            if helps {
                Ok(())
            } else {
                Err(format!("expected {:?} in the message: {text}", refusal.message).into())
            }
        }
    }
}

fn print_table(reports: &BTreeMap<(usize, usize), (String, Report)>) {
    if reports.is_empty() {
        return;
    }
    println!("exact; refused by `build`, at each `write`, at `some` writes; + works by hand");
    print!(
        "{:<28} {:<7} {:<7} {:<7} {:<7} in flatten, tagged",
        "", "postc.", "bincode", "msgpack", "json"
    );
    let mut last = usize::MAX;
    for ((row, _), (name, report)) in reports {
        if *row != last {
            print!("\n{name:<28}");
            last = *row;
        }
        let by_hand = if report.works_by_hand { "+" } else { " " };
        print!(" {:<6}{by_hand}", report.outcome);
    }
    let faults = reports.values().filter(|(_, report)| report.outcome.is_fault()).count();
    let exact = reports.values().filter(|(_, report)| report.outcome == Outcome::Exact).count();
    let refused = reports.len() - faults - exact;
    println!("\n{} cells: {exact} exact, {refused} refused, {faults} WRONG", reports.len());
    if std::env::var_os("SNAPFOLD_TYPES_TEXTS").is_some() {
        for ((_, column), (name, report)) in reports {
            if report.outcome.is_refusal() {
                let (column, text) = (COLUMNS[*column], report.outcome.text());
                println!("{name} | {column} | {} | {text}", report.outcome);
            }
        }
    }
}
