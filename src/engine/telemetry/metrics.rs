//! [`Metrics`]: records observations with the crate `metrics`.

use ::metrics::{counter, histogram};

use crate::engine::observer::{Observation, Observer};
use crate::ledger::AuditOutcome;
use crate::manager::{CreateOutcome, Origin, Provenance};

/// Records observations as counters and histograms of the crate `metrics`.
///
/// Names and labels stay the same in later releases; more may be added. The label `kind` is the
/// kind of aggregate. No label contains an id. Times are in seconds, sizes in bytes.
///
/// | name | type | labels | |
/// |---|---|---|---|
/// | `snapfold_loads_total` | counter | `kind`, `origin`: `cache`, `snapshot`, `replay` | loads for callers |
/// | `snapfold_load_failures_total` | counter | `kind`, `error` | loads that failed |
/// | `snapfold_load_seconds` | histogram | `kind`, `phase`: `fetch`, `decode`, `fold` | durations of loads for callers |
/// | `snapfold_replayed_events` | histogram | `kind` | events folded by a load for a caller |
/// | `snapfold_rejected_snapshots_total` | counter | `kind`, `reason` | snapshots that a load could not use |
/// | `snapfold_saves_total` | counter | `kind`, `outcome`: `stored`, `replaced`, `existing`, `empty`, `failed`, `dropped` | background snapshots |
/// | `snapfold_save_seconds` | histogram | `kind` | from loading the state until the store acknowledges the snapshot |
/// | `snapfold_snapshot_raw_bytes` | histogram | `kind` | encoded states of background snapshots, before compression |
/// | `snapfold_snapshot_stored_bytes` | histogram | `kind` | records of background snapshots |
/// | `snapfold_retention_deleted_total` | counter | `kind` | snapshots deleted after background snapshots |
/// | `snapfold_retention_deleted_bytes_total` | counter | `kind` | sizes of the deleted records |
/// | `snapfold_retention_failures_total` | counter | `kind` | times that the retention policy could not be applied |
/// | `snapfold_managed_total` | counter | `kind`, `action`, `outcome`: `ok`, `failed` | management calls for one aggregate |
/// | `snapfold_managed_seconds` | histogram | `kind`, `action` | durations of these calls |
/// | `snapfold_ledger_failures_total` | counter | | writes to the ledger that failed |
/// | `snapfold_ledger_lost_records_total` | counter | | records for the ledger that were lost |
///
/// `reason` is [`RejectReason::name`](crate::record::RejectReason::name), and `error` is the name
/// of the [`ErrorKind`](crate::ErrorKind). `action` is the first word of the action in the audit
/// trail.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Metrics;

impl Metrics {
    /// Creates the observer. It uses the recorder that is installed when an observation is made.
    pub const fn new() -> Self {
        Self
    }
}

impl Observer for Metrics {
    fn observe(&self, observation: &Observation<'_>) {
        match observation {
            Observation::Loaded { key, provenance, .. } => loaded(key.kind(), provenance),
            Observation::Captured { key, provenance, .. } => rejected(key.kind(), provenance),
            Observation::LoadFailed { key, error } => {
                let error = format!("{:?}", error.kind());
                counter!("snapfold_load_failures_total", "kind" => own(key.kind()), "error" => error)
                    .increment(1);
            }
            Observation::Saved { key, created, took } => {
                saved(key.kind(), created);
                histogram!("snapfold_save_seconds", "kind" => own(key.kind())).record(*took);
            }
            Observation::SaveFailed { key, .. } => save(key.kind(), "failed"),
            Observation::SaveDropped { key, .. } => save(key.kind(), "dropped"),
            Observation::Retained { key, retained } => {
                let (kind, deleted) = (key.kind(), retained.deleted);
                counter!("snapfold_retention_deleted_total", "kind" => own(kind))
                    .increment(deleted.snapshots);
                counter!("snapfold_retention_deleted_bytes_total", "kind" => own(kind))
                    .increment(deleted.bytes);
            }
            Observation::RetentionFailed { key, .. } => {
                counter!("snapfold_retention_failures_total", "kind" => own(key.kind()))
                    .increment(1);
            }
            Observation::Managed { action, key: Some(key), outcome, took, .. } => {
                let (kind, action) = (key.kind(), action.split(' ').next().unwrap_or_default());
                let outcome = if **outcome == AuditOutcome::Ok { "ok" } else { "failed" };
                counter!(
                    "snapfold_managed_total",
                    "kind" => own(kind), "action" => own(action), "outcome" => outcome
                )
                .increment(1);
                histogram!("snapfold_managed_seconds", "kind" => own(kind), "action" => own(action))
                    .record(*took);
            }
            Observation::Managed { key: None, .. } => {}
            Observation::LedgerFailed { lost, .. } => {
                counter!("snapfold_ledger_failures_total").increment(1);
                counter!("snapfold_ledger_lost_records_total").increment(*lost as u64);
            }
        }
    }
}

fn own(text: &str) -> String {
    text.to_owned()
}

fn loaded(kind: &str, provenance: &Provenance) {
    let origin = match provenance.origin {
        Origin::Cache => "cache",
        Origin::Replay => "replay",
        Origin::Snapshot => "snapshot",
    };
    counter!("snapfold_loads_total", "kind" => own(kind), "origin" => origin).increment(1);
    let timings = provenance.timings;
    for (phase, time) in
        [("fetch", timings.fetch), ("decode", timings.decode), ("fold", timings.fold)]
    {
        histogram!("snapfold_load_seconds", "kind" => own(kind), "phase" => phase).record(time);
    }
    #[expect(clippy::cast_precision_loss, reason = "a histogram is approximate")]
    let events = provenance.events_replayed as f64;
    histogram!("snapfold_replayed_events", "kind" => own(kind)).record(events);
    rejected(kind, provenance);
}

fn rejected(kind: &str, provenance: &Provenance) {
    for rejected in &provenance.rejected {
        let reason = rejected.reason.name();
        counter!("snapfold_rejected_snapshots_total", "kind" => own(kind), "reason" => reason)
            .increment(1);
    }
}

fn saved(kind: &str, created: &CreateOutcome) {
    let outcome = match created {
        CreateOutcome::Stored(_) => "stored",
        CreateOutcome::Replaced(_) => "replaced",
        CreateOutcome::Empty => "empty",
        CreateOutcome::Existing { .. } | CreateOutcome::Unchanged { .. } => "existing",
    };
    save(kind, outcome);
    if let CreateOutcome::Stored(meta) | CreateOutcome::Replaced(meta) = created {
        #[expect(clippy::cast_precision_loss, reason = "a histogram is approximate")]
        let (raw, stored) = (meta.raw_bytes as f64, meta.stored_bytes as f64);
        histogram!("snapfold_snapshot_raw_bytes", "kind" => own(kind)).record(raw);
        histogram!("snapfold_snapshot_stored_bytes", "kind" => own(kind)).record(stored);
    }
}

fn save(kind: &str, outcome: &'static str) {
    counter!("snapfold_saves_total", "kind" => own(kind), "outcome" => outcome).increment(1);
}
