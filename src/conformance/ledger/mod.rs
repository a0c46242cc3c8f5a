//! The kit for [`Ledger`]s: cases for each obligation that has an id.

mod claims;
mod report;
mod schedules;
mod statistics;
mod trail;

use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::failure::{Failure, Stop, shown};
use super::run::panicked;
use crate::error::{BoxError, Error, ErrorKind};
use crate::key::AggregateKey;
use crate::ledger::{Cadence, Ledger, Schedule, ScheduleKey};
use crate::timestamp::Timestamp;
pub use report::{LedgerReport, NotALedger};

/// Makes the ledgers that the kit tries.
#[async_trait]
pub trait LedgerFactory: Send + Sync {
    /// A new and empty ledger, as `count` nodes have it: handles to the same place, opened as if
    /// each were another process.
    async fn nodes(&self, count: usize) -> Result<Vec<Arc<dyn Ledger>>, BoxError>;
}

/// One statement about ledgers that the kit proves or refutes.
#[derive(Clone, Copy, Debug)]
pub struct LedgerCase {
    name: &'static str,
    ids: &'static [&'static str],
    run: fn(Nodes) -> Running,
}

type Running = Pin<Box<dyn Future<Output = Result<(), Stop>> + Send>>;

impl LedgerCase {
    /// What it states.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The ids of the obligations of [`Ledger`] that it checks. A failure names one of these.
    pub fn ids(&self) -> &'static [&'static str] {
        self.ids
    }
}

/// The table of a room: `"statement", [ids], function;` for each case.
macro_rules! cases {
    ($($name:literal, [$($id:literal),+], $run:path;)+) => {
        pub(super) const CASES: &[super::LedgerCase] = &[$(
            super::LedgerCase {
                name: $name,
                ids: &[$($id),+],
                run: |nodes| Box::pin($run(nodes)),
            }
        ),+];
    };
}
use cases;

/// Every case of the kit for ledgers, in the order in which they are run.
pub fn ledger_cases() -> impl Iterator<Item = &'static LedgerCase> {
    [schedules::CASES, claims::CASES, statistics::CASES, trail::CASES].into_iter().flatten()
}

/// How many nodes a case has.
const NODES: usize = 4;
/// How long a case may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs all cases, each on a ledger of its own, one after the other. Whatever the ledger does
/// (panics, hangs), the run comes to its end.
///
/// Must run on a tokio runtime with time enabled; with several threads, the cases about several nodes
/// prove more.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use std::sync::Arc;
/// use snapfold::conformance::{self, LedgerFactory};
/// use snapfold::{BoxError, Ledger, MemoryStore, StoreLedger};
///
/// struct InMemory;
///
/// #[async_trait::async_trait]
/// impl LedgerFactory for InMemory {
///     async fn nodes(&self, count: usize) -> Result<Vec<Arc<dyn Ledger>>, BoxError> {
///         let store = Arc::new(MemoryStore::new());
///         let node = || Arc::new(StoreLedger::new(store.clone())) as Arc<dyn Ledger>;
///         Ok((0..count).map(|_| node()).collect())
///     }
/// }
///
/// conformance::ledger(&InMemory).await.into_result()?; // `Err` shows what failed
/// # Ok::<(), conformance::NotALedger>(())
/// # }).unwrap();
/// ```
pub async fn ledger(factory: &dyn LedgerFactory) -> LedgerReport {
    let mut report = LedgerReport::default();
    for case in ledger_cases() {
        report.add(case, prove(factory, case).await.err());
    }
    report
}

async fn prove(factory: &dyn LedgerFactory, case: &LedgerCase) -> Result<(), Failure> {
    let nodes = factory.nodes(NODES).await;
    let nodes = nodes.map_err(|error| Failure::setup("make a ledger", &error))?;
    if nodes.len() != NODES {
        return Err(Failure::setup("make a ledger", &"another number of nodes than asked for"));
    }
    // A task of its own, so that a panic is the failure of this case only.
    let mut task = tokio::spawn((case.run)(Nodes(nodes)));
    match tokio::time::timeout(PATIENCE, &mut task).await {
        Ok(Ok(Ok(()))) => Ok(()),
        Ok(Ok(Err(Stop::Failed(failure)))) => Err(failure),
        Ok(Ok(Err(Stop::Skipped(needs)))) => Err(Failure::setup("run the case", &needs)),
        Ok(Err(join)) => {
            let mut failure = panicked(join);
            failure.broken = vec!["L-02"];
            Err(failure)
        }
        Err(_) => {
            task.abort();
            Err(Failure::new("L-02", "the case as a whole")
                .expected(format!("an end within {PATIENCE:?}"))
                .got("none"))
        }
    }
}

/// A ledger as several nodes have it.
struct Nodes(Vec<Arc<dyn Ledger>>);

impl Nodes {
    /// One of the nodes; the numbers go round.
    fn node(&self, number: usize) -> Result<&Arc<dyn Ledger>, Stop> {
        let node = self.0.get(number.checked_rem(self.0.len()).unwrap_or(0));
        node.ok_or_else(|| Failure::setup("make a ledger", &"there is no node").into())
    }

    /// Runs `work` on each node at the same time, `tasks` times in all; gives the results in order.
    async fn at_once<T, F>(
        &self,
        tasks: usize,
        work: impl Fn(usize, Arc<dyn Ledger>) -> F,
    ) -> Result<Vec<T>, Stop>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Stop>> + Send + 'static,
    {
        let mut running = Vec::new();
        for number in 0..tasks {
            running.push(tokio::spawn(work(number, Arc::clone(self.node(number)?))));
        }
        let mut results = Vec::new();
        for task in running {
            results.push(task.await.map_err(panicked)??);
        }
        Ok(results)
    }
}

/// The value of a call that must not fail; that it does is the breach of `id`.
fn done<T>(id: &'static str, what: &str, result: Result<T, Error>) -> Result<T, Stop> {
    result.map_err(|error| {
        Failure::new(id, what).expected("no error").got(format!("{error:#}")).into()
    })
}

/// Fails unless what a call gave is what it should give.
fn same<T: PartialEq + Debug>(
    id: &'static str,
    what: &str,
    got: &T,
    expected: &T,
) -> Result<(), Stop> {
    if got == expected {
        return Ok(());
    }
    Err(Failure::new(id, what).expected(shown(expected)).got(shown(got)).into())
}

/// Fails unless a call was refused as invalid input.
fn refused<T: Debug>(what: &str, result: Result<T, Error>) -> Result<(), Stop> {
    same("L-03", what, &result.map_err(|error| error.kind()).err(), &Some(ErrorKind::InvalidInput))
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

fn key(tenant: &str, id: &str) -> Result<AggregateKey, Stop> {
    Ok(AggregateKey::from_parts(tenant, "account", id)?)
}

/// A schedule that is due at `next`.
fn schedule(key: impl Into<ScheduleKey>, next: i64) -> Result<Schedule, Stop> {
    let cadence = Cadence::every(Duration::from_secs(60))?;
    Ok(Schedule::new(key, cadence, at(0))?.next_run(Some(at(next))))
}

/// Names that someone takes for a wildcard, an end or a separator.
const NAMES: [&str; 8] = ["", "a", "a/b", "a\0", "a\u{1}", "%", "'--", "\u{1f600}"];
