//! Reads push all events, in order, within bounds.

use super::context::{ALL, SourceContext};
use super::under_test::{Question, Seen};
use crate::conformance::case::{cases, needs};
use crate::conformance::failure::{Failure, Stop, ensure, shown};
use crate::events::EventRange;
use crate::snapshot_id::SnapshotId;
use crate::store::KeysRequest;

cases! { sources Reads:
    "a read of an aggregate without events pushes nothing", ["E-03"], absent;
    "events are pushed in order, each with its own version", ["E-01"], order;
    "every read pushes the same events", ["E-02"], stable;
    "events are pushed with their anchors", ["E-02"], anchors;
    "times are those of the event store, even if they run backwards", ["E-05", "E-06"], times;
    "an event without a time is pushed as untimed", ["E-06"], untimed;
    "`after` is exclusive and `until` is inclusive", ["E-08"], bounds;
    "the highest bound selects all events", ["E-03"], highest;
    "a read of a range without events pushes nothing", ["E-08"], empty_ranges;
    "histories that end at or near a page boundary are complete", ["E-03"], pages;
    "a read pushes all events that were appended before it", ["E-03"], appended;
    "a read ends when the replay returns `Break`", ["E-04"], early_stop;
    "calls fail while the event store fails", ["E-09"], failing;
}

async fn absent(cx: &mut SourceContext) -> Result<(), Stop> {
    let (nobody, somebody) = (cx.key(1)?, cx.key(2)?);
    cx.reads(&nobody, ALL).await?;
    cx.append(&somebody, 3).await?;
    cx.reads(&nobody, ALL).await?;
    cx.reads(&somebody, ALL).await
}

async fn order(cx: &mut SourceContext) -> Result<(), Stop> {
    let key = cx.key(1)?;
    // Events are appended one by one and in batches, because a transaction may reorder a batch.
    for count in [1, 1, 5, 1, 12] {
        cx.append(&key, count).await?;
        cx.reads(&key, ALL).await?;
    }
    Ok(())
}

async fn stable(cx: &mut SourceContext) -> Result<(), Stop> {
    let key = cx.key(1)?;
    cx.append(&key, 12).await?;
    let ask = |after| Question {
        key: key.clone(),
        range: EventRange::new(after, u64::MAX),
        stop_after: usize::MAX,
    };
    cx.reads(&key, ALL).await?;
    let first = cx.pushed(&ask(0)).await?.seen;
    for after in [0, 0, 5, 11] {
        let again = cx.pushed(&ask(after)).await?.seen;
        // Another case checks which events are returned.
        let twin = |event: &&Seen| first.iter().any(|own| own.version == event.version);
        let other = again.iter().filter(twin).find(|event| !first.contains(event));
        ensure(other.is_none(), || {
            Failure::new("E-02", format!("read the events after version {after} again"))
                .expected("each event with the same content, time and anchor")
                .got(shown(&other))
        })?;
    }
    Ok(())
}

async fn anchors(cx: &mut SourceContext) -> Result<(), Stop> {
    needs(cx.subject.keeps().anchors, "Kept::anchors")?;
    let key = cx.key(1)?;
    cx.append(&key, 5).await?;
    cx.reads(&key, ALL).await?;
    cx.reads(&key, EventRange::new(3, 4)).await
}

async fn times(cx: &mut SourceContext) -> Result<(), Stop> {
    needs(cx.subject.keeps().times, "Kept::times")?;
    let key = cx.key(1)?;
    let mut events = cx.events(&key, 9);
    // Equal times, times that run backwards, a time in the far past and a time before 1970.
    for (event, second) in events.iter_mut().zip([50, 50, 40, 60, 1, -5, 50, 49, 70]) {
        event.recorded_at = Some(crate::timestamp::Timestamp::from_seconds(second));
    }
    // Some stores, such as git, do not support times before 1970.
    if cx.subject.append(&key, &events).await.is_err() {
        return Err(Stop::Skipped("recorded times before 1970"));
    }
    cx.histories.entry(key.clone()).or_default().events = events;
    cx.reads(&key, ALL).await?;
    cx.reads(&key, EventRange::new(2, 8)).await
}

async fn untimed(cx: &mut SourceContext) -> Result<(), Stop> {
    needs(cx.subject.keeps().untimed, "Kept::untimed")?;
    let key = cx.key(1)?;
    let mut events = cx.events(&key, 6);
    for (event, is_timed) in events.iter_mut().zip([false, true, false, false, true, true]) {
        if !is_timed {
            event.recorded_at = None;
        }
    }
    cx.append_these(&key, events).await?;
    cx.reads(&key, ALL).await
}

