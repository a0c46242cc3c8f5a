//! Lists of the stored snapshots of one aggregate, in pages.

use std::collections::BTreeSet;

use crate::conformance::case::{Context, cases};
use crate::conformance::failure::{Failure, Stop, ensure, shown};
use crate::conformance::probe::Probe;
use crate::conformance::samples::{NEW, OLD, RESHAPED, at, id, key, record, record_of};
use crate::key::AggregateKey;
use crate::record::{Record, RecordBuilder, SnapshotMeta};
use crate::snapshot_id::SnapshotId;
use crate::store::{ListRequest, Query, Selection};

cases! { History:
    "snapshots are listed by version, highest first, then generation", ["C-30"], order;
    "a page has at most as many items as requested", ["C-31"], limits;
    "a list continues until every snapshot is listed", ["C-31"], goes_on;
    "pages of any size list each snapshot once", ["C-32"], each_once;
    "a list continues after a snapshot that was deleted between pages", ["C-32"], deleted_between;
    "puts between pages do not disturb a list", ["C-32"], put_between;
    "a listed item equals the header of its record", ["C-34"], items;
    "the bounds of a list are inclusive", ["C-34"], bounds;
    "bounds that select nothing give an empty page", ["C-34", "C-31"], empty_bounds;
    "several lists in one call give the pages of single calls", ["C-36"], many;
}

/// Puts versions 1 to 7, of which 3 and 5 exist in several generations.
async fn fill(store: &Probe) -> Result<(AggregateKey, Vec<SnapshotId>), Stop> {
    let key = key("a")?;
    let mut ids = vec![id(OLD, 3), id(RESHAPED, 3), id(OLD, 5)];
    ids.extend((1..=7).map(|version| id(NEW, version)));
    ids.sort_unstable();
    for id in &ids {
        let record = record_of(&key, id.generation, id.version, at(id.version), b"state")?;
        store.put(&[record]).await?;
    }
    ids.reverse();
    Ok((key, ids))
}

fn ids_of(items: &[SnapshotMeta]) -> Vec<SnapshotId> {
    items.iter().map(SnapshotMeta::id).collect()
}

/// Checks that `listed` contains the ids of `expected`, and no id twice. A failure breaks `broken`,
/// unless a missing snapshot is not stored.
pub(crate) async fn each_is_listed(
    store: &Probe,
    key: &AggregateKey,
    listed: &[SnapshotId],
    expected: &[SnapshotId],
    broken: &'static str,
) -> Result<(), Stop> {
    let mut seen = BTreeSet::new();
    for id in listed {
        ensure(seen.insert(*id), || {
            Failure::new("C-32", format!("list {key}"))
                .expected("each snapshot once")
                .got(format!("{id} twice"))
        })?;
    }
    if let Some(missing) = expected.iter().find(|id| !seen.contains(id)) {
        let query = Query::latest(key, missing.generation).at_most(missing.version);
        let record = store.get(query).await?.into_record();
        let stored = record.is_some_and(|record| {
            record.header().is_ok_and(|header| header.version == missing.version)
        });
        let broken = if stored { broken } else { "C-10" };
        let failure = Failure::new(broken, format!("list {key} to the end"));
        let got = format!("{} of {} snapshots: {missing} is missing", seen.len(), expected.len());
        return Err(failure.expected("every stored snapshot").got(got).into());
    }
    Ok(())
}

async fn order(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let (key, expected) = fill(&store).await?;
    let listed = ids_of(&store.walk(ListRequest::new(&key), expected.len() * 2).await?.items);
    each_is_listed(&store, &key, &listed, &expected, "C-32").await?;
    ensure(listed == expected, || {
        Failure::new("C-30", "list ten snapshots of three generations")
            .expected(shown(&expected))
            .got(shown(&listed))
    })
}

async fn limits(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let (key, ids) = fill(&store).await?;
    for limit in [0, 1, 2, 3, 9, 10, 11, usize::MAX] {
        // The walk checks each page.
        store.walk(ListRequest::new(&key).limit(limit), ids.len() * 2).await?;
        store.walk(ListRequest::new(&key).at_least(3).limit(limit), ids.len() * 2).await?;
        store.walk(ListRequest::new(&key).at_most(5).limit(limit), ids.len() * 2).await?;
    }
    Ok(())
}

