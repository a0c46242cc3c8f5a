//! The text form of a policy, read.

use std::str::FromStr;
use std::time::Duration;

use super::rule::{
    ALL, CalendarUnit, EVERY, LABEL, LAST, REACHABLE, Rule, UNLIMITED, VERSIONS, WITHIN,
};
use super::scan::{PolicyScanner, TextPlace};
use super::span::{Span, TooLong, UNIT_NAMES};
use super::text::{FOREVER, NOTHING, SUPERSEDES, ZONE};
use super::zone::Zone;
use super::{Policy, SUPERSEDED};
use crate::error::Error;

const RULES: &str = "a rule (last, within, hourly, daily, weekly, monthly, yearly, every, label, \
                     reachable, all, nothing) or a setting (zone, superseded)";

/// What was read so far.
#[derive(Default)]
struct Clauses {
    rules: Vec<Rule>,
    nothing: bool,
    zone: Option<Zone>,
    superseded: Option<Duration>,
}

impl FromStr for Policy {
    type Err = Error;

    /// Parses the text form.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for any other text, and
    /// [`ErrorKind::FeatureDisabled`](crate::ErrorKind::FeatureDisabled) for a time zone other than
    /// UTC without the feature `schedules`. The message names the column, in characters from 1 on,
    /// and what was expected there.
    fn from_str(text: &str) -> Result<Self, Error> {
        let mut scanner = PolicyScanner::new(text);
        let mut read = Clauses::default();
        loop {
            read.clause(&mut scanner)?;
            let after = scanner.place();
            if after.is_end() {
                return read.finish(after);
            }
            if !scanner.is_next(',') {
                return Err(after.expected("a comma or the end"));
            }
        }
    }
}

impl Clauses {
    fn clause(&mut self, scanner: &mut PolicyScanner<'_>) -> Result<(), Error> {
        let place = scanner.place();
        let word = scanner.word().to_ascii_lowercase();
        match word.as_str() {
            NOTHING => self.nothing = true,
            ZONE if self.zone.is_some() => return Err(place.wrong("`zone` is given twice")),
            ZONE => self.zone = Some(zone(scanner)?),
            SUPERSEDES if self.superseded.is_some() => {
                return Err(place.wrong("`superseded` is given twice"));
            }
            SUPERSEDES => self.superseded = Some(superseded(scanner)?),
            word => self.rules.push(rule(scanner, word, place)?),
        }
        if self.nothing && !self.rules.is_empty() {
            return Err(place.wrong("`nothing` stands alone: remove it, or the rules"));
        }
        Ok(())
    }

    fn finish(self, end: TextPlace<'_>) -> Result<Policy, Error> {
        if self.rules.is_empty() && !self.nothing {
            return Err(end.wrong("it would keep nothing: add a rule, or say so with `nothing`"));
        }
        let (zone, superseded) = (self.zone.unwrap_or_default(), self.superseded);
        let superseded = superseded.unwrap_or(SUPERSEDED);
        let policy = Policy { rules: self.rules, zone, superseded };
        policy.limited().map_err(|message| end.wrong(message))
    }
}

fn rule(scanner: &mut PolicyScanner<'_>, word: &str, place: TextPlace<'_>) -> Result<Rule, Error> {
    if let Some(unit) = CalendarUnit::ALL.into_iter().find(|unit| unit.word() == word) {
        return Ok(Rule::Calendar(unit, count(scanner)?));
    }
    match word {
        ALL => Ok(Rule::All),
        LAST => Ok(Rule::Last(count(scanner)?)),
        WITHIN => Ok(Rule::Within(period(scanner)?)),
        EVERY => {
            let versions = positive(scanner, "a number of versions")?;
            keyword(scanner, VERSIONS)?;
            Ok(Rule::Every(versions))
        }
        LABEL => Ok(Rule::Label(label(scanner)?.into())),
        REACHABLE => {
            let events = number(scanner, "a number of events")?;
            keyword(scanner, WITHIN)?;
            Ok(Rule::Reachable { events, within: period(scanner)? })
        }
        _ => Err(place.expected(RULES)),
    }
}

