//! [`PolicyBuilder`]: a policy from rules.

use std::time::Duration;

use super::rule::{CalendarUnit, Rule};
use super::span::Span;
use super::zone::Zone;
use super::{Policy, SUPERSEDED};
use crate::error::{Error, ErrorKind};

/// Builds a [`Policy`]: see there for the rules. Each method adds a rule; the order only affects
/// the text form and the order of reasons.
///
/// `u64::MAX` as a number of snapshots, hours, days, weeks, months or years means no limit. Periods
/// are rounded down to whole microseconds.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct PolicyBuilder {
    rules: Vec<Rule>,
    nothing: bool,
    zone: Option<String>,
    superseded: Option<Duration>,
}

impl Policy {
    /// Begins a policy without rules.
    ///
    /// ```
    /// use std::time::Duration;
    /// use snapfold::retention::Policy;
    ///
    /// let month = Duration::from_secs(30 * 86_400);
    /// let policy = Policy::builder().last(4).reachable(1_000, month).monthly(12).build()?;
    /// assert_eq!(policy.to_string(), "last 4, reachable 1000 within 30d, monthly 12");
    /// # Ok::<(), snapfold::Error>(())
    /// ```
    pub fn builder() -> PolicyBuilder {
        PolicyBuilder::default()
    }
}

impl PolicyBuilder {
    fn rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// Keeps every snapshot.
    pub fn all(self) -> Self {
        self.rule(Rule::All)
    }

    /// Keeps the newest `snapshots`.
    pub fn last(self, snapshots: u64) -> Self {
        self.rule(Rule::Last(snapshots))
    }

    /// Keeps the snapshots of the last `period` (both ends inclusive), as
    /// [`keep_within`](crate::retention::keep_within).
    pub fn within(self, period: Duration) -> Self {
        self.rule(Rule::Within(Span::new(period)))
    }

    /// Keeps the newest snapshot of each of the newest `hours` that have one.
    pub fn hourly(self, hours: u64) -> Self {
        self.rule(Rule::Calendar(CalendarUnit::Hour, hours))
    }

    /// Keeps the newest snapshot of each of the newest `days` that have one.
    pub fn daily(self, days: u64) -> Self {
        self.rule(Rule::Calendar(CalendarUnit::Day, days))
    }

    /// Keeps the newest snapshot of each of the newest `weeks` that have one.
    pub fn weekly(self, weeks: u64) -> Self {
        self.rule(Rule::Calendar(CalendarUnit::Week, weeks))
    }

    /// Keeps the newest snapshot of each of the newest `months` that have one.
    pub fn monthly(self, months: u64) -> Self {
        self.rule(Rule::Calendar(CalendarUnit::Month, months))
    }

    /// Keeps the newest snapshot of each of the newest `years` that have one.
    pub fn yearly(self, years: u64) -> Self {
        self.rule(Rule::Calendar(CalendarUnit::Year, years))
    }

    /// For each multiple of `versions` from `versions` itself on, keeps the snapshot with the lowest
    /// version at or above it.
    ///
    /// If there is none before the next multiple, that one's snapshot counts for both. A snapshot
    /// below `versions` is not kept. Snapshots that this rule keeps are kept by it again as long as
    /// they exist.
    pub fn every_versions(self, versions: u64) -> Self {
        self.rule(Rule::Every(versions))
    }

    /// Keeps the snapshots with this label, compared byte by byte.
    pub fn label(self, label: impl Into<String>) -> Self {
        self.rule(Rule::Label(label.into().into()))
    }

    /// Keeps enough snapshots that the states of the last `period` stay reachable: each version that
    /// has a snapshot at most `events` below it still has one.
    ///
    /// This holds for the versions from the snapshot on that was the newest one when the period
    /// began. In other words: a load at any time of the last `period` starts at most `events` below
    /// its version, if it did before. The rule drops what that does not need, and so thins out
    /// snapshots that were taken more often.
    ///
    /// It takes no snapshots. Where they are more than `events` apart, all are kept, and the versions
    /// that are further than that above the one below them are as far from it as before. So the
    /// distance is only guaranteed if snapshots are taken at least every `events` versions. If
    /// `events` is 0, all of them are kept.
    ///
    /// Precisely: let `m` be the lowest snapshot of the period, as [`within`](Self::within)
    /// determines it, and `p` the highest one below `m` that is not in the future; `m` itself if
    /// there is none. If the period has no snapshot, `p` is the highest one that is not in the
    /// future. `p` is kept. After each kept snapshot, the next one kept is the highest that is at
    /// most `events + 1` above it; if there is none, the lowest above it. No smaller set fulfils the
    /// promise.
    pub fn reachable(self, events: u64, period: Duration) -> Self {
        self.rule(Rule::Reachable { events, within: Span::new(period) })
    }

    /// Keeps nothing but what is protected under every policy. Stands alone, without any rule.
    pub fn nothing(mut self) -> Self {
        self.nothing = true;
        self
    }

    /// Sets the time zone of the calendar by its IANA name. UTC by default.
    pub fn zone(mut self, name: impl Into<String>) -> Self {
        self.zone = Some(name.into());
        self
    }

    /// Sets how long the newest snapshots of a superseded generation are kept. 7 days by default;
    /// `Duration::MAX` keeps them forever. See
    /// [`Retention::keep_superseded`](crate::retention::Retention::keep_superseded).
    pub fn superseded(mut self, period: Duration) -> Self {
        self.superseded = Some(period);
        self
    }

    /// Builds the policy.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) without a rule (a policy that
    /// keeps nothing is only built after [`nothing`](Self::nothing)), with `nothing` and a rule,
    /// with a number or period of 0, except the events of [`reachable`](Self::reachable), for an
    /// unknown time zone, and if the text form is longer than [`Policy::MAX_BYTES`]. [`ErrorKind::FeatureDisabled`](crate::ErrorKind::FeatureDisabled) for a
    /// time zone other than UTC without the feature `schedules`.
    pub fn build(self) -> Result<Policy, Error> {
        if self.nothing && !self.rules.is_empty() {
            return Err(refused("`nothing` stands alone: remove it, or the rules".to_owned()));
        }
        if !self.nothing && self.rules.is_empty() {
            return Err(refused(
                "it would keep nothing: add a rule, or say so with `nothing`".to_owned(),
            ));
        }
        if let Some(rule) = self.rules.iter().find(|rule| rule.is_zero()) {
            return Err(refused(format!(
                "the rule `{rule}` keeps nothing: use at least 1, or remove it"
            )));
        }
        let zone = match self.zone {
            Some(name) => Zone::find(&name)
                .map_err(|no_zone| Error::new(no_zone.kind, BUILD, no_zone.message))?,
            None => Zone::default(),
        };
        let superseded = whole(self.superseded.unwrap_or(SUPERSEDED));
        Policy { rules: self.rules, zone, superseded }.limited().map_err(refused)
    }
}

const BUILD: &str = "build a retention policy";

fn refused(message: String) -> Error {
    Error::new(ErrorKind::InvalidInput, BUILD, message)
}

/// Whole microseconds; `Duration::MAX`, which is forever, if `u64` does not hold them.
fn whole(period: Duration) -> Duration {
    u64::try_from(period.as_micros()).map_or(Duration::MAX, Duration::from_micros)
}
