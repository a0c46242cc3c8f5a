//! [`Schedule`]s, their [`ScheduleKey`]s, and [`Claim`]s of their runs.

use std::cmp::Ordering;
use std::fmt;

use super::cadence::Cadence;
use super::invalid::invalid;
use super::task::Task;
use crate::error::Error;
use crate::key::AggregateKey;
use crate::timestamp::Timestamp;

/// Identifies a schedule: its subject, and its name among the schedules of that subject.
///
/// The subject is one aggregate, or all aggregates of a kind in a tenant. The name is empty unless
/// it is [set](Self::named); with names, one subject can have several schedules.
///
/// Ordered by tenant, then kind, then id, then name, each bytewise. The schedules for all
/// aggregates of a kind come before those for single ones.
///
/// ```
/// use snapfold::ledger::ScheduleKey;
///
/// let accounts = ScheduleKey::kind_wide("", "account")?;
/// let weekly = accounts.clone().named("weekly check")?;
/// assert!(accounts < weekly);
/// assert_eq!(weekly.to_string(), r#"all of account "" ("weekly check")"#);
/// # Ok::<(), snapfold::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ScheduleKey {
    /// With an empty id if `single` is false.
    key: AggregateKey,
    single: bool,
    /// Never empty.
    name: Option<Box<str>>,
}

impl ScheduleKey {
    /// The longest name, in bytes (inclusive).
    pub const MAX_NAME_BYTES: usize = 200;

    /// Creates the key of a schedule for one aggregate, without a name.
    pub const fn aggregate(key: AggregateKey) -> Self {
        Self { key, single: true, name: None }
    }

    /// Creates the key of a schedule for all aggregates of `kind` in `tenant`, without a name.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) as
    /// [`AggregateKey::from_parts`].
    pub fn kind_wide(tenant: &str, kind: &str) -> Result<Self, Error> {
        Ok(Self { key: AggregateKey::from_parts(tenant, kind, "")?, single: false, name: None })
    }

    /// Sets the name. Schedules of one subject with different names are independent.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if the name is longer than
    /// [`ScheduleKey::MAX_NAME_BYTES`].
    pub fn named(mut self, name: &str) -> Result<Self, Error> {
        let (bytes, limit) = (name.len(), Self::MAX_NAME_BYTES);
        if bytes > limit {
            return Err(invalid(format!("the name has {bytes} bytes, the limit is {limit}")));
        }
        self.name = (!name.is_empty()).then(|| name.into());
        Ok(self)
    }

    /// Returns the tenant; empty for the default tenant.
    pub fn tenant(&self) -> &str {
        self.key.tenant()
    }

    /// Returns the kind of aggregate.
    pub fn kind(&self) -> &str {
        self.key.kind()
    }

    /// Returns the aggregate, or `None` if the schedule is for the whole kind.
    pub fn as_aggregate(&self) -> Option<&AggregateKey> {
        self.single.then_some(&self.key)
    }

    /// Returns the name; empty unless it was set.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    /// The id of the aggregate; empty if the schedule is for the whole kind.
    pub(crate) fn id(&self) -> &str {
        self.key.id()
    }

    /// Creates a key from its stored parts; `None` if it has an id and is for the whole kind, or
    /// its name is too long.
    pub(crate) fn from_stored(key: AggregateKey, single: bool, name: &str) -> Option<Self> {
        let valid = single || key.id().is_empty();
        Self { key, single, name: None }.named(name).ok().filter(|_| valid)
    }

    pub(crate) fn is_single(&self) -> bool {
        self.single
    }

    fn order(&self) -> (&str, &str, bool, &str, &str) {
        (self.tenant(), self.kind(), self.single, self.id(), self.name())
    }
}

impl From<AggregateKey> for ScheduleKey {
    fn from(key: AggregateKey) -> Self {
        Self::aggregate(key)
    }
}

impl Ord for ScheduleKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order().cmp(&other.order())
    }
}

impl PartialOrd for ScheduleKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// For logs: `account "alice"`, or `all of account ""`, with the name in parentheses.
impl fmt::Display for ScheduleKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.single {
            f.write_str("all of ")?;
        }
        fmt::Display::fmt(&self.key, f)?;
        match &self.name {
            Some(name) => write!(f, " ({name:?})"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for ScheduleKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScheduleKey({self})")
    }
}

