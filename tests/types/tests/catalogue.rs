//! Every state type under every codec: exact, or refused with a message that helps.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use libtest_mimic::{Arguments, Trial};
use snapfold_types::{COLUMNS, Report};

type Reports = BTreeMap<(usize, usize), (String, Report)>;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    // A panic is an outcome here; the judge reports its text.
    std::panic::set_hook(Box::new(|_| {}));
    let reports = Arc::new(Mutex::new(Reports::new()));
    let trial = |(at, case): (usize, snapfold_types::Case)| {
        let reports = Arc::clone(&reports);
        Trial::test(case.title(), move || {
            let report = case.judge();
            let fault = report.outcome.is_fault().then(|| report.outcome.text().to_owned());
            let place = (at / COLUMNS.len(), case.column);
            reports.lock().unwrap().insert(place, (case.name, report));
            fault.map_or(Ok(()), |fault| Err(fault.into()))
        })
    };
    let trials = snapfold_types::catalogue::cases().into_iter().enumerate().map(trial).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    print_table(&reports.lock().unwrap());
    conclusion.exit_code()
}

fn print_table(reports: &Reports) {
    let mut last = usize::MAX;
    for ((row, _), (name, report)) in reports {
        if *row != last {
            print!("\n{name:<28}");
            last = *row;
        }
        let by_hand = if report.works_by_hand { "+" } else { " " };
        print!(" {:<6}{by_hand}", report.outcome);
    }
    println!();
    if std::env::var_os("TEXTS").is_some() {
        for ((_, column), (name, report)) in reports {
            if report.outcome.is_refusal() {
                println!("{name} | {} | {} | {}", COLUMNS[*column], report.outcome, report.outcome.text());
            }
        }
    }
}
