//! [`Conformance`]: runs the kit for stores.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::case::{Case, CaseRun, Context};
use super::factory::{Site, StoreFactory};
use super::failure::{Failure, Stop};
use super::isolate::isolated;
use super::level::Level;
use super::scorecard::{CaseResult, CaseVerdict, Scorecard, Subject};
use super::store_kit::cases;
use crate::store::{Capabilities, SnapshotStore};

/// The obligation that a store neither panics nor hangs.
const PROMISE: &str = "C-03";

/// The settings for running the kit on one type of store.
///
/// | setting | default |
/// |---|---|
/// | levels | all |
/// | [`scale`](Self::scale) | 100,000 aggregates |
/// | [`seed`](Self::seed) | fixed |
/// | [`patience`](Self::patience) | 30 seconds per call |
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use std::sync::Arc;
/// use snapfold::MemoryStore;
/// use snapfold::conformance::{self, Conformance, Level};
///
/// let factory = conformance::in_memory(|| Arc::new(MemoryStore::new()));
/// let card = Conformance::of(&factory)
///     .only(Level::Core)
///     .and(Level::History)
///     .seed(7)
///     .run()
///     .await;
/// assert!(card.broken_promises().is_empty(), "{card}");
/// # });
/// ```
#[must_use = "nothing is checked before `run`"]
#[derive(Clone)]
pub struct Conformance<'f> {
    factory: &'f dyn StoreFactory,
    levels: Vec<Level>,
    named: Option<String>,
    scale: usize,
    seed: u64,
    patience: Duration,
}

impl<'f> Conformance<'f> {
    /// Creates a run of the whole kit on the stores that `factory` creates.
    pub fn of(factory: &'f dyn StoreFactory) -> Self {
        Self {
            factory,
            levels: Level::ALL.to_vec(),
            named: None,
            scale: 100_000,
            seed: 0x5eed_f01d,
            patience: Duration::from_secs(30),
        }
    }

    /// Runs only the cases of `level`. [`and`](Self::and) adds others.
    pub fn only(mut self, level: Level) -> Self {
        self.levels = vec![level];
        self
    }

    /// Also runs the cases of `level`.
    pub fn and(mut self, level: Level) -> Self {
        self.levels.push(level);
        self
    }

    /// Skips the cases of `level`.
    pub fn without(mut self, level: Level) -> Self {
        self.levels.retain(|chosen| *chosen != level);
        self
    }

    /// Runs only those cases of the chosen levels whose statement contains `part`, to investigate a
    /// failure.
    pub fn named(mut self, part: impl Into<String>) -> Self {
        self.named = Some(part.into());
        self
    }

    /// Sets how many aggregates the level [`Scale`](Level::Scale) creates. Values below 100 are
    /// treated as 100.
    pub fn scale(mut self, aggregates: usize) -> Self {
        self.scale = aggregates.max(100);
        self
    }

    /// Sets the seed of all random choices. The scorecard shows it.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets how long one call to the store may take before it counts as hanging. A whole case may
    /// take twenty times as long.
    pub fn patience(mut self, a_call: Duration) -> Self {
        self.patience = a_call;
        self
    }

    /// Runs the cases one after the other, each on a fresh site. Even if the store panics, hangs or
    /// gives invalid answers, the run completes and reports the failing cases.
    ///
    /// Must run on a tokio runtime with time enabled. Prefer a multi-threaded runtime: the
    /// [`Concurrent`](Level::Concurrent) cases then check more, and a store that blocks a thread
    /// forever is reported instead of blocking the run.
    ///
    /// Cancel safety: dropping the future ends the run and the current case.
    pub async fn run(self) -> Scorecard {
        let capabilities = self.look().await;
        let mut results = Vec::new();
        for case in cases().filter(|case| self.wants(case)) {
            let failed = |result: &CaseResult| matches!(result.verdict, CaseVerdict::Failed(_));
            // The cases about marks rely on lookups, lists and deletes.
            let result = if case.level() == Level::Marks && results.iter().any(failed) {
                CaseResult {
                    verdict: CaseVerdict::Skipped { needs: "all earlier levels to pass" },
                    ..CaseResult::new(case)
                }
            } else {
                self.prove(case).await
            };
            results.push(result);
        }
        Scorecard::new(Subject::Store { capabilities, scale: self.scale }, self.seed, results)
    }

    fn wants(&self, case: &Case) -> bool {
        self.levels.contains(&case.level())
            && self.named.as_ref().is_none_or(|part| case.name().contains(part.as_str()))
    }

    /// Returns the store's capabilities, or `None` if it cannot be opened.
    async fn look(&self) -> Option<Capabilities> {
        let mut site = self.site().await.ok()?;
        let looked = isolated(PROMISE, self.patience, async move {
            let store: Arc<dyn SnapshotStore> = site.open().await.ok()?;
            Some(store.capabilities())
        });
        looked.await.ok().flatten()
    }

    async fn site(&self) -> Result<Box<dyn Site>, Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::setup("create a site", error);
        match tokio::time::timeout(self.patience, self.factory.site()).await {
            Ok(Ok(site)) => Ok(site),
            Ok(Err(error)) => Err(failed(&error)),
            Err(elapsed) => Err(failed(&elapsed)),
        }
    }

    async fn prove(&self, case: &'static Case) -> CaseResult {
        let started = Instant::now();
        let mut result = CaseResult::new(case);
        match self.site().await {
            Ok(site) => self.judge(&mut result, site).await,
            Err(failure) => result.verdict = CaseVerdict::Failed(failure),
        }
        result.took = started.elapsed();
        result
    }

    async fn judge(&self, result: &mut CaseResult, site: Box<dyn Site>) {
        let mut context = Context {
            site,
            random: fastrand::Rng::with_seed(self.seed),
            scale: self.scale,
            within: self.patience,
            notes: Vec::new(),
            times: Vec::new(),
        };
        let case = result.case;
        let run = isolated(PROMISE, self.patience, async move {
            let CaseRun::Store(run) = case.run else { return (Ok(()), Vec::new(), Vec::new()) };
            let stopped = run(&mut context).await;
            (stopped, context.notes, context.times)
        });
        let stopped = match run.await {
            Ok((stopped, notes, times)) => {
                (result.notes, result.times) = (notes, times);
                stopped
            }
            Err(failure) => Err(Stop::Failed(failure)),
        };
        result.verdict = CaseVerdict::of(stopped);
    }
}

impl std::fmt::Debug for Conformance<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conformance")
            .field("levels", &self.levels)
            .field("named", &self.named)
            .field("scale", &self.scale)
            .field("seed", &self.seed)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}
