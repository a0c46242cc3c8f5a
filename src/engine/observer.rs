//! [`Observer`]: receives reports of what the engine does, for logs and metrics.

use std::fmt::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::health::HealthSignal;
use super::workload::Workload;
use crate::error::Error;
use crate::key::AggregateKey;
use crate::ledger::AuditOutcome;
use crate::manager::{CreateOutcome, FoldComparison, Provenance, Retained};

/// Receives reports of what the engine does, for logs and metrics: loads, background work,
/// management calls and failures.
///
/// The module `engine::telemetry` has observers for the crates `tracing` and `metrics`, behind
/// features of the same names.
///
/// # Obligations
/// An observer is called as part of the operation, so it must be fast and must not block. If it
/// panics, the operation continues, and the [statistics](crate::SnapshotEngine::statistics) count
/// the panic and keep it as the last error.
pub trait Observer: Send + Sync {
    /// Handles one observation.
    fn observe(&self, observation: &Observation<'_>);
}

/// An event in the engine. `Display` formats it as one line, for logs.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Observation<'a> {
    /// A number crossed its threshold
    /// ([`EngineBuilder::health_thresholds`](crate::engine::EngineBuilder::health_thresholds)), or
    /// fell to half of it after that. Checked when the workload changes. Each change is reported
    /// once.
    HealthChanged {
        /// The kind of aggregate of the engine.
        kind: &'a str,
        /// What changed.
        signal: HealthSignal,
        /// Whether the number reached the threshold. False if it is back at half of it.
        is_raised: bool,
        /// The number now.
        value: u64,
        /// The threshold.
        threshold: u64,
    },
    /// The amount of work of an engine changed: a background snapshot was queued, started or ended,
    /// or a full replay began to wait, started or ended. Meant for gauges.
    Workload {
        /// The kind of aggregate of the engine.
        kind: &'a str,
        /// The amounts after the change.
        workload: Workload,
    },
    /// A state was loaded to take a snapshot of it, in the background or by an explicit call.
    Captured {
        /// The aggregate.
        key: &'a AggregateKey,
        /// The version of the state.
        version: u64,
        /// Where the state came from, which snapshots were rejected, and what the load cost.
        provenance: &'a Provenance,
    },
    /// The engine was told of a commit ([`SnapshotEngine::committed`](crate::SnapshotEngine::committed)).
    /// It has not read the events.
    Committed {
        /// The aggregate.
        key: &'a AggregateKey,
        /// The version up to which events were committed.
        version: u64,
    },
    /// A write to the ledger failed.
    LedgerFailed {
        /// The number of audit entries and daily statistics that are lost; 0 if the write will be
        /// retried.
        lost: usize,
        /// The error returned by the ledger.
        error: &'a Error,
    },
    /// A state was loaded for a caller.
    Loaded {
        /// The aggregate.
        key: &'a AggregateKey,
        /// The version of the state.
        version: u64,
        /// Where the state came from, which snapshots were rejected, and what the load cost.
        provenance: &'a Provenance,
    },
    /// The engine's retention policy was applied to an aggregate after a background snapshot, and
    /// deleted snapshots.
    Retained {
        /// The aggregate.
        key: &'a AggregateKey,
        /// The plan, with the reason for each snapshot, and what was deleted.
        retained: &'a Retained,
    },
    /// The engine's retention policy could not be applied after a background snapshot. The policy
    /// is applied again after the aggregate's next snapshot.
    RetentionFailed {
        /// The aggregate.
        key: &'a AggregateKey,
        /// Why the policy could not be applied.
        error: &'a Error,
    },
    /// A load for a caller failed. A load beyond the head is also reported as
    /// [`Loaded`](Self::Loaded), with the state at the head.
    LoadFailed {
        /// The aggregate.
        key: &'a AggregateKey,
        /// Why the load failed.
        error: &'a Error,
    },
    /// A management call ended: one that creates, rebuilds, marks or deletes snapshots, or that
    /// changes schedules. A call that was dropped before it finished counts as a failure.
    Managed {
        /// The action, as in the audit trail: `create`, `apply_retention` and so on.
        action: &'a str,
        /// The aggregate; `None` for a schedule of a whole kind.
        key: Option<&'a AggregateKey>,
        /// The version of the snapshot, if the call concerns one.
        version: Option<u64>,
        /// The actor in the [context](crate::manager::AdminContext::actor).
        actor: &'a str,
        /// The outcome.
        outcome: &'a AuditOutcome,
        /// How long the call took.
        took: Duration,
    },
    /// A background snapshot was dropped before it was attempted.
    SaveDropped {
        /// The aggregate.
        key: &'a AggregateKey,
        /// Why the snapshot was dropped.
        reason: &'a str,
    },
    /// A background snapshot failed. The command that led to it is not affected.
    SaveFailed {
        /// The aggregate.
        key: &'a AggregateKey,
        /// Why the snapshot failed.
        error: &'a Error,
        /// How long commits to this aggregate start no further attempt.
        backing_off: Duration,
    },
    /// A background snapshot was taken.
    Saved {
        /// The aggregate.
        key: &'a AggregateKey,
        /// The outcome.
        created: &'a CreateOutcome,
        /// How long the snapshot took, from loading the state until the store acknowledged the
        /// snapshot.
        took: Duration,
    },
    /// A [spot check](crate::engine::SpotChecks) compared stored snapshots with the events.
    SpotChecked {
        /// The aggregate.
        key: &'a AggregateKey,
        /// What was compared, and which snapshots differ. Those have been retired if the store has
        /// marks.
        comparison: &'a FoldComparison,
    },
    /// A spot check failed. The next one is not affected.
    SpotCheckFailed {
        /// The aggregate.
        key: &'a AggregateKey,
        /// Why the check failed.
        error: &'a Error,
    },
}