/// A recurring [`Task`] for one aggregate, or for all aggregates of a kind.
///
/// The ledger stores schedules and hands each run to one node.
/// [`Scheduler`](crate::service::Scheduler) runs them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Schedule {
    /// The subject and the name.
    pub key: ScheduleKey,
    /// When it runs.
    pub cadence: Cadence,
    /// What it does; by default [`Task::Snapshot`].
    pub task: Task,
    /// Whether it is enabled.
    pub enabled: bool,
    /// The next run; `None` if never.
    pub next_run: Option<Timestamp>,
    /// When it was first stored.
    pub created_at: Timestamp,
    /// When it was last stored. Runs do not change it.
    pub updated_at: Timestamp,
    /// The lease of the current run, or of the last run that was not completed. Set by the ledger.
    pub lease: Option<Lease>,
}

/// A node's temporary right to run a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lease {
    /// The name of the node.
    pub holder: String,
    /// The end (exclusive): from then on another node may claim the run.
    pub until: Timestamp,
    /// The fencing token: higher than that of any earlier claim of this schedule.
    pub token: u64,
}

impl Schedule {
    /// Creates an enabled schedule that takes snapshots. Its first run is the first one of
    /// `cadence` after `now`.
    ///
    /// # Errors
    /// As [`Cadence::next_after`].
    pub fn new(
        key: impl Into<ScheduleKey>,
        cadence: Cadence,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let next_run = cadence.next_after(now)?;
        Ok(Self::from_stored(key.into(), cadence, now).next_run(next_run))
    }

    /// For ledgers: creates an enabled schedule with the creation time `at`, without next run and
    /// lease.
    pub const fn from_stored(key: ScheduleKey, cadence: Cadence, at: Timestamp) -> Self {
        Self {
            key,
            cadence,
            task: Task::Snapshot,
            enabled: true,
            next_run: None,
            created_at: at,
            updated_at: at,
            lease: None,
        }
    }

    /// Sets the [`task`](Self::task).
    pub fn task(mut self, task: Task) -> Self {
        self.task = task;
        self
    }

    /// Sets the [`next_run`](Self::next_run).
    pub fn next_run(mut self, at: Option<Timestamp>) -> Self {
        self.next_run = at;
        self
    }

    /// Enables or disables the schedule.
    pub fn enabled(mut self, enabled: bool) -> Self {
        self.enabled = enabled;
        self
    }

    /// Sets the time of the last change.
    pub fn updated_at(mut self, now: Timestamp) -> Self {
        self.updated_at = now;
        self
    }

    /// Returns when it is due; `None` if it is not due, disabled, or leased at `now`.
    pub fn due_at(&self, now: Timestamp) -> Option<Timestamp> {
        let free = self.lease.as_ref().is_none_or(|lease| lease.until <= now);
        self.next_run.filter(|due| self.enabled && free && *due <= now)
    }
}

impl Lease {
    /// The longest name of a holder, in bytes (inclusive).
    pub const MAX_HOLDER_BYTES: usize = 1_000;

    /// Creates a lease of `holder`.
    pub fn new(holder: impl Into<String>, until: Timestamp, token: u64) -> Self {
        Self { holder: holder.into(), until, token }
    }

    /// For ledgers: checks that a node may claim as `holder` until `until`, at `now`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if the name of the holder is
    /// empty or longer than [`Lease::MAX_HOLDER_BYTES`], or if the lease ends at or before `now`.
    pub fn check(holder: &str, now: Timestamp, until: Timestamp) -> Result<(), Error> {
        let (bytes, limit) = (holder.len(), Self::MAX_HOLDER_BYTES);
        if bytes == 0 || bytes > limit {
            return Err(invalid(format!(
                "the name of the holder has {bytes} bytes, it must have 1 to {limit}"
            )));
        }
        if until <= now {
            return Err(invalid(format!("the lease ends at {until}, it must end after {now}")));
        }
        Ok(())
    }
}

/// A run that a node has claimed. Pass it to [`Ledger::renew`](crate::ledger::Ledger::renew),
/// [`release`](crate::ledger::Ledger::release) and [`complete`](crate::ledger::Ledger::complete).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Claim {
    /// The schedule.
    pub key: ScheduleKey,
    /// When the run was due.
    pub due: Timestamp,
    /// The fencing token: higher than that of any earlier claim of this schedule. If the run's
    /// writes elsewhere carry it, late writes of a node that lost its lease can be refused.
    pub token: u64,
}

impl Claim {
    /// For ledgers: creates the claim of the run of `key` that was due at `due`.
    pub const fn new(key: ScheduleKey, due: Timestamp, token: u64) -> Self {
        Self { key, due, token }
    }
}
