//! When a schedule runs: [`Cadence`].

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::cron;
use super::invalid::invalid;
use crate::error::Error;
use crate::timestamp::Timestamp;

const EVERY: &str = "every ";
const ZONE: &str = "TZ=";
/// The units of an interval, largest first, in microseconds.
const UNITS: [(&str, u64); 5] =
    [("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("us", 1)];

/// When a schedule runs: at a fixed interval, or by a cron expression.
///
/// The text form is one of
///
/// - `every 90s`, with one of the units `us`, `s`, `m`, `h` and `d` (24 hours);
/// - `0 3 * * *`, a cron expression in UTC;
/// - `TZ=Europe/Berlin 0 3 * * *`, a cron expression in a time zone.
///
/// ```
/// use snapfold::Timestamp;
/// use snapfold::ledger::Cadence;
///
/// let cadence: Cadence = "every 90m".parse()?;
/// let next = cadence.next_after("2026-11-28T10:00:00Z".parse()?)?;
/// assert_eq!(next, Some("2026-11-28T11:30:00Z".parse()?));
/// # Ok::<(), snapfold::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cadence(Rhythm);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Rhythm {
    /// In microseconds, at least a second.
    Every(u64),
    /// The IANA name of a time zone, `None` for UTC, and the expression.
    Cron(Option<Box<str>>, Box<str>),
}

impl Cadence {
    /// The longest text form of a cron expression, with its time zone, in bytes (inclusive).
    pub const MAX_CRON_BYTES: usize = 1_000;
    /// The shortest interval (inclusive).
    pub const MIN_INTERVAL: Duration = Duration::from_secs(1);

    /// Creates a fixed interval of whole microseconds.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for less than
    /// [`Cadence::MIN_INTERVAL`], or for 2^63 microseconds and more.
    pub fn every(interval: Duration) -> Result<Self, Error> {
        match u64::try_from(interval.as_micros()) {
            Ok(micros) if interval >= Self::MIN_INTERVAL && i64::try_from(micros).is_ok() => {
                Ok(Self(Rhythm::Every(micros)))
            }
            _ => Err(invalid(format!(
                "the interval is {interval:?}: use at least one second and less than 2^63 us"
            ))),
        }
    }

    /// Parses a cron expression in UTC.
    ///
    /// It has five fields (minute, hour, day of month, month, day of week), six (seconds in front)
    /// or seven (years at the end), or is a nickname such as `@daily`. If both day fields are
    /// restricted, a day matches if either of them does. The crate croner parses the expression.
    ///
    /// # Errors
    /// - [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if the expression does not
    ///   parse, is longer than [`Cadence::MAX_CRON_BYTES`], or matches no time after 1970
    ///   (`0 0 31 2 *`).
    /// - [`ErrorKind::FeatureDisabled`](crate::ErrorKind::FeatureDisabled) without the feature
    ///   `schedules`.
    pub fn cron(expression: &str) -> Result<Self, Error> {
        Self::matching(None, expression)
    }

    /// Parses a cron expression in the time zone with the IANA name `zone`, such as
    /// `Europe/Berlin`; upper and lower case are equal.
    ///
    /// The time zones of the system are used, or those compiled in if it has none.
    ///
    /// # Daylight saving time
    /// | expression | clocks go forward | clocks go back |
    /// |---|---|---|
    /// | with fixed times (`30 2 * * *`) | a time that does not exist runs at the end of the gap | a time that occurs twice runs once, the first time |
    /// | with `*` or steps in seconds, minutes or hours (`*/15 * * * *`) | times in the gap are skipped | both times run |
    ///
    /// # Errors
    /// As [`cron`](Self::cron), and [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for
    /// an unknown time zone.
    ///
    /// ```
    /// # #[cfg(feature = "schedules")] {
    /// use snapfold::ledger::Cadence;
    ///
    /// let nightly = Cadence::cron_in("0 3 * * *", "Europe/Berlin")?;
    /// let next = nightly.next_after("2026-07-01T00:00:00Z".parse()?)?;
    /// assert_eq!(next, Some("2026-07-01T01:00:00Z".parse()?));
    /// assert_eq!(nightly.to_string(), "TZ=Europe/Berlin 0 3 * * *");
    /// # }
    /// # Ok::<(), snapfold::Error>(())
    /// ```
    pub fn cron_in(expression: &str, zone: &str) -> Result<Self, Error> {
        let zone = cron::zone_name(zone)?;
        Self::matching(Some(zone.into()), expression)
    }

    fn matching(zone: Option<Box<str>>, expression: &str) -> Result<Self, Error> {
        let prefix = zone.as_ref().map_or(0, |zone| ZONE.len() + zone.len() + 1);
        check_length(prefix + expression.len())?;
        let epoch = Timestamp::from_micros(0);
        if cron::next_after(expression, zone.as_deref(), epoch)?.is_none() {
            return Err(invalid(format!(
                "the cron expression {expression:?} matches no time: change its day, month or year"
            )));
        }
        Ok(Self(Rhythm::Cron(zone, expression.into())))
    }

    /// For ledgers: parses a stored text form. A cron expression is not validated again, so that
    /// schedules can be read without the feature `schedules`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if the text is not a valid
    /// interval or is too long for a cron expression.
    pub fn from_stored(text: &str) -> Result<Self, Error> {
        if let Some(interval) = text.strip_prefix(EVERY) {
            return parse_interval(interval);
        }
        check_length(text.len())?;
        let (zone, expression) = split_zone(text);
        Ok(Self(Rhythm::Cron(zone.map(Into::into), expression.into())))
    }

    /// Returns the first run after `time` (exclusive).
    ///
    /// `None` if there is none: an interval that ends after [`Timestamp::MAX`], or a cron
    /// expression whose years have all passed (or are above 5000).
    ///
    /// # Errors
    /// [`ErrorKind::FeatureDisabled`](crate::ErrorKind::FeatureDisabled) for a cron expression
    /// without the feature `schedules`; [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput)
    /// for one that another release accepted and this one does not, or a time zone that is unknown
    /// here.
    pub fn next_after(&self, time: Timestamp) -> Result<Option<Timestamp>, Error> {
        match &self.0 {
            Rhythm::Every(micros) => Ok(plus(time, *micros)),
            Rhythm::Cron(zone, expression) => cron::next_after(expression, zone.as_deref(), time),
        }
    }

    /// Returns the run after one that was due at `due`: the first after `now` (exclusive).
    ///
    /// Missed runs are skipped. An interval keeps its phase: it is counted from `due`.
    ///
    /// # Errors
    /// As [`next_after`](Self::next_after).
    pub fn following(&self, due: Timestamp, now: Timestamp) -> Result<Option<Timestamp>, Error> {
        match &self.0 {
            Rhythm::Every(micros) => {
                let late = i128::from(now.as_micros()) - i128::from(due.as_micros());
                // Not negative and below 2^64, as both times are within 64 bits.
                let late = u64::try_from(late.max(0)).unwrap_or(u64::MAX);
                let missed = late.checked_div(*micros).unwrap_or(0);
                Ok(missed
                    .checked_mul(*micros)
                    .and_then(|missed| missed.checked_add(*micros))
                    .and_then(|by| plus(due, by)))
            }
            Rhythm::Cron(..) => self.next_after(now.max(due)),
        }
    }
}

/// `time` plus `micros`; `None` on overflow.
fn plus(time: Timestamp, micros: u64) -> Option<Timestamp> {
    time.as_micros().checked_add_unsigned(micros).map(Timestamp::from_micros)
}

fn check_length(bytes: usize) -> Result<(), Error> {
    let limit = Cadence::MAX_CRON_BYTES;
    if bytes <= limit {
        return Ok(());
    }
    Err(invalid(format!("the cron expression has {bytes} bytes, the limit is {limit}")))
}

/// Splits a text form into time zone and expression.
fn split_zone(text: &str) -> (Option<&str>, &str) {
    match text.strip_prefix(ZONE).and_then(|rest| rest.split_once(' ')) {
        Some((zone, expression)) => (Some(zone), expression),
        None => (None, text),
    }
}

fn parse_interval(text: &str) -> Result<Cadence, Error> {
    match parse_duration(text) {
        Some(interval) => Cadence::every(interval),
        None => Err(invalid(
            "an interval is \"every\" and a number with a unit (us, s, m, h, d), such as every 90s"
                .to_owned(),
        )),
    }
}

/// Parses `90s`: digits and a unit.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, micros) = UNITS.iter().find(|(name, _)| *name == unit)?;
    Some(Duration::from_micros(number.parse::<u64>().ok()?.checked_mul(*micros)?))
}

