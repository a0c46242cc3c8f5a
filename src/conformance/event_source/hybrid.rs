//! Hybrid sources return a snapshot and its tail in one call.

use std::sync::Arc;

use super::context::{SourceContext, SourceHistory};
use super::judge::judge;
use super::under_test::Reply;
use crate::codec::CodecId;
use crate::conformance::case::{cases, needs};
use crate::conformance::cut_off::poll_times;
use crate::conformance::failure::{Failure, Stop, ensure, shown};
use crate::conformance::samples::{NEW, OLD, record_of};
use crate::events::{EventRange, Hybrid};
use crate::generation::Generation;
use crate::key::AggregateKey;
use crate::mark::{Mark, MarkChange};
use crate::record::{Base, Record, RecordBuilder};
use crate::snapshot_id::SnapshotId;
use crate::store::{Lookup, PutOptions, Query, Selection, SnapshotStore};
use crate::timestamp::Timestamp;

cases! { sources Hybrid:
    "a fetch finds the same snapshot as the store", ["H-01"], lookups;
    "a fetch skips retired snapshots as the store does", ["H-01", "H-07"], retired;
    "a fetch of a delta returns the same bases as the store", ["H-01", "H-07"], deltas;
    "a tail begins at the snapshot, or at the first event", ["H-02"], tails;
    "a tail does not exceed the bound of the query", ["H-02"], bounded_tails;
    "a tail for a past time contains all events that the load needs", ["H-04"], past_tails;
    "a tail contains every event up to its end", ["H-04"], whole_tails;
    "a snapshot ahead of the events is returned as it is", ["H-01", "H-02"], ahead;
    "a fetch keeps aggregates apart", ["H-01", "H-02"], apart;
    "the length of a tail is limited", ["H-03"], long_tails;
    "a fetch fails while the event store fails", ["H-05"], failing;
    "a cancelled fetch leaves the source usable", ["H-06"], cut_off;
    "a fetch of many queries gives the same answers as single fetches", ["H-07"], many;
}

const POLLS: usize = 24;

impl SourceHistory {
    /// Returns the as-of time at `version`.
    fn as_of(&self, version: u64) -> Timestamp {
        let times = self.events.iter().filter(|event| event.version <= version);
        times.filter_map(|event| event.recorded_at).max().unwrap_or(Timestamp::MIN)
    }
}

impl SourceContext {
    fn store(&self) -> Result<Arc<dyn SnapshotStore>, Stop> {
        self.subject.store().ok_or(Stop::Skipped("EventSite::hybrid"))
    }

    async fn snapshot(
        &self,
        key: &AggregateKey,
        generation: Generation,
        version: u64,
    ) -> Result<(), Stop> {
        let as_of = self.history(key).as_of(version);
        let record = record_of(key, generation, version, as_of, key.to_string().as_bytes())?;
        self.put(record).await
    }

    async fn put(&self, record: Record) -> Result<(), Stop> {
        let put = self.store()?.put(vec![record], PutOptions::default()).await;
        put.map(drop).map_err(|error| Failure::setup("put a snapshot", &error).into())
    }

    async fn fetched(&self, query: Query<'_>) -> Result<Reply, Stop> {
        let what = format!("fetch {query:?}");
        let answer = self.bounded(&what, self.subject.fetch(query)).await?;
        answer.map_err(|error| {
            Failure::new("H-01", what).expected("no error").got(shown(&error)).into()
        })
    }

    /// Fetches, and checks the lookup and the tail.
    async fn fetches(&self, query: Query<'_>) -> Result<(), Stop> {
        let answer = self.fetched(query).await?;
        self.answer_is_right(query, answer).await
    }

