//! Many aggregates and long histories. Counts are checked, and times are only reported.

use std::time::Instant;

use crate::conformance::case::{Context, cases};
use crate::conformance::failure::{Failure, Stop, ensure, shown};
use crate::conformance::probe::Probe;
use crate::conformance::samples::{NEW, id, record};
use crate::conformance::store_kit::core::keys::keys_are;
use crate::conformance::store_kit::history::list::each_is_listed;
use crate::key::AggregateKey;
use crate::record::SnapshotMeta;
use crate::store::{KeysRequest, ListRequest, Query, Selection};

cases! { Scale:
    "a list of many aggregates takes a proportional number of pages", ["C-40"], listed;
    "snapshots of many aggregates are found", ["C-10"], found;
    "few aggregates among many are listed in few pages", ["C-41"], filtered;
    "a list of a long history takes a proportional number of pages", ["C-32"], long_history;
    "any version of a long history is found", ["C-20"], old_versions;
    "pruning many aggregates deletes exactly the older versions", ["C-50"], pruned;
}

/// The number of records in one put.
const BATCH: usize = 1_000;
/// The number of items in one page.
const PAGE: usize = 500;

fn name(place: usize) -> Result<AggregateKey, Stop> {
    Ok(AggregateKey::from_parts("many", "account", &format!("{place:07}"))?)
}

/// Puts the first `versions` versions of the aggregates `from..to`.
async fn fill(store: &Probe, from: usize, to: usize, versions: u64) -> Result<(), Stop> {
    let mut batch = Vec::new();
    for place in from..to {
        let key = name(place)?;
        for version in 1..=versions {
            batch.push(record(&key, version)?);
        }
        if batch.len() >= BATCH {
            store.put(&std::mem::take(&mut batch)).await?;
        }
    }
    store.put(&batch).await.map(drop)
}

/// Checks that the number of pages grows at most in proportion to the items, within a factor of
/// two.
fn is_linear(id: &'static str, few: (usize, usize), many: (usize, usize)) -> Result<(), Stop> {
    let ((few, few_pages), (many, many_pages)) = (few, many);
    let limit = 2 * few_pages.max(1) * many.div_ceil(few.max(1)) + 2;
    ensure(many_pages <= limit, || {
        Failure::new(id, format!("list {few} items, then {many}"))
            .expected(format!("at most {limit} pages, because the first list took {few_pages}"))
            .got(format!("{many_pages} pages"))
    })
}

async fn listed(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let request = KeysRequest::new().limit(PAGE);
    let (few, many) = (cx.scale / 10, cx.scale);
    let (mut pages, mut last) = (Vec::new(), 0);
    for aggregates in [few, many] {
        fill(&store, last, aggregates, 1).await?;
        last = aggregates;
        let started = Instant::now();
        let walked = store.walk_keys(request, aggregates * 2).await?;
        cx.time(&format!("list {aggregates} aggregates"), started.elapsed(), aggregates);
        pages.push((aggregates, walked.pages));
        cx.note(format!("{aggregates} aggregates are listed in {} pages", walked.pages));
    }
    let [few, many] = &*pages else { return Ok(()) };
    is_linear("C-40", *few, *many)?;
    let keys = (0..cx.scale).map(name).collect::<Result<Vec<_>, _>>()?;
    keys_are(&store, request, &keys, "C-40").await
}

async fn found(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let aggregates = cx.scale;
    let started = Instant::now();
    fill(&store, 0, aggregates, 1).await?;
    cx.time("put one snapshot", started.elapsed(), aggregates);
    let looked = aggregates.min(2_000);
    let started = Instant::now();
    for _ in 0..looked {
        let record = record(&name(cx.random.usize(..aggregates))?, 1)?;
        store.holds(&record).await?;
    }
    cx.time(&format!("get one of {aggregates} aggregates"), started.elapsed(), looked);
    Ok(())
}

