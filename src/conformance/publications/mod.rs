//! The kit for stores of publications.

mod changes;
mod concurrent;
pub(super) mod context;
mod expiry;
mod hostile;
mod lists;
mod removals;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::case::{Case, CaseRun};
use super::failure::{Failure, Stop};
use super::isolate::isolated;
use super::scorecard::{CaseResult, CaseVerdict, Scorecard, Subject};
use crate::error::BoxError;
use crate::publication::PublicationStore;
use context::PublicationContext;

/// Creates the stores of publications under test.
#[async_trait]
pub trait PublicationFactory: Send + Sync {
    /// Creates a new, empty store and returns `count` handles to it, as if each were opened by a
    /// separate process.
    async fn nodes(&self, count: usize) -> Result<Vec<Arc<dyn PublicationStore>>, BoxError>;
}

/// The tables of all levels, in order.
const TABLES: &[&[Case]] = &[
    changes::CASES,
    lists::CASES,
    expiry::CASES,
    removals::CASES,
    hostile::CASES,
    concurrent::CASES,
];
/// A case may take twenty times as long.
const PATIENCE: Duration = Duration::from_secs(6);
/// The seed of all random choices, except for the ids.
const SEED: u64 = 0x5eed_f01d;
/// The number of nodes in a case.
const NODES: usize = 4;

/// Returns every case in the kit for stores of publications, in the order in which they run.
pub fn publication_cases() -> impl Iterator<Item = &'static Case> {
    TABLES.iter().copied().flatten()
}

/// Runs all cases one after the other, each on a separate store. The run completes even if a store
/// panics or hangs.
///
/// Must run on a tokio runtime with time enabled. Prefer a multi-threaded runtime: the cases that
/// involve several tasks then check more.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use std::sync::Arc;
/// use snapfold::conformance::{self, PublicationFactory};
/// use snapfold::publication::{PublicationStore, StorePublications};
/// use snapfold::{BoxError, MemoryStore};
///
/// struct InMemory;
///
/// #[async_trait::async_trait]
/// impl PublicationFactory for InMemory {
///     async fn nodes(&self, count: usize) -> Result<Vec<Arc<dyn PublicationStore>>, BoxError> {
///         let store = MemoryStore::new();
///         let node = || Arc::new(StorePublications::new(store.clone())) as _;
///         Ok((0..count).map(|_| node()).collect())
///     }
/// }
///
/// conformance::publications(&InMemory).await.into_result()?; // `Err` shows what failed
/// # Ok::<(), conformance::NotConformant>(())
/// # }).unwrap();
/// ```
pub async fn publications(factory: &dyn PublicationFactory) -> Scorecard {
    let mut results = Vec::new();
    for case in publication_cases() {
        let (started, mut result) = (Instant::now(), CaseResult::new(case));
        result.verdict = CaseVerdict::of(prove(factory, case).await);
        result.took = started.elapsed();
        results.push(result);
    }
    Scorecard::new(Subject::Publications, SEED, results)
}

async fn prove(factory: &dyn PublicationFactory, case: &Case) -> Result<(), Stop> {
    let nodes = match tokio::time::timeout(PATIENCE, factory.nodes(NODES)).await {
        Ok(Ok(nodes)) => nodes,
        Ok(Err(error)) => return Err(Failure::setup("create a store", &error).into()),
        Err(elapsed) => return Err(Failure::setup("create a store", &elapsed).into()),
    };
    let mut context = PublicationContext::new(nodes, SEED);
    let CaseRun::Publications(run) = case.run else { return Ok(()) };
    isolated("P-02", PATIENCE, async move { run(&mut context).await }).await?
}
