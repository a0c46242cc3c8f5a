//! The snapshot that a query for a version or a time finds.

pub(super) mod list;

use crate::conformance::case::{Context, cases};
use crate::conformance::failure::{Failure, Stop, ensure, shown};
use crate::conformance::probe::{Probe, misread};
use crate::conformance::samples::{NEW, OLD, RESHAPED, at, id, key, record, record_of, records};
use crate::generation::Generation;
use crate::key::AggregateKey;
use crate::record::Record;
use crate::store::{Lookup, Query, Selection};
use crate::timestamp::Timestamp;

cases! { History:
    "the newest snapshot is found without a bound", ["C-20"], newest;
    "the newest snapshot at or below a version is found", ["C-20"], by_version;
    "nothing is found below the oldest version", ["C-20"], below_all;
    "the newest snapshot at or before a time is found", ["C-20"], by_time;
    "bounds on the version and the time apply together", ["C-20"], by_both;
    "the highest version is found even if clocks ran backwards", ["C-20"], clocks_backwards;
    "of snapshots with equal times, the highest version is found", ["C-20"], equal_times;
    "the minimum and the maximum time are ordinary times", ["C-20"], ends_of_time;
    "the lower bound on the version is inclusive", ["C-20"], by_lowest;
    "a query for an id finds exactly that snapshot", ["C-20"], exact;
    "several queries get the same answers as single queries, in order", ["C-25"], many;
    "snapshots of other generations are not found", ["C-20"], generations;
    "the next older snapshot is found after the newest is deleted", ["C-20"], after_delete;
    "queries over random histories match a model", ["C-20"], random;
    "a key with only other generations is not absent", ["C-21"], other_generation;
    "a snapshot outside the bounds does not make a key absent", ["C-21"], outside_bounds;
    "newer versions are still found after older ones are put", ["C-13"], backwards;
}

async fn fill(store: &Probe, versions: &[u64]) -> Result<AggregateKey, Stop> {
    let key = key("a")?;
    store.put_each(&records(&key, versions)?).await?;
    Ok(key)
}

async fn newest(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let key = fill(&store, &[10, 20, 30]).await?;
    store.finds(Query::latest(&key, NEW), &record(&key, 30)?).await
}

async fn by_version(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let key = fill(&store, &[10, 20, 30]).await?;
    for (at_most, found) in
        [(10, 10), (11, 10), (19, 10), (20, 20), (21, 20), (29, 20), (30, 30), (31, 30), (99, 30)]
    {
        store.finds(Query::latest(&key, NEW).at_most(at_most), &record(&key, found)?).await?;
    }
    Ok(())
}

async fn below_all(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let key = fill(&store, &[10, 20]).await?;
    for at_most in [9, 1, 0] {
        store.answers_nothing(Query::latest(&key, NEW).at_most(at_most), "C-20").await?;
    }
    Ok(())
}

async fn by_lowest(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let key = fill(&store, &[10, 20, 30]).await?;
    let query = Query::latest(&key, NEW);
    for (at_least, at_most, found) in [(0, 99, 30), (30, 99, 30), (20, 29, 20), (11, 20, 20)] {
        let query = query.at_least(at_least).at_most(at_most);
        store.finds(query, &record(&key, found)?).await?;
        store.finds(query.as_of(at(99)), &record(&key, found)?).await?;
    }
    for (at_least, at_most) in [(31, u64::MAX), (21, 29), (21, 20), (u64::MAX, u64::MAX)] {
        let query = query.at_least(at_least).at_most(at_most);
        store.answers_nothing(query, "C-20").await?;
        store.answers_nothing(query.as_of(at(99)), "C-20").await?;
    }
    Ok(())
}

async fn exact(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let key = fill(&store, &[10, 20]).await?;
    let other = record_of(&key, OLD, 10, at(10), b"other")?;
    store.put(std::slice::from_ref(&other)).await?;
    for version in [10, 20] {
        store.finds(Query::exact(&key, id(NEW, version)), &record(&key, version)?).await?;
    }
    store.finds(Query::exact(&key, id(OLD, 10)), &other).await?;
    for absent in [id(NEW, 15), id(NEW, 21), id(OLD, 20), id(NEW, 0), id(NEW, u64::MAX)] {
        store.answers_nothing(Query::exact(&key, absent), "C-20").await?;
    }
    Ok(())
}

async fn many(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let a = fill(&store, &[10, 20, 30]).await?;
    let (b, nobody) = (key("b")?, key("nobody")?);
    let other = record_of(&b, OLD, 5, at(5), b"other")?;
    store.put(std::slice::from_ref(&other)).await?;
    store.holds(&other).await?;
    let latest = Query::latest(&a, NEW);
    let mut queries = vec![
        latest.at_most(19),
        Query::latest(&nobody, NEW),
        latest,
        Query::latest(&b, NEW),
        latest.as_of(at(25)),
        Query::latest(&b, OLD),
        Query::exact(&a, id(NEW, 15)),
        latest,
        latest.at_most(9),
    ];
    for length in [queries.len(), 1, 0] {
        queries.truncate(length);
        are_answered(&store, &queries).await?;
    }
    // More queries than a store may combine into one request.
    let queries: Vec<_> = (0..700).map(|n| latest.at_most(n % 40)).collect();
    are_answered(&store, &queries).await
}

