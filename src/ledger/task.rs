//! What a schedule does: [`Task`].

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::cadence::{parse_duration, write_duration};
use super::invalid::invalid;
use crate::error::Error;
use crate::policy::Policy;

const SNAPSHOT: &str = "snapshot";
const SNAPSHOT_ALL: &str = "snapshot all";
const VERIFY: &str = "verify";
const COMPARE: &str = "compare";
const REFOLD: &str = "refold";
const SEAL_AUDIT: &str = "seal audit";
const RETENTION: &str = "retention";
const KEEP: &str = "keep";
const LAST: &str = "last";
const WITHIN: &str = "within";

/// What a run of a schedule does with its aggregate, or with each aggregate of its kind.
///
/// Every task is idempotent: a run that was cut short, or that two nodes made, leaves the same
/// snapshots as one complete run.
///
/// The text form is `snapshot`, `snapshot all`, `verify`, `compare`, `refold`, `seal audit`, `keep` followed by a retention
/// [`Policy`](crate::retention::Policy), such as `keep last 4, daily 7`, or `retention` followed by a
/// [`KeepRule`], such as `retention last 4` or `retention last 4 within 30d`.
///
/// A schedule for a whole kind visits the aggregates that have snapshots, and `snapshot all` those
/// that have events.
///
/// ```
/// use snapfold::ledger::{KeepRule, Task};
///
/// let task: Task = "retention last 4".parse()?;
/// assert_eq!(task, Task::Retention(KeepRule::last(4)));
/// assert_eq!(task.to_string(), "retention last 4");
/// # Ok::<(), snapfold::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Task {
    /// Takes a snapshot of the current state if events follow the newest snapshot. The engine's own
    /// retention policy follows background snapshots only, so add a [`Task::Retention`] schedule.
    #[default]
    Snapshot,
    /// As [`Task::Snapshot`], also for aggregates that have no snapshot yet. For a whole kind, the
    /// event source must [list its aggregates](crate::EventSource::keys).
    SnapshotAll,
    /// Deletes the snapshots that the rule does not keep. Snapshots that every policy protects are
    /// kept ([`SnapshotAdmin::apply_retention`](crate::SnapshotAdmin::apply_retention)).
    Retention(KeepRule),
    /// As [`Task::Retention`], with a policy of any rules.
    Keep(Policy),
    /// Reads every snapshot and checks its checksums and its digest. Changes nothing.
    Verify,
    /// Folds all events, compares each snapshot with the result, and retires those that differ
    /// ([`Inspect::compare_with_events`](crate::manager::Inspect::compare_with_events)). They stay
    /// stored as evidence.
    Compare,
    /// Folds all events from the beginning, and replaces the snapshot of the current state if it
    /// differs and is not pinned ([`SnapshotAdmin::refold`](crate::SnapshotAdmin::refold)).
    Refold,
    /// Links entries that were appended without a link into the audit trails
    /// ([`Ledger::seal_audit`](crate::ledger::Ledger::seal_audit)). If the scheduler has
    /// [signing keys](crate::service::Scheduler::signing_keys), signs the trail of the schedule's
    /// tenant after that, unless it has no new entries
    /// ([`SigningKeys::sign_trail`](crate::record::SigningKeys::sign_trail)). Until the next run,
    /// new entries are not signed.
    ///
    /// Visits no aggregates. One schedule for each tenant is enough, for any kind that the nodes
    /// have. Only a scheduler runs it, because only a scheduler has a ledger.
    SealAudit,
    /// A task of a newer release. The ledger keeps it; this release does not run it.
    Unknown(UnknownTask),
}

/// The text form of a task that this release does not know.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UnknownTask(Box<str>);

/// Which snapshots of each generation a [`Task::Retention`] keeps: the newest ones, those of a
/// period, or what either of the two keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeepRule {
    last: Option<usize>,
    /// In microseconds.
    within: Option<u64>,
}

impl Task {
    /// The longest text form, in bytes (inclusive).
    pub const MAX_BYTES: usize = 1_000;

