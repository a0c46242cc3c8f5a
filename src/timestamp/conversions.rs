//! Conversions of [`Timestamp`] from and to the types of other crates, each behind a feature of the
//! crate's name.

use super::Timestamp;
use crate::error::{BoxError, Error, ErrorKind};

fn out_of_range(time: Timestamp, of: &str, source: Option<BoxError>) -> Error {
    let message = format!("{of} cannot represent {time}: its calendar ends before");
    let error = Error::new(ErrorKind::InvalidInput, "convert a time", message);
    match source {
        Some(source) => error.with_source(source),
        None => error,
    }
}

#[cfg(feature = "jiff")]
mod with_jiff {
    use super::out_of_range;
    use crate::error::Error;
    use crate::timestamp::Timestamp;

    impl From<jiff::Timestamp> for Timestamp {
        /// Rounds towards the past to a whole microsecond.
        fn from(time: jiff::Timestamp) -> Self {
            let micros = time.as_nanosecond().div_euclid(1_000);
            Self::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
        }
    }

    impl TryFrom<Timestamp> for jiff::Timestamp {
        type Error = Error;

        /// # Errors
        /// [`InvalidInput`](crate::ErrorKind::InvalidInput) outside the years -9999 to 9999.
        fn try_from(time: Timestamp) -> Result<Self, Error> {
            Self::from_microsecond(time.as_micros())
                .map_err(|source| out_of_range(time, "jiff::Timestamp", Some(source.into())))
        }
    }
}

#[cfg(feature = "chrono")]
mod with_chrono {
    use chrono::{DateTime, TimeZone, Utc};

    use super::out_of_range;
    use crate::error::Error;
    use crate::timestamp::Timestamp;

    impl<Tz: TimeZone> From<DateTime<Tz>> for Timestamp {
        /// Rounds towards the past to a whole microsecond. A leap second counts as the second after
        /// it.
        fn from(time: DateTime<Tz>) -> Self {
            Self::from_micros(time.timestamp_micros())
        }
    }

    impl TryFrom<Timestamp> for DateTime<Utc> {
        type Error = Error;

        /// # Errors
        /// [`InvalidInput`](crate::ErrorKind::InvalidInput) outside the years that chrono knows:
        /// 262,000 before and after 1970.
        fn try_from(time: Timestamp) -> Result<Self, Error> {
            Self::from_timestamp_micros(time.as_micros())
                .ok_or_else(|| out_of_range(time, "chrono::DateTime", None))
        }
    }
}

#[cfg(feature = "time")]
mod with_time {
    use time::OffsetDateTime;

    use super::out_of_range;
    use crate::error::Error;
    use crate::timestamp::Timestamp;

    impl From<OffsetDateTime> for Timestamp {
        /// Rounds towards the past to a whole microsecond; saturates.
        fn from(time: OffsetDateTime) -> Self {
            let micros = time.unix_timestamp_nanos().div_euclid(1_000);
            let end = if micros < 0 { i64::MIN } else { i64::MAX };
            Self::from_micros(i64::try_from(micros).unwrap_or(end))
        }
    }

    impl TryFrom<Timestamp> for OffsetDateTime {
        type Error = Error;

        /// # Errors
        /// [`InvalidInput`](crate::ErrorKind::InvalidInput) outside the years -9999 to 9999, or
        /// -999,999 to 999,999 with the feature `large-dates` of time.
        fn try_from(time: Timestamp) -> Result<Self, Error> {
            Self::from_unix_timestamp_nanos(i128::from(time.as_micros()) * 1_000)
                .map_err(|source| out_of_range(time, "time::OffsetDateTime", Some(source.into())))
        }
    }
}

#[cfg(all(test, feature = "jiff", feature = "chrono", feature = "time"))]
mod tests {
    use proptest::prelude::*;

    use crate::error::ErrorKind;
    use crate::timestamp::Timestamp;

    type Chrono = chrono::DateTime<chrono::Utc>;

    /// Each crate prints the time as this one does, and gives it back.
    fn check(time: Timestamp) {
        let of_jiff = jiff::Timestamp::try_from(time);
        let of_chrono = Chrono::try_from(time);
        let of_time = time::OffsetDateTime::try_from(time);
        for error in [of_jiff.as_ref().err(), of_chrono.as_ref().err(), of_time.as_ref().err()] {
            assert!(error.is_none_or(|error| error.kind() == ErrorKind::InvalidInput));
        }
        if let Ok(it) = of_jiff {
            assert_eq!(Timestamp::from(it), time);
        }
        if let Ok(it) = of_chrono {
            assert_eq!(Timestamp::from(it), time);
            if of_jiff.is_ok() && it.timestamp() > 0 {
                assert_eq!(it.to_rfc3339().parse().ok(), Some(time));
            }
        }
        if let Ok(it) = of_time {
            assert_eq!(Timestamp::from(it), time);
            assert_eq!(it.unix_timestamp(), time.as_micros().div_euclid(1_000_000));
        }
    }

    #[test]
    fn the_ends_of_each_calendar_are_converted_or_refused() {
        for time in [Timestamp::MIN, Timestamp::MAX] {
            assert!(jiff::Timestamp::try_from(time).is_err());
            assert!(Chrono::try_from(time).is_err());
            assert!(time::OffsetDateTime::try_from(time).is_err());
        }
        for micros in [0, -1, 1, i64::MIN + 1, i64::MAX - 1, 253_402_207_200_000_000] {
            check(Timestamp::from_micros(micros));
        }
        check(Timestamp::from(jiff::Timestamp::MIN));
        check(Timestamp::from(jiff::Timestamp::MAX));
        check(Timestamp::from(Chrono::MIN_UTC));
        check(Timestamp::from(Chrono::MAX_UTC));
    }

    #[test]
    fn parts_of_a_microsecond_round_towards_the_past() {
        let just_before = -500;
        let micro = Timestamp::from_micros(-1);
        assert_eq!(Timestamp::from(jiff::Timestamp::from_nanosecond(just_before).unwrap()), micro);
        assert_eq!(Timestamp::from(Chrono::from_timestamp_nanos(-500)), micro);
        let of_time = time::OffsetDateTime::from_unix_timestamp_nanos(just_before).unwrap();
        assert_eq!(Timestamp::from(of_time), micro);
    }

    proptest! {
        #[test]
        fn a_time_survives_every_crate(micros in any::<i64>(), near in -62_000_000_000_000_000_i64..253_000_000_000_000_000) {
            check(Timestamp::from_micros(micros));
            check(Timestamp::from_micros(near));
        }
    }
}