fn keyword(scanner: &mut PolicyScanner<'_>, wanted: &str) -> Result<(), Error> {
    let place = scanner.place();
    if scanner.word().eq_ignore_ascii_case(wanted) {
        return Ok(());
    }
    Err(place.expected(&format!("`{wanted}`")))
}

/// Reads a whole number.
fn number(scanner: &mut PolicyScanner<'_>, what: &str) -> Result<u64, Error> {
    let place = scanner.place();
    let digits = scanner.digits();
    if digits.is_empty() {
        return Err(place.expected(what));
    }
    let too_large = |_| place.wrong(format!("the number is too large: use at most {}", u64::MAX));
    digits.parse().map_err(too_large)
}

/// Reads a whole number from 1 on.
fn positive(scanner: &mut PolicyScanner<'_>, what: &str) -> Result<u64, Error> {
    let place = scanner.place();
    match number(scanner, what)? {
        0 => Err(place.wrong("0 keeps nothing: use at least 1, or remove the rule")),
        number => Ok(number),
    }
}

/// Reads a whole number from 1 on, or `all`.
fn count(scanner: &mut PolicyScanner<'_>) -> Result<u64, Error> {
    let place = scanner.place();
    if place.is_digit() {
        return positive(scanner, "a number");
    }
    if scanner.word().eq_ignore_ascii_case(ALL) {
        return Ok(UNLIMITED);
    }
    Err(place.expected("a number or `all`"))
}

/// Reads a duration that is not 0.
fn period(scanner: &mut PolicyScanner<'_>) -> Result<Span, Error> {
    let place = scanner.place();
    let span = span(scanner, "a duration, such as 30d")?;
    if span.is_zero() {
        return Err(place.wrong("a duration of 0 keeps nothing: use a longer one"));
    }
    Ok(span)
}

/// Reads a sum of numbers with units.
fn span(scanner: &mut PolicyScanner<'_>, what: &str) -> Result<Span, Error> {
    let start = scanner.place();
    let too_long =
        |TooLong| start.wrong(format!("the duration is too long: use at most {}us", u64::MAX));
    let mut sum = Span::default();
    loop {
        let number = number(scanner, what)?;
        let place = scanner.place();
        let name = scanner.word();
        let part = match Span::of(number, name) {
            Some(part) => part.map_err(too_long)?,
            None if name.to_ascii_lowercase().starts_with("mo") => {
                let message = "months differ in length: use days, such as 30d, or `monthly`";
                return Err(place.wrong(message));
            }
            None => return Err(place.expected(&format!("a unit ({UNIT_NAMES})"))),
        };
        sum = sum.plus(part).map_err(too_long)?;
        if !scanner.place().is_digit() {
            return Ok(sum);
        }
    }
}

fn superseded(scanner: &mut PolicyScanner<'_>) -> Result<Duration, Error> {
    let place = scanner.place();
    if place.is_digit() {
        return span(scanner, "").map(Span::duration);
    }
    if scanner.word().eq_ignore_ascii_case(FOREVER) {
        return Ok(Duration::MAX);
    }
    Err(place.expected("a duration, such as 14d, or `forever`"))
}

fn zone(scanner: &mut PolicyScanner<'_>) -> Result<Zone, Error> {
    let place = scanner.place();
    let name = scanner.bare();
    if name.is_empty() {
        return Err(place.expected("a time zone, such as Europe/Berlin"));
    }
    Zone::find(name).map_err(|no_zone| place.error(no_zone.kind, &no_zone.message))
}

fn label(scanner: &mut PolicyScanner<'_>) -> Result<String, Error> {
    let place = scanner.place();
    if scanner.is_next('"') {
        return scanner.quoted();
    }
    match scanner.bare() {
        "" => Err(place.expected("a label")),
        label => Ok(label.to_owned()),
    }
}
