//! The aggregates that have snapshots.

use std::collections::{BTreeMap, BTreeSet};

use crate::conformance::case::{Context, cases};
use crate::conformance::failure::{Failure, Stop, ensure, shown};
use crate::conformance::probe::Probe;
use crate::conformance::samples::{NEW, OLD, RESHAPED, at, id, key, record, record_of};
use crate::error::{Error, ErrorKind};
use crate::key::AggregateKey;
use crate::record::RecordBuilder;
use crate::store::{Cursor, KeysRequest, Query, Selection};
use crate::timestamp::Timestamp;

cases! { Core:
    "every aggregate is listed once, with any page size", ["C-40"], each_once;
    "an aggregate with many snapshots is listed once", ["C-40"], many_snapshots;
    "an aggregate without snapshots is no longer listed", ["C-40"], emptied;
    "pages of aggregates respect the limit and continue with `next`", ["C-40"], pages;
    "puts and deletes between pages do not disturb a list of keys", ["C-40"], between_pages;
    "only aggregates of the requested tenant or kind are listed", ["C-41"], filtered;
    "reserved kinds are listed only on request", ["C-43"], reserved;
    "a foreign cursor gives an error or an empty page", ["C-42"], foreign_cursor;
    "every aggregate with a snapshot created within the bounds is listed", ["C-44"], created;
}

/// Checks that the listed keys are exactly `expected`, each once. A failure breaks `broken`, unless
/// a wrong get or put is the cause.
pub(crate) async fn keys_are(
    store: &Probe,
    request: KeysRequest<'_>,
    expected: &[AggregateKey],
    broken: &'static str,
) -> Result<(), Stop> {
    let listed = store.walk_keys(request, expected.len() * 2 + 1_000).await?.items;
    let mut seen = BTreeSet::new();
    for key in &listed {
        ensure(seen.insert(key), || {
            Failure::new("C-40", format!("list keys, {} per page", request.limit))
                .expected("each key once")
                .got(format!("{key} twice"))
        })?;
    }
    let wanted: BTreeSet<_> = expected.iter().collect();
    if let Some(missing) = wanted.difference(&seen).next() {
        let lookup = store.get(Query::latest(missing, NEW)).await?;
        let stored = lookup.into_record();
        let broken = match stored.as_ref().and_then(|record| record.header().ok()) {
            None => "C-10",
            Some(header) if !header.is_of(missing) => "C-01",
            Some(_) => broken,
        };
        let failure = Failure::new(broken, format!("list keys, {} per page", request.limit));
        let got = format!("{} of {} keys: {missing} is missing", listed.len(), expected.len());
        return Err(failure.expected("every key that has a snapshot").got(got).into());
    }
    if let Some(foreign) = seen.difference(&wanted).next() {
        let failure = Failure::new(broken, format!("list keys with {request:?}"));
        return Err(failure.expected("only the requested keys").got(shown(foreign)).into());
    }
    Ok(())
}

async fn fill(store: &Probe, ids: usize) -> Result<Vec<AggregateKey>, Stop> {
    let keys: Vec<_> = (0..ids).map(|place| key(&format!("k{place}"))).collect::<Result<_, _>>()?;
    for key in &keys {
        store.put(&[record(key, 1)?]).await?;
    }
    Ok(keys)
}

async fn each_once(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let keys = fill(&store, 23).await?;
    for limit in [1, 2, 5, 22, 23, 24, 1_000] {
        keys_are(&store, KeysRequest::new().limit(limit), &keys, "C-40").await?;
    }
    Ok(())
}

async fn many_snapshots(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let keys = fill(&store, 5).await?;
    for key in &keys {
        for version in 2..=9 {
            for generation in [OLD, NEW, RESHAPED] {
                store.put(&[record_of(key, generation, version, at(version), b"state")?]).await?;
            }
        }
    }
    for limit in [1, 3, 100] {
        keys_are(&store, KeysRequest::new().limit(limit), &keys, "C-40").await?;
    }
    Ok(())
}

async fn emptied(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let keys = fill(&store, 6).await?;
    let [emptied, deleted, .., kept] = &*keys else { return Ok(()) };
    store.put(&[record(kept, 2)?]).await?;
    store.deletes(emptied, Selection::All, 1).await?;
    store.deletes(deleted, Selection::Ids(&[id(NEW, 1)]), 1).await?;
    store.deletes(kept, Selection::Below(2), 1).await?;
    // A deleted snapshot that is still found breaks another obligation.
    for key in [emptied, deleted] {
        store.finds_nothing(key, NEW, "C-51").await?;
    }
    keys_are(&store, KeysRequest::new(), keys.get(2..).unwrap_or_default(), "C-40").await
}

