//! [`SourceConformance`]: runs the kit for event sources.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::context::SourceContext;
use super::register::source_cases;
use super::site::EventSourceFactory;
use super::under_test::{Erased, SourceUnderTest};
use crate::conformance::case::{Case, CaseRun};
use crate::conformance::failure::{Failure, Stop};
use crate::conformance::isolate::isolated;
use crate::conformance::level::Level;
use crate::conformance::scorecard::{self, CaseResult, CaseVerdict, Scorecard};
use crate::error::BoxError;
use crate::state::Aggregate;

/// The obligation that a source neither panics nor hangs.
const PROMISE: &str = "E-11";

/// The settings for running the kit on one type of event source.
///
/// | setting | default |
/// |---|---|
/// | levels | [`Level::OF_EVENT_SOURCES`] |
/// | [`seed`](Self::seed) | fixed |
/// | [`patience`](Self::patience) | 30 seconds per call |
#[must_use = "nothing is checked before `run`"]
pub struct SourceConformance<'f> {
    factory: Box<dyn Factory + 'f>,
    levels: Vec<Level>,
    named: Option<String>,
    seed: u64,
    patience: Duration,
}

/// A factory without the type of the aggregate.
#[async_trait]
trait Factory: Send + Sync {
    async fn subject(&self) -> Result<(&'static str, Arc<dyn SourceUnderTest>), BoxError>;
}

struct Of<'f, A>(&'f dyn EventSourceFactory<A>);

#[async_trait]
impl<A: Aggregate> Factory for Of<'_, A> {
    async fn subject(&self) -> Result<(&'static str, Arc<dyn SourceUnderTest>), BoxError> {
        let site = self.0.site().await?;
        Ok((site.name(), Arc::new(Erased(site))))
    }
}

impl<'f> SourceConformance<'f> {
    /// Creates a run of the whole kit on the sites that `factory` creates.
    pub fn of<A: Aggregate>(factory: &'f dyn EventSourceFactory<A>) -> Self {
        Self {
            factory: Box::new(Of(factory)),
            levels: Level::OF_EVENT_SOURCES.to_vec(),
            named: None,
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

    /// Sets the seed of all random choices. The scorecard shows it.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets how long one call to the source may take before it counts as hanging. A whole case may
    /// take twenty times as long.
    pub fn patience(mut self, a_call: Duration) -> Self {
        self.patience = a_call;
        self
    }

    /// Runs the cases one after the other, each on a fresh site. Even if the source panics, hangs
    /// or gives invalid answers, the run completes and reports the failing cases.
    ///
    /// Must run on a tokio runtime with time enabled. Prefer a multi-threaded runtime: a source
    /// that blocks a thread forever is then reported instead of blocking the run.
    ///
    /// Cancel safety: dropping the future ends the run and the current case.
    pub async fn run(self) -> Scorecard {
        let mut results = Vec::new();
        let mut name = "unknown";
        for case in source_cases().filter(|case| self.wants(case)) {
            results.push(self.prove(case, &mut name).await);
        }
        Scorecard::new(scorecard::Subject::EventSource(name), self.seed, results)
    }

    fn wants(&self, case: &Case) -> bool {
        self.levels.contains(&case.level())
            && self.named.as_ref().is_none_or(|part| case.name().contains(part.as_str()))
    }

    async fn prove(&self, case: &'static Case, name: &mut &'static str) -> CaseResult {
        let started = Instant::now();
        let mut result = CaseResult::new(case);
        let failed =
            |error: &dyn fmt::Display| Stop::Failed(Failure::setup("create a site", error));
        let made = tokio::time::timeout(self.patience, self.factory.subject()).await;
        let stopped = match made {
            Ok(Ok((own, subject))) => {
                *name = own;
                self.judge(&mut result, subject).await
            }
            Ok(Err(error)) => Err(failed(&error)),
            Err(elapsed) => Err(failed(&elapsed)),
        };
        result.verdict = CaseVerdict::of(stopped);
        result.took = started.elapsed();
        result
    }

    async fn judge(
        &self,
        result: &mut CaseResult,
        subject: Arc<dyn SourceUnderTest>,
    ) -> Result<(), Stop> {
        let mut context = SourceContext {
            subject,
            random: fastrand::Rng::with_seed(self.seed),
            within: self.patience,
            notes: Vec::new(),
            histories: BTreeMap::new(),
            numbers: 0,
        };
        let CaseRun::Source(run) = result.case.run else { return Ok(()) };
        let (stopped, notes) = isolated(PROMISE, self.patience, async move {
            let stopped = run(&mut context).await;
            (stopped, context.notes)
        })
        .await?;
        result.notes = notes;
        stopped
    }
}

impl fmt::Debug for SourceConformance<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceConformance")
            .field("levels", &self.levels)
            .field("named", &self.named)
            .field("seed", &self.seed)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}
