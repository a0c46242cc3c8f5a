//! Computes the next time of a cron expression.

#[cfg(not(feature = "schedules"))]
pub(super) use disabled::{next_after, zone_name};
#[cfg(feature = "schedules")]
pub(super) use enabled::{next_after, zone_name};

#[cfg(feature = "schedules")]
mod enabled {
    use croner::Cron;
    use croner::errors::CronError;
    use jiff_of_croner as jiff;
    use jiff_of_croner::tz::TimeZone;

    use crate::error::Error;
    use crate::ledger::invalid::invalid;
    use crate::timestamp::Timestamp;

    /// The first time after `time` (exclusive) that `expression` matches in `zone`, or in UTC;
    /// `None` if there is none.
    ///
    /// The search ends at the year 5000, after at most a few milliseconds.
    pub(crate) fn next_after(
        expression: &str,
        zone: Option<&str>,
        time: Timestamp,
    ) -> Result<Option<Timestamp>, Error> {
        let wrong = |error: CronError| {
            invalid(format!("the cron expression {expression:?} does not parse: {error}"))
        };
        let cron: Cron = expression.parse().map_err(wrong)?;
        let zone = zone.map_or(Ok(TimeZone::UTC), find)?;
        let mut after = match jiff::Timestamp::from_microsecond(time.as_micros()) {
            Ok(after) => after,
            // Before the first year of the calendar, or after its last.
            Err(_) if time < Timestamp::from_micros(0) => jiff::Timestamp::MIN,
            Err(_) => return Ok(None),
        };
        loop {
            match cron.find_next_occurrence(&after.to_zoned(zone.clone()), false) {
                Ok(next) => {
                    let micros = next.timestamp().as_microsecond();
                    let next = Timestamp::from_micros(micros);
                    if next > time {
                        return Ok(Some(next));
                    }
                }
                Err(CronError::TimeSearchLimitExceeded) => return Ok(None),
                Err(error) => return Err(wrong(error)),
            }
            // The search works in whole seconds of local time. Where clocks go back, it may return
            // `time` itself.
            let Ok(later) = after.checked_add(jiff::SignedDuration::from_secs(1)) else {
                return Ok(None);
            };
            after = later;
        }
    }

    /// The IANA name of a time zone, in the usual case.
    pub(crate) fn zone_name(zone: &str) -> Result<String, Error> {
        let found = find(zone)?;
        Ok(found.iana_name().unwrap_or(zone).to_owned())
    }

    fn find(zone: &str) -> Result<TimeZone, Error> {
        TimeZone::get(zone).map_err(|source| {
            let message = format!(
                "there is no time zone {zone:?}: use an IANA name, such as Europe/Berlin or UTC"
            );
            invalid(message).with_source(source)
        })
    }
}

#[cfg(not(feature = "schedules"))]
mod disabled {
    use crate::error::{Error, ErrorKind};
    use crate::timestamp::Timestamp;

    pub(crate) fn next_after(
        expression: &str,
        _: Option<&str>,
        _: Timestamp,
    ) -> Result<Option<Timestamp>, Error> {
        Err(needs_feature(&format!("{expression:?} is a cron expression")))
    }

    pub(crate) fn zone_name(zone: &str) -> Result<String, Error> {
        Err(needs_feature(&format!("{zone:?} is the time zone of a cron expression")))
    }

    fn needs_feature(what: &str) -> Error {
        Error::new(
            ErrorKind::FeatureDisabled,
            "compute the next run",
            format!("{what}: enable the feature \"schedules\" of snapfold"),
        )
    }
}

#[cfg(feature = "schedules")]
#[cfg(test)]
mod tests {
    //! Expressions are written by hand, and local time has gaps and repeats itself.

    use proptest::prelude::*;

    use crate::error::ErrorKind;
    use crate::ledger::Cadence;
    use crate::timestamp::Timestamp;

    fn next(expression: &str, after: &str) -> Option<String> {
        let cadence = Cadence::cron(expression).unwrap();
        let next = cadence.next_after(after.parse().unwrap()).unwrap();
        next.map(|at| at.to_string())
    }

    #[test]
    fn the_next_run_is_strictly_after_and_in_utc() {
        for (expression, after, expected) in [
            ("0 3 * * *", "2026-11-28T03:00:00Z", "2026-11-29T03:00:00Z"),
            ("0 3 * * *", "2026-11-28T02:59:59.999999Z", "2026-11-28T03:00:00Z"),
            ("*/15 * * * *", "2026-11-28T23:46:00Z", "2026-11-29T00:00:00Z"),
            ("* * * * * *", "2026-11-28T23:46:00.5Z", "2026-11-28T23:46:01Z"),
            ("@daily", "2026-12-31T00:00:00Z", "2027-01-01T00:00:00Z"),
            ("0 0 29 2 *", "2096-02-29T00:00:00Z", "2104-02-29T00:00:00Z"),
            ("0 0 * * MON", "2026-11-28T00:00:00Z", "2026-11-30T00:00:00Z"),
            // Much of Europe turns its clocks back in this night.
            ("30 2 * * *", "2026-10-25T00:00:00Z", "2026-10-25T02:30:00Z"),
            ("0 0 1 1 *", "1969-06-01T00:00:00Z", "1970-01-01T00:00:00Z"),
        ] {
            assert_eq!(next(expression, after).as_deref(), Some(expected), "{expression}");
        }
        assert_eq!(next("0 0 0 1 1 * 2020", "2026-01-01T00:00:00Z"), None);
    }

