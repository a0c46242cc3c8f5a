//! [`EngineHealth`]: the condition of an engine, for operators.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::Duration;

use super::statistics::LastError;
use super::workload::Workload;

/// The condition of an engine and its clones.
///
/// Contains numbers, times and messages of this crate, which may contain keys. Messages of foreign
/// causes, which could contain credentials, are left out. `Display` formats it as one line, for
/// logs.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct EngineHealth {
    /// The kind of aggregate.
    pub kind: &'static str,
    /// What the engine is doing, and what is waiting.
    pub workload: Workload,
    /// How long the oldest unfinished background snapshot has been queued and in progress. `None`
    /// if all are finished.
    pub queue_age: Option<Duration>,
    /// What is at or above its threshold now, in the order of [`HealthSignal`].
    pub raised: Vec<HealthSignal>,
    /// The last failure of each sort, newest first.
    pub last_errors: Vec<LastError>,
}

/// A number that the engine compares with a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum HealthSignal {
    /// The number of background snapshots that are queued or in progress.
    SavesQueued,
    /// The age of the oldest of them, in milliseconds.
    QueueAge,
    /// The number of loads that wait for a full replay.
    ReplaysWaiting,
    /// 1 while the store counts as down, else 0: see
    /// [`OnStoreFailure::Replay`](crate::engine::OnStoreFailure::Replay).
    StoreDown,
}

/// From when on a number is reported as [`Observation::HealthChanged`](crate::engine::Observation::HealthChanged). All bounds are inclusive; 0
/// is treated as 1.
///
/// | threshold | default |
/// |---|---|
/// | [`saves_queued`](Self::saves_queued) | 768 |
/// | [`queue_age`](Self::queue_age) | 60 seconds |
/// | [`replays_waiting`](Self::replays_waiting) | 100 |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthThresholds {
    saves_queued: usize,
    queue_age: Duration,
    replays_waiting: usize,
}

impl HealthSignal {
    /// Returns the name in logs and metrics: `saves_queued`, `queue_age`, `replays_waiting` or
    /// `store_down`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SavesQueued => "saves_queued",
            Self::QueueAge => "queue_age",
            Self::ReplaysWaiting => "replays_waiting",
            Self::StoreDown => "store_down",
        }
    }
}

impl HealthThresholds {
    /// Creates the default thresholds.
    pub const fn new() -> Self {
        Self { saves_queued: 768, queue_age: Duration::from_secs(60), replays_waiting: 100 }
    }

    /// Sets the number of background snapshots that are queued or in progress.
    pub const fn saves_queued(mut self, aggregates: usize) -> Self {
        self.saves_queued = aggregates;
        self
    }

    /// Sets the age of the oldest unfinished background snapshot, in whole milliseconds.
    pub const fn queue_age(mut self, age: Duration) -> Self {
        self.queue_age = age;
        self
    }

    /// Sets the number of loads that wait for a full replay.
    pub const fn replays_waiting(mut self, loads: usize) -> Self {
        self.replays_waiting = loads;
        self
    }
}

impl Default for HealthThresholds {
    fn default() -> Self {
        Self::new()
    }
}

/// The thresholds of an engine, and which of them are exceeded according to the last report.
pub(super) struct HealthWatch {
    thresholds: HealthThresholds,
    pub(super) raised: [AtomicBool; 3],
    /// The changes of the workload that are not reported yet.
    pub(super) changes: AtomicUsize,
}

impl HealthWatch {
    pub(super) const fn new(thresholds: HealthThresholds) -> Self {
        let raised = [const { AtomicBool::new(false) }; 3];
        Self { thresholds, raised, changes: AtomicUsize::new(0) }
    }

    /// Returns each signal with its value and its threshold.
    pub(super) fn signals(
        &self,
        workload: &Workload,
        age: Option<Duration>,
    ) -> [(HealthSignal, u64, u64); 3] {
        let HealthThresholds { saves_queued, queue_age, replays_waiting } = self.thresholds;
        let millis = |age: Duration| u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        let queued = workload.saves_queued.saturating_add(workload.saves_running) as u64;
        let waiting = workload.replays_waiting as u64;
        [
            (HealthSignal::SavesQueued, queued, saves_queued as u64),
            (HealthSignal::QueueAge, age.map_or(0, millis), millis(queue_age)),
            (HealthSignal::ReplaysWaiting, waiting, replays_waiting as u64),
        ]
        .map(|(signal, value, threshold)| (signal, value, threshold.max(1)))
    }
}

impl fmt::Display for EngineHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let condition = if self.raised.is_empty() { "ok" } else { "attention" };
        write!(f, "{} engine: {condition}", self.kind)?;
        for signal in &self.raised {
            write!(f, ", {}", signal.name())?;
        }
        write!(f, "; {}", self.workload)?;
        if let Some(age) = self.queue_age {
            write!(f, "; oldest save {age:.1?}")?;
        }
        if let Some(last) = self.last_errors.first() {
            write!(f, "; last error {last}")?;
        }
        Ok(())
    }
}
