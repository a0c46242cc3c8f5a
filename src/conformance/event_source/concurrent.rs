//! Concurrent tasks and cancelled calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::context::{ALL, SourceContext};
use super::judge::judge;
use super::under_test::Question;
use crate::conformance::case::cases;
use crate::conformance::cut_off::poll_times;
use crate::conformance::failure::{Failure, Stop, ensure};
use crate::events::EventRange;
use crate::store::KeysRequest;

cases! { sources Concurrent:
    "a read during appends pushes all events committed before it",
        ["E-01", "E-03"], beside_appends;
    "concurrent reads do not mix their events", ["E-10"], side_by_side;
    "cancelled calls leave the source usable", ["E-10"], cut_off;
}

const APPENDS: u64 = 60;
const READERS: usize = 4;
/// The maximum number of polls before a call is dropped.
const POLLS: usize = 24;

async fn beside_appends(cx: &mut SourceContext) -> Result<(), Stop> {
    let key = cx.key(1)?;
    let mut batches = Vec::new();
    for n in 0..APPENDS {
        let events = cx.events(&key, 1 + n % 3);
        cx.histories.entry(key.clone()).or_default().events.extend(events.clone());
        batches.push(events);
    }
    let committed = Arc::new(AtomicU64::new(0));
    let writer = {
        let (subject, key, committed) =
            (Arc::clone(&cx.subject), key.clone(), Arc::clone(&committed));
        async move {
            for events in batches {
                let last = events.last().map_or(0, |event| event.version);
                subject.append(&key, &events).await?;
                committed.store(last, Ordering::SeqCst);
                tokio::task::yield_now().await;
            }
            Ok::<_, Stop>(())
        }
    };
    let mut writers = tokio::task::JoinSet::new();
    writers.spawn(writer);
    loop {
        let written = writers.try_join_next();
        let before = committed.load(Ordering::SeqCst);
        let ask = Question { key: key.clone(), range: ALL, stop_after: usize::MAX };
        let pushed = cx.pushed(&ask).await?;
        let came = u64::try_from(pushed.seen.len()).unwrap_or(u64::MAX);
        let what = "read events while others are appended";
        // Any prefix is valid.
        let history = cx.history(&key);
        let expected = history.within(EventRange::new(0, came));
        if let Some(wrong) = judge(&cx.rightful(&key), ALL, &expected, &pushed.seen) {
            return Err(wrong.failure(what).into());
        }
        ensure(came >= before, || {
            let expected = format!("at least the {before} events committed before the read");
            Failure::new("E-03", what).expected(expected).got(format!("{came} events"))
        })?;
        if let Some(written) = written {
            written.map_err(|join| Failure::setup("append events", &join))??;
            break;
        }
        tokio::task::yield_now().await;
    }
    cx.reads(&key, ALL).await
}

async fn side_by_side(cx: &mut SourceContext) -> Result<(), Stop> {
    for n in 1..=6 {
        let key = cx.key(n)?;
        cx.append(&key, n * 9).await?;
        cx.reads(&key, EventRange::new(n % 4, u64::MAX)).await?;
    }
    let mut tasks = tokio::task::JoinSet::new();
    for reader in 0..READERS {
        let subject = Arc::clone(&cx.subject);
        let asks: Vec<_> = (0..40)
            .map(|n| {
                let n = (n * 5 + u64::try_from(reader).unwrap_or(0)) % 6 + 1;
                let range = EventRange::new(n % 4, u64::MAX);
                Ok::<_, Stop>(Question { key: cx.key(n)?, range, stop_after: usize::MAX })
            })
            .collect::<Result<_, _>>()?;
        tasks.spawn(async move {
            let mut all = Vec::new();
            for ask in asks {
                let answer = subject.read(&ask).await;
                all.push((ask, answer));
            }
            all
        });
    }
    while let Some(done) = cx.bounded("read events concurrently", tasks.join_next()).await? {
        let done = done.map_err(|join| crate::conformance::isolate::panicked("E-11", join))?;
        for (ask, (pushed, result)) in done {
            let what = "read events in concurrent calls";
            ensure(result.is_ok(), || {
                Failure::new("E-10", what).expected("no error").got(format!("{result:?}"))
            })?;
            cx.is_right(what, &ask.key, ask.range, &pushed).map_err(|stop| match stop {
                Stop::Failed(failure) => Stop::Failed(Failure { broken: vec!["E-10"], ..failure }),
                stop @ Stop::Skipped(_) => stop,
            })?;
        }
    }
    Ok(())
}

async fn cut_off(cx: &mut SourceContext) -> Result<(), Stop> {
    let (key, other) = (cx.key(1)?, cx.key(2)?);
    cx.append(&key, 130).await?;
    cx.append(&other, 5).await?;
    cx.reads(&key, ALL).await?;
    cx.reads(&other, ALL).await?;
    let ask = |key| Question { key, range: ALL, stop_after: usize::MAX };
    let (one, two) = (ask(key.clone()), ask(other.clone()));
    let both = [one.clone(), two];
    for polls in 1..=POLLS {
        poll_times(cx.subject.read(&one), polls).await;
        poll_times(cx.subject.read_many(&both), polls).await;
        poll_times(cx.subject.head(&key), polls).await;
        poll_times(cx.subject.floor(&key), polls).await;
        poll_times(cx.subject.keys(KeysRequest::new().limit(1)), polls).await;
        poll_times(cx.subject.times(&key, ALL, 50), polls).await;
        for key in [&key, &other] {
            cx.reads(key, ALL).await.map_err(|stop| match stop {
                Stop::Failed(failure) => {
                    let message = format!("{} after other calls were cancelled", failure.message);
                    Stop::Failed(Failure { broken: vec!["E-10"], message, ..failure })
                }
                stop @ Stop::Skipped(_) => stop,
            })?;
        }
    }
    Ok(())
}
