//! [`Tracing`]: emits observations as events of the crate `tracing`.

use ::tracing::{debug, error, info, trace, warn};

use crate::engine::observer::{Observation, Observer};
use crate::ledger::AuditOutcome;

/// Emits an event of the crate `tracing` for each observation.
///
/// The target is `snapfold`, and the message is the observation as one line. The fields `tenant`,
/// `kind` and `id` name the aggregate. States of aggregates and their events are never included.
///
/// | level | observations |
/// |---|---|
/// | error | loads that failed, records for the ledger that were lost |
/// | warn | snapshots that were rejected, background work that failed or was dropped, management calls that failed, thresholds that were reached |
/// | info | management calls, numbers that are back below their thresholds |
/// | debug | background snapshots, retention |
/// | trace | loads, commits, workload |
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Tracing;

impl Tracing {
    /// Creates the observer.
    pub const fn new() -> Self {
        Self
    }
}

/// Emits an event about an aggregate at a level.
macro_rules! emit {
    ($level:ident, $key:expr, $observation:expr) => {
        $level!(
            target: "snapfold",
            tenant = $key.tenant(),
            kind = $key.kind(),
            id = $key.id(),
            "{}",
            $observation
        )
    };
}

impl Observer for Tracing {
    fn observe(&self, observation: &Observation<'_>) {
        match observation {
            Observation::HealthChanged { kind, is_raised: true, .. } => {
                warn!(target: "snapfold", kind, "{observation}");
            }
            Observation::HealthChanged { kind, .. } => {
                info!(target: "snapfold", kind, "{observation}");
            }
            Observation::Workload { kind, .. } => {
                trace!(target: "snapfold", kind, "{observation}");
            }
            Observation::Committed { key, .. } => emit!(trace, key, observation),
            Observation::Loaded { key, provenance, .. }
            | Observation::Captured { key, provenance, .. } => {
                if provenance.rejected.is_empty() {
                    emit!(trace, key, observation);
                } else {
                    emit!(warn, key, observation);
                }
            }
            Observation::LoadFailed { key, .. } => emit!(error, key, observation),
            Observation::SaveFailed { key, .. }
            | Observation::SaveDropped { key, .. }
            | Observation::RetentionFailed { key, .. }
            | Observation::SpotCheckFailed { key, .. } => emit!(warn, key, observation),
            Observation::Saved { key, .. } | Observation::Retained { key, .. } => {
                emit!(debug, key, observation);
            }
            Observation::SpotChecked { key, comparison } if comparison.is_clean() => {
                emit!(debug, key, observation);
            }
            Observation::SpotChecked { key, .. } => emit!(error, key, observation),
            Observation::Managed { key: Some(key), outcome: AuditOutcome::Ok, .. } => {
                emit!(info, key, observation);
            }
            Observation::Managed { key: Some(key), .. } => emit!(warn, key, observation),
            Observation::Managed { key: None, outcome: AuditOutcome::Ok, .. } => {
                info!(target: "snapfold", "{observation}");
            }
            Observation::LedgerFailed { lost: 0, .. } | Observation::Managed { key: None, .. } => {
                warn!(target: "snapfold", "{observation}");
            }
            Observation::LedgerFailed { .. } => error!(target: "snapfold", "{observation}"),
        }
    }
}
