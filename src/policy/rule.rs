//! [`Rule`]: one part of a policy.

use std::fmt;

use super::span::Span;

pub(super) const ALL: &str = "all";
pub(super) const LAST: &str = "last";
pub(super) const WITHIN: &str = "within";
pub(super) const EVERY: &str = "every";
pub(super) const VERSIONS: &str = "versions";
pub(super) const LABEL: &str = "label";
pub(super) const REACHABLE: &str = "reachable";

/// Without a limit.
pub(super) const UNLIMITED: u64 = u64::MAX;

/// What a policy keeps, one of several.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Rule {
    All,
    Last(u64),
    Within(Span),
    Calendar(CalendarUnit, u64),
    Every(u64),
    Label(Box<str>),
    Reachable { events: u64, within: Span },
}

/// A unit of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum CalendarUnit {
    Hour,
    Day,
    Week,
    Month,
    Year,
}

impl CalendarUnit {
    pub(super) const ALL: [Self; 5] = [Self::Hour, Self::Day, Self::Week, Self::Month, Self::Year];

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Hour => "hourly",
            Self::Day => "daily",
            Self::Week => "weekly",
            Self::Month => "monthly",
            Self::Year => "yearly",
        }
    }
}

impl Rule {
    /// Returns whether a number or duration is 0 that would make the rule keep nothing.
    pub(super) fn is_zero(&self) -> bool {
        match self {
            Self::All | Self::Label(_) => false,
            Self::Last(number) | Self::Calendar(_, number) | Self::Every(number) => *number == 0,
            // With 0 events, each version that has a snapshot stays reachable without any.
            Self::Within(within) | Self::Reachable { within, .. } => within.is_zero(),
        }
    }
}

/// Writes the text form.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str(ALL),
            Self::Last(number) => write_count(f, LAST, *number),
            Self::Within(span) => write!(f, "{WITHIN} {span}"),
            Self::Calendar(unit, number) => write_count(f, unit.word(), *number),
            Self::Every(number) => write!(f, "{EVERY} {number} {VERSIONS}"),
            Self::Label(label) => {
                write!(f, "{LABEL} ")?;
                write_label(f, label)
            }
            Self::Reachable { events, within } => {
                write!(f, "{REACHABLE} {events} {WITHIN} {within}")
            }
        }
    }
}

fn write_count(f: &mut fmt::Formatter<'_>, word: &str, number: u64) -> fmt::Result {
    match number {
        UNLIMITED => write!(f, "{word} {ALL}"),
        number => write!(f, "{word} {number}"),
    }
}

fn write_label(f: &mut fmt::Formatter<'_>, label: &str) -> fmt::Result {
    let is_plain =
        |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, ',' | '"' | '\\');
    if !label.is_empty() && label.chars().all(is_plain) {
        return f.write_str(label);
    }
    f.write_str("\"")?;
    for c in label.chars() {
        if matches!(c, '"' | '\\') {
            f.write_str("\\")?;
        }
        write!(f, "{c}")?;
    }
    f.write_str("\"")
}
