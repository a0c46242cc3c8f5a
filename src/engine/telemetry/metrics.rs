//! [`Metrics`]: records observations with the crate `metrics`.

use ::metrics::{counter, gauge, histogram};

use crate::engine::observer::{Observation, Observer};
use crate::engine::workload::Workload;
use crate::error::ErrorKind;
use crate::ledger::AuditOutcome;
use crate::manager::{CreateOutcome, Origin, Provenance};

/// Records observations as counters, gauges and histograms of the crate `metrics`.
///
/// Names and labels stay the same in later releases; more may be added. The label `kind` is the
/// kind of aggregate; it is empty if the request was invalid, because such a request may name any
/// kind. No label contains an id. Times are in seconds, sizes in bytes. A gauge has the value of the
/// engine that changed it last, so use one engine for each kind.
///
/// | name | type | labels | |
/// |---|---|---|---|
/// | `snapfold_loads_total` | counter | `kind`, `origin`: `cache`, `snapshot`, `replay` | loads for callers |
/// | `snapfold_load_failures_total` | counter | `kind`, `error` | loads that failed |
/// | `snapfold_load_seconds` | histogram | `kind`, `phase`: `fetch`, `decode`, `fold` | durations of loads for callers |
/// | `snapfold_replayed_events` | histogram | `kind` | events folded by a load for a caller |
/// | `snapfold_misses_total` | counter | `kind`, `reason`: also `absent` | loads for callers that replayed all events: the last reason |
/// | `snapfold_rejected_snapshots_total` | counter | `kind`, `reason` | snapshots that a load could not use |
/// | `snapfold_replays_running` | gauge | `kind` | full replays that are running |
/// | `snapfold_replays_waiting` | gauge | `kind` | loads that wait for a full replay |
/// | `snapfold_saves_queued` | gauge | `kind` | aggregates that wait for a background snapshot |
/// | `snapfold_saves_running` | gauge | `kind` | background snapshots in progress |
/// | `snapfold_save_bytes_in_flight` | gauge | `kind` | records that the store has not acknowledged |
/// | `snapfold_health_raised` | gauge | `kind`, `signal` | 1 from when a number reaches its threshold until it is back, else 0 |
/// | `snapfold_saves_total` | counter | `kind`, `outcome`: `stored`, `replaced`, `existing`, `empty`, `failed`, `dropped` | background snapshots |
/// | `snapfold_save_seconds` | histogram | `kind` | from loading the state until the store acknowledges the snapshot |
/// | `snapfold_snapshot_raw_bytes` | histogram | `kind` | encoded states of background snapshots, before compression |
/// | `snapfold_snapshot_stored_bytes` | histogram | `kind` | records of background snapshots |
/// | `snapfold_retention_deleted_total` | counter | `kind` | snapshots deleted after background snapshots |
/// | `snapfold_retention_deleted_bytes_total` | counter | `kind` | sizes of the deleted records |
/// | `snapfold_retention_failures_total` | counter | `kind` | times that the retention policy could not be applied |
/// | `snapfold_spot_checks_total` | counter | `kind`, `outcome`: `equal`, `different`, `failed` | comparisons of background snapshots with the events |
/// | `snapfold_managed_total` | counter | `kind`, `action`, `outcome`: `ok`, `failed` | management calls for one aggregate |
/// | `snapfold_managed_seconds` | histogram | `kind`, `action` | durations of these calls |
/// | `snapfold_ledger_failures_total` | counter | | writes to the ledger that failed |
/// | `snapfold_ledger_lost_records_total` | counter | | records for the ledger that were lost |
///
/// `reason` is [`RejectReason::name`](crate::record::RejectReason::name), and `error` is the name
/// of the [`ErrorKind`](crate::ErrorKind). `signal` is
/// [`HealthSignal::name`](crate::engine::HealthSignal::name). `action` is the first word of the action in the audit
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
                let kind = bounded(key.kind(), &error);
                counter!("snapfold_load_failures_total", "kind" => kind, "error" => error)
                    .increment(1);
            }
            Observation::HealthChanged { kind, signal, is_raised, .. } => {
                let (kind, signal) = (own(kind), signal.name());
                gauge!("snapfold_health_raised", "kind" => kind, "signal" => signal)
                    .set(f64::from(u8::from(*is_raised)));
            }
            Observation::Workload { kind, workload } => working(kind, workload),
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
            Observation::SpotChecked { key, comparison } => {
                let outcome = if comparison.is_clean() { "equal" } else { "different" };
                spot_checked(key.kind(), outcome);
            }
            Observation::SpotCheckFailed { key, .. } => spot_checked(key.kind(), "failed"),
            Observation::Managed { action, key: Some(key), outcome, took, .. } => {
                let action = action.split(' ').next().unwrap_or_default();
                let (kind, outcome) = match outcome {
                    AuditOutcome::Ok => (own(key.kind()), "ok"),
                    AuditOutcome::Failed { kind, .. } => (bounded(key.kind(), kind), "failed"),
                };
                counter!(
                    "snapfold_managed_total",
                    "kind" => kind.clone(), "action" => own(action), "outcome" => outcome
                )
                .increment(1);
                histogram!("snapfold_managed_seconds", "kind" => kind, "action" => own(action))
                    .record(*took);
            }
            Observation::Managed { key: None, .. } | Observation::Committed { .. } => {}
            Observation::LedgerFailed { lost, .. } => {
                counter!("snapfold_ledger_failures_total").increment(1);
                counter!("snapfold_ledger_lost_records_total").increment(*lost as u64);
            }
        }
    }
}

fn spot_checked(kind: &str, outcome: &'static str) {
    counter!("snapfold_spot_checks_total", "kind" => own(kind), "outcome" => outcome).increment(1);
}

/// Returns the label `kind` for a request that failed. Callers may pass keys of arbitrary kinds,
/// which are refused as invalid.
fn bounded(kind: &str, error: &str) -> String {
    if error == format!("{:?}", ErrorKind::InvalidInput) { String::new() } else { own(kind) }
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is approximate")]
fn working(kind: &str, workload: &Workload) {
    for (gauge, value) in [
        (gauge!("snapfold_replays_running", "kind" => own(kind)), workload.replays_running as f64),
        (gauge!("snapfold_replays_waiting", "kind" => own(kind)), workload.replays_waiting as f64),
        (gauge!("snapfold_saves_queued", "kind" => own(kind)), workload.saves_queued as f64),
        (gauge!("snapfold_saves_running", "kind" => own(kind)), workload.saves_running as f64),
        (
            gauge!("snapfold_save_bytes_in_flight", "kind" => own(kind)),
            workload.bytes_in_flight as f64,
        ),
    ] {
        gauge.set(value);
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
    if provenance.origin == Origin::Replay {
        let reason = provenance.rejected.last().map_or("absent", |rejected| rejected.reason.name());
        counter!("snapfold_misses_total", "kind" => own(kind), "reason" => reason).increment(1);
    }
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
