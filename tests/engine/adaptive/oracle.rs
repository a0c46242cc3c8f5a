//! What a workload costs with a fixed interval, by its prices alone: written without a look at the
//! engine or at the trigger.

use super::machine::{Document, Prices};
use super::mixes::{Mix, Step, sizes};

/// One aggregate.
#[derive(Clone, Copy, Default)]
struct Stream {
    version: u64,
    bytes: u64,
    /// Version and size.
    snapshot: Option<(u64, u64)>,
}

impl Stream {
    fn tail(&self) -> u64 {
        self.version - self.snapshot.map_or(0, |(version, _)| version)
    }

    fn load(&self, prices: &Prices) -> u64 {
        let restore = match self.snapshot {
            Some((_, bytes)) => prices.get.of(bytes) + prices.decode.of(bytes),
            None => prices.get.of(0),
        };
        restore + self.tail() * prices.event
    }
}

/// The work of a mix with a snapshot every `interval` events, in nanoseconds.
pub fn work(mix: &Mix, steps: &[Step], interval: u64) -> u64 {
    let new = |bytes| Stream { bytes: bytes + Document::OVERHEAD, ..Stream::default() };
    let mut streams: Vec<_> = sizes(mix).into_iter().map(new).collect();
    let mut work = 0;
    for step in steps {
        let (prices, stream) = (&mix.phases[step.phase].prices, &mut streams[step.aggregate]);
        work += (step.reads + 1) * stream.load(prices);
        stream.version += step.batch;
        stream.bytes += step.batch * step.growth;
        if stream.tail() >= interval {
            // A capture loads, encodes, decodes as a proof, and puts.
            work += stream.load(prices) + prices.encode.of(stream.bytes);
            work += prices.decode.of(stream.bytes) + prices.put.of(stream.bytes);
            stream.snapshot = Some((stream.version, stream.bytes));
        }
    }
    work
}

/// The best fixed interval in hindsight, and its work: the best of a fine grid, and of its
/// neighbours.
pub fn best(mix: &Mix, steps: &[Step]) -> (u64, u64) {
    let grid = std::iter::successors(Some(1_u64), |k| Some((k * 23 / 20).max(k + 1)));
    let grid = grid.take_while(|k| *k < 50_000).chain([u64::MAX]);
    let at = |k| (work(mix, steps, k), k);
    let (_, coarse) = grid.map(at).min().unwrap();
    let near = (coarse.saturating_sub(coarse / 8)..=coarse.saturating_add(coarse / 8).min(60_000))
        .step_by(usize::try_from(coarse / 64 + 1).unwrap_or(usize::MAX));
    let (work, best) = near.map(at).chain([at(coarse)]).min().unwrap();
    (best, work)
}

/// The interval of Young and Daly for a phase with one group, in floating point: `sqrt(2 C / (r l))`.
pub fn young(mix: &Mix, phase: usize) -> f64 {
    let phase = &mix.phases[phase];
    let (prices, group) = (&phase.prices, &phase.groups[0]);
    let bytes = group.bytes + Document::OVERHEAD;
    let cost = prices.get.of(bytes)
        + 2 * prices.decode.of(bytes)
        + prices.encode.of(bytes)
        + prices.put.of(bytes);
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let [cost, event, reads, batch] =
        [cost, prices.event, group.reads, group.batch].map(|n| n as f64);
    let loads_per_event = (1.0 + reads / 1_000.0) / batch;
    (2.0 * cost / (event * loads_per_event)).sqrt()
}
