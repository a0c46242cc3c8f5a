//! Computes the next time of a cron expression, in UTC.

use crate::error::Error;
#[cfg(not(feature = "cron"))]
use crate::error::ErrorKind;
use crate::timestamp::Timestamp;

/// The first time after `time` (exclusive) that `expression` matches; `None` if there is none.
///
/// The search ends at the year 5000, after at most a few milliseconds.
#[cfg(feature = "cron")]
pub(super) fn next_after(expression: &str, time: Timestamp) -> Result<Option<Timestamp>, Error> {
    use croner::Cron;
    use croner::errors::CronError;

    let wrong = |error: CronError| {
        let message = format!("the cron expression {expression:?} does not parse: {error}");
        super::invalid::invalid(message)
    };
    let cron: Cron = expression.parse().map_err(wrong)?;
    let after = match jiff::Timestamp::from_microsecond(time.as_micros()) {
        Ok(after) => after,
        // Before the first year of the calendar, or after its last.
        Err(_) if time < Timestamp::from_micros(0) => jiff::Timestamp::MIN,
        Err(_) => return Ok(None),
    };
    match cron.find_next_occurrence(&after.to_zoned(jiff::tz::TimeZone::UTC), false) {
        Ok(next) => {
            let micros = next.timestamp().as_microsecond();
            Ok(Some(Timestamp::from_micros(micros)))
        }
        Err(CronError::TimeSearchLimitExceeded) => Ok(None),
        Err(error) => Err(wrong(error)),
    }
}

/// Cron expressions need the feature.
#[cfg(not(feature = "cron"))]
pub(super) fn next_after(expression: &str, _: Timestamp) -> Result<Option<Timestamp>, Error> {
    Err(Error::new(
        ErrorKind::FeatureDisabled,
        "compute the next run",
        format!("{expression:?} is a cron expression: enable the feature \"cron\" of snapfold"),
    ))
}

#[cfg(feature = "cron")]
#[cfg(test)]
mod tests {
    //! Expressions are written by hand. Wrong ones used to run never, or every second.

    use proptest::prelude::*;

    use super::*;
    use crate::error::ErrorKind;
    use crate::ledger::Cadence;

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

    proptest! {
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
