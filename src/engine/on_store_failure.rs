//! [`OnStoreFailure`]: what a load does when the store fails.

/// What a load does when the snapshot store fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnStoreFailure {
    /// The load fails with the store's error. This is the default, so that an outage of the store
    /// does not silently cause many full replays.
    #[default]
    Fail,
    /// The load replays all events. Its provenance contains the failure.
    ///
    /// Concurrent replays are limited by [`SharedLimits`](crate::engine::SharedLimits). After three
    /// failures in a row, the store counts as down: one load per second asks it (fewer while such
    /// loads do not return), and the others replay at once, so that they do not all wait for the
    /// store. An answer ends that. If the first events are gone, a load always asks the store.
    Replay,
}
