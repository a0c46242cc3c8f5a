//! [`WhenFull`]: which background snapshot a full queue drops.

/// Which background snapshot is dropped when the queue is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WhenFull {
    /// The one that was to be queued. Its aggregate is asked about again at its next commit. The
    /// default.
    #[default]
    DropNewest,
    /// The one that has waited longest. Favours the aggregates that are active now.
    DropOldest,
}