async fn bounds(cx: &mut SourceContext) -> Result<(), Stop> {
    let key = cx.key(1)?;
    cx.append(&key, 10).await?;
    cx.reads(&key, ALL).await?;
    for after in [0, 1, 4, 9] {
        for until in [after + 1, after + 2, 9, 10, 11, SnapshotId::MAX_VERSION - 1] {
            let range = EventRange::new(after, until);
            let ask = Question { key: key.clone(), range, stop_after: usize::MAX };
            let pushed = cx.pushed(&ask).await?;
            let what = format!("read the events of {key} in {range:?}");
            cx.is_right(&what, &key, range, &pushed).map_err(|stop| match stop {
                // All events were read before, so the bound is at fault.
                Stop::Failed(failure) if failure.broken == ["E-03"] => {
                    Stop::Failed(Failure { broken: vec!["E-08"], ..failure })
                }
                stop => stop,
            })?;
        }
    }
    Ok(())
}

async fn highest(cx: &mut SourceContext) -> Result<(), Stop> {
    let key = cx.key(1)?;
    cx.append(&key, 7).await?;
    for after in 0..7 {
        cx.reads(&key, EventRange::new(after, SnapshotId::MAX_VERSION)).await?;
    }
    Ok(())
}

async fn empty_ranges(cx: &mut SourceContext) -> Result<(), Stop> {
    let key = cx.key(1)?;
    cx.append(&key, 4).await?;
    let highest = SnapshotId::MAX_VERSION;
    for (after, until) in [
        (0, 0),
        (2, 2),
        (4, 4),
        (3, 1),
        (4, 5),
        (4, highest),
        (5, highest),
        (1_000_000, highest),
        (highest - 1, highest),
        (highest, highest),
    ] {
        cx.reads(&key, EventRange::new(after, until)).await?;
    }
    Ok(())
}

async fn pages(cx: &mut SourceContext) -> Result<(), Stop> {
    let key = cx.key(1)?;
    let mut head = 0;
    for page in [50, 100, 128, 256, 500, 512, 1_000, 1_024, 2_048, 4_096] {
        for size in [page - 1, page, page + 1] {
            cx.append(&key, size - head).await?;
            head = size;
            cx.reads(&key, ALL).await?;
        }
    }
    // Ranges that start and end within the history.
    for after in [1, 50, 99, 100, 1_000] {
        for length in [50, 100, 1_000, 1_024, 4_096] {
            cx.reads(&key, EventRange::new(after, after + length)).await?;
        }
    }
    Ok(())
}

async fn appended(cx: &mut SourceContext) -> Result<(), Stop> {
    let key = cx.key(1)?;
    cx.reads(&key, ALL).await?;
    for _ in 0..20 {
        cx.append(&key, 1).await?;
        cx.reads(&key, ALL).await?;
    }
    Ok(())
}

async fn early_stop(cx: &mut SourceContext) -> Result<(), Stop> {
    let key = cx.key(1)?;
    cx.append(&key, 120).await?;
    for after in [0, 7] {
        for stop_after in [1, 2, 49, 50, 51, 100] {
            let range = EventRange::new(after, u64::MAX);
            let ask = Question { key: key.clone(), range, stop_after };
            let what = format!("read {range:?} into a replay that stops after {stop_after} events");
            let (pushed, result) = cx.bounded(&what, cx.subject.read(&ask)).await?;
            ensure(result.is_ok(), || {
                let got = format!("{result:?}");
                Failure::new("E-04", &what).expected("`Ok` after `Break`").got(got)
            })?;
            ensure(pushed.after_break == 0, || {
                Failure::new("E-04", &what)
                    .expected("no push after the one that returned `Break`")
                    .got(format!("{} pushes", pushed.after_break))
            })?;
            let until = after + u64::try_from(stop_after).unwrap_or(u64::MAX);
            cx.is_right(&what, &key, EventRange::new(after, until), &pushed)?;
        }
    }
    Ok(())
}

async fn failing(cx: &mut SourceContext) -> Result<(), Stop> {
    let key = cx.key(1)?;
    cx.append(&key, 5).await?;
    cx.reads(&key, ALL).await?;
    needs(cx.subject.fail(true).await?, "EventSite::fail")?;
    let must_fail = |what: &str, failed: bool| {
        ensure(failed, || {
            let failure = Failure::new("E-09", format!("{what} while the event store fails"));
            failure.expected("an error").got("`Ok`")
        })
    };
    for range in [ALL, EventRange::new(3, 4)] {
        let ask = Question { key: key.clone(), range, stop_after: usize::MAX };
        let (_, result) = cx.bounded("read events", cx.subject.read(&ask)).await?;
        must_fail("read events", result.is_err())?;
        let asks = [ask];
        let (_, result) =
            cx.bounded("read several aggregates", cx.subject.read_many(&asks)).await?;
        must_fail("read several aggregates", result.is_err())?;
    }
    // A source that does not return heads has no call that could fail.
    let head = cx.bounded("read the head", cx.subject.head(&key)).await?;
    must_fail("read the head", !matches!(head, Ok(Some(_))))?;
    let keys = cx.bounded("list keys", cx.subject.keys(KeysRequest::new())).await?;
    must_fail("list keys", keys.is_err())?;
    let times = cx.bounded("list event times", cx.subject.times(&key, ALL, 10)).await?;
    must_fail("list event times", times.is_err())?;
    cx.subject.fail(false).await?;
    cx.reads(&key, ALL).await
}
