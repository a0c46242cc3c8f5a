//! Acknowledged writes survive closing and crashing.

use crate::conformance::case::{Context, cases};
use crate::conformance::cut_off::poll_times;
use crate::conformance::failure::{Failure, Stop, ensure, shown};
use crate::conformance::probe::{Blame, Probe, outcomes_are};
use crate::conformance::samples::{NEW, at, id, key, record, record_of, records, rival};
use crate::conformance::store_kit::concurrent::cancel::settled;
use crate::conformance::store_kit::core::keys::keys_are;
use crate::record::Record;
use crate::store::{KeysRequest, ListRequest, PutOptions, PutOutcome, Query, Selection};

cases! { Durable:
    "stored records are found after each reopening", ["C-10"], reopened;
    "the newest snapshot is still the newest after reopening", ["C-10"], newest_reopened;
    "large batches are found after reopening", ["C-10"], batches_reopened;
    "acknowledged records survive a crash", ["C-10"], crashed;
    "a stored snapshot stays immutable after reopening", ["C-11"], immutable;
    "a replacement is found after reopening", ["C-10"], replaced_reopened;
    "a replacement survives a crash", ["C-10"], replaced_crashed;
    "deleted snapshots stay deleted after reopening", ["C-51"], deleted_reopened;
    "deleted snapshots stay deleted after a crash", ["C-51"], deleted_crashed;
    "a snapshot that was put after a delete is found after reopening", ["C-52"], put_again_reopened;
    "a snapshot that was put after a delete survives a crash", ["C-52"], put_again_crashed;
    "the same aggregates are listed after reopening", ["C-40"], keys_reopened;
    "a put that is interrupted by a crash leaves no partial record", ["C-16"], cut_off;
}

async fn reopened(cx: &mut Context) -> Result<(), Stop> {
    let mut store = cx.open_durable().await?;
    let key = key("a")?;
    let mut all = Vec::new();
    for round in 0..4 {
        for version in round * 10 + 1..round * 10 + 10 {
            let record = record(&key, version)?;
            store.put(std::slice::from_ref(&record)).await?;
            all.push(record);
        }
        store = cx.reopen(store).await?;
        store.holds_all(&all).await?;
    }
    Ok(())
}

async fn newest_reopened(cx: &mut Context) -> Result<(), Stop> {
    let mut store = cx.open_durable().await?;
    let key = key("a")?;
    for version in 1..=5 {
        let newest = record(&key, version)?;
        store.put(std::slice::from_ref(&newest)).await?;
        store = cx.reopen(store).await?;
        store.finds(Query::latest(&key, NEW), &newest).await?;
    }
    Ok(())
}

async fn batches_reopened(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open_durable().await?;
    let mut all = Vec::new();
    for batch in 0..3 {
        let mut records = Vec::new();
        for aggregate in 0..200 {
            records.push(record(&key(&format!("{aggregate}"))?, batch + 1)?);
        }
        store.put(&records).await?;
        all.extend(records);
    }
    let store = cx.reopen(store).await?;
    store.holds_all(&all).await
}

async fn crashed(cx: &mut Context) -> Result<(), Stop> {
    let mut store = cx.open_durable().await?;
    let key = key("a")?;
    let mut all = Vec::new();
    for round in 0..2 {
        let records = records(&key, &[round * 10 + 1, round * 10 + 2, round * 10 + 3])?;
        store.put_each(&records).await?;
        all.extend(records);
        store = cx.crash(store).await?;
        store.holds_all(&all).await?;
    }
    Ok(())
}

async fn immutable(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open_durable().await?;
    let key = key("a")?;
    let first = record(&key, 4)?;
    store.put(std::slice::from_ref(&first)).await?;
    let store = cx.reopen(store).await?;
    store.holds(&first).await?;
    let outcomes = store.put(&[rival(&key, 4)?]).await?;
    let expected = [PutOutcome::Existing { identical: false }];
    outcomes_are("C-11", "put another payload after reopening", &outcomes, &expected)?;
    store.holds_or(&first, Blame::PUT.bytes("C-11")).await
}

async fn replace(cx: &mut Context) -> Result<(Probe, Record), Stop> {
    let store = cx.open_durable().await?;
    let key = key("a")?;
    store.put_each(&records(&key, &[3, 4, 5])?).await?;
    let new = rival(&key, 4)?;
    store.replace(&new).await?;
    store.holds_or(&new, Blame::PUT.bytes("C-12")).await?;
    Ok((store, new))
}

/// Puts an ordinary record after all others. It is looked up first.
async fn put_last(store: &Probe) -> Result<(), Stop> {
    store.put(&[record(&key("last")?, 1)?]).await.map(drop)
}

/// Checks that the last put was not lost, which would explain all other faults.
async fn last_is_there(store: &Probe) -> Result<(), Stop> {
    store.holds(&record(&key("last")?, 1)?).await
}

