//! Tasks that write concurrently.

use tokio::task::JoinSet;

use super::{TASKS, Tasks, join, unless_lossy};
use crate::conformance::case::{Context, cases};
use crate::conformance::failure::{Failure, Stop, ensure, shown};
use crate::conformance::isolate::panicked;
use crate::conformance::probe::Probe;
use crate::conformance::samples::{NEW, at, id, key, record, record_of, rival};
use crate::key::AggregateKey;
use crate::store::PutOutcome::{Existing, Stored};
use crate::store::{Query, Selection};

cases! { Concurrent:
    "all records that many tasks put concurrently are stored", ["C-10", "C-04"], many_writers;
    "concurrent writers of one aggregate lose nothing", ["C-10", "C-04"], one_aggregate;
    "of concurrent puts of one identity, exactly one returns `Stored`", ["C-11"], one_identity;
    "the highest version is found, whichever put is last", ["C-13"], rising_versions;
    "a snapshot that is put after a delete is found during other deletes",
        ["C-52"], put_after_delete;
}

/// Checks that all of these records, put concurrently, are stored.
async fn none_lost(store: &Probe, kept: &[(AggregateKey, u64)]) -> Result<(), Stop> {
    for (key, version) in kept {
        store.holds(&record(key, *version)?).await?;
    }
    Ok(())
}

async fn many_writers(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?.hanging("C-04");
    let mut tasks = Tasks::new();
    let mut kept = Vec::new();
    for task in 0..TASKS {
        let mut own = Vec::new();
        for aggregate in 0..10 {
            for version in 1..=4 {
                own.push((key(&format!("{task} {aggregate}"))?, version));
            }
        }
        kept.extend(own.iter().cloned());
        let store = store.clone();
        tasks.spawn(async move {
            for (key, version) in own {
                store.put(&[record(&key, version)?]).await?;
            }
            Ok(())
        });
    }
    join(tasks).await?;
    none_lost(&store, &kept).await
}

async fn one_aggregate(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?.hanging("C-04");
    let key = key("a")?;
    let mut tasks = Tasks::new();
    let mut kept = Vec::new();
    for task in 0..TASKS {
        let own: Vec<_> = (0..25).map(|round| round * TASKS + task + 1).collect();
        kept.extend(own.iter().map(|version| (key.clone(), *version)));
        let (store, key) = (store.clone(), key.clone());
        tasks.spawn(async move {
            for version in own {
                store.put(&[record(&key, version)?]).await?;
            }
            Ok(())
        });
    }
    join(tasks).await?;
    none_lost(&store, &kept).await
}

async fn one_identity(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?.hanging("C-04");
    let raced = race_one_identity(&store).await;
    unless_lossy(&store, raced).await
}

async fn race_one_identity(store: &Probe) -> Result<(), Stop> {
    for round in 0..40 {
        let key = key(&format!("{round}"))?;
        let mut tasks = JoinSet::new();
        for task in 0..TASKS {
            let (store, key) = (store.clone(), key.clone());
            tasks.spawn(async move {
                let payload = format!("of task {task}");
                let record = record_of(&key, NEW, 1, at(1), payload.as_bytes())?;
                let outcomes = store.put(std::slice::from_ref(&record)).await?;
                Ok::<_, Stop>((outcomes, record))
            });
        }
        let mut winners = Vec::new();
        let mut told = 0;
        while let Some(ended) = tasks.join_next().await {
            let (outcomes, record) = ended.map_err(|join| panicked("C-03", join))??;
            match &*outcomes {
                [Stored] => winners.push(record),
                [Existing { identical: false }] => told += 1,
                _ => {}
            }
        }
        ensure(winners.len() == 1 && told == TASKS - 1, || {
            Failure::new("C-11", format!("put different payloads from {TASKS} tasks concurrently"))
                .expected("one Stored, the others Existing { identical: false }")
                .got(format!("{} Stored, {told} Existing", winners.len()))
        })?;
        let found = store.get(Query::latest(&key, NEW)).await?.into_record();
        ensure(found.as_ref() == winners.first(), || {
            Failure::new("C-11", "get the snapshot after the race")
                .expected("the record whose put returned Stored")
                .got(shown(&found))
        })?;
    }
    Ok(())
}

async fn rising_versions(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?.hanging("C-04");
    let raced = race_rising_versions(&store).await;
    unless_lossy(&store, raced).await
}

async fn race_rising_versions(store: &Probe) -> Result<(), Stop> {
    for round in 0..10 {
        let key = key(&format!("{round}"))?;
        let mut tasks = Tasks::new();
        for task in 0..TASKS {
            let (store, key) = (store.clone(), key.clone());
            tasks.spawn(async move {
                for step in 0..5 {
                    store.put(&[record(&key, 1 + step * TASKS + task)?]).await?;
                }
                Ok(())
            });
        }
        join(tasks).await?;
        let highest = TASKS * 5;
        let lookup = store.get(Query::latest(&key, NEW)).await?;
        if lookup.clone().into_record() != Some(record(&key, highest)?) {
            let listed = store.is_listed(&key, id(NEW, highest)).await?;
            let broken = if listed { "C-13" } else { "C-10" };
            let failure = Failure::new(
                broken,
                format!("get the newest snapshot after puts by {TASKS} tasks"),
            );
            let failure = failure.expected(format!("version {highest}")).got(shown(&lookup));
            return Err(failure.into());
        }
    }
    Ok(())
}

async fn put_after_delete(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?.hanging("C-04");
    let raced = race_put_after_delete(&store).await;
    unless_lossy(&store, raced).await
}

async fn race_put_after_delete(store: &Probe) -> Result<(), Stop> {
    let mut tasks = Tasks::new();
    for task in 0..TASKS {
        let store = store.clone();
        tasks.spawn(async move {
            let own = key(&format!("{task}"))?;
            for round in 0..15 {
                let newest = if round % 2 == 0 { record(&own, 5)? } else { rival(&own, 5)? };
                store.put(std::slice::from_ref(&newest)).await?;
                let found = store.get(Query::latest(&own, NEW)).await?.into_record();
                ensure(found.as_ref() == Some(&newest), || {
                    let broken = match found {
                        _ if round == 0 => "C-10",
                        // The previous one was deleted.
                        Some(_) => "C-51",
                        None => "C-52",
                    };
                    Failure::new(broken, format!("get the snapshot put after {round} deletes"))
                        .expected(shown(&newest))
                        .got(shown(&found))
                })?;
                store.deletes(&own, Selection::All, 1).await?;
            }
            Ok(())
        });
    }
    join(tasks).await
}
