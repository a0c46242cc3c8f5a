//! Tasks that read while others write.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::{TASKS, Tasks, join, pause};
use crate::conformance::case::{Context, cases};
use crate::conformance::failure::{Failure, Stop, ensure, shown};
use crate::conformance::probe::Probe;
use crate::conformance::samples::{NEW, at, id, key, record, record_of, records};
use crate::conformance::store_kit::history::list::each_is_listed;
use crate::key::AggregateKey;
use crate::record::SnapshotMeta;
use crate::store::{KeysRequest, ListRequest, Lookup, Query, Selection};

cases! { Concurrent:
    "a get sees every put that returned before it", ["C-23"], fresh_reads;
    "readers see the old or the new record during a replacement",
        ["C-12"], replaced_under_readers;
    "readers see a complete record or none during puts and deletes", ["C-04"], coming_and_going;
    "a list during changes contains each unchanged snapshot once", ["C-32"], listed_under_change;
    "each unchanged aggregate is listed once during changes", ["C-40"], keys_under_change;
}

async fn fresh_reads(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let key = key("a")?;
    let acknowledged = Arc::new(AtomicU64::new(0));
    let done = Arc::new(AtomicBool::new(false));
    let mut tasks = Tasks::new();
    for task in 0..4 {
        let (store, key) = (store.clone(), key.clone());
        let (acknowledged, done) = (Arc::clone(&acknowledged), Arc::clone(&done));
        tasks.spawn(async move {
            let mut random = fastrand::Rng::with_seed(task);
            while !done.load(Ordering::SeqCst) {
                let newest = acknowledged.load(Ordering::SeqCst);
                let lookup = store.get(Query::latest(&key, NEW)).await?;
                let found = match &lookup {
                    Lookup::Found(found) => found.version,
                    Lookup::Absent | Lookup::OtherGeneration => 0,
                };
                if found < newest {
                    // Either the put was lost, or it became visible late.
                    let listed = store.is_listed(&key, id(NEW, newest)).await?;
                    let broken = if listed { "C-23" } else { "C-10" };
                    let message = format!(
                        "get the newest snapshot after the put of version {newest} returned"
                    );
                    let failure = Failure::new(broken, message);
                    let failure = failure.expected(format!("version {newest} or above"));
                    return Err(failure.got(format!("version {found}")).into());
                }
                pause(&mut random).await;
            }
            Ok(())
        });
    }
    let mut random = fastrand::Rng::with_seed(TASKS);
    let mut written = Ok(());
    for version in 1..=150 {
        written = match record(&key, version) {
            Ok(record) => store.put(&[record]).await.map(drop),
            Err(error) => Err(error.into()),
        };
        if written.is_err() {
            break;
        }
        acknowledged.store(version, Ordering::SeqCst);
        pause(&mut random).await;
    }
    done.store(true, Ordering::SeqCst);
    join(tasks).await?;
    written
}

async fn replaced_under_readers(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let key = key("a")?;
    let old = record_of(&key, NEW, 5, at(5), &[b'o'; 9_000])?;
    let new = record_of(&key, NEW, 5, at(5), &vec![b'n'; 20_000])?;
    store.put(&[record(&key, 4)?, old.clone()]).await?;
    let done = Arc::new(AtomicBool::new(false));
    let mut tasks = Tasks::new();
    for task in 0..4 {
        let (store, key, done) = (store.clone(), key.clone(), Arc::clone(&done));
        let either = [old.clone(), new.clone()];
        tasks.spawn(async move {
            let mut random = fastrand::Rng::with_seed(task);
            while !done.load(Ordering::SeqCst) {
                let found = store.get(Query::latest(&key, NEW)).await?.into_record();
                ensure(found.as_ref().is_some_and(|found| either.contains(found)), || {
                    let torn = found.as_ref().is_some_and(|found| found.verify().is_err());
                    let broken = if torn { "C-04" } else { "C-12" };
                    Failure::new(broken, "get a record while it is replaced")
                        .expected("the old or the new record")
                        .got(shown(&found))
                })?;
                pause(&mut random).await;
            }
            Ok(())
        });
    }
    let mut random = fastrand::Rng::with_seed(TASKS);
    let mut written = Ok(());
    for round in 0..60 {
        let next = if round % 2 == 0 { &new } else { &old };
        written = store.replace(next).await.map(drop);
        if written.is_err() {
            break;
        }
        pause(&mut random).await;
    }
    done.store(true, Ordering::SeqCst);
    join(tasks).await?;
    written
}

