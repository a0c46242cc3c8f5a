//! [`OnStoreFailure`]: a policy of loads.

/// What a load does when the snapshot store fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnStoreFailure {
    /// The load fails with the store's error. The default: an outage of the store does not turn
    /// into a storm of full replays unnoticed.
    #[default]
    Fail,
    /// The load replays all events, and says so in its provenance.
    Replay,
}
