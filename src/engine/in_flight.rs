//! [`InFlight`]: how much a stream of loads or snapshots does at once.

use futures_util::future::BoxFuture;
use futures_util::stream::{self, Stream, StreamExt as _};

/// How many aggregates a stream works on at once, and the order of its results. For
/// [`load_stream`](crate::SnapshotEngine::load_stream) and
/// [`create_stream`](crate::SnapshotEngine::create_stream).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InFlight {
    /// The maximum number of aggregates that are taken from the input and whose result has not been
    /// yielded yet (inclusive). 0 is treated as 1.
    pub aggregates: usize,
    /// Whether results are yielded in the order of the input, which is the default. Otherwise they
    /// are yielded in the order in which their batches complete.
    pub ordered: bool,
}

/// The number of batches into which the aggregates in flight are split, so that one can be loaded
/// while another waits.
const BATCHES: usize = 4;

impl InFlight {
    /// At most this many aggregates at once, in the order of the input.
    pub const fn new(aggregates: usize) -> Self {
        Self { aggregates, ordered: true }
    }

    /// Yields results in the order in which their batches complete.
    pub const fn unordered(mut self) -> Self {
        self.ordered = false;
        self
    }

    /// Returns the size of a batch: a quarter of all, but at most `max` and at least 1.
    pub(super) fn batch(self, max: usize) -> usize {
        (self.aggregates / BATCHES).clamp(1, max)
    }

    /// Works on batches of up to `batch` aggregates, and yields their results.
    pub(super) fn run<T: Send + 'static>(
        self,
        batch: usize,
        batches: impl Stream<Item = BoxFuture<'static, Vec<T>>> + Send,
    ) -> impl Stream<Item = T> + Send {
        let parallel = (self.aggregates / batch).max(1);
        let done = if self.ordered {
            batches.buffered(parallel).left_stream()
        } else {
            batches.buffer_unordered(parallel).right_stream()
        };
        done.flat_map(stream::iter)
    }
}

/// 256 aggregates, in order.
impl Default for InFlight {
    fn default() -> Self {
        Self::new(256)
    }
}
