//! Calls that are cancelled before they return.

use std::time::Duration;

use crate::conformance::case::{Context, cases, needs};
use crate::conformance::cut_off::poll_times;
use crate::conformance::failure::{Failure, Stop, ensure, shown};
use crate::conformance::probe::{Blame, Probe, misread};
use crate::conformance::samples::{NEW, id, key, record, records, rival};
use crate::record::Record;
use crate::store::{KeysRequest, ListRequest, PutOptions, Query, Selection};

cases! { Concurrent:
    "a cancelled put leaves each record complete or absent", ["C-05"], cancelled_put;
    "a cancelled put of several leaves each record complete or absent", ["C-05"], cancelled_batch;
    "a cancelled replacement leaves the old or the new record", ["C-05"], cancelled_replace;
    "a cancelled delete leaves each record complete or absent", ["C-05"], cancelled_delete;
    "a delete also deletes the record of an earlier, cancelled put",
        ["C-53"], delete_after_cut_off_put;
    "cancelled reads leave the store usable", ["C-05"], cancelled_reads;
    "a failed put leaves each record complete or absent", ["C-16"], failed_put;
}

/// The maximum number of polls before a call is dropped.
const POLLS: usize = 24;
/// How many times a put is cancelled before a delete.
const ROUNDS: u64 = 60;
/// How many times an incomplete batch is checked again. A store may still be processing a dropped
/// call.
const LOOKS: usize = 100;

/// Returns how many records of `batch` are stored. A record with other bytes breaks `broken`.
async fn present(store: &Probe, batch: &[Record], broken: &'static str) -> Result<usize, Stop> {
    let mut present = 0;
    for record in batch {
        let header =
            record.header().map_err(|reject| Failure::setup("make a test record", &reject))?;
        let key = crate::key::AggregateKey::from_stored(header.tenant, header.kind, header.id)?;
        let query = Query::latest(&key, header.generation).at_most(header.version);
        let lookup = store.get(query).await?;
        if let Some(misread) = misread(&query, &lookup) {
            let failure = Failure::new(misread, format!("get version {}", header.version));
            return Err(failure.expected("that version or a lower one").got(shown(&lookup)).into());
        }
        let found = lookup.into_record();
        // The record may be an older one of the batch.
        let found =
            found.filter(|found| found.header().map_or(true, |own| own.version == header.version));
        if let Some(found) = found {
            ensure(found == *record, || {
                Failure::new(
                    broken,
                    format!("get version {} after an incomplete call", header.version),
                )
                .expected("the complete record or nothing")
                .got(shown(&found))
            })?;
            present += 1;
        }
    }
    Ok(present)
}

/// Checks the records of a put that did not return `Ok`. Each record must be stored completely or
/// not at all. If batches are atomic, all records must be stored or none.
pub(crate) async fn settled(
    store: &Probe,
    batch: &[Record],
    broken: &'static str,
) -> Result<(), Stop> {
    let mut there = present(store, batch, broken).await?;
    if store.capabilities().atomic_batches {
        for _ in 0..LOOKS {
            if there == 0 || there == batch.len() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
            there = present(store, batch, broken).await?;
        }
        ensure(there == 0 || there == batch.len(), || {
            Failure::new("C-16", "count the records of a put that did not return `Ok`")
                .expected("all or none, because batches are atomic")
                .got(format!("{there} of {} records", batch.len()))
        })?;
    }
    Ok(())
}

async fn cancelled_put(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    for polls in 1..=POLLS {
        let record = record(&key(&format!("cut after {polls}"))?, 1)?;
        let put = store.try_put(vec![record.clone()], PutOptions::default());
        let ended = poll_times(put, polls).await.is_some();
        let after = store.hanging("C-05");
        present(&after, std::slice::from_ref(&record), "C-05").await?;
        // The same put succeeds now, whatever happened to the first call.
        after.put(std::slice::from_ref(&record)).await?;
        after.holds_or(&record, Blame::PUT.bytes("C-05")).await?;
        if ended {
            break;
        }
    }
    Ok(())
}

async fn cancelled_batch(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    for polls in 1..=POLLS {
        let key = key(&format!("cut after {polls}"))?;
        let batch = records(&key, &[1, 2, 3, 4, 5, 6])?;
        let put = store.try_put(batch.clone(), PutOptions::default());
        let ended = poll_times(put, polls).await.is_some();
        let after = store.hanging("C-05");
        present(&after, &batch, "C-05").await?;
        after.put(&batch).await?;
        for record in &batch {
            after.holds_or(record, Blame::PUT.bytes("C-05")).await?;
        }
        if ended {
            break;
        }
    }
    Ok(())
}

