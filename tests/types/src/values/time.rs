//! Values of dates, times and durations.

use chrono::{
    DateTime, FixedOffset, Month, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone as _,
    Utc, Weekday,
};

use crate::{Gen, specimen};

fn nanos(g: &mut Gen) -> u32 {
    g.pick(&[0, 1, 999_999_999, 500_000_000, 123_456_000])
}

specimen! {
    Weekday => |g| Weekday::try_from(g.below(7) as u8).unwrap();
    Month => |g| Month::try_from(1 + g.below(12) as u8).unwrap();
    NaiveDate => |g| {
        let edges = [NaiveDate::MIN, NaiveDate::MAX, NaiveDate::from_ymd_opt(2024, 2, 29).unwrap()];
        if g.once_in(4) { g.pick(&edges) } else { NaiveDate::from_num_days_from_ce_opt(g.below(800_000) as i32).unwrap() }
    };
    NaiveTime => |g| {
        let leap = if g.once_in(5) { (59 + 60 * g.below(24 * 60) as u32, 1_500_000_000) } else { (g.below(86_400) as u32, nanos(g)) };
        NaiveTime::from_num_seconds_from_midnight_opt(leap.0, leap.1).unwrap()
    };
    NaiveDateTime => |g| {
        NaiveDate::from_num_days_from_ce_opt(g.below(800_000) as i32).unwrap().and_time(g.any())
    };
    DateTime<Utc> => |g| Utc.timestamp_opt(g.any::<i32>().into(), nanos(g)).unwrap();
    DateTime<FixedOffset> => |g| {
        let offset = FixedOffset::east_opt(g.pick(&[0, 3_600, -5 * 3_600, 19_800])).unwrap();
        offset.timestamp_opt(g.any::<i32>().into(), nanos(g)).unwrap()
    };
    TimeDelta => |g| TimeDelta::new((g.any::<i64>()) >> 12, nanos(g)).unwrap();
    jiff::Timestamp => |g| {
        let edges = [jiff::Timestamp::MIN, jiff::Timestamp::MAX, jiff::Timestamp::UNIX_EPOCH];
        if g.once_in(4) { g.pick(&edges) } else { jiff::Timestamp::new(g.any::<i32>().into(), nanos(g) as i32).unwrap() }
    };
    jiff::Zoned => |g| g.any::<jiff::Timestamp>().to_zoned(jiff::tz::TimeZone::get(g.pick(&["UTC", "Europe/Berlin"])).unwrap());
    jiff::civil::Date => |g| jiff::civil::date(g.below(9_999) as i16, 1 + g.below(12) as i8, 1 + g.below(28) as i8);
    jiff::civil::Time => |g| jiff::civil::time(g.below(24) as i8, g.below(60) as i8, g.below(60) as i8, nanos(g) as i32);
    jiff::civil::DateTime => |g| g.any::<jiff::civil::Date>().to_datetime(g.any());
    // Not compared unit by unit: 500,000,000 ns are written as 0.5 s.
    jiff::Span => |g| jiff::Span::new().days(g.below(400) as i64).hours(g.below(30) as i64).nanoseconds(i64::from(nanos(g))),
        same |a, b| a.to_string() == b.to_string();
    jiff::SignedDuration => |g| jiff::SignedDuration::new(g.any::<i64>() >> 1, nanos(g) as i32 * if g.once_in(2) { 0 } else { 1 });
    time::Date => |g| time::Date::from_ordinal_date(g.below(9_999) as i32, 1 + g.below(365) as u16).unwrap();
    time::Time => |g| time::Time::from_hms_nano(g.below(24) as u8, g.below(60) as u8, g.below(60) as u8, nanos(g)).unwrap();
    time::PrimitiveDateTime => |g| time::PrimitiveDateTime::new(g.any(), g.any());
    time::OffsetDateTime => |g| {
        let offset = time::UtcOffset::from_whole_seconds(g.pick(&[0, 3_600, -18_000])).unwrap();
        g.any::<time::PrimitiveDateTime>().assume_offset(offset)
    };
    time::Duration => |g| time::Duration::new(g.any::<i64>() >> 1, 0) + time::Duration::nanoseconds(i64::from(nanos(g)));
    time::Weekday => |g| g.pick(&[time::Weekday::Monday, time::Weekday::Sunday]);
    time::Month => |g| g.pick(&[time::Month::January, time::Month::December]);
}
