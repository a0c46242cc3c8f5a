//! Stored bytes that changed behind the store's back.

use crate::conformance::case::{Context, cases, needs};
use crate::conformance::failure::{Failure, Stop, ensure, shown};
use crate::conformance::probe::Probe;
use crate::conformance::samples::{NEW, at, id, key, record, record_of};
use crate::conformance::store_kit::core::keys::keys_are;
use crate::key::AggregateKey;
use crate::record::Record;
use crate::store::{KeysRequest, ListRequest, Lookup, PutOptions, Query, Selection};

cases! { Hostile:
    "a damaged payload is returned as it is", ["C-22"], damaged_payload;
    "a damaged snapshot does not affect the others", ["C-22"], others;
    "a damaged snapshot can be replaced", ["C-12"], repaired;
    "a damaged snapshot can be deleted", ["C-51"], deleted;
    "a snapshot whose header is damaged is returned as it is", ["C-22"], damaged_header;
    "a snapshot whose header is damaged is left out of lists", ["C-33"], unlisted;
}

/// Puts versions 1 to 3 of `a` and version 1 of `b`, and damages version 3 of `a`.
async fn damaged(cx: &mut Context, header: bool) -> Result<(Probe, AggregateKey, Record), Stop> {
    let store = cx.open().await?;
    let key = key("a")?;
    store.put(&[record(&key, 1)?, record(&key, 2)?]).await?;
    let newest = record_of(&key, NEW, 3, at(3), &[b'p'; 400])?;
    store.put(std::slice::from_ref(&newest)).await?;
    store.put(&[record(&crate::conformance::samples::key("b")?, 1)?]).await?;
    store.holds(&newest).await?;
    drop(store);
    let target = id(NEW, 3);
    if header {
        needs(cx.site.damage_header(&key, target).await?, "Site::damage_header")?;
    } else {
        needs(cx.site.damage(&key, target).await?, "Site::damage")?;
    }
    let store = cx.again("C-22", "open a store with a damaged snapshot").await?;
    // Records that were lost by reopening must not count as an effect of the damage.
    store.holds(&record(&crate::conformance::samples::key("b")?, 1)?).await?;
    Ok((store, key, newest))
}

/// Checks that the newest snapshot is found under its version, and that its damage is visible.
async fn is_returned(store: &Probe, key: &AggregateKey, whole: &Record) -> Result<(), Stop> {
    let lookup = store.blaming("C-22").get(Query::latest(key, NEW)).await?;
    let shows = match &lookup {
        Lookup::Found(found) => found.version == 3 && found.record != *whole,
        Lookup::Absent | Lookup::OtherGeneration => false,
    };
    ensure(shows, || {
        Failure::new("C-22", "get the newest snapshot, which is damaged")
            .expected("the damaged record, under version 3")
            .got(shown(&lookup))
    })
}

async fn damaged_payload(cx: &mut Context) -> Result<(), Stop> {
    let (store, key, whole) = damaged(cx, false).await?;
    is_returned(&store, &key, &whole).await
}

async fn others(cx: &mut Context) -> Result<(), Stop> {
    let (store, key, _) = damaged(cx, false).await?;
    let other = crate::conformance::samples::key("b")?;
    for record in [record(&key, 1)?, record(&key, 2)?, record(&other, 1)?] {
        store.holds(&record).await?;
    }
    let late = record(&key, 4)?;
    store.put(std::slice::from_ref(&late)).await?;
    store.finds(Query::latest(&key, NEW), &late).await?;
    keys_are(&store, KeysRequest::new(), &[key, other], "C-40").await
}

async fn repaired(cx: &mut Context) -> Result<(), Stop> {
    let (store, key, whole) = damaged(cx, false).await?;
    store.put_with(vec![whole.clone()], PutOptions::default().replace(true)).await?;
    let lookup = store.get(Query::latest(&key, NEW)).await?;
    ensure(lookup.clone().into_record() == Some(whole), || {
        Failure::new("C-12", "get a damaged snapshot after it was replaced")
            .expected("the new record")
            .got(shown(&lookup))
    })
}

async fn deleted(cx: &mut Context) -> Result<(), Stop> {
    let (store, key, _) = damaged(cx, false).await?;
    store.deletes(&key, Selection::Ids(&[id(NEW, 3)]), 1).await?;
    let lookup = store.get(Query::latest(&key, NEW)).await?;
    ensure(lookup.clone().into_record() == Some(record(&key, 2)?), || {
        Failure::new("C-51", "get the newest snapshot after the damaged one was deleted")
            .expected("version 2")
            .got(shown(&lookup))
    })
}

async fn damaged_header(cx: &mut Context) -> Result<(), Stop> {
    let (store, key, whole) = damaged(cx, true).await?;
    is_returned(&store, &key, &whole).await
}

async fn unlisted(cx: &mut Context) -> Result<(), Stop> {
    let (store, key, _) = damaged(cx, true).await?;
    let store = store.blaming("C-33");
    for limit in [100, 2, 1] {
        let listed = store.walk(ListRequest::new(&key).limit(limit), 16).await?.items;
        let mut versions: Vec<_> = listed.iter().map(|meta| meta.version).collect();
        versions.sort_unstable();
        // Other cases check pages that are incomplete for other reasons.
        let wrong = versions.contains(&3) || (limit == 100 && versions != [1, 2]);
        ensure(!wrong, || {
            Failure::new("C-33", format!("list snapshots with a damaged header, {limit} per page"))
                .expected("versions 2 and 1")
                .got(shown(&versions))
        })?;
    }
    Ok(())
}
