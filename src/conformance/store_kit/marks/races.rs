//! Concurrent and cancelled changes of marks.

use super::{open, pin, retirement};
use crate::conformance::case::{Context, cases};
use crate::conformance::cut_off::poll_times;
use crate::conformance::failure::{Failure, Stop, ensure, shown};
use crate::conformance::isolate::panicked;
use crate::conformance::samples::{NEW, id, key, record, rival};
use crate::conformance::store_kit::concurrent::{TASKS, Tasks, join};
use crate::mark::{Mark, MarkChange};
use crate::store::{DeleteOptions, ListRequest, PutOptions, Query, Selection};

cases! { Marks:
    "marks that are set concurrently are all kept", ["C-63"], at_once;
    "a concurrent mark and replacement both take effect", ["C-63"], beside_replacements;
    "a pinned snapshot is kept during replacements that spare it", ["C-19"], beside_sparing;
    "a snapshot that is pinned during deletes is kept", ["C-54"], beside_deletes;
    "a cancelled change of marks takes effect completely or not at all", ["C-66"], cut_off;
}

const POLLS: usize = 24;

async fn at_once(cx: &mut Context) -> Result<(), Stop> {
    let store = open(cx).await?.hanging("C-04");
    let key = key("a")?;
    store.put(&[record(&key, 1)?, record(&key, 2)?]).await?;
    let mut tasks = Tasks::new();
    for task in 0..TASKS {
        let (store, key) = (store.clone(), key.clone());
        tasks.spawn(async move {
            for mark in [pin(&format!("of {task}")), retirement(&format!("of {task}"))] {
                store.mark(&key, Selection::All, MarkChange::Set(&mark)).await?;
            }
            Ok(())
        });
    }
    join(tasks).await?;
    let pins = (0..TASKS).map(|task| pin(&format!("of {task}")));
    let retirements = (0..TASKS).map(|task| retirement(&format!("of {task}")));
    let all: Vec<Mark> = pins.chain(retirements).collect();
    for version in [1, 2] {
        store.has_marks(&key, id(NEW, version), &all, "C-63").await?;
    }
    Ok(())
}

async fn beside_replacements(cx: &mut Context) -> Result<(), Stop> {
    let store = open(cx).await?.hanging("C-04");
    for round in 0..20 {
        let key = key(&format!("a{round}"))?;
        store.put(&[record(&key, 1)?]).await?;
        let mut tasks = Tasks::new();
        for task in 0..2 {
            let (own, marked) = (store.clone(), key.clone());
            tasks.spawn(async move {
                let mark = pin(&format!("of {task}"));
                own.mark(&marked, Selection::All, MarkChange::Set(&mark)).await.map(drop)
            });
            let (own, replaced) = (store.clone(), key.clone());
            tasks.spawn(async move { own.replace(&rival(&replaced, 1)?).await.map(drop) });
        }
        join(tasks).await?;
        store.has_marks(&key, id(NEW, 1), &[pin("of 0"), pin("of 1")], "C-63").await?;
    }
    Ok(())
}

async fn beside_sparing(cx: &mut Context) -> Result<(), Stop> {
    let store = open(cx).await?.hanging("C-04");
    let sparing = PutOptions::default().replace(true).spare_pinned(true);
    for round in 0..20 {
        let key = key(&format!("a{round}"))?;
        store.put(&[record(&key, 1)?]).await?;
        let pinning = {
            let (store, key) = (store.clone(), key.clone());
            tokio::spawn(async move {
                store.mark(&key, Selection::All, MarkChange::Set(&pin("audit"))).await?;
                store.get(Query::exact(&key, id(NEW, 1))).await
            })
        };
        for _ in 0..3 {
            store.put_with(vec![rival(&key, 1)?], sparing.clone()).await?;
            store.put_with(vec![record(&key, 1)?], sparing.clone()).await?;
        }
        let pinned = pinning.await.map_err(|join| panicked("C-19", join))??.into_record();
        let there = store.get(Query::exact(&key, id(NEW, 1))).await?.into_record();
        ensure(pinned == there, || {
            Failure::new("C-19", "pin a snapshot during replacements that spare pinned ones")
                .expected("the record that was stored when the pin was set")
                .got("another record")
        })?;
    }
    Ok(())
}

async fn beside_deletes(cx: &mut Context) -> Result<(), Stop> {
    let store = open(cx).await?.hanging("C-04");
    for round in 0..20 {
        let key = key(&format!("a{round}"))?;
        store.put(&[record(&key, 1)?]).await?;
        let pinning = {
            let (store, key) = (store.clone(), key.clone());
            tokio::spawn(async move {
                store.mark(&key, Selection::All, MarkChange::Set(&pin("audit"))).await
            })
        };
        let deleted = store.delete(&key, Selection::All).await?;
        let pinned = pinning.await.map_err(|join| panicked("C-54", join))??;
        // Either call may be first. If the pin is first, the snapshot still exists.
        let exact = Query::exact(&key, id(NEW, 1));
        let there = store.get(exact).await?.into_record().is_some();
        let fine = (deleted.snapshots, pinned, there) == (0, 1, true)
            || (deleted.snapshots, pinned, there) == (1, 0, false);
        ensure(fine, || {
            Failure::new("C-54", "delete a snapshot while it is being pinned")
                .expected("deleted and not pinned, or pinned and not deleted")
                .got(format!("{}, {pinned} pinned, stored: {there}", shown(&deleted)))
        })?;
        store
            .delete_with(&key, Selection::All, DeleteOptions::default().overrule_pins(true))
            .await?;
    }
    Ok(())
}

async fn cut_off(cx: &mut Context) -> Result<(), Stop> {
    let store = open(cx).await?;
    let kept = pin("kept");
    for polls in 1..=POLLS {
        let key = key(&format!("cut after {polls}"))?;
        store.put(&[record(&key, 1)?, record(&key, 2)?]).await?;
        store.mark(&key, Selection::All, MarkChange::Set(&kept)).await?;
        let new = pin("new");
        let change = MarkChange::Set(&new);
        let ended = poll_times(store.try_mark(&key, Selection::All, change), polls).await.is_some();
        let after = store.hanging("C-66");
        for meta in after.list(ListRequest::new(&key)).await?.items {
            let fine = *meta.marks == [kept.clone()] || *meta.marks == [kept.clone(), new.clone()];
            ensure(fine, || {
                Failure::new("C-66", format!("list {key} after a cancelled change of marks"))
                    .expected("the old marks, with or without the new one")
                    .got(shown(&meta.marks))
            })?;
        }
        // The same change succeeds now, whatever happened to the first call.
        after.mark(&key, Selection::All, change).await?;
        for version in [1, 2] {
            after.has_marks(&key, id(NEW, version), &[kept.clone(), new.clone()], "C-66").await?;
        }
        if ended {
            break;
        }
    }
    Ok(())
}
