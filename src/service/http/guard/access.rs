//! [`AccessSums`]: how often who was refused, or read, for the audit trail.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::json;
use tokio::runtime::Handle;

use crate::clock::Clock;
use crate::error::Error;
use crate::ledger::{AuditEntry, AuditOutcome, Ledger, cut};
use crate::timestamp::Timestamp;

/// How many principals are counted apart from each other in a minute, for each kind.
const MAX_NAMES: usize = 1_024;
/// The name under which all others are counted.
const OTHERS: &str = "(others)";

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum AccessKind {
    /// The credentials were missing or wrong.
    Unknown,
    /// The principal may not do that.
    Refused,
    Read,
}

/// Counts requests by principal, and writes one entry for each and minute to the audit trail of the
/// default tenant: the tenant of a refused request is whatever the client wrote.
pub(crate) struct AccessSums {
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
    counts_reads: bool,
    open: Mutex<Counts>,
    /// The minute whose sums are open.
    minute: AtomicI64,
    /// Held while entries are written, so that they are written in order and by one task.
    writing: tokio::sync::Mutex<()>,
}

/// By kind and name. Most requests are counted under a name that is there already, which needs no
/// allocation.
type Counts = BTreeMap<AccessKind, BTreeMap<String, AccessCount>>;

#[derive(Clone, Copy, Debug)]
struct AccessCount {
    requests: u64,
    first: Timestamp,
    last: Timestamp,
}

impl AccessSums {
    pub(crate) fn new(ledger: Arc<dyn Ledger>, clock: Arc<dyn Clock>, counts_reads: bool) -> Self {
        let writing = tokio::sync::Mutex::new(());
        let minute = AtomicI64::new(minute(clock.now()));
        Self { ledger, clock, counts_reads, open: Mutex::default(), minute, writing }
    }

    // No change is interrupted by code that can panic.
    fn open(&self) -> MutexGuard<'_, Counts> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to count a request that begins now. Starts to write the sums of a minute that is over;
    /// without a runtime, they wait.
    pub(crate) fn begin(self: &Arc<Self>) -> AccessNote<'_> {
        let now = self.clock.now();
        let minute = minute(now);
        if self.minute.load(Relaxed) != minute && self.minute.swap(minute, Relaxed) != minute {
            self.start_to_write();
        }
        AccessNote { sums: self, now }
    }

    #[cold]
    fn start_to_write(self: &Arc<Self>) {
        if self.open().is_empty() {
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return };
        let sums = Arc::clone(self);
        // At most one in a minute. If it fails, the sums are written with the next ones.
        runtime.spawn(async move { drop(sums.write().await) });
    }

    /// Writes all sums. Those that cannot be written are kept.
    pub(crate) async fn write(&self) -> Result<(), Error> {
        let _writing = self.writing.lock().await;
        let taken = Taking { sums: self, counts: std::mem::take(&mut *self.open()) };
        if taken.counts.is_empty() {
            return Ok(());
        }
        let sums = taken.counts.iter();
        let sums = sums.flat_map(|(kind, names)| names.iter().map(move |it| (*kind, it)));
        let entries: Vec<_> = sums.map(|(kind, (name, count))| entry(kind, name, *count)).collect();
        self.ledger.append_all(&entries).await?;
        taken.written();
        Ok(())
    }
}

/// A request that can be counted.
#[derive(Clone, Copy)]
pub(crate) struct AccessNote<'a> {
    sums: &'a AccessSums,
    now: Timestamp,
}

impl AccessNote<'_> {
    /// Counts the request. Reads only if they are wanted.
    pub(crate) fn count(self, kind: AccessKind, name: &str) {
        if kind != AccessKind::Read || self.sums.counts_reads {
            let count = AccessCount { requests: 1, first: self.now, last: self.now };
            add(&mut self.sums.open(), kind, name, count);
        }
    }
}

/// Sums that are being written. They are put back if they are not, or if that is not known.
struct Taking<'a> {
    sums: &'a AccessSums,
    counts: Counts,
}

impl Taking<'_> {
    fn written(mut self) {
        self.counts.clear();
    }
}

impl Drop for Taking<'_> {
    fn drop(&mut self) {
        let mut open = self.sums.open();
        for (kind, names) in std::mem::take(&mut self.counts) {
            for (name, count) in names {
                add(&mut open, kind, &name, count);
            }
        }
    }
}

fn add(counts: &mut Counts, kind: AccessKind, name: &str, more: AccessCount) {
    let names = counts.entry(kind).or_default();
    let sum = if let Some(sum) = names.get_mut(name) {
        sum
    } else {
        let name = if names.len() < MAX_NAMES { name } else { OTHERS };
        let name = cut(name.to_owned(), AuditEntry::MAX_NAME_BYTES);
        names.entry(name).or_insert(AccessCount { requests: 0, ..more })
    };
    sum.requests = sum.requests.saturating_add(more.requests);
    sum.first = sum.first.min(more.first);
    sum.last = sum.last.max(more.last);
}

fn entry(kind: AccessKind, name: &str, count: AccessCount) -> AuditEntry {
    let (action, outcome) = match kind {
        AccessKind::Unknown => {
            let message = "the credentials were missing or wrong";
            ("access", AuditOutcome::failed("Unauthorized", message))
        }
        AccessKind::Refused => {
            let message = "the principal may not do that";
            ("access", AuditOutcome::failed("Forbidden", message))
        }
        AccessKind::Read => ("read", AuditOutcome::Ok),
    };
    let meta = json!({
        "via": "http",
        "requests": count.requests,
        "first": count.first.to_string(),
        "last": count.last.to_string(),
    });
    AuditEntry::new(count.last, name, action).outcome(outcome).meta(meta.to_string())
}

fn minute(time: Timestamp) -> i64 {
    time.as_micros().div_euclid(60_000_000)
}

impl fmt::Debug for AccessSums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessSums").field("ledger", &self.ledger).finish_non_exhaustive()
    }
}
