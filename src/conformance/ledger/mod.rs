//! The kit for [`Ledger`]s: cases for each obligation.

mod case;
mod claims;
mod report;
mod schedules;
mod statistics;
mod trail;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::failure::{Failure, Stop};
use super::isolate::panicked;
use crate::error::BoxError;
use crate::ledger::Ledger;
pub use case::LedgerCase;
use case::Nodes;
pub use report::{LedgerReport, NotALedger};

/// Creates the ledgers under test.
#[async_trait]
pub trait LedgerFactory: Send + Sync {
    /// Creates a new, empty ledger and returns `count` handles to it, as if each were opened by a
    /// separate process.
    async fn nodes(&self, count: usize) -> Result<Vec<Arc<dyn Ledger>>, BoxError>;
}

/// Returns every case in the kit for ledgers, in the order in which they run.
pub fn ledger_cases() -> impl Iterator<Item = &'static LedgerCase> {
    [schedules::CASES, claims::CASES, statistics::CASES, trail::CASES].into_iter().flatten()
}

/// The number of nodes in a case.
const NODES: usize = 4;
/// The time limit of a case.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs all cases one after the other, each on a separate ledger. The run completes even if a
/// ledger panics or hangs.
///
/// Must run on a tokio runtime with time enabled. Prefer a multi-threaded runtime: the cases that
/// involve several nodes then check more.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use std::sync::Arc;
/// use snapfold::conformance::{self, LedgerFactory};
/// use snapfold::ledger::{Ledger, StoreLedger};
/// use snapfold::{BoxError, MemoryStore};
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
    let nodes = nodes.map_err(|error| Failure::setup("create a ledger", &error))?;
    if nodes.len() != NODES {
        return Err(Failure::setup(
            "create a ledger",
            &"the factory returned the wrong number of nodes",
        ));
    }
    // The case runs in a separate task, so that a panic fails only this case.
    let mut task = tokio::spawn((case.run)(Nodes(nodes)));
    match tokio::time::timeout(PATIENCE, &mut task).await {
        Ok(Ok(Ok(()))) => Ok(()),
        Ok(Ok(Err(Stop::Failed(failure)))) => Err(failure),
        Ok(Ok(Err(Stop::Skipped(needs)))) => Err(Failure::setup("run the case", &needs)),
        Ok(Err(join)) => Err(panicked("L-02", join)),
        Err(_) => {
            task.abort();
            Err(Failure::new("L-02", "run the case")
                .expected(format!("the case ends within {PATIENCE:?}"))
                .got("the case is still running"))
        }
    }
}