async fn cancelled_replace(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    // First, without cancelling.
    let whole = key("whole")?;
    store.put(&[record(&whole, 1)?]).await?;
    store.replace(&rival(&whole, 1)?).await?;
    store.holds_or(&rival(&whole, 1)?, Blame::PUT.bytes("C-12")).await?;
    for polls in 1..=POLLS {
        let key = key(&format!("cut after {polls}"))?;
        let (old, new) = (record(&key, 1)?, rival(&key, 1)?);
        store.put(std::slice::from_ref(&old)).await?;
        store.holds(&old).await?;
        let put = store.try_put(vec![new.clone()], PutOptions::default().replace(true));
        let ended = poll_times(put, polls).await.is_some();
        let after = store.hanging("C-05");
        let found = after.get(Query::latest(&key, NEW)).await?.into_record();
        ensure(found.as_ref().is_some_and(|found| *found == old || *found == new), || {
            Failure::new("C-05", "get a snapshot after cancelling its replacement")
                .expected("the old or the new record")
                .got(shown(&found))
        })?;
        after.replace(&new).await?;
        after.holds_or(&new, Blame::PUT.bytes("C-05")).await?;
        if ended {
            break;
        }
    }
    Ok(())
}

async fn cancelled_delete(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    // First, without cancelling.
    let whole = key("whole")?;
    store.put(&records(&whole, &[1, 2, 3])?).await?;
    store.deletes(&whole, Selection::Below(3), 2).await?;
    store.holds(&record(&whole, 3)?).await?;
    for polls in 1..=POLLS {
        let key = key(&format!("cut after {polls}"))?;
        let batch = records(&key, &[1, 2, 3])?;
        store.put(&batch).await?;
        store.holds_all(&batch).await?;
        let ended = poll_times(store.delete(&key, Selection::Below(3)), polls).await.is_some();
        let after = store.hanging("C-05");
        present(&after, &batch, "C-05").await?;
        // Snapshots that were not selected are unchanged.
        after.holds_or(&record(&key, 3)?, Blame::all("C-05")).await?;
        after.delete(&key, Selection::Below(3)).await?;
        after.answers_nothing(Query::latest(&key, NEW).at_most(2), "C-51").await?;
        if ended {
            break;
        }
    }
    Ok(())
}

async fn delete_after_cut_off_put(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    needs(store.capabilities().ordered_deletes, "Capabilities::ordered_deletes")?;
    let selected = id(NEW, 1);
    let ids = [selected];
    let selections = [Selection::All, Selection::Below(2), Selection::Ids(&ids)];
    // Whether the put and the delete overlap varies between rounds.
    let behind = key("behind")?;
    for (round, selection) in (1..=ROUNDS).zip(selections.into_iter().cycle()) {
        let key = key(&format!("cut and deleted {round}"))?;
        let put = store.try_put(vec![record(&key, 1)?], PutOptions::default());
        poll_times(put, 1).await;
        let after = store.hanging("C-05");
        after.delete(&key, selection).await?;
        // After this write, the put and the delete are both complete.
        after.put(&[record(&behind, round)?]).await?;
        let found = after.get(Query::latest(&key, NEW)).await?.into_record();
        ensure(found.is_none(), || {
            Failure::new(
                "C-53",
                format!("get a snapshot after cancelling a put and deleting {selection:?}"),
            )
            .expected("nothing")
            .got(shown(&found))
        })?;
        let listed = after.is_listed(&key, selected).await?;
        ensure(!listed, || {
            Failure::new(
                "C-53",
                format!("list snapshots after cancelling a put and deleting {selection:?}"),
            )
            .expected("nothing")
            .got("the deleted snapshot")
        })?;
    }
    Ok(())
}

async fn cancelled_reads(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let key = key("a")?;
    let batch = records(&key, &[1, 2, 3])?;
    store.put(&batch).await?;
    for polls in 1..=POLLS {
        poll_times(store.get(Query::latest(&key, NEW)), polls).await;
        poll_times(store.list(ListRequest::new(&key).limit(2)), polls).await;
        poll_times(store.keys(KeysRequest::new()), polls).await;
        let after = store.hanging("C-05");
        after.finds(Query::latest(&key, NEW), &record(&key, 3)?).await?;
        after.list(ListRequest::new(&key)).await?;
        after.keys(KeysRequest::new()).await?;
    }
    store.holds_all(&batch).await
}

async fn failed_put(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let key = key("a")?;
    store.put(&[record(&key, 1)?]).await?;
    needs(cx.site.fail_writes(true).await?, "Site::fail_writes")?;
    let batch = records(&key, &[2, 3, 4, 5, 6, 7, 8])?;
    let answer = store.try_put(batch.clone(), PutOptions::default()).await?;
    cx.site.fail_writes(false).await?;
    if answer.is_ok() {
        // An acknowledged put is stored, whatever happened to the medium.
        store.holds_all(&batch).await?;
        return Err(Stop::Skipped("Site::fail_writes to make a put fail"));
    }
    settled(&store, &batch, "C-16").await?;
    // After the repair, the same put succeeds.
    store.put(&batch).await?;
    store.holds_all(&batch).await?;
    let listed = store.is_listed(&key, id(NEW, 8)).await?;
    ensure(listed, || {
        Failure::new("C-10", "list snapshots after a repeated put")
            .expected("version 8")
            .got("not listed")
    })
}