    #[test]
    fn what_is_no_expression_or_names_no_time_is_refused_with_its_text() {
        let long = "1,".repeat(600);
        for wrong in [
            "",
            " ",
            "* * * *",
            "60 * * * *",
            "5-1 * * * *",
            "*/0 * * * *",
            "0 0 31 2 *",
            "0 3 * * *\0",
            "@reboot",
            "\u{1f600}",
            "0 0 32 * *",
            "* * 5#6 * *",
            &long,
        ] {
            let error = Cadence::cron(wrong).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{wrong:?}");
            assert!(error.to_string().contains("cron expression"), "{error}");
        }
    }

    fn next_in(zone: &str, expression: &str, after: &str) -> Option<String> {
        let cadence = Cadence::cron_in(expression, zone).unwrap();
        let next = cadence.next_after(after.parse().unwrap()).unwrap();
        next.map(|at| at.to_string())
    }

    #[test]
    fn clocks_that_go_forward_or_back_neither_skip_nor_repeat_a_fixed_time() {
        let berlin = |expression: &str, after: &str| next_in("Europe/Berlin", expression, after);
        for (expression, after, expected) in [
            // 03:00 is at 02:00 UTC in winter, at 01:00 in summer.
            ("0 3 * * *", "2026-03-28T03:00:00Z", "2026-03-29T01:00:00Z"),
            ("0 3 * * *", "2026-10-24T03:00:00Z", "2026-10-25T02:00:00Z"),
            // 02:30 does not exist on 29 March: the gap ends at 01:00 UTC.
            ("30 2 * * *", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z"),
            ("30 2 * * *", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"),
            // 02:30 occurs twice on 25 October: at 00:30 and at 01:30 UTC.
            ("30 2 * * *", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"),
            ("30 2 * * *", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"),
            ("30 2 * * *", "2026-10-25T01:00:00Z", "2026-10-26T01:30:00Z"),
            // Steps follow the clock: none in the gap, all in both hours.
            ("*/30 * * * *", "2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z"),
            ("*/30 * * * *", "2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z"),
            ("*/30 * * * *", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z"),
            ("*/30 * * * *", "2026-10-25T01:30:00Z", "2026-10-25T02:00:00Z"),
        ] {
            let found = berlin(expression, after);
            assert_eq!(found.as_deref(), Some(expected), "{expression} after {after}");
        }
        // A gap of half an hour.
        let lord_howe = next_in("Australia/Lord_Howe", "15 2 * * *", "2026-10-03T12:00:00Z");
        assert_eq!(lord_howe.as_deref(), Some("2026-10-03T15:30:00Z"));
    }

    #[test]
    fn time_zones_come_back_from_their_text_and_unknown_ones_are_refused() {
        let cadence: Cadence = "TZ=europe/berlin 0 3 * * *".parse().unwrap();
        assert_eq!(cadence.to_string(), "TZ=Europe/Berlin 0 3 * * *");
        assert_eq!(Cadence::from_stored(&cadence.to_string()).unwrap(), cadence);
        assert_eq!(cadence, Cadence::cron_in("0 3 * * *", "Europe/Berlin").unwrap());
        for zone in ["", " ", "Mars/Base", "../../etc/passwd", "UTC\0", "+01:00", "Europe/Berlin "]
        {
            let error = Cadence::cron_in("0 3 * * *", zone).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{zone:?}");
            assert!(error.to_string().contains("time zone"), "{error}");
        }
        for text in ["TZ=", "TZ= 0 3 * * *", "TZ=UTC", "TZ=UTC ", "TZ=UTC TZ=UTC 0 3 * * *"] {
            let error = text.parse::<Cadence>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text:?}");
        }
        // A ledger keeps the text of a zone that only other nodes know.
        let foreign = Cadence::from_stored("TZ=Mars/Base 0 3 * * *").unwrap();
        assert_eq!(foreign.to_string(), "TZ=Mars/Base 0 3 * * *");
        let error = foreign.next_after(Timestamp::from_micros(0)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }

    proptest! {
        #[test]
        fn the_next_run_lies_ahead_in_every_zone_at_every_change_of_its_clocks(
            zone in proptest::sample::select(vec![
                "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia",
                "Africa/Casablanca", "America/St_Johns", "Antarctica/Troll", "Asia/Kathmandu",
            ]),
            expression in "(([0-5]?[0-9]|\\*|\\*/[1-9]) ){0,1}([0-5]?[0-9]|\\*|\\*/15) ([0-3]|\\*) \\* \\* \\*",
            change in 0_usize..40,
            around in -90_000_i64..90_000,
        ) {
            use jiff::tz::TimeZone;

            let Ok(cadence) = Cadence::cron_in(&expression, zone) else { return Ok(()) };
            let start = jiff::Timestamp::from_second(1_262_304_000).unwrap();
            let zone = TimeZone::get(zone).unwrap();
            let Some(change) = zone.following(start).nth(change) else { return Ok(()) };
            let seconds = change.timestamp().as_second() + around;
            let mut at = Timestamp::from_seconds(seconds);
            for _ in 0..4 {
                let next = cadence.next_after(at).unwrap().unwrap();
                prop_assert!(next > at, "{} after {}", next, at);
                // No pattern here is rarer than once a day.
                prop_assert!(next.since(at).as_secs() <= 50 * 3_600, "{} after {}", next, at);
                at = next;
            }
        }

        #[test]
        fn no_text_and_no_time_panics(
            text in "[0-9*,/#LW?A-Z@ -]{0,24}",
            micros in proptest::num::i64::ANY,
            stored in "(([0-9]{1,2}|\\*|\\*/[1-9]|[0-9]-[0-9]) ){4,6}([0-9]|\\*|MON#[1-5]|L)",
        ) {
            for text in [text, stored] {
                let Ok(cadence) = Cadence::cron(&text) else { continue };
                let at = Timestamp::from_micros(micros);
                if let Ok(Some(next)) = cadence.next_after(at) {
                    prop_assert!(next > at);
                }
            }
        }
    }
}