    /// For ledgers: parses a stored text form. A text that is not known becomes
    /// [`Task::Unknown`].
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if the text is longer than
    /// [`Task::MAX_BYTES`].
    pub fn from_stored(text: &str) -> Result<Self, Error> {
        let (bytes, limit) = (text.len(), Self::MAX_BYTES);
        if bytes > limit {
            return Err(invalid(format!("the task has {bytes} bytes, the limit is {limit}")));
        }
        Ok(Self::known(text).unwrap_or_else(|| Self::Unknown(UnknownTask(text.into()))))
    }

    fn known(text: &str) -> Option<Self> {
        match text {
            SNAPSHOT => Some(Self::Snapshot),
            SNAPSHOT_ALL => Some(Self::SnapshotAll),
            VERIFY => Some(Self::Verify),
            COMPARE => Some(Self::Compare),
            REFOLD => Some(Self::Refold),
            SEAL_AUDIT => Some(Self::SealAudit),
            text => {
                if let Some(policy) = policy_of(text) {
                    return policy.parse().ok().map(Self::Keep);
                }
                let rule = text.strip_prefix(RETENTION)?.strip_prefix(' ')?;
                KeepRule::parse(rule).map(Self::Retention)
            }
        }
    }
}

impl UnknownTask {
    /// Returns why it is not run, for reports.
    pub(crate) fn why(&self) -> String {
        // A policy may need a feature that is not compiled in.
        match policy_of(&self.0).map(str::parse::<Policy>) {
            Some(Err(error)) => format!("the task {self} is not known here: {error}"),
            _ => format!("this release does not know the task {self}"),
        }
    }
}

impl KeepRule {
    /// Keeps the newest `snapshots`, as [`keep_last`](crate::retention::keep_last).
    pub const fn last(snapshots: usize) -> Self {
        Self { last: Some(snapshots), within: None }
    }

    /// Keeps the snapshots of the last `period`, as
    /// [`keep_within`](crate::retention::keep_within). The period is rounded down to whole
    /// microseconds.
    pub fn within(period: Duration) -> Self {
        Self { last: None, within: Some(micros(period)) }
    }

    /// Also keeps the snapshots of the last `period`.
    pub fn or_within(self, period: Duration) -> Self {
        Self { within: Some(micros(period)), ..self }
    }

    /// Returns how many of the newest snapshots are kept.
    pub const fn keeps_last(&self) -> Option<usize> {
        self.last
    }

    /// Returns the period of which snapshots are kept.
    pub fn keeps_within(&self) -> Option<Duration> {
        self.within.map(Duration::from_micros)
    }

    fn parse(text: &str) -> Option<Self> {
        let words: Vec<_> = text.split(' ').collect();
        let (last, within) = match words[..] {
            [LAST, last] => (Some(last), None),
            [WITHIN, within] => (None, Some(within)),
            [LAST, last, WITHIN, within] => (Some(last), Some(within)),
            _ => return None,
        };
        let last = match last {
            Some(last) if last.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(last.parse().ok()?)
            }
            Some(_) => return None,
            None => None,
        };
        let within = match within {
            Some(within) => Some(micros(parse_duration(within)?)),
            None => None,
        };
        Some(Self { last, within })
    }
}

/// The text of the policy if the task is to keep what one keeps.
fn policy_of(text: &str) -> Option<&str> {
    text.strip_prefix(KEEP)?.strip_prefix(' ')
}

fn micros(period: Duration) -> u64 {
    u64::try_from(period.as_micros()).unwrap_or(u64::MAX)
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Snapshot => f.write_str(SNAPSHOT),
            Self::SnapshotAll => f.write_str(SNAPSHOT_ALL),
            Self::Verify => f.write_str(VERIFY),
            Self::Compare => f.write_str(COMPARE),
            Self::Refold => f.write_str(REFOLD),
            Self::SealAudit => f.write_str(SEAL_AUDIT),
            Self::Retention(rule) => write!(f, "{RETENTION} {rule}"),
            Self::Keep(policy) => write!(f, "{KEEP} {policy}"),
            Self::Unknown(UnknownTask(text)) => f.write_str(text),
        }
    }
}

impl fmt::Display for UnknownTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for KeepRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(last) = self.last {
            write!(f, "{LAST} {last}")?;
        }
        if let Some(within) = self.within {
            let space = if self.last.is_some() { " " } else { "" };
            write!(f, "{space}{WITHIN} ")?;
            write_duration(f, within)?;
        }
        Ok(())
    }
}