async fn replaced_reopened(cx: &mut Context) -> Result<(), Stop> {
    let (store, new) = replace(cx).await?;
    let store = cx.reopen(store).await?;
    store.holds_or(&new, Blame::all("C-10")).await
}

async fn replaced_crashed(cx: &mut Context) -> Result<(), Stop> {
    let (store, new) = replace(cx).await?;
    let store = cx.crash(store).await?;
    store.holds_or(&new, Blame::all("C-10")).await
}

/// Deletes with every kind of selection. Version 9 of `a` remains.
async fn delete(cx: &mut Context) -> Result<Probe, Stop> {
    let store = cx.open_durable().await?;
    let (a, b) = (key("a")?, key("b")?);
    store.put_each(&records(&a, &[1, 2, 3, 9])?).await?;
    store.put_each(&records(&b, &[1, 2])?).await?;
    store.deletes(&a, Selection::Below(3), 2).await?;
    store.deletes(&a, Selection::Ids(&[id(NEW, 3)]), 1).await?;
    store.deletes(&b, Selection::All, 2).await?;
    Ok(store)
}

async fn stays_deleted(store: &Probe) -> Result<(), Stop> {
    let (a, b) = (key("a")?, key("b")?);
    store.holds(&record(&a, 9)?).await?;
    for key in [&a, &b] {
        let query = Query::latest(key, NEW).at_most(8);
        store.answers_nothing(query, "C-51").await?;
        let items = store.list(ListRequest::new(key).at_most(8)).await?.items;
        let stays = items.iter().find(|meta| meta.version <= 8);
        ensure(stays.is_none(), || {
            Failure::new("C-51", format!("list {key} after reopening"))
                .expected("none of the deleted snapshots")
                .got(shown(&stays))
        })?;
    }
    Ok(())
}

async fn deleted_reopened(cx: &mut Context) -> Result<(), Stop> {
    let store = delete(cx).await?;
    stays_deleted(&store).await?;
    let store = cx.reopen(store).await?;
    stays_deleted(&store).await
}

async fn deleted_crashed(cx: &mut Context) -> Result<(), Stop> {
    let store = delete(cx).await?;
    let store = cx.crash(store).await?;
    stays_deleted(&store).await
}

async fn put_again(cx: &mut Context) -> Result<(Probe, [Record; 2]), Stop> {
    let store = cx.open_durable().await?;
    let key = key("a")?;
    store.put_each(&records(&key, &[1, 2, 3])?).await?;
    store.deletes(&key, Selection::All, 3).await?;
    store.finds_nothing(&key, NEW, "C-51").await?;
    let records = [record(&key, 2)?, record(&key, 3)?];
    store.put_each(&records).await?;
    Ok((store, records))
}

async fn put_again_reopened(cx: &mut Context) -> Result<(), Stop> {
    let (store, records) = put_again(cx).await?;
    put_last(&store).await?;
    let store = cx.reopen(store).await?;
    last_is_there(&store).await?;
    for record in &records {
        store.holds_or(record, Blame::all("C-52")).await?;
    }
    Ok(())
}

async fn put_again_crashed(cx: &mut Context) -> Result<(), Stop> {
    let (store, records) = put_again(cx).await?;
    put_last(&store).await?;
    let store = cx.crash(store).await?;
    last_is_there(&store).await?;
    for record in &records {
        store.holds_or(record, Blame::all("C-52")).await?;
    }
    Ok(())
}

async fn keys_reopened(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open_durable().await?;
    let mut keys = Vec::new();
    for aggregate in 0..20 {
        let key = key(&format!("{aggregate}"))?;
        store.put(&[record(&key, 1)?]).await?;
        keys.push(key);
    }
    let store = cx.reopen(store).await?;
    keys_are(&store, KeysRequest::new().limit(7), &keys, "C-40").await
}

async fn cut_off(cx: &mut Context) -> Result<(), Stop> {
    let mut store = cx.open_durable().await?;
    for polls in 1..4 {
        let mut batch = Vec::new();
        for version in 1..=8 {
            let key = key(&format!("cut after {polls}"))?;
            let payload = vec![b'x'; 3_000];
            batch.push(record_of(&key, NEW, version, at(version), &payload)?);
        }
        // First, a put that is acknowledged.
        let whole = records(&key(&format!("whole {polls}"))?, &[1, 2, 3, 4, 5])?;
        store.put(&whole).await?;
        let put = store.try_put(batch.clone(), PutOptions::default());
        let ended = poll_times(put, polls).await.is_some();
        store = cx.crash(store).await?;
        store.holds_all(&whole).await?;
        if ended {
            // The put was acknowledged before the crash.
            return store.holds_all(&batch).await;
        }
        settled(&store, &batch, "C-16").await?;
    }
    Ok(())
}
