//! The report as text.

use std::fmt;

use super::{FailingHistory, LawFinding, LawOutcome, LawReport};

const COLUMNS: usize = 80;
/// The indentation under the statement of a law.
const INDENT: usize = 18;
/// The maximum number of events of a history that are shown.
const SHOWN: usize = 20;

impl fmt::Display for LawReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "The laws of {} ({}", self.kind, self.type_name)?;
        if let Some(generation) = self.generation {
            write!(f, ", {generation}")?;
        }
        writeln!(f, ", {})", self.codec)?;
        writeln!(f, "{} histories, {} events, seed {}", self.histories, self.events, self.seed)?;
        for verdict in &self.verdicts {
            let word = word(&verdict.outcome);
            writeln!(f, "  {}  {word:<8}  {}", verdict.law.id(), verdict.law.statement())?;
            details(f, &verdict.outcome)?;
        }
        let count = |word: &str| {
            self.verdicts.iter().filter(|verdict| self::word(&verdict.outcome) == word).count()
        };
        let (holds, broken) = (count("holds"), count("BROKEN"));
        let (accepted, unjudged) = (count("accepted"), count("unjudged"));
        write!(f, "{holds} hold, {broken} broken, {accepted} accepted, {unjudged} not judged")
    }
}

pub(super) const fn word(outcome: &LawOutcome) -> &'static str {
    match outcome {
        LawOutcome::Holds { .. } => "holds",
        LawOutcome::Broken(_) => "BROKEN",
        LawOutcome::Accepted { .. } => "accepted",
        LawOutcome::Unjudged { .. } => "unjudged",
    }
}

fn details(f: &mut fmt::Formatter<'_>, outcome: &LawOutcome) -> fmt::Result {
    match outcome {
        LawOutcome::Holds { note } => lines(f, note),
        LawOutcome::Unjudged { why } => lines(f, why),
        LawOutcome::Broken(finding) => found(f, finding),
        LawOutcome::Accepted { finding, reason } => {
            found(f, finding)?;
            lines(f, &format!("accepted: {reason}"))
        }
    }
}

fn found(f: &mut fmt::Formatter<'_>, finding: &LawFinding) -> fmt::Result {
    lines(f, &finding.text)?;
    match &finding.history {
        Some(history) => failing(f, history),
        None => Ok(()),
    }
}

fn failing(f: &mut fmt::Formatter<'_>, history: &FailingHistory) -> fmt::Result {
    let FailingHistory { number, seed, length, versions, shown } = history;
    let of = format!("of history {number} (seed {seed}, {length} events)");
    match versions.len() {
        0 => lines(f, &format!("reproduced without any event {of}"))?,
        1 => lines(f, &format!("reproduced by one event {of}:"))?,
        count => lines(f, &format!("reproduced by {count} events {of}:"))?,
    }
    if shown.is_empty() {
        let first: Vec<_> = versions.iter().take(SHOWN).map(ToString::to_string).collect();
        let more = if versions.len() > SHOWN { ", ..." } else { "" };
        if !first.is_empty() {
            lines(f, &format!("versions {}{more}", first.join(", ")))?;
        }
        return Ok(());
    }
    for (version, event) in versions.iter().zip(shown).take(SHOWN) {
        lines(f, &format!("{version:>4}  {}", event.replace(char::is_control, " ")))?;
    }
    if shown.len() > SHOWN { lines(f, "...") } else { Ok(()) }
}

/// Writes `text` in indented lines of at most 80 columns; nothing if it is empty.
fn lines(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let mut column = 0;
    for word in text.split(' ') {
        let width = word.chars().count();
        if column == 0 {
            if text.is_empty() {
                return Ok(());
            }
            write!(f, "{:INDENT$}{word}", "")?;
            column = INDENT + width;
        } else if column + 1 + width > COLUMNS {
            write!(f, "\n{:INDENT$}{word}", "")?;
            column = INDENT + width;
        } else {
            write!(f, " {word}")?;
            column += 1 + width;
        }
    }
    writeln!(f)
}