    /// Fetches all `queries` in one call, and checks each answer.
    async fn fetches_together(&self, queries: &[Query<'_>]) -> Result<(), Stop> {
        let what = format!("run {} queries in one call", queries.len());
        let answers = self.bounded(&what, self.subject.fetch_many(queries)).await?;
        let answers = answers
            .map_err(|error| Failure::new("H-07", &what).expected("no error").got(shown(&error)))?;
        ensure(answers.len() == queries.len(), || {
            let expected = format!("{} answers", queries.len());
            Failure::new("H-07", &what).expected(expected).got(answers.len().to_string())
        })?;
        for (query, answer) in queries.iter().zip(answers) {
            self.answer_is_right(*query, answer).await.map_err(|stop| match stop {
                Stop::Failed(failure) => Stop::Failed(Failure { broken: vec!["H-07"], ..failure }),
                stop @ Stop::Skipped(_) => stop,
            })?;
        }
        Ok(())
    }

    async fn answer_is_right(&self, query: Query<'_>, answer: Reply) -> Result<(), Stop> {
        let what = format!("fetch {query:?}");
        let expected = self.store()?.get(query).await;
        let expected = expected.map_err(|error| Failure::setup("get a snapshot", &error))?;
        ensure(answer.lookup == expected, || {
            Failure::new("H-01", &what).expected(shown(&expected)).got(shown(&answer.lookup))
        })?;
        let Some((until, pushed, result)) = answer.tail else { return Ok(()) };
        ensure(result.is_ok(), || {
            Failure::new("H-05", &what)
                .expected("a tail that can be replayed")
                .got(format!("{result:?}"))
        })?;
        ensure(pushed.seen.len() <= Hybrid::<()>::MAX_TAIL, || {
            let expected = format!("a tail of at most {} events", Hybrid::<()>::MAX_TAIL);
            Failure::new("H-03", &what).expected(expected).got(pushed.seen.len().to_string())
        })?;
        let start = match &answer.lookup {
            Lookup::Found(found) => found.version.max(1),
            Lookup::Absent | Lookup::OtherGeneration => 1,
        };
        let history = self.history(query.key);
        // The event that ends a load at a past time. All events before it are needed.
        let later = query.as_of.and_then(|time| {
            let events = history.within(EventRange::new(start - 1, query.at_most));
            events.into_iter().find(|event| event.recorded_at.is_some_and(|at| at > time))
        });
        let needed = later.map_or(u64::MAX, |event| event.version - 1).min(until);
        let last = pushed.seen.last().map_or(0, |event| event.version);
        // Beyond the needed events, a tail may end anywhere.
        let range = EventRange::new(start - 1, query.at_most);
        let upto = EventRange::new(start - 1, query.at_most.min(needed.max(last)));
        let expected = history.within(upto);
        match judge(&self.rightful(query.key), range, &expected, &pushed.seen) {
            None => Ok(()),
            // Events missing at the beginning mean a wrong start. Events missing at the end mean a
            // wrong `until`.
            Some(wrong) => {
                let first = pushed.seen.first().map_or(start, |event| event.version);
                let id = if wrong.id == "E-03" && first == start { "H-04" } else { "H-02" };
                let id = if wrong.id == "E-05" { "H-04" } else { id };
                Err(wrong.of(id).failure(&format!("{what}: read the tail until {until}")).into())
            }
        }
    }
}

async fn lookups(cx: &mut SourceContext) -> Result<(), Stop> {
    cx.store()?;
    let key = cx.key(1)?;
    cx.fetches(Query::latest(&key, NEW)).await?;
    cx.append(&key, 20).await?;
    cx.fetches(Query::latest(&key, NEW)).await?;
    cx.snapshot(&key, OLD, 12).await?;
    cx.fetches(Query::latest(&key, NEW)).await?;
    for version in [3, 7, 15] {
        cx.snapshot(&key, NEW, version).await?;
        cx.fetches(Query::latest(&key, NEW)).await?;
    }
    for at_most in [0, 1, 2, 3, 4, 7, 8, 14, 15, 16, 20, 99] {
        for generation in [NEW, OLD] {
            cx.fetches(Query::latest(&key, generation).at_most(at_most)).await?;
        }
    }
    Ok(())
}

async fn retired(cx: &mut SourceContext) -> Result<(), Stop> {
    let store = cx.store()?;
    needs(store.capabilities().marks, "Capabilities::marks")?;
    let keys = (1..=3).map(|n| cx.key(n)).collect::<Result<Vec<_>, _>>()?;
    for key in &keys {
        cx.append(key, 12).await?;
    }
    let [both, alone, other] = &*keys else { return Ok(()) };
    let stored = [(both, NEW, 4), (both, NEW, 8), (alone, NEW, 6), (other, OLD, 6)];
    for (key, generation, version) in stored {
        cx.snapshot(key, generation, version).await?;
    }
    for (key, generation, version) in stored {
        let mark = Mark::retirement("wrong fold", Timestamp::from_seconds(1));
        let ids = [SnapshotId { generation, version }];
        let marked = store.mark(key, Selection::Ids(&ids), MarkChange::Set(&mark)).await;
        marked.map_err(|error| Failure::setup("retire a snapshot", &error))?;
        let latest = keys.iter().map(|key| Query::latest(key, NEW));
        let mut queries: Vec<_> = latest.clone().collect();
        queries.extend(latest.clone().map(|query| query.at_most(7)));
        queries.extend(latest.clone().map(|query| query.at_least(5)));
        queries.extend(latest.clone().map(|query| query.as_of(Timestamp::MAX)));
        queries.extend(latest.map(|query| query.include_retired(true)));
        queries.push(Query::exact(key, SnapshotId { generation, version }));
        for query in &queries {
            cx.fetches(*query).await?;
        }
        cx.fetches_together(&queries).await?;
    }
    Ok(())
}

async fn deltas(cx: &mut SourceContext) -> Result<(), Stop> {
    cx.store()?;
    let key = cx.key(1)?;
    cx.append(&key, 12).await?;
    let (generation, at) = (NEW, Timestamp::from_seconds(1));
    for (version, base) in [(3, None), (5, Some(3)), (8, Some(5)), (9, Some(2))] {
        let mut builder = RecordBuilder::new(key.clone(), generation, version, at);
        if let Some(version) = base {
            builder = builder.base(Base { version, checksum: 1 });
        }
        let record = builder.codec(CodecId::custom(1)).build(b"state");
        cx.put(record.map_err(|error| Failure::setup("make a test record", &error))?).await?;
        let query = Query::latest(&key, generation);
        let queries = [query, query.at_most(5), query];
        for query in queries {
            cx.fetches(query).await?;
        }
        cx.fetches_together(&queries).await?;
    }
    Ok(())
}

async fn tails(cx: &mut SourceContext) -> Result<(), Stop> {
    cx.store()?;
    let key = cx.key(1)?;
    cx.append(&key, 12).await?;
    cx.fetches(Query::latest(&key, NEW)).await?;
    for version in [1, 2, 11, 12] {
        cx.snapshot(&key, NEW, version).await?;
        cx.fetches(Query::latest(&key, NEW)).await?;
        cx.fetches(Query::latest(&key, OLD)).await?;
    }
    Ok(())
}

async fn bounded_tails(cx: &mut SourceContext) -> Result<(), Stop> {
    cx.store()?;
    let key = cx.key(1)?;
    cx.append(&key, 12).await?;
    cx.snapshot(&key, NEW, 4).await?;
    for at_most in 0..=14 {
        cx.fetches(Query::latest(&key, NEW).at_most(at_most)).await?;
    }
    Ok(())
}

async fn past_tails(cx: &mut SourceContext) -> Result<(), Stop> {
    cx.store()?;
    needs(cx.subject.keeps().times, "Kept::times")?;
    let key = cx.key(1)?;
    let mut events = cx.events(&key, 10);
    for (event, second) in events.iter_mut().zip([10, 20, 15, 30, 30, 25, 40, 50, 45, 60]) {
        event.recorded_at = Some(Timestamp::from_seconds(second));
    }
    cx.append_these(&key, events).await?;
    for version in [0, 2, 5] {
        if version > 0 {
            cx.snapshot(&key, NEW, version).await?;
        }
        for second in [0, 10, 14, 15, 20, 29, 30, 31, 45, 60, 99] {
            let query = Query::latest(&key, NEW).as_of(Timestamp::from_seconds(second));
            cx.fetches(query).await?;
            cx.fetches(query.at_most(6)).await?;
        }
    }
    Ok(())
}

async fn whole_tails(cx: &mut SourceContext) -> Result<(), Stop> {
    cx.store()?;
    let key = cx.key(1)?;
    for count in [49, 1, 1, 49, 1, 27, 1, 895, 1, 1] {
        cx.append(&key, count).await?;
        cx.fetches(Query::latest(&key, NEW)).await?;
    }
    let head = cx.history(&key).head();
    for version in [head - 1_000, head - 100, head - 50, head - 1] {
        cx.snapshot(&key, NEW, version).await?;
        cx.fetches(Query::latest(&key, NEW)).await?;
    }
    Ok(())
}

async fn ahead(cx: &mut SourceContext) -> Result<(), Stop> {
    cx.store()?;
    let key = cx.key(1)?;
    cx.snapshot(&key, NEW, 9).await?;
    cx.fetches(Query::latest(&key, NEW)).await?;
    cx.append(&key, 5).await?;
    cx.fetches(Query::latest(&key, NEW)).await?;
    cx.fetches(Query::latest(&key, NEW).at_most(8)).await?;
    cx.append(&key, 6).await?;
    cx.fetches(Query::latest(&key, NEW)).await
}

async fn apart(cx: &mut SourceContext) -> Result<(), Stop> {
    cx.store()?;
    for n in 1..=6 {
        let key = cx.key(n)?;
        cx.append(&key, 2 * n).await?;
        if n % 2 == 0 {
            cx.snapshot(&key, NEW, n).await?;
        }
    }
    for n in 1..=7 {
        cx.fetches(Query::latest(&cx.key(n)?, NEW)).await?;
    }
    Ok(())
}

async fn long_tails(cx: &mut SourceContext) -> Result<(), Stop> {
    cx.store()?;
    let key = cx.key(1)?;
    let most = u64::try_from(Hybrid::<()>::MAX_TAIL).unwrap_or(u64::MAX);
    for count in [most - 1, 1, 1, 500] {
        cx.append(&key, count).await?;
        cx.fetches(Query::latest(&key, NEW)).await?;
    }
    Ok(())
}

async fn failing(cx: &mut SourceContext) -> Result<(), Stop> {
    cx.store()?;
    let key = cx.key(1)?;
    cx.append(&key, 5).await?;
    cx.snapshot(&key, NEW, 3).await?;
    needs(cx.subject.fail(true).await?, "EventSite::fail")?;
    let answer = cx.bounded("fetch a snapshot", cx.subject.fetch(Query::latest(&key, NEW))).await?;
    let fine = match answer {
        Err(_) => true,
        // A snapshot alone, without information about events, is a valid answer.
        Ok(Reply { lookup: Lookup::Found(_), tail }) => {
            tail.is_none_or(|(_, _, result)| result.is_err())
        }
        Ok(_) => false,
    };
    ensure(fine, || {
        let failure = Failure::new("H-05", "fetch while the event store fails");
        failure.expected("an error, or a snapshot without a tail").got("another answer")
    })?;
    cx.subject.fail(false).await?;
    cx.fetches(Query::latest(&key, NEW)).await
}

async fn cut_off(cx: &mut SourceContext) -> Result<(), Stop> {
    cx.store()?;
    let key = cx.key(1)?;
    cx.append(&key, 40).await?;
    cx.snapshot(&key, NEW, 10).await?;
    let query = Query::latest(&key, NEW);
    cx.fetches(query).await?;
    for polls in 1..=POLLS {
        poll_times(cx.subject.fetch(query), polls).await;
        poll_times(cx.subject.fetch_many(&[query, query]), polls).await;
        cx.fetches(query).await.map_err(|stop| match stop {
            Stop::Failed(failure) => Stop::Failed(Failure { broken: vec!["H-06"], ..failure }),
            stop @ Stop::Skipped(_) => stop,
        })?;
    }
    Ok(())
}

async fn many(cx: &mut SourceContext) -> Result<(), Stop> {
    cx.store()?;
    let keys = (1..=8).map(|n| cx.key(n)).collect::<Result<Vec<_>, _>>()?;
    for (n, key) in (1..).zip(&keys).take(7) {
        cx.append(key, 3 * n).await?;
        if n % 2 == 0 {
            cx.snapshot(key, NEW, 2 * n).await?;
        }
        if n % 3 == 0 {
            cx.snapshot(key, OLD, n).await?;
        }
    }
    let mut queries: Vec<_> = keys.iter().map(|key| Query::latest(key, NEW)).collect();
    queries.extend(keys.iter().map(|key| Query::latest(key, OLD).at_most(7)));
    let times = [1_700_000_500, 1_700_003_000].map(Timestamp::from_seconds);
    queries.extend(keys.iter().zip(times).map(|(key, time)| Query::latest(key, NEW).as_of(time)));
    queries.extend(keys.first().map(|key| Query::latest(key, NEW)));
    for query in &queries {
        cx.fetches(*query).await?;
    }
    for queries in [&queries[..], &[]] {
        cx.fetches_together(queries).await?;
    }
    Ok(())
}
