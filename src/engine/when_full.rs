//! [`WhenFull`]: which background snapshot a full queue drops.

/// Which background snapshot is dropped when the queue is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WhenFull {
    /// The new one. The trigger is evaluated again at the next commit of its aggregate. The
    /// default.
    #[default]
    DropNewest,
    /// The one that has waited longest. This favours the aggregates that are active now.
    DropOldest,
}
