//! [`TransferOptions`]: how snapshots are put into a store.

use super::TransferFilter;

/// What happens to a snapshot that the target has with another state. Snapshots with the same
/// state are no conflict, whatever their encoding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnConflict {
    /// The target keeps its own.
    #[default]
    KeepExisting,
    /// The one that was created later stays, by the clocks of the engines that created them. The
    /// target keeps its own if both are of the same time, and if it is pinned.
    KeepNewest,
    /// The transfer ends with an error. What was stored before stays.
    Fail,
}

/// How snapshots are put into a store. For [`import`](super::import) and [`merge`](super::merge).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransferOptions {
    /// Which snapshots are moved. All by default.
    pub filter: TransferFilter,
    /// What happens to snapshots that both sides have with different states.
    pub on_conflict: OnConflict,
    /// Whether to report only what would happen. Nothing is stored. False by default.
    pub dry_run: bool,
    /// Whether an import may add to a store that already has snapshots. False by default. Merges
    /// always may.
    pub into_existing: bool,
}

impl TransferOptions {
    /// Moves everything, into an empty store. The target keeps its own where states differ.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets which snapshots are moved.
    pub fn filter(mut self, filter: TransferFilter) -> Self {
        self.filter = filter;
        self
    }

    /// Sets what happens to snapshots that both sides have with different states.
    pub fn on_conflict(mut self, on_conflict: OnConflict) -> Self {
        self.on_conflict = on_conflict;
        self
    }

    /// Sets whether to report only what would happen.
    pub fn dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }

    /// Sets whether an import may add to a store that already has snapshots. Needed to repeat an
    /// import that was interrupted.
    pub fn into_existing(mut self, allowed: bool) -> Self {
        self.into_existing = allowed;
        self
    }
}
