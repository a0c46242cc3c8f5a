//! [`BatchWatcher`]: follows each aggregate of a batch.

use super::counts::RunCounts;

/// Follows a batch more closely than its progress callback.
pub(super) trait BatchWatcher: Send + Sync {
    /// A batch starts, for this many aggregates.
    fn started(&self, total: usize);

    /// One more aggregate is done.
    fn counted(&self, counts: &RunCounts);

    /// The batch ended.
    fn ended(&self, counts: &RunCounts, is_complete: bool);
}
