//! [`OnStoreFailure`]: what a load does when the store fails.

/// What a load does when the snapshot store fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnStoreFailure {
    /// The load fails with the store's error. The default, so that a store outage does not silently
    /// cause a storm of full replays.
    #[default]
    Fail,
    /// The load replays all events; its provenance contains the failure.
    Replay,
}