async fn goes_on(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let (key, ids) = fill(&store).await?;
    let all = ids_of(&store.walk(ListRequest::new(&key), ids.len() * 2).await?.items);
    each_is_listed(&store, &key, &all, &ids, "C-32").await?;
    for limit in 1..ids.len() {
        let page = store.list(ListRequest::new(&key).limit(limit)).await?;
        ensure(page.next.is_some() || page.items.len() >= ids.len(), || {
            Failure::new("C-31", format!("list the first {limit} of {} snapshots", ids.len()))
                .expected("a `next`, because more snapshots follow")
                .got(format!("{} items and no `next`", page.items.len()))
        })?;
    }
    Ok(())
}

async fn each_once(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let (key, ids) = fill(&store).await?;
    for limit in [1, 2, 3, 4, 9, 10, 11] {
        let listed = store.walk(ListRequest::new(&key).limit(limit), ids.len() * 2).await?;
        each_is_listed(&store, &key, &ids_of(&listed.items), &ids, "C-32").await?;
    }
    Ok(())
}

async fn deleted_between(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let (key, ids) = fill(&store).await?;
    let request = ListRequest::new(&key).limit(3);
    let first = store.list(request).await?;
    let (Some(next), Some(last)) = (first.next, first.items.last()) else {
        let failure = Failure::new("C-31", "list the first of several pages");
        return Err(failure.expected("items and a `next`").got(shown(&first.next)).into());
    };
    let gone = if last.id() == next { vec![next] } else { vec![last.id(), next] };
    store.deletes(&key, Selection::Ids(&gone), gone.len() as u64).await?;
    let rest = store.walk(request.after(next), ids.len() * 2).await?;
    let mut listed = ids_of(&first.items);
    listed.extend(ids_of(&rest.items));
    let stayed: Vec<_> = ids.into_iter().filter(|id| !gone.contains(id)).collect();
    each_is_listed(&store, &key, &listed, &stayed, "C-32").await
}

async fn put_between(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let (key, ids) = fill(&store).await?;
    let mut request = ListRequest::new(&key).limit(2);
    let mut listed = Vec::new();
    // More rounds than any list needs to end.
    for version in 8..100 {
        let page = store.list(request).await?;
        listed.extend(ids_of(&page.items));
        let Some(next) = page.next else { break };
        request = request.after(next);
        // A snapshot above all others, one among those already listed, and one right below the
        // cursor.
        store.put(&[record(&key, version)?]).await?;
        let below = next.version.saturating_sub(1).max(1);
        for (generation, version) in [(OLD, 7), (RESHAPED, below)] {
            store.put(&[record_of(&key, generation, version, at(version), b"late")?]).await?;
        }
    }
    each_is_listed(&store, &key, &listed, &ids, "C-32").await
}

/// Returns a record with every header field set.
fn full(key: &AggregateKey) -> Result<Record, Stop> {
    let builder = RecordBuilder::new(key.clone(), NEW, 9, at(77)).created_at(at(99));
    let builder = builder.last_recorded_at(at(70)).anchor(*b"anchor").origin("node 7");
    Ok(builder.label("pinned").label("month-end").build(b"some state")?)
}

async fn items(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let key = AggregateKey::from_parts("north", "account", "a")?;
    for record in [record(&key, 4)?, full(&key)?] {
        let header =
            record.header().map_err(|reject| Failure::setup("make a test record", &reject))?;
        let expected = SnapshotMeta::from_header(&header)?;
        store.put(std::slice::from_ref(&record)).await?;
        let items = store.list(ListRequest::new(&key)).await?.items;
        // Other cases check snapshots that are not listed at all.
        let Some(item) = items.iter().find(|meta| meta.version == expected.version) else {
            return each_is_listed(&store, &key, &ids_of(&items), &[expected.id()], "C-32").await;
        };
        ensure(*item == expected, || {
            Failure::new("C-34", format!("list {key}")).expected(shown(&expected)).got(shown(item))
        })?;
    }
    Ok(())
}