impl FromStr for Task {
    type Err = Error;

    /// Parses the text form.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for any other text. After `keep `,
    /// those of [`Policy`](crate::retention::Policy): the column is counted from the policy on.
    fn from_str(text: &str) -> Result<Self, Error> {
        if let Some(policy) = policy_of(text) {
            return policy.parse().map(Self::Keep);
        }
        Self::known(text).ok_or_else(|| {
            invalid(
                "a task is \"snapshot\", \"snapshot all\", \"verify\", \"compare\", \"refold\", \
                 \"seal audit\", or \"keep\" with a retention policy, such as \"keep last 4, daily 7\""
                    .to_owned(),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_policy_that_needs_a_feature_is_kept_and_says_so() {
        let text = "keep daily 7, zone Europe/Berlin";
        let stored = Task::from_stored(text).unwrap();
        assert_eq!(stored.to_string(), text);
        if cfg!(feature = "schedules") {
            assert!(matches!(stored, Task::Keep(_)));
        } else {
            let Task::Unknown(task) = stored else { panic!("{stored:?}") };
            assert!(task.why().contains("feature \"schedules\""), "{}", task.why());
            assert_eq!(text.parse::<Task>().unwrap_err().kind(), ErrorKind::FeatureDisabled);
        }
        let Task::Unknown(task) = Task::from_stored("archive").unwrap() else { panic!() };
        assert_eq!(task.why(), "this release does not know the task archive");
    }

    #[test]
    fn tasks_come_back_from_their_text_and_nonsense_is_refused() {
        let month = Duration::from_secs(30 * 86_400);
        for (text, task) in [
            ("snapshot", Task::Snapshot),
            ("snapshot all", Task::SnapshotAll),
            ("verify", Task::Verify),
            ("compare", Task::Compare),
            ("refold", Task::Refold),
            ("seal audit", Task::SealAudit),
            ("retention last 4", Task::Retention(KeepRule::last(4))),
            ("retention last 0", Task::Retention(KeepRule::last(0))),
            ("retention within 30d", Task::Retention(KeepRule::within(month))),
            ("retention last 4 within 30d", Task::Retention(KeepRule::last(4).or_within(month))),
            ("keep last 4, daily 7", Task::Keep("last 4, daily 7".parse().unwrap())),
            ("keep nothing", Task::Keep("nothing".parse().unwrap())),
        ] {
            assert_eq!(text.parse::<Task>().unwrap(), task);
            assert_eq!(task.to_string(), text);
            assert_eq!(Task::from_stored(text).unwrap(), task);
        }
        for text in [
            "",
            "Snapshot",
            "snapshot ",
            "retention",
            "retention ",
            "retention last",
            "retention last -1",
            "retention last +1",
            "retention last 99999999999999999999999",
            "retention within 5",
            "retention within 99999999999999999999d",
            "retention within 5s last 4",
            "retention last 4 last 5",
            "retention last 4, daily 7",
            "keep",
            "keep ",
            "keep last 0",
            "Keep last 4",
            "archive to \u{1f600}\0",
        ] {
            let error = text.parse::<Task>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}");
            // A newer release may have stored it: it is kept as it is.
            let stored = Task::from_stored(text).unwrap();
            assert!(matches!(stored, Task::Unknown(_)), "{stored:?}");
            assert_eq!(stored.to_string(), text);
        }
        let error = "keep last 4, daly 7".parse::<Task>().unwrap_err().to_string();
        assert!(error.contains("column 9: expected a rule"), "{error}");
        assert!(Task::from_stored(&"x".repeat(Task::MAX_BYTES)).is_ok());
        assert!(Task::from_stored(&"x".repeat(Task::MAX_BYTES + 1)).is_err());
        let longest = format!("keep label {}", "x".repeat(Policy::MAX_BYTES - "label ".len()));
        let stored = Task::from_stored(&longest).unwrap();
        assert!(matches!(stored, Task::Keep(_)) && stored.to_string() == longest);
        let forever = KeepRule::within(Duration::MAX);
        assert_eq!(KeepRule::parse(&forever.to_string()), Some(forever));
    }
}