async fn coming_and_going(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?.hanging("C-04");
    let key = key("a")?;
    let whole = record_of(&key, NEW, 5, at(5), &vec![b'w'; 30_000])?;
    let mut tasks = Tasks::new();
    for task in 0..TASKS {
        let (store, key, whole) = (store.clone(), key.clone(), whole.clone());
        tasks.spawn(async move {
            let mut random = fastrand::Rng::with_seed(task);
            for _ in 0..30 {
                match task {
                    0 | 1 => drop(store.put(std::slice::from_ref(&whole)).await?),
                    2 => drop(store.delete(&key, Selection::All).await?),
                    _ => {
                        let found = store.get(Query::latest(&key, NEW)).await?.into_record();
                        ensure(found.as_ref().is_none_or(|found| *found == whole), || {
                            Failure::new("C-04", "get a record during puts and deletes")
                                .expected("the complete record or none")
                                .got(shown(&found))
                        })?;
                    }
                }
                pause(&mut random).await;
            }
            Ok(())
        });
    }
    join(tasks).await
}

/// Keeps putting and deleting other versions and aggregates until `done`.
fn churn(store: &Probe, key: &AggregateKey, done: &Arc<AtomicBool>) -> Tasks {
    let mut tasks = Tasks::new();
    for task in 0..2 {
        let (store, own, done) = (store.clone(), key.clone(), Arc::clone(done));
        tasks.spawn(async move {
            let mut random = fastrand::Rng::with_seed(task);
            let mut round = 0;
            while !done.load(Ordering::SeqCst) {
                round += 1;
                // Each task has its own versions.
                let version = 2 * (1 + (round % 20) * 2 + task);
                let passing = key_of(task, round)?;
                store.put(&[record(&own, version)?, record(&passing, 1)?]).await?;
                let deleted = store.delete(&own, Selection::Ids(&[id(NEW, version)])).await?;
                ensure(deleted.snapshots <= 1, || {
                    Failure::new("C-50", "delete one id")
                        .expected("at most 1 snapshot")
                        .got(shown(&deleted))
                })?;
                store.delete(&passing, Selection::All).await?;
                pause(&mut random).await;
            }
            Ok(())
        });
    }
    tasks
}

fn key_of(task: u64, round: u64) -> Result<AggregateKey, Stop> {
    Ok(key(&format!("passing {task} {}", round % 7))?)
}

async fn listed_under_change(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let key = key("a")?;
    let versions: Vec<_> = (0..40).map(|place| 2 * place + 1).collect();
    store.put(&records(&key, &versions)?).await?;
    let stays: Vec<_> = versions.iter().map(|version| id(NEW, *version)).collect();
    let done = Arc::new(AtomicBool::new(false));
    let tasks = churn(&store, &key, &done);
    let mut listed = Ok(());
    for round in 0..30 {
        listed = async {
            let request = ListRequest::new(&key).limit(1 + round % 9);
            let items = store.walk(request, 500).await?.items;
            let ids: Vec<_> = items.iter().map(SnapshotMeta::id).collect();
            each_is_listed(&store, &key, &ids, &stays, "C-32").await
        }
        .await;
        if listed.is_err() {
            break;
        }
    }
    done.store(true, Ordering::SeqCst);
    join(tasks).await?;
    listed
}

/// Checks that each permanent key is listed once. Temporary keys may be listed or not.
async fn each_stays_listed(
    store: &Probe,
    stays: &[AggregateKey],
    limit: usize,
) -> Result<(), Stop> {
    let listed = store.walk_keys(KeysRequest::new().limit(limit), 500).await?.items;
    for key in stays {
        let times = listed.iter().filter(|listed| *listed == key).count();
        ensure(times == 1, || {
            Failure::new("C-40", "list keys during puts and deletes of other keys")
                .expected("each unchanged key once")
                .got(format!("{key} {times} times"))
        })?;
    }
    Ok(())
}

async fn keys_under_change(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let mut stays = Vec::new();
    for place in 0..40 {
        let key = AggregateKey::from_parts("stays", "account", &format!("{place}"))?;
        store.put(&[record(&key, 1)?]).await?;
        stays.push(key);
    }
    let done = Arc::new(AtomicBool::new(false));
    let tasks = churn(&store, &key("a")?, &done);
    let mut listed = Ok(());
    for round in 0..30 {
        listed = each_stays_listed(&store, &stays, 1 + round % 9).await;
        if listed.is_err() {
            break;
        }
    }
    done.store(true, Ordering::SeqCst);
    join(tasks).await?;
    listed
}
