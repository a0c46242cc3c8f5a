//! Checking the head that the event source reports against the events that it yields (R5).

use crate::error::{Error, ErrorKind, Retry};
use crate::events::{EventRange, EventSource, Replay};
use crate::key::AggregateKey;
use crate::snapshot_id::SnapshotId;
use crate::state::Aggregate;

/// From this many events on, reading the head costs little compared with reading the events.
const MANY: u64 = 1_000;
/// The smallest page size to suspect. Sources that forget to read further pages usually use a page
/// size that is a multiple of 50 or a power of two.
const SMALLEST_PAGE: u64 = 100;

/// Returns whether the source may have ended too early, so that the head should be checked. This is
/// the case if more events were wanted and it yielded none, as many as a page may have, or not the
/// requested version. Called after each read, so it must be cheap for a snapshot with a few events.
#[inline]
pub(super) fn ends_early<A: Aggregate>(asked: EventRange, replay: &Replay<'_, A>) -> bool {
    let is_bounded = asked.until < SnapshotId::MAX_VERSION;
    replay.is_waiting() && (is_bounded || looks_cut(replay.version().saturating_sub(asked.after)))
}

#[inline]
fn looks_cut(events: u64) -> bool {
    let is_page = events.is_multiple_of(50) || events.is_power_of_two();
    events == 0 || events >= MANY || (events >= SMALLEST_PAGE && is_page)
}

/// Reads further if the source reports a head above the last event that it yielded.
///
/// # Errors
/// [`ErrorKind::BrokenHistory`] if the source does not yield these events on the second read
/// either, and they were neither truncated nor rewound in the meantime.
pub(super) async fn read_up_to_head<A: Aggregate>(
    source: &dyn EventSource<A>,
    key: &AggregateKey,
    replay: &mut Replay<'_, A>,
) -> Result<(), Error> {
    let until = replay.range().until;
    // Read before the events are read again, so that all events up to the head were committed by
    // then.
    let Some(head) = head(source, key).await? else { return Ok(()) };
    if head.min(until) <= replay.version() {
        return Ok(());
    }
    let oldest = floor(source, key).await?;
    if head.min(until) <= oldest {
        return Ok(());
    }
    let read = source.read(key, replay.range(), replay).await;
    read.map_err(|source| Error::event_source("read events", source))?;
    if !replay.is_waiting() || head.min(until) <= replay.version() {
        return Ok(());
    }
    let oldest = floor(source, key).await?;
    let head = self::head(source, key).await?.unwrap_or(head).min(head);
    if head.min(until) <= replay.version().max(oldest) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::BrokenHistory,
        "fold events",
        format!(
            "the event source yields no event of {key} after version {}, but reports that the \
             newest is {head}: check the bounds of its query (`after` is exclusive, `until` is \
             inclusive), that it reads all pages, and that it does not read events from a replica \
             that lags behind",
            replay.version(),
        ),
    )
    .with_retry(Retry::Later))
}

pub(super) async fn floor<A: Aggregate>(
    source: &dyn EventSource<A>,
    key: &AggregateKey,
) -> Result<u64, Error> {
    source.floor(key).await.map_err(|e| Error::event_source("get the replay floor", e))
}

pub(super) async fn head<A: Aggregate>(
    source: &dyn EventSource<A>,
    key: &AggregateKey,
) -> Result<Option<u64>, Error> {
    source.head(key).await.map_err(|e| Error::event_source("get the head", e))
}

#[cfg(test)]
mod tests {
    use super::looks_cut;

    #[test]
    fn what_looks_like_the_end_of_a_page_or_is_much_is_checked() {
        for events in [0, 100, 128, 150, 200, 250, 256, 500, 512, 999 + 1, 1_001, 54_321] {
            assert!(looks_cut(events), "{events}");
        }
        for events in (1..100).chain([101, 127, 129, 199, 255, 999]) {
            assert!(!looks_cut(events), "{events}");
        }
    }
}
