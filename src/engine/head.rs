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

/// Reads further if the source reports a head above the last event that it yielded. Ends the replay
/// if these events were truncated in the meantime.
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
    if head.min(until) <= replay.version() || ends_truncated(source, key, replay).await? {
        return Ok(());
    }
    let read = source.read(key, replay.range(), replay).await;
    read.map_err(|source| Error::event_source("read events", source))?;
    let is_read = head.min(until) <= replay.version();
    if !replay.is_open() || (is_read && replay.is_waiting()) {
        return Ok(());
    }
    if ends_truncated(source, key, replay).await? || !replay.is_waiting() {
        return Ok(());
    }
    let head = self::head(source, key).await?.unwrap_or(head).min(head);
    if head.min(until) <= replay.version() {
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

/// Ends a replay that is open if the next events were truncated. Returns whether they were.
pub(super) async fn ends_truncated<A: Aggregate>(
    source: &dyn EventSource<A>,
    key: &AggregateKey,
    replay: &mut Replay<'_, A>,
) -> Result<bool, Error> {
    let floor = floor(source, key).await?;
    let is_truncated = floor > replay.version();
    if is_truncated {
        replay.end_truncated(floor);
    }
    Ok(is_truncated)
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