async fn filtered(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let aggregates = cx.scale / 10;
    let mut few = Vec::new();
    for place in 0..10 {
        fill(&store, aggregates / 10 * place, aggregates / 10 * (place + 1), 1).await?;
        let key = AggregateKey::from_parts("few", "order", &format!("{place}"))?;
        store.put(&[record(&key, 1)?]).await?;
        few.push(key);
    }
    for request in [
        KeysRequest::new().tenant("few"),
        KeysRequest::new().kind("order"),
        KeysRequest::new().tenant("few").kind("order"),
    ] {
        keys_are(&store, request, &few, "C-41").await?;
        let pages = store.walk_keys(request.limit(4), 32).await?.pages;
        // Follows from the rule that pages with a `next` are not empty.
        ensure(pages <= 11, || {
            Failure::new("C-41", format!("list 10 of {aggregates} aggregates"))
                .expected("at most 11 pages")
                .got(format!("{pages} pages"))
        })?;
        cx.note(format!("10 of {aggregates} aggregates are listed in {pages} pages of up to 4"));
    }
    Ok(())
}

/// Returns the number of versions in a long history.
fn length(cx: &Context) -> u64 {
    (cx.scale as u64 / 20).max(100)
}

async fn long_history(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let key = name(0)?;
    let (mut pages, mut last) = (Vec::new(), 0);
    for versions in [length(cx) / 10, length(cx)] {
        let batch = (last + 1..=versions).map(|version| record(&key, version));
        let batch = batch.collect::<Result<Vec<_>, _>>()?;
        for part in batch.chunks(BATCH) {
            store.put(part).await?;
        }
        last = versions;
        let expected: Vec<_> = (1..=versions).map(|version| id(NEW, version)).collect();
        let started = Instant::now();
        let walked = store.walk(ListRequest::new(&key).limit(50), expected.len() * 2).await?;
        cx.time(&format!("list {versions} versions"), started.elapsed(), expected.len());
        cx.note(format!("{versions} versions are listed in {} pages", walked.pages));
        let ids: Vec<_> = walked.items.iter().map(SnapshotMeta::id).collect();
        each_is_listed(&store, &key, &ids, &expected, "C-32").await?;
        pages.push((expected.len(), walked.pages));
    }
    let [few, many] = &*pages else { return Ok(()) };
    is_linear("C-32", *few, *many)
}

async fn old_versions(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let key = name(0)?;
    // Puts every third version.
    let versions = length(cx);
    let batch = (1..=versions).map(|place| record(&key, place * 3));
    let batch = batch.collect::<Result<Vec<_>, _>>()?;
    for part in batch.chunks(BATCH) {
        store.put(part).await?;
    }
    let started = Instant::now();
    for _ in 0..500 {
        let at_most = cx.random.u64(3..=versions * 3 + 2);
        let expected = record(&key, at_most / 3 * 3)?;
        store.finds(Query::latest(&key, NEW).at_most(at_most), &expected).await?;
    }
    cx.time(&format!("get one of {versions} versions"), started.elapsed(), 500);
    Ok(())
}

async fn pruned(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let aggregates = cx.scale / 10;
    fill(&store, 0, aggregates, 3).await?;
    // Records that a put lost must not count against the delete.
    let expected = [id(NEW, 3), id(NEW, 2), id(NEW, 1)];
    for place in 0..aggregates {
        let key = name(place)?;
        let items = store.list(ListRequest::new(&key)).await?.items;
        let ids: Vec<_> = items.iter().map(SnapshotMeta::id).collect();
        each_is_listed(&store, &key, &ids, &expected, "C-32").await?;
    }
    let mut left = 0..aggregates;
    for part in [aggregates / 10, aggregates - aggregates / 10] {
        let started = Instant::now();
        let mut snapshots = 0;
        for place in left.by_ref().take(part) {
            let deleted = store.delete(&name(place)?, Selection::Below(3)).await?;
            ensure(deleted.snapshots == 2, || {
                Failure::new("C-50", format!("prune aggregate {place} of {aggregates}"))
                    .expected("2 snapshots")
                    .got(shown(&deleted))
            })?;
            snapshots += deleted.snapshots;
        }
        cx.time("prune an aggregate", started.elapsed(), part);
        cx.note(format!("pruning {part} aggregates deleted {snapshots} snapshots"));
    }
    for _ in 0..200 {
        let key = name(cx.random.usize(..aggregates))?;
        store.holds(&record(&key, 3)?).await?;
        store.answers_nothing(Query::latest(&key, NEW).at_most(2), "C-51").await?;
    }
    Ok(())
}
