//! The kit for artifact stores.

mod concurrent;
pub(super) mod context;
mod hostile;
mod lists;
mod puts;
mod reads;
mod site;
mod uploads;
mod urls;

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::case::{Case, CaseRun};
use super::failure::{Failure, Stop};
use super::isolate::isolated;
use super::scorecard::{CaseResult, CaseVerdict, Scorecard, Subject};
use context::ArtifactContext;
pub use site::{ArtifactFactory, ArtifactSite};

/// The tables of all levels, in order.
const TABLES: &[&[Case]] = &[
    puts::CASES,
    reads::CASES,
    lists::CASES,
    hostile::CASES,
    concurrent::CASES,
    uploads::CASES,
    urls::CASES,
];
/// A case may take twenty times as long.
const PATIENCE: Duration = Duration::from_secs(6);
/// The seed of all random choices.
const SEED: u64 = 0x5eed_f01d;

/// Returns every case in the kit for artifact stores, in the order in which they run.
pub fn artifact_cases() -> impl Iterator<Item = &'static Case> {
    TABLES.iter().copied().flatten()
}

/// Runs all cases one after the other, each on a separate site. The run completes even if a store
/// panics or hangs.
///
/// Must run on a tokio runtime with time enabled. Prefer a multi-threaded runtime: the cases that
/// involve several tasks then check more.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use std::sync::Arc;
/// use bytes::Bytes;
/// use snapfold::BoxError;
/// use snapfold::artifact::{ArtifactStore, MemoryArtifacts, SignedDownload, SignedUpload};
/// use snapfold::conformance::{self, ArtifactFactory, ArtifactSite};
///
/// struct InMemory;
/// struct Place(MemoryArtifacts);
///
/// #[async_trait::async_trait]
/// impl ArtifactFactory for InMemory {
///     async fn site(&self) -> Result<Arc<dyn ArtifactSite>, BoxError> {
///         Ok(Arc::new(Place(MemoryArtifacts::new())))
///     }
/// }
///
/// #[async_trait::async_trait]
/// impl ArtifactSite for Place {
///     async fn open(&self) -> Result<Arc<dyn ArtifactStore>, BoxError> {
///         Ok(Arc::new(self.0.clone()))
///     }
///
///     async fn send(&self, upload: &SignedUpload, content: Bytes) -> Result<bool, BoxError> {
///         Ok(self.0.receive(&upload.url, content))
///     }
///
///     async fn fetch(&self, download: &SignedDownload) -> Result<Option<Bytes>, BoxError> {
///         Ok(self.0.serve(&download.url))
///     }
/// }
///
/// conformance::artifacts(&InMemory).await.into_result()?; // `Err` shows what failed
/// # Ok::<(), conformance::NotConformant>(())
/// # }).unwrap();
/// ```
pub async fn artifacts(factory: &dyn ArtifactFactory) -> Scorecard {
    let (mut results, mut name) = (Vec::new(), "unknown");
    for case in artifact_cases() {
        let (started, mut result) = (Instant::now(), CaseResult::new(case));
        result.verdict = CaseVerdict::of(prove(factory, case, &mut name).await);
        result.took = started.elapsed();
        results.push(result);
    }
    Scorecard::new(Subject::Artifacts(name), SEED, results)
}

async fn prove(
    factory: &dyn ArtifactFactory,
    case: &Case,
    name: &mut &'static str,
) -> Result<(), Stop> {
    let made = tokio::time::timeout(PATIENCE, async {
        let site = factory.site().await?;
        ArtifactContext::open(Arc::clone(&site), SEED).await
    });
    let mut context = match made.await {
        Ok(Ok(context)) => context,
        Ok(Err(error)) => return Err(Failure::setup("create a site", &error).into()),
        Err(elapsed) => return Err(Failure::setup("create a site", &elapsed).into()),
    };
    *name = context.capabilities.name;
    let CaseRun::Artifacts(run) = case.run else { return Ok(()) };
    isolated("A-02", PATIENCE, async move { run(&mut context).await }).await?
}
