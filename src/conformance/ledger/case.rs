//! [`LedgerCase`], a statement that the kit checks, and [`Nodes`], the environment of a case.

use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::conformance::answer::at_once;
pub(super) use crate::conformance::answer::{done, same};
use crate::conformance::failure::{Failure, Stop};
use crate::error::{Error, ErrorKind};
use crate::key::AggregateKey;
use crate::ledger::{Cadence, Ledger, Schedule, ScheduleKey};
use crate::timestamp::Timestamp;

/// A statement about ledgers that the kit checks.
#[derive(Clone, Copy, Debug)]
pub struct LedgerCase {
    pub(super) name: &'static str,
    pub(super) ids: &'static [&'static str],
    pub(super) run: fn(Nodes) -> Running,
}

pub(super) type Running = Pin<Box<dyn Future<Output = Result<(), Stop>> + Send>>;

impl LedgerCase {
    /// Returns the statement.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the ids of the obligations of [`Ledger`] that the case checks. A failure names one
    /// of them.
    pub fn ids(&self) -> &'static [&'static str] {
        self.ids
    }
}

/// Defines the cases of a group, each as `"statement", [ids], function;`.
macro_rules! cases {
    ($($name:literal, [$($id:literal),+], $run:path;)+) => {
        pub(super) const CASES: &[super::case::LedgerCase] = &[$(
            super::case::LedgerCase {
                name: $name,
                ids: &[$($id),+],
                run: |nodes| Box::pin($run(nodes)),
            }
        ),+];
    };
}
pub(super) use cases;

/// A ledger, opened by several nodes.
pub(super) struct Nodes(pub(super) Vec<Arc<dyn Ledger>>);

impl Nodes {
    /// Returns one of the nodes. The index wraps around.
    pub(super) fn node(&self, number: usize) -> Result<&Arc<dyn Ledger>, Stop> {
        let node = self.0.get(number.checked_rem(self.0.len()).unwrap_or(0));
        node.ok_or_else(|| {
            Failure::setup("create a ledger", &"the factory returned no nodes").into()
        })
    }

    /// Runs `work` on all nodes concurrently, `tasks` times in total. Returns the results in order.
    pub(super) async fn at_once<T, F>(
        &self,
        tasks: usize,
        work: impl Fn(usize, Arc<dyn Ledger>) -> F,
    ) -> Result<Vec<T>, Stop>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Stop>> + Send + 'static,
    {
        at_once("L-02", tasks, |number| self.node(number).cloned(), work).await
    }
}

/// Fails unless a call was refused as invalid input.
pub(super) fn refused<T: Debug>(what: &str, result: Result<T, Error>) -> Result<(), Stop> {
    same("L-03", what, &result.map_err(|error| error.kind()).err(), &Some(ErrorKind::InvalidInput))
}

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

pub(super) fn key(tenant: &str, id: &str) -> Result<AggregateKey, Stop> {
    Ok(AggregateKey::from_parts(tenant, "account", id)?)
}

/// Returns a schedule that is due at `next`.
pub(super) fn schedule(key: impl Into<ScheduleKey>, next: i64) -> Result<Schedule, Stop> {
    let cadence = Cadence::every(Duration::from_secs(60))?;
    Ok(Schedule::new(key, cadence, at(0))?.next_run(Some(at(next))))
}

/// Names that could be mistaken for a wildcard, an end marker or a separator.
pub(super) const NAMES: [&str; 8] = ["", "a", "a/b", "a\0", "a\u{1}", "%", "'--", "\u{1f600}"];
