//! [`Span`]: a duration of a policy.

use std::fmt;
use std::time::Duration;

/// The units, largest first, in microseconds. A month is none, because months differ in length.
const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 86_400_000_000),
    ("w", 7 * 86_400_000_000),
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("us", 1),
];

/// The names of the units, for errors.
pub(super) const UNIT_NAMES: &str = "us, s, m, h, d, w, y";

/// Whole microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Span(u64);

impl Span {
    /// Rounds down to whole microseconds; saturates at `u64::MAX` of them (584,542 years).
    pub(super) fn new(duration: Duration) -> Self {
        Self(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
    }

    /// `number` of the unit with this name; `None` if there is no such unit.
    pub(super) fn of(number: u64, name: &str) -> Option<Result<Self, TooLong>> {
        let (_, unit) = UNITS.iter().find(|(unit, _)| unit.eq_ignore_ascii_case(name))?;
        Some(number.checked_mul(*unit).map(Self).ok_or(TooLong))
    }

    pub(super) fn plus(self, other: Self) -> Result<Self, TooLong> {
        self.0.checked_add(other.0).map(Self).ok_or(TooLong)
    }

    pub(super) const fn is_zero(self) -> bool {
        self.0 == 0
    }

    pub(crate) const fn duration(self) -> Duration {
        Duration::from_micros(self.0)
    }
}

/// The duration has more than `u64::MAX` microseconds.
pub(super) struct TooLong;

/// Writes the span in the largest unit that fits.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(micros) = *self;
        let fits = |unit: u64| micros >= unit && micros.is_multiple_of(unit);
        let unit = UNITS.iter().find(|(_, unit)| fits(*unit));
        let (name, unit) = unit.unwrap_or(&("s", 1_000_000));
        write!(f, "{}{name}", micros / unit)
    }
}
