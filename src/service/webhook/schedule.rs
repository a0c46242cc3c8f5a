//! [`RetrySchedule`]: when a message is sent again.

use std::time::Duration;

use hmac_sha256::Hash;

/// The delays of the specification, in seconds. The first attempt is made at once.
const SPECIFIED: [u64; 9] = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];

/// When a message is sent again, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetrySchedule(Vec<Duration>);

impl RetrySchedule {
    /// The maximum delay, also of a `Retry-After` (inclusive).
    pub const MAX_DELAY: Duration = Duration::from_secs(86_400);

    /// The schedule of the specification: at once, then after 5 seconds, 5 and 30 minutes, and 2, 5,
    /// 10, 14, 20 and 24 hours.
    pub fn standard() -> Self {
        Self(SPECIFIED.map(Duration::from_secs).to_vec())
    }

    /// A schedule with these delays after the first attempt and each further one, of which each is at
    /// most [`MAX_DELAY`](Self::MAX_DELAY).
    pub fn new(delays: impl IntoIterator<Item = Duration>) -> Self {
        Self(delays.into_iter().map(|delay| delay.min(Self::MAX_DELAY)).collect())
    }

    /// Returns how long to wait after the attempt with this number, counted from 1; `None` if it was
    /// the last one. Up to a fifth longer than scheduled, so that not all come back at the same time.
    /// How much depends on the id of the message and the attempt. A receiver can ask for a longer
    /// time.
    pub fn delay(&self, id: &str, attempt: u32, asked: Option<Duration>) -> Option<Duration> {
        let index = usize::try_from(attempt.saturating_sub(1)).ok()?;
        let delay = *self.0.get(index)?;
        let mut hash = Hash::new();
        hash.update(attempt.to_le_bytes());
        hash.update(id);
        let [first, second, ..] = hash.finalize();
        let share = u32::from(u16::from_le_bytes([first, second]));
        // At most a day, so nothing overflows.
        let delay = delay + delay / 5 * share / u32::from(u16::MAX);
        Some(asked.map_or(delay, |asked| delay.max(asked.min(Self::MAX_DELAY))))
    }
}

impl Default for RetrySchedule {
    fn default() -> Self {
        Self::standard()
    }
}