/// Writes whole microseconds as [`parse_duration`] reads them, in the largest unit that fits.
pub(super) fn write_duration(f: &mut fmt::Formatter<'_>, micros: u64) -> fmt::Result {
    let unit = UNITS.iter().find(|(_, unit)| micros.is_multiple_of(*unit));
    let (name, unit) = unit.unwrap_or(&("us", 1));
    write!(f, "{}{name}", micros / unit)
}

impl fmt::Display for Cadence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Rhythm::Every(micros) => {
                f.write_str(EVERY)?;
                write_duration(f, *micros)
            }
            Rhythm::Cron(None, expression) => f.write_str(expression),
            Rhythm::Cron(Some(zone), expression) => write!(f, "{ZONE}{zone} {expression}"),
        }
    }
}

impl FromStr for Cadence {
    type Err = Error;

    /// Parses the text form: `every 90s`, or a cron expression, with or without a time zone.
    ///
    /// # Errors
    /// As [`Cadence::every`], [`Cadence::cron`] and [`Cadence::cron_in`].
    fn from_str(text: &str) -> Result<Self, Error> {
        if let Some(interval) = text.strip_prefix(EVERY) {
            return parse_interval(interval);
        }
        match split_zone(text) {
            (Some(zone), expression) => Self::cron_in(expression, zone),
            (None, expression) => Self::cron(expression),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn intervals_come_back_from_their_text_and_nonsense_is_refused() {
        for text in ["every 1s", "every 90s", "every 2m", "every 5h", "every 1d", "every 1000001us"]
        {
            let cadence: Cadence = text.parse().unwrap();
            assert_eq!(cadence.to_string(), text);
            assert_eq!(Cadence::from_stored(text).unwrap(), cadence);
        }
        for text in [
            "every ",
            "every 5",
            "every 5 s",
            "every -5s",
            "every 0s",
            "every 999999us",
            "every s",
            "every 5w",
            "every 99999999999999999999s",
            "every 18446744073709551615d",
            "every 9223372036854775808us",
            "every 5\u{e9}",
        ] {
            let error = text.parse::<Cadence>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}");
            assert!(Cadence::from_stored(text).is_err(), "{text}");
        }
        assert!(Cadence::every(Duration::MAX).is_err());
    }

    #[test]
    fn runs_that_were_missed_are_passed_over_and_the_phase_stays() {
        let hourly = Cadence::every(Duration::from_secs(3_600)).unwrap();
        assert_eq!(hourly.next_after(at(5)).unwrap(), Some(at(3_605)));
        for (now, next) in
            [(-9, 3_700), (100, 3_700), (3_699, 3_700), (3_700, 7_300), (9_000, 10_900)]
        {
            assert_eq!(hourly.following(at(100), at(now)).unwrap(), Some(at(next)), "{now}");
        }
        assert_eq!(hourly.next_after(Timestamp::MAX).unwrap(), None);
        assert_eq!(hourly.following(Timestamp::MIN, Timestamp::MAX).unwrap(), None);
        let after = hourly.following(Timestamp::MIN, at(0)).unwrap().unwrap();
        assert!(after > at(0) && after <= at(3_600));
    }
}