async fn pages(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    fill(&store, 9).await?;
    // 0 is treated as 1. The walk checks that no page exceeds the limit.
    for limit in [0, 1, 4, 9, usize::MAX] {
        let request = KeysRequest::new().limit(limit);
        let page = store.keys(request).await?;
        let listed = store.walk_keys(request, 32).await?;
        ensure(page.next.is_some() || page.items.len() == listed.items.len(), || {
            Failure::new("C-40", format!("list the first page of keys with limit {limit}"))
                .expected("a `next`, because more keys follow")
                .got("no `next`")
        })?;
    }
    Ok(())
}

async fn between_pages(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let keys = fill(&store, 20).await?;
    let mut listed = Vec::new();
    let mut gone = BTreeSet::new();
    let mut cursor = None;
    // More rounds than any list needs to end.
    for turn in 0..200 {
        let mut request = KeysRequest::new().limit(3);
        request.after = cursor.as_ref();
        let page = store.keys(request).await?;
        // A listed key is deleted before the list continues after it, and another key is added.
        if let Some(last) = page.items.last().filter(|_| turn % 2 == 0) {
            store.delete(last, Selection::All).await?;
            gone.insert(last.clone());
        }
        store.put(&[record(&key(&format!("late {turn}"))?, 1)?]).await?;
        listed.extend(page.items);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    for key in keys.iter().filter(|key| !gone.contains(key)) {
        let times = listed.iter().filter(|listed| *listed == key).count();
        ensure(times == 1, || {
            Failure::new("C-40", "list keys during puts and deletes between pages")
                .expected("each remaining key once")
                .got(format!("{key} {times} times"))
        })?;
    }
    Ok(())
}

async fn filtered(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let mut keys = Vec::new();
    for tenant in ["", "n", "north", "northern", "N"] {
        for kind in ["", "order", "orders"] {
            for id in ["1", "2", "3"] {
                let key = AggregateKey::from_parts(tenant, kind, id)?;
                store.put(&[record(&key, 1)?]).await?;
                keys.push(key);
            }
        }
    }
    let all = KeysRequest::new();
    let mut requests = Vec::new();
    for tenant in ["", "north", "n", "nort", "nobody"] {
        requests.push(all.tenant(tenant));
        for kind in ["", "order", "none"] {
            requests.push(all.kind(kind));
            requests.push(all.tenant(tenant).kind(kind));
        }
    }
    for request in requests {
        let expected: Vec<_> = keys.iter().filter(|key| request.admits(key)).cloned().collect();
        keys_are(&store, request, &expected, "C-41").await?;
    }
    Ok(())
}

async fn reserved(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let free = ["", "snapfold", "snapfold-", "snapfold/", "z"];
    let taken = ["snapfold.", "snapfold.lease"];
    let all = KeysRequest::new();
    let mut requests = vec![all, all.tenant("north"), all.tenant("nobody")];
    for kind in free.iter().chain(&taken) {
        requests.push(all.kind(kind));
        requests.push(all.tenant("south").kind(kind));
    }
    let mut keys = Vec::new();
    // Faults that do not involve reserved kinds break other obligations.
    for (kinds, are_taken) in [(&free[..], false), (&taken, true)] {
        for tenant in ["", "north", "south"] {
            for (kind, id) in kinds.iter().flat_map(|kind| [(kind, "1"), (kind, "2")]) {
                let key = AggregateKey::from_stored(tenant, kind, id)?;
                let record = record(&key, 1)?;
                store.put(std::slice::from_ref(&record)).await?;
                store.holds(&record).await?;
                keys.push(key);
            }
        }
        for request in &requests {
            let is_plain = request.tenant.or(request.kind).is_none();
            let broken = match (are_taken, is_plain) {
                (true, _) => "C-43",
                (false, true) => "C-40",
                (false, false) => "C-41",
            };
            for request in [*request, request.reserved(true)] {
                let admitted = keys.iter().filter(|key| request.admits(key));
                let expected: Vec<_> = admitted.cloned().collect();
                for limit in [1, 3, 100] {
                    keys_are(&store, request.limit(limit), &expected, broken).await?;
                }
            }
        }
    }
    Ok(())
}

/// Where times fall as versions rise, and far from the times of the events.
async fn created(cx: &mut Context) -> Result<(), Stop> {
    const TIMES: u64 = 8;
    const LIMITS: [usize; 3] = [1, 3, 100];
    let store = cx.open().await?;
    let snapshot = |key: &AggregateKey, version, created| {
        let builder = RecordBuilder::new(key.clone(), NEW, version, at(1_000 + version));
        builder.created_at(created).build(b"state")
    };
    let mut times = BTreeMap::new();
    for place in 0..18 {
        let tenant = if place % 2 == 0 { "" } else { "north" };
        let kind = if place % 3 == 0 { "order" } else { "account" };
        let key = AggregateKey::from_parts(tenant, kind, &format!("k{place}"))?;
        let created = (1..=place % 4 + 1).map(|version| at((place * 5 + version * 3) % TIMES));
        let mut created: Vec<_> = created.collect();
        match place {
            16 => created = vec![Timestamp::MIN, Timestamp::MAX],
            // The second is replaced by one of another time.
            17 => created = vec![at(2), at(5)],
            _ => {}
        }
        for (version, created) in (1..).zip(&created) {
            store.put(&[snapshot(&key, version, *created)?]).await?;
        }
        if place == 17 {
            store.replace(&snapshot(&key, 2, at(6))?).await?;
            created = vec![at(2), at(6)];
        }
        times.insert(key, created);
    }
    // A key that is also missing without bounds breaks another obligation.
    let all = KeysRequest::new();
    for limit in LIMITS {
        for (request, broken) in
            [(all, "C-40"), (all.tenant("north"), "C-41"), (all.kind("order"), "C-41")]
        {
            let expected: Vec<_> =
                times.keys().filter(|key| request.admits(key)).cloned().collect();
            keys_are(&store, request.limit(limit), &expected, broken).await?;
        }
    }
    let mut requests = vec![all.created_from(Timestamp::MAX), all.created_before(Timestamp::MIN)];
    requests.push(all.created_from(at(5)).created_before(at(2)));
    for time in 0..=TIMES {
        let next = Timestamp::from_micros(at(time).as_micros() + 1);
        requests.push(all.created_from(at(time)));
        requests.push(all.created_before(at(time)).tenant("north"));
        requests.push(all.created_from(at(time)).created_before(next));
        requests.push(all.created_from(at(time)).created_before(at(time + 3)).kind("order"));
    }
    for (request, limit) in requests.into_iter().zip(LIMITS.into_iter().cycle()) {
        created_is(&store, request.limit(limit), &times).await?;
    }
    Ok(())
}

/// Checks a list of keys with bounds, given the creation times of each key.
async fn created_is(
    store: &Probe,
    request: KeysRequest<'_>,
    times: &BTreeMap<AggregateKey, Vec<Timestamp>>,
) -> Result<(), Stop> {
    let what = || Failure::new("C-44", format!("list keys with {request:?}"));
    let listed = store.walk_keys(request, times.len() * 2).await?.items;
    let mut seen = BTreeSet::new();
    for key in &listed {
        ensure(seen.insert(key), || what().expected("each key once").got(format!("{key} twice")))?;
        ensure(times.contains_key(key) && request.admits(key), || {
            what().expected("keys of the tenant and kind that have snapshots").got(shown(key))
        })?;
    }
    for (key, created) in times.iter().filter(|(key, _)| request.admits(key)) {
        let within = created.iter().find(|time| request.admits_created_at(**time));
        ensure(within.is_none() || seen.contains(key), || {
            what().expected(format!("{key}, with snapshots created at {created:?}")).got("not it")
        })?;
    }
    Ok(())
}

async fn foreign_cursor(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    fill(&store, 5).await?;
    for bytes in [b"\xff\xfe\xfd".to_vec(), vec![0xff; 24], vec![0xff; 40], vec![0xfe; 70_000]] {
        let cursor = Cursor::new(bytes.clone());
        let answer = store.try_keys(KeysRequest::new().after(&cursor)).await?;
        let fine = match &answer {
            Ok(page) => page.items.is_empty() && page.next.is_none(),
            Err(error) => Error::kind(error) == ErrorKind::InvalidInput,
        };
        ensure(fine, || {
            let what = format!("list keys after a {}-byte cursor that was made up", bytes.len());
            Failure::new("C-42", what).expected("InvalidInput or an empty page").got(shown(&answer))
        })?;
    }
    Ok(())
}
