//! A point in time: [`Timestamp`].

#[cfg(any(feature = "jiff", feature = "chrono", feature = "time"))]
mod conversions;

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::error::{Error, ErrorKind};

/// A point in time: microseconds since 1970-01-01T00:00:00Z, in UTC, without leap seconds.
///
/// Negative values are times before 1970. Every `i64` is a valid timestamp (about 292,000 years
/// before and after 1970), so no stored or foreign value is invalid. Prints as RFC 3339; a value
/// outside the years -9999 to 9999 prints as its number of microseconds.
///
/// ```
/// use snapfold::Timestamp;
///
/// let t: Timestamp = "2026-11-21T09:30:00Z".parse()?;
/// assert_eq!(t.as_micros(), 1_795_253_400_000_000);
/// assert_eq!(t.to_string(), "2026-11-21T09:30:00Z");
/// # Ok::<(), snapfold::Error>(())
/// ```
///
/// The features `jiff`, `chrono` and `time` convert from and to the types of these crates.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The earliest representable time; no event can be recorded before it.
    pub const MIN: Self = Self(i64::MIN);
    /// The latest representable time; no event can be recorded after it.
    pub const MAX: Self = Self(i64::MAX);

    /// Creates the time `micros` microseconds after (negative: before) 1970-01-01T00:00:00Z.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Creates the time `seconds` after (negative: before) 1970-01-01T00:00:00Z; saturates.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    /// Returns the microseconds since 1970-01-01T00:00:00Z.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Adds `by`; saturates at [`Timestamp::MAX`].
    pub fn saturating_add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
    }

    /// Subtracts `by`; saturates at [`Timestamp::MIN`].
    pub fn saturating_sub(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
    }

    /// Returns the duration since `earlier`; zero if `earlier` is not before this time.
    pub fn since(self, earlier: Self) -> Duration {
        let micros = i128::from(self.0) - i128::from(earlier.0);
        Duration::from_micros(u64::try_from(micros.max(0)).unwrap_or(u64::MAX))
    }
}

impl From<SystemTime> for Timestamp {
    /// Rounds towards the past to a whole microsecond; saturates.
    fn from(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Self(i64::try_from(after.as_micros()).unwrap_or(i64::MAX)),
            Err(before) => {
                let micros = before.duration().as_nanos().div_ceil(1_000);
                Self(i64::try_from(micros).map_or(i64::MIN, |m| -m))
            }
        }
    }
}

impl FromStr for Timestamp {
    type Err = Error;

    /// Parses RFC 3339 with any offset: `2026-11-21T09:30:00Z`, `2026-11-21 10:30:00.25+01:00`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if the string is not a complete date and time with an offset.
    fn from_str(text: &str) -> Result<Self, Error> {
        match text.parse::<jiff::Timestamp>() {
            Ok(t) => Ok(Self(t.as_nanosecond().div_euclid(1_000).try_into().unwrap_or(i64::MAX))),
            Err(source) => Err(Error::new(
                ErrorKind::InvalidInput,
                "parse a time",
                "the string is not a time with an offset: use RFC 3339, such as \
                 2026-11-21T09:30:00Z",
            )
            .with_source(source)),
        }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(t) => t.fmt(f),
            Err(_) => write!(f, "{} us since 1970", self.0),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_print_parse_and_order() {
        let t: Timestamp = "1969-12-31T23:59:59.999999Z".parse().unwrap();
        assert_eq!(t, Timestamp::from_micros(-1));
        assert_eq!(t.to_string(), "1969-12-31T23:59:59.999999Z");
        assert!(t < Timestamp::from_micros(0));
        let half_micro_before = UNIX_EPOCH - Duration::from_nanos(500);
        assert_eq!(Timestamp::from(half_micro_before), t);
    }

    #[test]
    fn the_ends_of_time_saturate_and_print() {
        assert_eq!(Timestamp::MAX.saturating_add(Duration::MAX), Timestamp::MAX);
        assert_eq!(Timestamp::MIN.saturating_sub(Duration::MAX), Timestamp::MIN);
        assert_eq!(Timestamp::MIN.since(Timestamp::MAX), Duration::ZERO);
        assert_eq!(Timestamp::MAX.since(Timestamp::MIN), Duration::from_micros(u64::MAX));
        assert_eq!(Timestamp::MAX.to_string(), "9223372036854775807 us since 1970");
    }

    #[test]
    fn a_text_without_offset_is_refused() {
        let error = "2026-11-21T09:30:00".parse::<Timestamp>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}
