//! [`WhenFull`]: which background snapshot a full queue drops.

/// Which background snapshot is dropped when the queue is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WhenFull {
    /// Drops the new snapshot. The trigger is evaluated again at the next commit of its aggregate.
    /// The default.
    #[default]
    DropNewest,
    /// Drops the snapshot that has waited longest, which favours the currently active aggregates.
    DropOldest,
}
