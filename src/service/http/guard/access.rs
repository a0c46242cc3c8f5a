//! [`AccessSums`]: how often who was refused, or read, for the audit trail.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::json;
use tokio::runtime::Handle;

use crate::clock::Clock;
use crate::error::Error;
use crate::ledger::{AuditEntry, AuditOutcome, Ledger, cut};
use crate::timestamp::Timestamp;

/// How many principals are counted apart from each other in a minute.
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
    open: Mutex<OpenSums>,
    /// Held while entries are written, so that they are written in order and by one task.
    writing: tokio::sync::Mutex<()>,
}

type Counts = BTreeMap<(AccessKind, String), AccessCount>;

#[derive(Default)]
struct OpenSums {
    counts: Counts,
    /// By the monotonic clock.
    minute: u64,
}

#[derive(Clone, Copy, Debug)]
struct AccessCount {
    requests: u64,
    first: Timestamp,
    last: Timestamp,
}

impl AccessSums {
    pub(crate) fn new(ledger: Arc<dyn Ledger>, clock: Arc<dyn Clock>, counts_reads: bool) -> Self {
        let writing = tokio::sync::Mutex::new(());
        let open = OpenSums { counts: Counts::new(), minute: minute(&*clock) };
        Self { ledger, clock, counts_reads, open: Mutex::new(open), writing }
    }

    // No change is interrupted by code that can panic.
    fn open(&self) -> MutexGuard<'_, OpenSums> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request. Reads only if they are wanted.
    pub(crate) fn note(&self, kind: AccessKind, name: &str) {
        if kind == AccessKind::Read && !self.counts_reads {
            return;
        }
        let now = self.clock.now();
        let count = AccessCount { requests: 1, first: now, last: now };
        let name = cut(name.to_owned(), AuditEntry::MAX_NAME_BYTES);
        add(&mut self.open().counts, (kind, name), count);
    }

    /// Starts to write the sums of a minute that is over. Without a runtime, they wait.
    pub(crate) fn write_if_due(self: &Arc<Self>) {
        {
            let mut open = self.open();
            let now = minute(&*self.clock);
            if open.minute == now {
                return;
            }
            open.minute = now;
            if open.counts.is_empty() {
                return;
            }
        }
        let Ok(runtime) = Handle::try_current() else { return };
        let sums = Arc::clone(self);
        // At most one in a minute. If it fails, the sums are written with the next ones.
        runtime.spawn(async move { drop(sums.write().await) });
    }

    /// Writes all sums. Those that cannot be written are kept.
    pub(crate) async fn write(&self) -> Result<(), Error> {
        let _writing = self.writing.lock().await;
        let taken = Taking { sums: self, counts: std::mem::take(&mut self.open().counts) };
        if taken.counts.is_empty() {
            return Ok(());
        }
        let entries: Vec<_> = taken.counts.iter().map(|(of, count)| entry(of, *count)).collect();
        self.ledger.append_all(&entries).await?;
        taken.written();
        Ok(())
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
        for (of, count) in std::mem::take(&mut self.counts) {
            add(&mut open.counts, of, count);
        }
    }
}

fn add(counts: &mut Counts, of: (AccessKind, String), more: AccessCount) {
    let is_full = counts.len() >= MAX_NAMES && !counts.contains_key(&of);
    let of = if is_full { (of.0, OTHERS.to_owned()) } else { of };
    let sum = counts.entry(of).or_insert(AccessCount { requests: 0, ..more });
    sum.requests = sum.requests.saturating_add(more.requests);
    sum.first = sum.first.min(more.first);
    sum.last = sum.last.max(more.last);
}

fn entry((kind, name): &(AccessKind, String), count: AccessCount) -> AuditEntry {
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
    AuditEntry::new(count.last, name.as_str(), action).outcome(outcome).meta(meta.to_string())
}

fn minute(clock: &dyn Clock) -> u64 {
    clock.monotonic().as_secs() / 60
}

impl fmt::Debug for AccessSums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessSums").field("ledger", &self.ledger).finish_non_exhaustive()
    }
}
