//! Every state type under every codec: exact, or refused for a reason that the docs give.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use libtest_mimic::{Arguments, Failed, Trial};
use snapfold_types::{COLUMNS, Case, Outcome, Report, catalogue, refusals};

/// By the row and the column of the table.
type Reports = Arc<Mutex<BTreeMap<(usize, usize), (String, Report)>>>;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let is_listing = arguments.list;
    // A panic is an outcome here; the judge reports its text.
    std::panic::set_hook(Box::new(|_| {}));
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
    let mut trials: Vec<Trial> = catalogue::cases().into_iter().enumerate().map(trial).collect();
    trials.extend(catalogue::unseen().into_iter().map(|case| {
        Trial::test(format!("unseen: {}", case.title()), move || found_by_compare(&case))
    }));
    trials.push(Trial::test("docs/state-types.md", || refusals::check_docs().map_err(Into::into)));
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

/// Wrong unless the application compares; then refused when it is written.
fn found_by_compare(case: &Case) -> Result<(), Failed> {
    match case.judge_with_compare().outcome {
        Outcome::Build(_) => Ok(()),
        Outcome::Write(text) | Outcome::Some(text) if text.contains("compare()") => Ok(()),
        Outcome::Write(_) if matches!(case.judge().outcome, Outcome::Write(_)) => Ok(()),
        outcome => Err(format!("{outcome}: {}", outcome.text()).into()),
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
