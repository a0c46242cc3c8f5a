//! [`Capture`]: a state that was encoded for a snapshot.

use std::time::Duration;

use super::permits::HeldBytes;
use crate::record::Record;
use crate::state::Aggregate;

/// A record to be put.
pub(super) struct Capture<A: Aggregate> {
    pub(super) record: Record,
    /// The size of the encoded state.
    pub(super) bytes: u64,
    /// How long it took to load the state, without the replay, and to encode it. The replay does
    /// not count, because each event is replayed by one capture, whatever the interval is.
    pub(super) took: Duration,
    /// Released when the store has acknowledged the record.
    pub(super) held: Option<HeldBytes<A>>,
}
