//! Heads, floors and truncated histories.

use super::context::{ALL, SourceContext};
use crate::conformance::case::{cases, needs};
use crate::conformance::failure::{Failure, Stop, ensure, shown};
use crate::events::EventRange;
use crate::key::AggregateKey;

cases! { sources Ends:
    "an aggregate without events has the head 0 and the floor 0", ["E-20", "E-22"], absent;
    "the head is the version of the newest event", ["E-20"], heads;
    "the floor is 0 until events are truncated", ["E-22"], floors;
    "each aggregate has its own head and floor", ["E-20", "E-22"], own;
    "after a truncation the floor is the last truncated version", ["E-21", "E-22"], truncated;
    "a read that begins below the floor pushes the events above it", ["E-21"], below_floor;
    "truncating one aggregate does not affect the others", ["E-21"], others;
    "the floors of many aggregates are those of single calls", ["E-23"], many;
}

impl SourceContext {
    /// Checks the head, if the source returns one. Returns whether it does.
    async fn head_is_right(&self, key: &AggregateKey) -> Result<bool, Stop> {
        let what = format!("read the head of {key}");
        let head = self.call("E-20", None, &what, self.subject.head(key)).await?;
        let expected = self.history(key).head();
        ensure(head.is_none_or(|head| head == expected), || {
            Failure::new("E-20", what).expected(expected.to_string()).got(shown(&head))
        })?;
        Ok(head.is_some())
    }

    async fn floor_is_right(&self, key: &AggregateKey) -> Result<(), Stop> {
        let what = format!("read the floor of {key}");
        let floor = self.call("E-21", None, &what, self.subject.floor(key)).await?;
        let expected = self.history(key).floor;
        ensure(floor == expected, || {
            let id = if floor < expected { "E-21" } else { "E-22" };
            Failure::new(id, what).expected(expected.to_string()).got(floor.to_string())
        })
    }
}

async fn absent(cx: &mut SourceContext) -> Result<(), Stop> {
    let (nobody, somebody) = (cx.key(1)?, cx.key(2)?);
    for _ in 0..2 {
        cx.head_is_right(&nobody).await?;
        cx.floor_is_right(&nobody).await?;
        cx.append(&somebody, 3).await?;
    }
    Ok(())
}

async fn heads(cx: &mut SourceContext) -> Result<(), Stop> {
    let key = cx.key(1)?;
    for count in [1, 1, 47, 1, 1, 49, 1, 900] {
        cx.append(&key, count).await?;
        let told = cx.head_is_right(&key).await?;
        needs(told, "EventSource::head")?;
        let head = cx.history(&key).head();
        cx.reads(&key, EventRange::new(head - 1, head)).await?;
    }
    Ok(())
}

async fn floors(cx: &mut SourceContext) -> Result<(), Stop> {
    let key = cx.key(1)?;
    for count in [1, 1, 100] {
        cx.append(&key, count).await?;
        cx.floor_is_right(&key).await?;
    }
    Ok(())
}

async fn own(cx: &mut SourceContext) -> Result<(), Stop> {
    for n in 1..=5 {
        let key = cx.key(n)?;
        cx.append(&key, n * n).await?;
    }
    for n in 1..=6 {
        let key = cx.key(n)?;
        cx.head_is_right(&key).await?;
        cx.floor_is_right(&key).await?;
    }
    Ok(())
}

async fn truncated(cx: &mut SourceContext) -> Result<(), Stop> {
    let key = cx.key(1)?;
    cx.append(&key, 30).await?;
    for floor in [1, 2, 10, 29] {
        cx.truncate(&key, floor).await?;
        cx.floor_is_right(&key).await?;
        cx.head_is_right(&key).await?;
        cx.append(&key, 1).await?;
        cx.floor_is_right(&key).await?;
    }
    Ok(())
}

async fn below_floor(cx: &mut SourceContext) -> Result<(), Stop> {
    let key = cx.key(1)?;
    cx.append(&key, 20).await?;
    // Faults that exist before the truncation are not caused by it.
    for (after, until) in [(0, u64::MAX), (7, 9), (20, 20)] {
        cx.reads(&key, EventRange::new(after, until)).await?;
    }
    cx.truncate(&key, 8).await?;
    for (after, until) in
        [(0, u64::MAX), (7, u64::MAX), (8, u64::MAX), (9, 12), (0, 8), (0, 9), (3, 5), (0, 20)]
    {
        cx.reads(&key, EventRange::new(after, until)).await.map_err(|stop| match stop {
            Stop::Failed(failure) if failure.broken == ["E-03"] || failure.broken == ["E-08"] => {
                Stop::Failed(Failure { broken: vec!["E-21"], ..failure })
            }
            stop => stop,
        })?;
    }
    Ok(())
}

async fn others(cx: &mut SourceContext) -> Result<(), Stop> {
    let (key, other) = (cx.key(1)?, cx.key(2)?);
    cx.append(&key, 9).await?;
    cx.append(&other, 9).await?;
    cx.truncate(&key, 5).await?;
    cx.floor_is_right(&other).await?;
    cx.reads(&other, ALL).await
}

async fn many(cx: &mut SourceContext) -> Result<(), Stop> {
    let mut keys = Vec::new();
    for n in 1..=6 {
        keys.push(cx.key(n)?);
    }
    // The first one has no events. Faults of single calls are not faults of this one.
    for (count, key) in (0..).zip(&keys) {
        if count > 0 {
            cx.append(key, 3 * count).await?;
        }
    }
    let mut is_truncated = false;
    loop {
        let twice = keys.iter().chain(keys.iter().take(3));
        for asked in [Vec::new(), keys.iter().take(1).collect(), twice.collect::<Vec<_>>()] {
            let mut expected = Vec::new();
            for key in &asked {
                let what = format!("read the floor of {key}");
                expected.push(cx.call("E-21", None, &what, cx.subject.floor(key)).await?);
            }
            let what = format!("read the floors of {} aggregates in one call", asked.len());
            let floors = cx.call("E-23", None, &what, cx.subject.floor_many(&asked)).await?;
            ensure(floors == expected, || {
                Failure::new("E-23", what).expected(shown(&expected)).got(shown(&floors))
            })?;
        }
        if std::mem::replace(&mut is_truncated, true) {
            return Ok(());
        }
        for (floor, key) in (1..).zip(keys.iter().skip(2).step_by(2)) {
            match cx.truncate(key, floor).await {
                Err(Stop::Skipped(_)) => return Ok(()),
                truncated => truncated?,
            }
        }
    }
}
