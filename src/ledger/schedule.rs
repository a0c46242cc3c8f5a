//! What runs by the clock: [`Schedule`], its [`ScheduleKey`], and [`Claim`]s of its runs.

use std::cmp::Ordering;
use std::fmt;

use super::cadence::Cadence;
use super::invalid::invalid;
use crate::error::Error;
use crate::key::AggregateKey;
use crate::timestamp::Timestamp;

/// What a schedule is for: one aggregate, or all aggregates of a kind in a tenant.
///
/// Orders by tenant, then kind; all aggregates of the kind come before single ones, which follow by
/// id. Each part orders bytewise.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ScheduleKey {
    /// With the empty id where `single` is false.
    key: AggregateKey,
    single: bool,
}

impl ScheduleKey {
    /// One aggregate.
    pub const fn aggregate(key: AggregateKey) -> Self {
        Self { key, single: true }
    }

    /// All aggregates of `kind` in `tenant`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) as
    /// [`AggregateKey::from_parts`].
    pub fn kind_wide(tenant: &str, kind: &str) -> Result<Self, Error> {
        Ok(Self { key: AggregateKey::from_parts(tenant, kind, "")?, single: false })
    }

    /// The tenant; empty for the default tenant.
    pub fn tenant(&self) -> &str {
        self.key.tenant()
    }

    /// The kind of aggregate.
    pub fn kind(&self) -> &str {
        self.key.kind()
    }

    /// The aggregate; `None` if the schedule is for all of the kind.
    pub fn as_aggregate(&self) -> Option<&AggregateKey> {
        self.single.then_some(&self.key)
    }

    /// The id of the aggregate; empty if the schedule is for all of the kind.
    pub(crate) fn id(&self) -> &str {
        self.key.id()
    }

    /// The key that a ledger stored; `None` if it has an id and is for all of the kind.
    pub(crate) fn from_stored(key: AggregateKey, single: bool) -> Option<Self> {
        (single || key.id().is_empty()).then_some(Self { key, single })
    }

    pub(crate) fn is_single(&self) -> bool {
        self.single
    }

    fn order(&self) -> (&str, &str, bool, &str) {
        (self.tenant(), self.kind(), self.single, self.id())
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

/// For people: `account "alice"`, or `all of account ""`.
impl fmt::Display for ScheduleKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.single {
            f.write_str("all of ")?;
        }
        fmt::Display::fmt(&self.key, f)
    }
}

impl fmt::Debug for ScheduleKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScheduleKey({self})")
    }
}

/// When snapshots of one aggregate, or of all of a kind, are to be taken by the clock.
///
/// The ledger keeps schedules and hands each run to one node; it does not run them. A node that does
/// asks [`Ledger::due`](super::Ledger::due) now and then, [claims](super::Ledger::claim) a run, creates
/// the snapshots (of all aggregates of the kind, if it is for a whole kind), and
/// [completes](super::Ledger::complete) the run with [`Cadence::following`] as the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Schedule {
    /// What it is for.
    pub key: ScheduleKey,
    /// When it runs.
    pub cadence: Cadence,
    /// Whether it is in force.
    pub enabled: bool,
    /// When it is due next; `None` if never.
    pub next_run: Option<Timestamp>,
    /// When it was first stored.
    pub created_at: Timestamp,
    /// When it was last stored; runs do not change it.
    pub updated_at: Timestamp,
    /// Who runs it, or ran it last without completing it; set by the ledger.
    pub lease: Option<Lease>,
}

/// The right of one node to run a schedule for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lease {
    /// Which node.
    pub holder: String,
    /// When it ends (exclusive): from then on another node may claim the run.
    pub until: Timestamp,
    /// Its fencing token: higher than that of any claim of this schedule before.
    pub token: u64,
}

impl Schedule {
    /// A schedule in force, made at `now`, whose first run is the first one of `cadence` after `now`.
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

    /// For ledgers: a schedule in force, made at `at`, that is never due and not claimed.
    pub const fn from_stored(key: ScheduleKey, cadence: Cadence, at: Timestamp) -> Self {
        Self {
            key,
            cadence,
            enabled: true,
            next_run: None,
            created_at: at,
            updated_at: at,
            lease: None,
        }
    }

    /// The same with another [`next_run`](Self::next_run).
    pub fn next_run(mut self, at: Option<Timestamp>) -> Self {
        self.next_run = at;
        self
    }

    /// The same, in force or not.
    pub fn enabled(mut self, enabled: bool) -> Self {
        self.enabled = enabled;
        self
    }

    /// The same, changed at `now`.
    pub fn updated_at(mut self, now: Timestamp) -> Self {
        self.updated_at = now;
        self
    }

    /// When it is due, unless it is not in force, or another holds a lease at `now`.
    pub fn due_at(&self, now: Timestamp) -> Option<Timestamp> {
        let free = self.lease.as_ref().is_none_or(|lease| lease.until <= now);
        self.next_run.filter(|due| self.enabled && free && *due <= now)
    }
}

impl Lease {
    /// The longest name of a holder, in bytes (inclusive).
    pub const MAX_HOLDER_BYTES: usize = 1_000;

    /// A lease of `holder`.
    pub fn new(holder: impl Into<String>, until: Timestamp, token: u64) -> Self {
        Self { holder: holder.into(), until, token }
    }

    /// For ledgers: whether a node may claim as `holder` until `until`, at `now`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a holder without a name or
    /// with one longer than [`Lease::MAX_HOLDER_BYTES`], or a lease that has ended at `now`.
    pub fn check(holder: &str, now: Timestamp, until: Timestamp) -> Result<(), Error> {
        let (bytes, limit) = (holder.len(), Self::MAX_HOLDER_BYTES);
        if bytes == 0 || bytes > limit {
            return Err(invalid(format!(
                "the holder has {bytes} bytes, it must have 1 to {limit}"
            )));
        }
        if until <= now {
            return Err(invalid(format!("the lease ends at {until}, which is not after {now}")));
        }
        Ok(())
    }
}

/// A run that a node has claimed. It names the run to [`Ledger::renew`](crate::ledger::Ledger::renew),
/// [`release`](crate::ledger::Ledger::release) and [`complete`](crate::ledger::Ledger::complete).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Claim {
    /// The schedule.
    pub key: ScheduleKey,
    /// When the run was due.
    pub due: Timestamp,
    /// The fencing token: higher than that of any claim of this schedule before. What the run
    /// writes elsewhere can carry it, so that a late write of a node that lost its lease is refused.
    pub token: u64,
}

impl Claim {
    /// For ledgers: the claim of the run of `key` that was due at `due`.
    pub const fn new(key: ScheduleKey, due: Timestamp, token: u64) -> Self {
        Self { key, due, token }
    }
}
