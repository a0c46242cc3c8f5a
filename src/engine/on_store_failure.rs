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
    Replay,
}
