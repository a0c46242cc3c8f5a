//! [`DailyStatistics`]: statistics per aggregate and day.

use std::time::Duration;

use crate::timestamp::Timestamp;

/// A day in UTC, counted from 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(i32);

impl Day {
    /// Creates the day with this number; 0 is 1970-01-01.
    pub const fn new(number: i32) -> Self {
        Self(number)
    }

    /// Returns the day that contains `time`.
    pub fn of(time: Timestamp) -> Self {
        const MICROS: i64 = 86_400_000_000;
        // The range is about 107 million days in either direction.
        Self(i32::try_from(time.as_micros().div_euclid(MICROS)).unwrap_or(i32::MAX))
    }

    /// Returns the number of days since 1970-01-01.
    pub const fn number(self) -> i32 {
        self.0
    }
}

/// What happened to the snapshots of one aggregate on one day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DailyStatistics {
    /// The number of snapshots created.
    pub created: u64,
    /// The number of snapshots deleted.
    pub deleted: u64,
    /// The total size of the created records, in bytes.
    pub bytes: u64,
    /// The total time taken to create them, in microseconds.
    pub creation_micros: u64,
}

impl DailyStatistics {
    /// Creates the statistics of one created snapshot with this size and creation time.
    pub fn created(bytes: u64, took: Duration) -> Self {
        let creation_micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        Self { created: 1, deleted: 0, bytes, creation_micros }
    }

    /// Creates the statistics of this number of deleted snapshots.
    pub const fn deleted(snapshots: u64) -> Self {
        Self { created: 0, deleted: snapshots, bytes: 0, creation_micros: 0 }
    }

    /// Returns the average time to create a snapshot; `None` if none was created.
    pub fn average_creation(&self) -> Option<Duration> {
        self.creation_micros.checked_div(self.created).map(Duration::from_micros)
    }

    /// Returns the sum of both; saturates.
    pub fn plus(self, other: Self) -> Self {
        Self {
            created: self.created.saturating_add(other.created),
            deleted: self.deleted.saturating_add(other.deleted),
            bytes: self.bytes.saturating_add(other.bytes),
            creation_micros: self.creation_micros.saturating_add(other.creation_micros),
        }
    }
}