async fn are_answered(store: &Probe, queries: &[Query<'_>]) -> Result<(), Stop> {
    let answers = store.get_many(queries).await?;
    ensure(answers.len() == queries.len(), || {
        Failure::new("C-25", format!("run {} queries in one call", queries.len()))
            .expected("one answer per query")
            .got(shown(&answers.len()))
    })?;
    for (query, answer) in queries.iter().zip(&answers) {
        let alone = store.get(*query).await?;
        // `Absent` and `OtherGeneration` count as equal here. Other cases check the difference.
        let nothing = |lookup: &Lookup| !matches!(lookup, Lookup::Found(_));
        ensure(*answer == alone || (nothing(answer) && nothing(&alone)), || {
            Failure::new("C-25", format!("run {} queries in one call", queries.len()))
                .expected(shown(&alone))
                .got(shown(answer))
        })?;
    }
    Ok(())
}

async fn by_time(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let key = fill(&store, &[10, 20, 30]).await?;
    let query = |micros| Query::latest(&key, NEW).as_of(Timestamp::from_micros(micros));
    for (micros, found) in
        [(10_000_000, 10), (19_999_999, 10), (20_000_000, 20), (30_000_000, 30), (i64::MAX, 30)]
    {
        store.finds(query(micros), &record(&key, found)?).await?;
    }
    for micros in [9_999_999, 0, -1, i64::MIN] {
        store.answers_nothing(query(micros), "C-20").await?;
    }
    Ok(())
}

async fn by_both(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let key = fill(&store, &[10, 20, 30, 40]).await?;
    for (version, time, found) in [(35, 25, 20), (25, 35, 20), (30, 30, 30), (40, 10, 10)] {
        let query = Query::latest(&key, NEW).at_most(version).as_of(at(time));
        store.finds(query, &record(&key, found)?).await?;
    }
    for (version, time) in [(9, 99), (99, 9)] {
        let query = Query::latest(&key, NEW).at_most(version).as_of(at(time));
        store.answers_nothing(query, "C-20").await?;
    }
    Ok(())
}

/// Puts snapshots whose as-of times do not follow the order of their versions.
async fn timed(
    store: &Probe,
    key: &AggregateKey,
    times: &[(u64, Timestamp)],
) -> Result<Vec<Record>, Stop> {
    let mut records = Vec::new();
    for (version, time) in times {
        let payload = format!("version {version} as of {time}");
        records.push(record_of(key, NEW, *version, *time, payload.as_bytes())?);
    }
    store.put_each(&records).await?;
    Ok(records)
}

async fn clocks_backwards(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let key = key("a")?;
    let times = [(1, at(40)), (2, at(30)), (3, at(20)), (4, at(10))];
    let records = timed(&store, &key, &times).await?;
    let [first, second, _, last] = &*records else { return Ok(()) };
    let query = Query::latest(&key, NEW);
    store.finds(query, last).await?;
    store.finds(query.as_of(at(40)), last).await?;
    store.finds(query.as_of(at(10)), last).await?;
    store.finds(query.at_most(2).as_of(at(35)), second).await?;
    store.finds(query.at_most(1), first).await?;
    store.answers_nothing(query.at_most(1).as_of(at(39)), "C-20").await
}

async fn equal_times(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let key = key("a")?;
    let records = timed(&store, &key, &[(1, at(5)), (2, at(5)), (3, at(5)), (9, at(6))]).await?;
    let [_, second, third, _] = &*records else { return Ok(()) };
    store.finds(Query::latest(&key, NEW).as_of(at(5)), third).await?;
    store.finds(Query::latest(&key, NEW).as_of(at(5)).at_most(2), second).await
}

async fn ends_of_time(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let key = key("a")?;
    let before = Timestamp::from_micros(-1);
    let times = [(1, Timestamp::MIN), (2, before), (3, Timestamp::MAX)];
    let records = timed(&store, &key, &times).await?;
    for ((_, time), record) in times.iter().zip(&records) {
        store.finds(Query::latest(&key, NEW).as_of(*time), record).await?;
    }
    Ok(())
}

async fn generations(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let key = key("a")?;
    let mut newest = Vec::new();
    // These generations share the schema version or half of the fingerprint with NEW.
    let like = |fingerprint| Generation { fingerprint, ..NEW };
    let (upper, lower) = (like(NEW.fingerprint | 1 << 40), like(NEW.fingerprint + 1));
    let raised = Generation { schema_version: NEW.schema_version + 1, ..NEW };
    let generations = [OLD, NEW, RESHAPED, upper, lower, raised];
    for (first, generation) in (1..).zip(generations) {
        for version in [first, first + 10] {
            let payload = format!("{generation} at {version}");
            let record = record_of(&key, generation, version, at(version), payload.as_bytes())?;
            store.put(std::slice::from_ref(&record)).await?;
            newest.push((generation, version, record));
        }
    }
    for (generation, version, record) in &newest {
        let query = Query::latest(&key, *generation);
        store.finds(query.at_most(*version), record).await?;
        store.finds(query.as_of(at(*version)), record).await?;
        if *version > 10 {
            store.finds(query, record).await?;
        }
        store.answers_nothing(query.at_most(version - 1).as_of(at(0)), "C-20").await?;
    }
    Ok(())
}

async fn after_delete(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let key = fill(&store, &[10, 20, 30]).await?;
    store.finds(Query::latest(&key, NEW), &record(&key, 30)?).await?;
    store.deletes(&key, Selection::Ids(&[id(NEW, 30)]), 1).await?;
    let found = store.get(Query::latest(&key, NEW)).await?;
    // A delete without effect breaks another obligation.
    let stays = found.clone().into_record() == Some(record(&key, 30)?);
    ensure(!stays, || {
        Failure::new("C-51", "get a snapshot after a delete")
            .expected("version 20")
            .got(shown(&found))
    })?;
    store.finds(Query::latest(&key, NEW), &record(&key, 20)?).await
}

async fn random(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    for aggregate in 0..12 {
        let key = key(&format!("a{aggregate}"))?;
        let mut version = 0;
        let mut stored = Vec::new();
        for _ in 0..cx.random.usize(1..30) {
            version += cx.random.u64(1..4);
            let time = at(cx.random.u64(0..40));
            let generation = if cx.random.bool() { OLD } else { NEW };
            let payload = format!("{generation} {version}");
            let record = record_of(&key, generation, version, time, payload.as_bytes())?;
            store.put(std::slice::from_ref(&record)).await?;
            stored.push((generation, version, time, record));
        }
        for _ in 0..60 {
            let generation = if cx.random.bool() { OLD } else { NEW };
            let mut query = Query::latest(&key, generation).at_most(cx.random.u64(0..version + 3));
            if cx.random.bool() {
                query = query.as_of(at(cx.random.u64(0..45)));
            }
            let model = stored.iter().rev().find(|(own, version, time, _)| {
                *own == generation && query.admits(*version, *time)
            });
            match model {
                Some((.., record)) => store.finds(query, record).await?,
                None => store.answers_nothing(query, "C-20").await?,
            }
        }
    }
    Ok(())
}

pub(crate) async fn is_other(store: &Probe, query: Query<'_>) -> Result<(), Stop> {
    let lookup = store.get(query).await?;
    let broken = misread(&query, &lookup).unwrap_or("C-21");
    ensure(lookup == Lookup::OtherGeneration, || {
        let what = format!("get {}, of which only other generations are stored", query.key);
        Failure::new(broken, what).expected("OtherGeneration").got(shown(&lookup))
    })
}

async fn other_generation(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let key = key("a")?;
    for (version, generation) in [(5, OLD), (7, RESHAPED)] {
        let record = record_of(&key, generation, version, at(version), b"other")?;
        store.put(std::slice::from_ref(&record)).await?;
        // If the snapshot was lost, `Absent` is correct.
        store.holds(&record).await?;
        is_other(&store, Query::latest(&key, NEW)).await?;
        is_other(&store, Query::latest(&key, NEW).at_most(version)).await?;
        is_other(&store, Query::latest(&key, NEW).as_of(at(version))).await?;
    }
    Ok(())
}

async fn outside_bounds(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let key = key("a")?;
    let other = record_of(&key, OLD, 3, at(3), b"other")?;
    store.put(std::slice::from_ref(&other)).await?;
    store.holds(&other).await?;
    // A snapshot of the requested generation outside the bounds is not a valid answer, and does not
    // justify `Absent`.
    store.put(&[record(&key, 9)?]).await?;
    is_other(&store, Query::latest(&key, NEW).at_most(8)).await?;
    is_other(&store, Query::latest(&key, NEW).at_most(8).as_of(at(3))).await?;
    is_other(&store, Query::latest(&key, NEW).at_most(8).at_least(3)).await
}

async fn backwards(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let key = key("a")?;
    for version in (1..=20).rev() {
        store.put(&[record(&key, version)?]).await?;
        let lookup = store.get(Query::latest(&key, NEW)).await?;
        ensure(lookup.clone().into_record() == Some(record(&key, 20)?), || {
            Failure::new("C-13", format!("get the newest snapshot after version {version} was put"))
                .expected("version 20")
                .got(shown(&lookup))
        })?;
    }
    Ok(())
}
