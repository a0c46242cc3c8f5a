//! Dates, times and durations: chrono, jiff, time, humantime.

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use chrono::{
    DateTime, FixedOffset, Month, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone as _,
    Utc, Weekday,
};
use snapfold_types::{Gen, cases, state, states};

state! {
    struct ChronoTs { #[serde(with = "chrono::serde::ts_seconds")] at: DateTime<Utc> => |g| seconds(g), after: u8 }
    struct ChronoMillis {
        #[serde(with = "chrono::serde::ts_milliseconds_option")] at: Option<DateTime<Utc>> => |g| {
            (!g.once_in(3)).then(|| seconds(g)) },
        after: u8,
    }
    struct HumanTime { #[serde(with = "humantime_serde")] wait: Duration => |g| Duration::from_millis(g.scaled() >> 20), n: u8 }
    struct JiffTs { #[serde(with = "jiff::fmt::serde::timestamp::second::required")] at: jiff::Timestamp => |g| {
        jiff::Timestamp::from_second((g.scaled() % 4_000_000_000) as i64).unwrap() }, n: u8 }
    struct TimeRfc3339 { #[serde(with = "time::serde::rfc3339")] at: time::OffsetDateTime, after: u8 }
    struct TimeRfc3339Option { #[serde(with = "time::serde::rfc3339::option")] at: Option<time::OffsetDateTime>, after: u8 }
    struct TimeUnix { #[serde(with = "time::serde::timestamp")] at: time::OffsetDateTime => |g| {
        time::OffsetDateTime::from_unix_timestamp((g.scaled() % 4_000_000_000) as i64).unwrap() }, after: u8 }
    struct TimeUnixOption { #[serde(with = "time::serde::timestamp::option")] at: Option<time::OffsetDateTime> => |g| {
        (!g.once_in(3)).then(|| time::OffsetDateTime::from_unix_timestamp((g.scaled() % 4_000_000_000) as i64).unwrap()) }, after: u8 }
    struct SystemMillis { #[serde(with = "serde_with::As::<serde_with::TimestampMilliSeconds<i64>>")] at: SystemTime => |g| {
        SystemTime::UNIX_EPOCH + Duration::from_millis(g.scaled() >> 8) }, n: u8 }
    struct AfterWeekday { on: Weekday, month: Month, cents: u64, tail: Vec<(u32, u32)> }
}

fn seconds(g: &mut Gen) -> DateTime<Utc> {
    Utc.timestamp_opt((g.scaled() % 8_000_000_000) as i64, 0).unwrap()
}

fn main() -> ExitCode {
    states::run(cases! {
        Weekday as "chrono::Weekday", Month as "chrono::Month",
        AfterWeekday as "fields after Weekday",
        NaiveDate as "chrono::NaiveDate", NaiveTime as "chrono::NaiveTime",
        NaiveDateTime as "chrono::NaiveDateTime",
        DateTime<Utc> as "chrono::DateTime<Utc>",
        DateTime<FixedOffset> as "chrono::DateTime<FixedOff.>",
        TimeDelta as "chrono::TimeDelta",
        ChronoTs as "chrono ts_seconds", ChronoMillis as "chrono ts_millis_option",
        jiff::Timestamp, jiff::Zoned, jiff::civil::Date, jiff::civil::Time, jiff::civil::DateTime,
        jiff::Span, jiff::SignedDuration, JiffTs as "jiff timestamp::second",
        time::Date, time::Time, time::PrimitiveDateTime, time::OffsetDateTime, time::Duration,
        time::Weekday, time::Month,
        Option<time::OffsetDateTime> as "Option of OffsetDateTime",
        TimeRfc3339 as "time rfc3339", TimeRfc3339Option as "time rfc3339::option",
        TimeUnix as "time timestamp", TimeUnixOption as "time timestamp::option",
        HumanTime as "humantime_serde", SystemMillis as "serde_with TimestampMilli",
    })
}