/// Two observers, in the order in which they were added.
pub(super) struct Both(pub(super) Arc<dyn Observer>, pub(super) Arc<dyn Observer>);

impl Observer for Both {
    fn observe(&self, observation: &Observation<'_>) {
        // A panic in the first observer must not keep the observation from the second.
        let first = catch_unwind(AssertUnwindSafe(|| self.0.observe(observation)));
        self.1.observe(observation);
        if let Err(panic) = first {
            resume_unwind(panic);
        }
    }
}

impl<T: Observer + ?Sized> Observer for Arc<T> {
    fn observe(&self, observation: &Observation<'_>) {
        (**self).observe(observation);
    }
}

/// Escapes control characters: actors and error messages may contain line breaks.
struct OneLine<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl fmt::Write for OneLine<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|c| match c {
            c if c.is_control() => write!(self.0, "{}", c.escape_default()),
            c => self.0.write_char(c),
        })
    }
}

impl fmt::Display for Observation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = OneLine(f);
        match self {
            Self::HealthChanged { kind, signal, is_raised, value, threshold } => {
                let how = if *is_raised { "reached its threshold" } else { "is back to normal" };
                write!(f, "{} of the {kind} engine {how}: {value}", signal.name())?;
                write!(f, " (threshold {threshold})")
            }
            Self::Workload { kind, workload } => write!(f, "{kind} engine: {workload}"),
            Self::Captured { key, version, provenance } => {
                write!(f, "captured {key} at version {version} {provenance}")
            }
            Self::Committed { key, version } => {
                write!(f, "{key} was committed at version {version}")
            }
            Self::LedgerFailed { lost: 0, error } => {
                write!(f, "a write to the ledger failed and will be retried: {error:#}")
            }
            Self::LedgerFailed { lost, error } => {
                write!(f, "{lost} records for the ledger were lost: {error:#}")
            }
            Self::Loaded { key, version, provenance } => {
                write!(f, "loaded {key} at version {version} {provenance}")
            }
            Self::LoadFailed { key, error } => write!(f, "{key} was not loaded: {error:#}"),
            Self::Managed { action, key, version, actor, outcome, took } => {
                write!(f, "{action}")?;
                if let Some(key) = key {
                    write!(f, " {key}")?;
                }
                if let Some(version) = version {
                    write!(f, " at version {version}")?;
                }
                if !actor.is_empty() {
                    write!(f, " by {actor:.100}")?;
                }
                match outcome {
                    AuditOutcome::Ok => write!(f, " in {took:.1?}"),
                    AuditOutcome::Failed { kind, message } => {
                        write!(f, " failed after {took:.1?}: {kind}: {message}")
                    }
                }
            }
            Self::Retained { key, retained } => {
                let deleted = retained.deleted;
                write!(f, "retention deleted {} snapshots of {key}", deleted.snapshots)?;
                write!(f, " ({} bytes)", deleted.bytes)
            }
            Self::RetentionFailed { key, error } => {
                write!(f, "the retention policy was not applied to {key}: {error:#}")
            }
            Self::SaveDropped { key, reason } => {
                write!(f, "a background snapshot of {key} was dropped: {reason}")
            }
            Self::SaveFailed { key, error, backing_off } => {
                write!(f, "a background snapshot of {key} failed: {error:#}")?;
                write!(f, "; no new attempt for {backing_off:?}")
            }
            Self::Saved { created, took, .. } => write!(f, "{created} in {took:.1?}"),
            Self::SpotChecked { key, comparison } => {
                write!(f, "spot check of {key} against its events: {comparison}")
            }
            Self::SpotCheckFailed { key, error } => {
                write!(f, "the snapshots of {key} were not checked against its events: {error:#}")
            }
        }
    }
}
