//! [`Case`], a statement that the kit checks, and [`Context`], the environment of a store's case.

use std::pin::Pin;
use std::time::Duration;

use super::artifacts::context::ArtifactContext;
use super::event_source::context::SourceContext;
use super::factory::Site;
use super::failure::{Failure, Stop};
use super::level::Level;
use super::probe::Probe;
#[cfg(feature = "publish")]
use super::publications::context::PublicationContext;
use crate::store::Capabilities;

/// A statement about stores, event sources, artifact stores or stores of publications that the kit
/// checks.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub(super) level: Level,
    pub(super) name: &'static str,
    pub(super) ids: &'static [&'static str],
    pub(super) run: CaseRun,
}

/// The function that runs a case, for what it is about.
#[derive(Clone, Copy, Debug)]
pub(super) enum CaseRun {
    Store(for<'c> fn(&'c mut Context) -> Running<'c>),
    Source(for<'c> fn(&'c mut SourceContext) -> Running<'c>),
    Artifacts(for<'c> fn(&'c mut ArtifactContext) -> Running<'c>),
    #[cfg(feature = "publish")]
    Publications(for<'c> fn(&'c mut PublicationContext) -> Running<'c>),
}

pub(super) type Running<'c> = Pin<Box<dyn Future<Output = Result<(), Stop>> + Send + 'c>>;

impl Case {
    /// Returns the level of the case.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Returns the statement.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the ids of the obligations that the case checks. A failure names one of these, or
    /// the obligation of a preparatory step.
    pub fn ids(&self) -> &'static [&'static str] {
        self.ids
    }
}

/// Defines the cases of a level, each as `"statement", [ids], function;`. Levels of event sources
/// have the prefix `sources`, those of artifact stores `artifacts`, and those of stores of
/// publications `publications`.
macro_rules! cases {
    (artifacts $level:ident: $($rest:tt)+) => { cases! { @Artifacts $level: $($rest)+ } };
    (publications $level:ident: $($rest:tt)+) => { cases! { @Publications $level: $($rest)+ } };
    (sources $level:ident: $($rest:tt)+) => { cases! { @Source $level: $($rest)+ } };
    (@$of:ident $level:ident: $($name:literal, [$($id:literal),+], $run:path;)+) => {
        pub(crate) const CASES: &[crate::conformance::case::Case] = &[$(
            crate::conformance::case::Case {
                level: crate::conformance::level::Level::$level,
                name: $name,
                ids: &[$($id),+],
                run: crate::conformance::case::CaseRun::$of(|context| Box::pin($run(context))),
            }
        ),+];
    };
    ($level:ident: $($rest:tt)+) => { cases! { @Store $level: $($rest)+ } };
}
pub(super) use cases;

/// The environment of a case: a fresh site, randomness, and the settings of the run.
pub(super) struct Context {
    pub(super) site: Box<dyn Site>,
    pub(super) random: fastrand::Rng,
    /// The number of aggregates that a case in the level Scale creates.
    pub(super) scale: usize,
    /// The time limit of one call.
    pub(super) within: Duration,
    /// Numbers that the scorecard shows in addition to the verdict.
    pub(super) notes: Vec<String>,
    /// Durations that the scorecard shows.
    pub(super) times: Vec<String>,
}

impl Context {
    /// Opens the store for the first time.
    pub(super) async fn open(&mut self) -> Result<Probe, Stop> {
        match self.opened().await? {
            Ok(probe) => Ok(probe),
            Err(error) => Err(Failure::setup("open the store", &error).into()),
        }
    }

    /// Opens the store, and skips the case unless the store is durable.
    pub(super) async fn open_durable(&mut self) -> Result<Probe, Stop> {
        let probe = self.open().await?;
        if probe.capabilities().durable {
            Ok(probe)
        } else {
            Err(Stop::Skipped("Capabilities::durable"))
        }
    }

    /// Drops the store and opens it again.
    pub(super) async fn reopen(&mut self, probe: Probe) -> Result<Probe, Stop> {
        drop(probe);
        self.again("C-10", "open the store again").await
    }

    /// Crashes the site and opens the store again.
    pub(super) async fn crash(&mut self, probe: Probe) -> Result<Probe, Stop> {
        drop(probe);
        if !self.site.crash().await? {
            return Err(Stop::Skipped("Site::crash"));
        }
        self.again("C-10", "open the store after a crash").await
    }

    /// Opens the store on a site where it was open before. A failure breaks `id`.
    pub(super) async fn again(&mut self, id: &'static str, what: &str) -> Result<Probe, Stop> {
        match self.opened().await? {
            Ok(probe) => Ok(probe),
            Err(error) => {
                let failure = Failure::new(id, what).expected("the store opens").got(error);
                Err(failure.into())
            }
        }
    }

    async fn opened(&mut self) -> Result<Result<Probe, String>, Stop> {
        match tokio::time::timeout(self.within, self.site.open()).await {
            Ok(Ok(store)) => Ok(Ok(Probe::new(store, self.within))),
            Ok(Err(error)) => Ok(Err(format!("{error:#}"))),
            Err(_) => Ok(Err(format!("no answer within {:?}", self.within))),
        }
    }

    pub(super) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Records how long it took to do something this many times.
    pub(super) fn time(&mut self, what: &str, took: Duration, times: usize) {
        let each = took / u32::try_from(times.max(1)).unwrap_or(u32::MAX);
        self.times.push(format!("{what}: {each:.1?} each, {times} times"));
    }
}

/// Skips the case unless `available`.
pub(super) fn needs(available: bool, what: &'static str) -> Result<(), Stop> {
    if available { Ok(()) } else { Err(Stop::Skipped(what)) }
}

/// Returns whether the kit can create a record that is larger than the store accepts.
pub(super) fn has_small_records(capabilities: Capabilities) -> bool {
    capabilities.max_record_bytes <= 64 << 20
}