async fn bounds(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let (key, ids) = fill(&store).await?;
    // A snapshot that is missing even without bounds is not a fault in the bounds.
    let all = ids_of(&store.walk(ListRequest::new(&key), ids.len() * 2).await?.items);
    each_is_listed(&store, &key, &all, &ids, "C-32").await?;
    for (at_least, at_most) in [(3, 5), (3, 3), (0, 1), (7, u64::MAX), (2, 6), (6, 6)] {
        let request = ListRequest::new(&key).at_least(at_least).at_most(at_most);
        let listed = ids_of(&store.walk(request, ids.len() * 2).await?.items);
        let expected: Vec<_> = ids.iter().copied().filter(|id| request.admits(*id)).collect();
        let stray = listed.iter().find(|id| !request.admits(**id));
        ensure(stray.is_none(), || {
            Failure::new("C-34", format!("list versions {at_least} to {at_most}"))
                .expected("only these versions")
                .got(shown(&stray))
        })?;
        each_is_listed(&store, &key, &listed, &expected, "C-34").await?;
    }
    Ok(())
}

async fn empty_bounds(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let (key, _) = fill(&store).await?;
    let all = ListRequest::new(&key);
    for request in [
        all.at_least(8),
        all.at_most(0),
        all.at_least(5).at_most(4),
        all.after(id(OLD, 0)),
        all.at_least(u64::MAX),
    ] {
        let page = store.list(request).await?;
        ensure(page.items.is_empty() && page.next.is_none(), || {
            let got = shown(&(ids_of(&page.items), page.next));
            let broken = if page.items.is_empty() { "C-31" } else { "C-34" };
            Failure::new(broken, format!("list snapshots with {request:?}"))
                .expected("an empty page")
                .got(got)
        })?;
    }
    Ok(())
}

async fn many(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let (a, _) = fill(&store).await?;
    let (b, nobody) = (key("b")?, key("nobody")?);
    let long = key(&"x".repeat(AggregateKey::MAX_PART_BYTES))?;
    let kind = format!("{}kit", AggregateKey::RESERVED_PREFIX);
    let reserved = AggregateKey::from_stored("", &kind, "a")?;
    store.put(&[record(&b, 4)?, record(&reserved, 6)?]).await?;
    let all = ListRequest::new(&a);
    let mut requests = vec![
        all.limit(3),
        ListRequest::new(&nobody),
        all,
        all.limit(3).after(id(NEW, 5)),
        ListRequest::new(&b),
        ListRequest::new(&long),
        ListRequest::new(&reserved),
        all.at_least(3).at_most(5),
        all.limit(0),
        all.at_least(u64::MAX),
        all,
    ];
    for length in [requests.len(), 1, 0] {
        requests.truncate(length);
        are_paged(&store, &requests).await?;
    }
    // More requests than a store may combine into one.
    let requests: Vec<_> = (0..600).map(|n| all.at_most(n % 9)).collect();
    are_paged(&store, &requests).await
}

async fn are_paged(store: &Probe, requests: &[ListRequest<'_>]) -> Result<(), Stop> {
    let mut alone = Vec::new();
    for request in requests {
        alone.push(store.list(*request).await?);
    }
    let pages = store.blaming("C-36").list_many(requests).await?;
    let what = format!("make {} lists in one call", requests.len());
    ensure(pages.len() == requests.len(), || {
        Failure::new("C-36", &what).expected("one page per request").got(shown(&pages.len()))
    })?;
    for (page, alone) in pages.iter().zip(&alone) {
        // A page may be shorter if its list continues.
        let is_part = alone.items.starts_with(&page.items) && !page.items.is_empty();
        let is_shorter = is_part && page.items.len() < alone.items.len() && page.next.is_some();
        ensure(page == alone || is_shorter, || {
            Failure::new("C-36", &what).expected(shown(alone)).got(shown(page))
        })?;
    }
    Ok(())
}
