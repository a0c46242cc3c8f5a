//! The scorecard as text.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::{CaseResult, CaseVerdict, Scorecard, Subject, Tally};
use crate::store::Capabilities;

/// The maximum width of a line.
const COLUMNS: usize = 80;

impl fmt::Display for Scorecard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.store_name();
        writeln!(f, "snapfold {}, conformance of \"{name}\"", env!("CARGO_PKG_VERSION"))?;
        match self.subject {
            Subject::Store { capabilities, scale } => {
                match capabilities {
                    Some(capabilities) => wrapped(f, "  ", "  ", &promises(&capabilities))?,
                    None => writeln!(f, "  the store could not be opened")?,
                }
                writeln!(f, "  seed {:#x}, {scale} aggregates at scale", self.seed)?;
            }
            Subject::EventSource(_) => writeln!(f, "  an event source, seed {:#x}", self.seed)?,
            Subject::Artifacts(_) => writeln!(f, "  an artifact store, seed {:#x}", self.seed)?,
            #[cfg(feature = "publish")]
            Subject::Publications => {
                writeln!(f, "  a store of publications, seed {:#x}", self.seed)?;
            }
        }
        writeln!(f)?;
        self.levels_table(f)?;
        if f.alternate() {
            self.all_cases(f)?;
        }
        self.notes(f)?;
        self.skips(f)?;
        self.failed(f)?;
        writeln!(f)?;
        let broken: Vec<_> = self.broken_promises().into_iter().collect();
        match (self.is_conformant(), broken.is_empty()) {
            (true, _) => writeln!(f, "conformant: every obligation that was checked is kept"),
            (false, true) => writeln!(f, "NOT PROVEN: cases could not be set up, or none ran"),
            (false, false) => wrapped(f, "NOT CONFORMANT: breaks ", "  ", &broken.join(", ")),
        }
    }
}

impl Scorecard {
    fn levels_table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "  {:<12}{:>8}{:>8}{:>9}{:>11}",
            "level", "passed", "failed", "skipped", "time"
        )?;
        for level in self.levels() {
            let own = self.results.iter().filter(|result| result.case.level() == level);
            row(f, level.name(), self.tally_of(level), own.map(|result| result.took).sum())?;
        }
        row(f, "all", self.tally(), self.results.iter().map(|result| result.took).sum())
    }

    fn all_cases(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for level in self.levels() {
            writeln!(f, "\n{level}")?;
            for result in self.results.iter().filter(|result| result.case.level() == level) {
                let verdict = match &result.verdict {
                    CaseVerdict::Failed(_) => "FAILED ",
                    CaseVerdict::Passed => "passed ",
                    CaseVerdict::Skipped { .. } => "skipped",
                };
                let text = format!("{} ({})", result.case.name(), result.case.ids().join(", "));
                wrapped(f, &format!("  {verdict}  "), "           ", &text)?;
            }
        }
        Ok(())
    }

    fn notes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (title, of) in [
            ("counts", (|result| &result.notes) as fn(&CaseResult) -> &Vec<String>),
            ("timings, for information only", |result| &result.times),
        ] {
            let mut texts = self.results.iter().flat_map(of).peekable();
            if texts.peek().is_some() {
                writeln!(f, "\n{title}")?;
            }
            for text in texts {
                wrapped(f, "  ", "    ", text)?;
            }
        }
        Ok(())
    }

    fn skips(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut by_need: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (case, needs) in self.skipped() {
            by_need.entry(needs).or_default().push(case.name());
        }
        for (needs, cases) in by_need {
            writeln!(f, "\nskipped, requires {needs}: {}", cases.len())?;
            for case in cases {
                wrapped(f, "  ", "    ", case)?;
            }
        }
        Ok(())
    }

    fn failed(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (case, failure) in self.failures() {
            let broken = if failure.broken.is_empty() {
                "could not be set up".to_owned()
            } else {
                format!("breaks {}", failure.broken.join(", "))
            };
            writeln!(f)?;
            wrapped(f, "FAILED  ", "        ", &format!("{}: {}", case.level(), case.name()))?;
            writeln!(f, "        {broken}")?;
            for (head, text) in [
                ("operation", &failure.message),
                ("expected", &failure.expected),
                ("got", &failure.got),
            ] {
                wrapped(f, &format!("        {head:<10}"), "                  ", text)?;
            }
        }
        Ok(())
    }
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, tally: Tally, took: Duration) -> fmt::Result {
    let Tally { passed, failed, skipped } = tally;
    writeln!(f, "  {name:<12}{passed:>8}{failed:>8}{skipped:>9}{:>11}", time(took))
}

fn time(took: Duration) -> String {
    if took < Duration::from_secs(1) {
        format!("{} ms", took.as_millis())
    } else {
        format!("{:.1} s", took.as_secs_f64())
    }
}

fn promises(capabilities: &Capabilities) -> String {
    let Capabilities { durable, atomic_batches, .. } = *capabilities;
    let durable = if durable { "durable" } else { "not durable" };
    let atomic = if atomic_batches { "atomic batches" } else { "no atomic batches" };
    let version = match capabilities.max_version {
        u64::MAX => "any version".to_owned(),
        version => format!("versions up to {version}"),
    };
    format!(
        "{durable}, {atomic}, records of up to {} bytes, keys of up to {} bytes, {version}",
        capabilities.max_record_bytes, capabilities.max_key_bytes
    )
}

/// Writes `text` after `head`. Breaks lines that are too wide at spaces, and within words that are
/// wider than a line.
fn wrapped(f: &mut fmt::Formatter<'_>, head: &str, indent: &str, text: &str) -> fmt::Result {
    let mut line = head.to_owned();
    let mut empty = true;
    for word in text.split_whitespace() {
        let mut word = word;
        if !empty && line.chars().count() + 1 + word.chars().count() > COLUMNS {
            writeln!(f, "{}", line.trim_end())?;
            indent.clone_into(&mut line);
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        loop {
            let room = COLUMNS.saturating_sub(line.chars().count()).max(1);
            let Some((at, _)) = word.char_indices().nth(room) else { break };
            let (part, rest) = word.split_at(at);
            writeln!(f, "{line}{part}")?;
            indent.clone_into(&mut line);
            word = rest;
        }
        line.push_str(word);
        empty = false;
    }
    writeln!(f, "{}", line.trim_end())
}
