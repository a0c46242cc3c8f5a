//! [`Local`]: the hour, day, week, month and year of a time in a time zone.

use std::fmt;

use jiff::civil::Date;
use jiff::tz::Offset;

use crate::policy::{CalendarUnit, Zone};
use crate::timestamp::Timestamp;

const HOUR: i64 = 3_600;

/// A time by the clock of a time zone, to the hour.
#[derive(Clone, Copy)]
pub(super) struct Local {
    date: Date,
    hour: i8,
    /// When the hour began, in seconds from 1970 on. Tells the two hours apart that have one name
    /// when clocks go back.
    began: i64,
    /// The difference of the zone from UTC at this time.
    offset: Offset,
}

impl Local {
    pub(super) fn new(time: Timestamp, zone: &Zone) -> Self {
        let end = if time < Timestamp::from_micros(0) {
            jiff::Timestamp::MIN
        } else {
            jiff::Timestamp::MAX
        };
        let time = jiff::Timestamp::from_microsecond(time.as_micros()).unwrap_or(end);
        let offset = zone.rules().to_offset(time);
        let local = offset.to_datetime(time);
        // Offsets are not always whole hours.
        let ahead = i64::from(offset.seconds());
        let seconds = time.as_microsecond().div_euclid(1_000_000).saturating_add(ahead);
        let began = seconds.saturating_sub(seconds.rem_euclid(HOUR)).saturating_sub(ahead);
        Self { date: local.date(), hour: local.hour(), began, offset }
    }

    /// Returns a number for the hour, day, ... that contains the time. Numbers are equal if they are
    /// the same, and rise with time.
    pub(super) fn number_of(&self, unit: CalendarUnit) -> i64 {
        let (year, month) = (i64::from(self.date.year()), i64::from(self.date.month()));
        let months = year.saturating_mul(12).saturating_add(month);
        match unit {
            CalendarUnit::Hour => self.began,
            CalendarUnit::Day => {
                months.saturating_mul(31).saturating_add(i64::from(self.date.day()))
            }
            CalendarUnit::Week => {
                let week = self.date.iso_week_date();
                i64::from(week.year()).saturating_mul(53).saturating_add(i64::from(week.week()))
            }
            CalendarUnit::Month => months,
            CalendarUnit::Year => year,
        }
    }
}

/// Writes the name of the hour, day, ...: `2026-11-28 14:00`, `2026-11-28`, `2026-W48`, `2026-11`,
/// `2026`. The name of an hour that is not in UTC ends with the offset: `2026-11-28 14:00+01:00`.
pub(super) struct NamedPeriod<'a> {
    pub(super) unit: CalendarUnit,
    pub(super) local: &'a Local,
    pub(super) zone: &'a Zone,
}

impl fmt::Display for NamedPeriod<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Local { date, hour, offset, .. } = self.local;
        match self.unit {
            CalendarUnit::Hour => {
                write!(f, "{date} {hour:02}:00")?;
                if self.zone.is_utc() { Ok(()) } else { write!(f, "{offset}") }
            }
            CalendarUnit::Day => write!(f, "{date}"),
            CalendarUnit::Week => {
                let week = date.iso_week_date();
                write!(f, "{:04}-W{:02}", week.year(), week.week())
            }
            CalendarUnit::Month => write!(f, "{:04}-{:02}", date.year(), date.month()),
            CalendarUnit::Year => write!(f, "{:04}", date.year()),
        }
    }
}
