//! [`Policy`]: a retention policy as data, and as text. [`retention`](crate::retention) judges by
//! it; schedules store it.

mod builder;
mod parse;
mod rule;
mod scan;
mod span;
mod text;
mod zone;

use std::time::Duration;

pub use builder::PolicyBuilder;
pub(crate) use rule::{CalendarUnit, Rule};
pub(crate) use zone::Zone;

/// How long the newest snapshots of a superseded generation are kept unless the policy says
/// otherwise.
pub(crate) const SUPERSEDED: Duration = Duration::from_secs(7 * 86_400);

/// A retention policy of rules that add up: a snapshot is kept if at least one rule keeps it.
///
/// A policy is built with [`Policy::builder`], or parsed from its text form, which
/// [`Display`](std::fmt::Display) writes and serde uses. Both ways give equal policies.
///
/// ```
/// use snapfold::retention::Policy;
///
/// let policy: Policy = "last 4, daily 7, label release".parse()?;
/// let built = Policy::builder().last(4).daily(7).label("release").build()?;
/// assert_eq!(policy, built);
/// assert_eq!(policy.to_string(), "last 4, daily 7, label release");
/// # Ok::<(), snapfold::Error>(())
/// ```
///
/// # Rules
/// Each rule judges the snapshots of one generation of one aggregate. `N` is a whole number from 1
/// on; `all` instead of a number means no limit.
///
/// | rule | keeps |
/// |---|---|
/// | `last N` | the newest `N` snapshots |
/// | `within D` | the snapshots of the last `D`, as [`keep_within`](crate::retention::keep_within) |
/// | `hourly N`, `daily N`, `weekly N`, `monthly N`, `yearly N` | the newest snapshot of each of the newest `N` hours (days, ...) that have one |
/// | `every N versions` | for each multiple of `N`, the first snapshot at or above it |
/// | `label X` | the snapshots with the label `X` |
/// | `reachable N within D` | enough snapshots that each version of the last `D` stays at most `N` events above one: see [`PolicyBuilder::reachable`] |
/// | `all` | every snapshot |
/// | `nothing` | no snapshot; stands alone |
///
/// Two settings stand beside the rules:
///
/// | setting | meaning |
/// |---|---|
/// | `zone Z` | the IANA time zone of the calendar, such as `Europe/Berlin`; UTC by default. Needs the feature `schedules` |
/// | `superseded D`, `superseded forever` | how long the newest snapshots of a superseded generation are kept; `7d` by default |
///
/// What [`RetentionPlan::new`](crate::retention::RetentionPlan::new) protects is kept under every
/// policy: pinned snapshots, the newest usable one, and the bases of deltas.
///
/// # Times
/// The time of a snapshot is the one that [`KeepWithin`](crate::retention::KeepWithin) measures:
/// its as-of time, unless that is in the future. A snapshot whose times are all in the future
/// belongs to no hour, day, week, month or year. If every snapshot of a generation was created in
/// the future, each rule that uses times keeps them all.
///
/// Weeks begin on Monday. An hour that occurs twice when clocks go back counts as two. If the times
/// of an aggregate do not rise with its versions, the newest snapshot of a day is the one with the
/// highest version. Times before the year -9999 or after 9999 count as the first or the last
/// instant of those years.
///
/// # Retired snapshots
/// Loads do not use them, so only `within`, `label` and `all` keep them. The other rules neither
/// keep nor count them.
///
/// # Text form
/// Rules and settings are separated by commas. White space and the case of the words do not matter.
/// Durations are numbers with the units `us`, `s`, `m` (minutes), `h`, `d` (24 hours), `w` (7 days)
/// and `y` (365 days), and may be sums: `1d12h`. Labels with white space, commas, quotes or
/// backslashes are in double quotes; `\"` stands for a quote, and `\\` for a backslash.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Policy {
    /// Empty if the policy keeps nothing.
    rules: Vec<Rule>,
    zone: Zone,
    /// Whole microseconds, at most `u64::MAX` of them; or `Duration::MAX`.
    superseded: Duration,
}

impl Policy {
    /// The longest text form, in bytes (inclusive). It bounds the number of rules, and what a
    /// schedule stores.
    pub const MAX_BYTES: usize = 900;

    /// Returns the policy, or the message that its text form is too long.
    fn limited(self) -> Result<Self, String> {
        let (bytes, limit) = (self.to_string().len(), Self::MAX_BYTES);
        if bytes <= limit {
            return Ok(self);
        }
        Err(format!("its text form has {bytes} bytes, the limit is {limit}: use fewer rules"))
    }

    pub(crate) fn rules(&self) -> &[Rule] {
        &self.rules
    }

    pub(crate) const fn zone(&self) -> &Zone {
        &self.zone
    }

    /// Returns how long the newest snapshots of a superseded generation are kept; `Duration::MAX`
    /// is forever.
    pub(crate) const fn superseded(&self) -> Duration {
        self.superseded
    }
}

/// `last 4, daily 7, weekly 4, monthly 12`: recent states at hand, and one for each day of a week,
/// each week of a month and each month of a year; at most 27 snapshots of a generation.
///
/// It keeps four of the newest because a load tries three snapshots before it replays all events,
/// and retention that keeps four does not need to read any.
///
/// This is not what an engine applies by itself after background snapshots: that is
/// [`keep_last(4)`](crate::retention::keep_last) unless it is
/// [set](crate::engine::EngineBuilder::retention).
impl Default for Policy {
    fn default() -> Self {
        let rules = vec![
            Rule::Last(4),
            Rule::Calendar(CalendarUnit::Day, 7),
            Rule::Calendar(CalendarUnit::Week, 4),
            Rule::Calendar(CalendarUnit::Month, 12),
        ];
        Self { rules, zone: Zone::default(), superseded: SUPERSEDED }
    }
}
