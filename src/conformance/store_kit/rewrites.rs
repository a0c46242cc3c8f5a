//! Records are rewritten only if they are still the expected ones.

use std::sync::{Arc, Mutex, PoisonError};

use super::concurrent::{TASKS, Tasks, join};
use super::marks::{pin, retirement};
use crate::codec::CodecId;
use crate::conformance::case::{Context, cases, needs};
use crate::conformance::failure::{Failure, Stop, ensure, shown};
use crate::conformance::probe::{Blame, Probe};
use crate::conformance::samples::{NEW, OLD, at, id, key, record, record_of, rival};
use crate::error::{Error, ErrorKind};
use crate::key::AggregateKey;
use crate::record::{Base, Record, RecordBuilder};
use crate::store::{DeleteOptions, Lookup, PutOutcome, Query, Rewrite, Selection};

cases! { Marks:
    "rewrites are made or refused", ["C-70"], made_or_refused;
    "a rewrite replaces only the expected record", ["C-70"], expected_only;
    "a rewrite does not bring a deleted snapshot back", ["C-70"], deleted;
    "of several rewrites of one record, one is made", ["C-70"], at_once;
    "a rewrite never undoes a concurrent replacement", ["C-70"], beside_replacements;
    "a rewritten snapshot keeps its marks", ["C-71"], marked;
    "a rewritten snapshot needs its new base only", ["C-71"], based;
    "invalid rewrites change nothing", ["C-72"], invalid;
    "rewritten records survive a crash", ["C-73"], crashed;
}

async fn open(cx: &mut Context) -> Result<Probe, Stop> {
    let store = cx.open().await?;
    needs(store.capabilities().rewrites, "Capabilities::rewrites")?;
    Ok(store)
}

/// Returns a third record of the same snapshot.
fn third(key: &AggregateKey, version: u64) -> Result<Record, Error> {
    record_of(key, NEW, version, at(version), b"rewritten")
}

impl Probe {
    async fn try_rewrite(&self, rewrites: Vec<Rewrite>) -> Result<Result<Vec<bool>, Error>, Stop> {
        self.bounded("rewrite", self.store().rewrite(rewrites)).await
    }

    /// Rewrites, and checks which records were replaced. Any other answer breaks C-70.
    async fn rewrites(&self, rewrites: Vec<Rewrite>, expected: &[bool]) -> Result<(), Stop> {
        let answer = self.try_rewrite(rewrites).await?;
        ensure(answer.as_ref().is_ok_and(|replaced| replaced == expected), || {
            Failure::new("C-70", "rewrite records").expected(shown(&expected)).got(shown(&answer))
        })
    }

    /// Checks that the snapshot of `record` is this record. Anything else breaks `broken`.
    async fn is_now(&self, record: &Record, broken: &'static str) -> Result<(), Stop> {
        let header = record.header().map_err(|reject| {
            Error::new(ErrorKind::InvalidInput, "read a record of the kit", reject.to_string())
        })?;
        let key = AggregateKey::from_stored(header.tenant, header.kind, header.id)?;
        let exact = Query::exact(&key, id(header.generation, header.version));
        self.finds_or(exact.include_retired(true), record, Blame::all(broken)).await
    }
}

async fn made_or_refused(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let key = key("a")?;
    let old = record(&key, 5)?;
    store.put(std::slice::from_ref(&old)).await?;
    let rewrite = || Ok::<_, Error>(vec![Rewrite::new(old.clone(), rival(&key, 5)?)]);
    if store.capabilities().rewrites {
        store.rewrites(rewrite()?, &[true]).await?;
        return store.is_now(&rival(&key, 5)?, "C-70").await;
    }
    let answer = store.try_rewrite(rewrite()?).await?;
    ensure(answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::Unsupported), || {
        Failure::new("C-70", "rewrite in a store without rewrites")
            .expected("Unsupported")
            .got(shown(&answer))
    })?;
    store.is_now(&old, "C-70").await
}

async fn expected_only(cx: &mut Context) -> Result<(), Stop> {
    let store = open(cx).await?;
    let (a, b, c) = (key("a")?, key("b")?, key("c")?);
    let older = record_of(&a, OLD, 5, at(5), b"state")?;
    store.put(&[record(&a, 4)?, record(&a, 5)?, record(&b, 5)?, older.clone()]).await?;
    store.rewrites(Vec::new(), &[]).await?;
    let rewrites = vec![
        Rewrite::new(record(&b, 5)?, rival(&b, 5)?),
        // Another record is stored.
        Rewrite::new(rival(&a, 4)?, third(&a, 4)?),
        Rewrite::new(record(&a, 5)?, rival(&a, 5)?),
        // Nothing is stored, of the aggregate or of the version.
        Rewrite::new(record(&c, 5)?, rival(&c, 5)?),
        Rewrite::new(record(&b, 4)?, rival(&b, 4)?),
    ];
    store.rewrites(rewrites, &[true, false, true, false, false]).await?;
    for stored in [rival(&b, 5)?, record(&a, 4)?, rival(&a, 5)?, older] {
        store.is_now(&stored, "C-70").await?;
    }
    store.finds_nothing(&c, NEW, "C-70").await?;
    store.answers_nothing(Query::exact(&b, id(NEW, 4)), "C-70").await?;
    // The old record is no longer expected.
    store.rewrites(vec![Rewrite::new(record(&a, 5)?, third(&a, 5)?)], &[false]).await?;
    store.is_now(&rival(&a, 5)?, "C-70").await?;
    store.rewrites(vec![Rewrite::new(rival(&a, 5)?, third(&a, 5)?)], &[true]).await?;
    store.is_now(&third(&a, 5)?, "C-70").await?;
    // A record may be replaced by itself.
    store.rewrites(vec![Rewrite::new(third(&a, 5)?, third(&a, 5)?)], &[true]).await?;
    store.is_now(&third(&a, 5)?, "C-70").await
}

async fn deleted(cx: &mut Context) -> Result<(), Stop> {
    let store = open(cx).await?;
    let key = key("a")?;
    store.put(&[record(&key, 5)?, record(&key, 6)?]).await?;
    store.deletes(&key, Selection::Ids(&[id(NEW, 5)]), 1).await?;
    let rewrite = || Ok::<_, Error>(vec![Rewrite::new(record(&key, 5)?, rival(&key, 5)?)]);
    store.rewrites(rewrite()?, &[false]).await?;
    store.answers_nothing(Query::exact(&key, id(NEW, 5)), "C-70").await?;
    store.put(&[third(&key, 5)?]).await?;
    store.rewrites(rewrite()?, &[false]).await?;
    store.is_now(&third(&key, 5)?, "C-70").await
}

async fn at_once(cx: &mut Context) -> Result<(), Stop> {
    let store = open(cx).await?.hanging("C-04");
    for round in 0..10 {
        let key = key(&format!("a{round}"))?;
        let old = record(&key, 5)?;
        store.put(std::slice::from_ref(&old)).await?;
        let new = |task: u64| record_of(&key, NEW, 5, at(5), format!("by {task}").as_bytes());
        let (made, mut tasks) = (Arc::new(Mutex::new(Vec::new())), Tasks::new());
        for task in 0..TASKS {
            let (store, made) = (store.clone(), made.clone());
            let rewrite = vec![Rewrite::new(old.clone(), new(task)?)];
            tasks.spawn(async move {
                let answer = store.try_rewrite(rewrite).await??;
                if answer == [true] {
                    made.lock().unwrap_or_else(PoisonError::into_inner).push(task);
                }
                Ok(())
            });
        }
        join(tasks).await?;
        let made = made.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let [winner] = *made else {
            let failure = Failure::new("C-70", format!("rewrite one record {TASKS} times at once"));
            return Err(failure.expected("one is made").got(shown(&made)).into());
        };
        store.is_now(&new(winner)?, "C-70").await?;
    }
    Ok(())
}

async fn beside_replacements(cx: &mut Context) -> Result<(), Stop> {
    let store = open(cx).await?.hanging("C-04");
    for round in 0..20 {
        let key = key(&format!("a{round}"))?;
        store.put(&[record(&key, 5)?]).await?;
        let mut tasks = Tasks::new();
        let (own, replaced) = (store.clone(), rival(&key, 5)?);
        tasks.spawn(async move { own.replace(&replaced).await.map(drop) });
        let (own, rewrite) = (store.clone(), Rewrite::new(record(&key, 5)?, third(&key, 5)?));
        tasks.spawn(async move { Ok(own.try_rewrite(vec![rewrite]).await?.map(drop)?) });
        join(tasks).await?;
        store.is_now(&rival(&key, 5)?, "C-70").await?;
    }
    Ok(())
}

async fn marked(cx: &mut Context) -> Result<(), Stop> {
    let store = open(cx).await?;
    needs(store.capabilities().marks, "Capabilities::marks")?;
    let key = key("a")?;
    let marks = [pin("audit"), retirement("wrong fold")];
    store.put_marked(&record(&key, 5)?, &marks).await?;
    store.has_marks(&key, id(NEW, 5), &marks, "C-18").await?;
    store.rewrites(vec![Rewrite::new(record(&key, 5)?, rival(&key, 5)?)], &[true]).await?;
    store.is_now(&rival(&key, 5)?, "C-71").await?;
    store.has_marks(&key, id(NEW, 5), &marks, "C-71").await
}

async fn based(cx: &mut Context) -> Result<(), Stop> {
    let store = open(cx).await?;
    needs(store.capabilities().returns_bases, "Capabilities::returns_bases")?;
    let key = key("a")?;
    let over = |version: u64, base: u64| {
        RecordBuilder::new(key.clone(), NEW, version, at(version))
            .codec(CodecId::custom(1))
            .base(Base { version: base, checksum: 7 })
            .build(format!("{version} over {base}").as_bytes())
    };
    store.put(&[record(&key, 1)?, record(&key, 2)?, over(5, 1)?, over(6, 1)?]).await?;
    // One becomes whole, and the other one gets another base.
    let rewrites =
        vec![Rewrite::new(over(5, 1)?, record(&key, 5)?), Rewrite::new(over(6, 1)?, over(6, 2)?)];
    store.rewrites(rewrites, &[true, true]).await?;
    let lookup = store.get(Query::exact(&key, id(NEW, 6))).await?;
    let bases = match &lookup {
        Lookup::Found(found) => found.bases.clone(),
        Lookup::Absent | Lookup::OtherGeneration => Vec::new(),
    };
    ensure(bases == [record(&key, 2)?], || {
        Failure::new("C-71", "get a delta whose base a rewrite has changed")
            .expected("version 2 as its base")
            .got(shown(&lookup))
    })?;
    let all = [id(NEW, 1), id(NEW, 2)];
    let deleted = store.delete_with(&key, Selection::Ids(&all), DeleteOptions::default()).await?;
    ensure((deleted.snapshots, deleted.needed) == (1, 1), || {
        Failure::new("C-71", "delete the base before a rewrite and the one after it")
            .expected("one deleted, one needed")
            .got(shown(&deleted))
    })?;
    store.is_now(&record(&key, 2)?, "C-71").await
}

async fn invalid(cx: &mut Context) -> Result<(), Stop> {
    let store = open(cx).await?;
    let (a, b) = (key("a")?, key("b")?);
    store.put(&[record(&a, 5)?, record(&b, 5)?]).await?;
    let garbage = Record::from_bytes(b"garbage".as_slice());
    let valid = Rewrite::new(record(&a, 5)?, rival(&a, 5)?);
    let of_b = |new| Ok::<_, Error>(Rewrite::new(record(&b, 5)?, new));
    for wrong in [
        of_b(rival(&a, 5)?)?,
        of_b(rival(&b, 6)?)?,
        of_b(record_of(&b, OLD, 5, at(5), b"state")?)?,
        of_b(record_of(&b, NEW, 5, at(6), b"state")?)?,
        of_b(garbage.clone())?,
        Rewrite::new(garbage.clone(), rival(&b, 5)?),
        // The first one is of the same snapshot.
        Rewrite::new(record(&a, 5)?, third(&a, 5)?),
    ] {
        let answer = store.try_rewrite(vec![valid.clone(), wrong]).await?;
        ensure(
            answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::InvalidInput),
            || {
                let failure = Failure::new("C-72", "rewrite records, one of them invalid");
                failure.expected("InvalidInput").got(shown(&answer))
            },
        )?;
        for stored in [record(&a, 5)?, record(&b, 5)?] {
            store.is_now(&stored, "C-72").await?;
        }
    }
    Ok(())
}

async fn crashed(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open_durable().await?;
    needs(store.capabilities().rewrites, "Capabilities::rewrites")?;
    let key = key("a")?;
    let outcomes = store.put(&[record(&key, 5)?, record(&key, 6)?]).await?;
    ensure(outcomes == [PutOutcome::Stored; 2], || {
        Failure::new("C-17", "put two records").expected("two stored").got(shown(&outcomes))
    })?;
    let rewrites = vec![
        Rewrite::new(record(&key, 5)?, rival(&key, 5)?),
        Rewrite::new(rival(&key, 6)?, third(&key, 6)?),
    ];
    store.rewrites(rewrites, &[true, false]).await?;
    let store = cx.crash(store).await?;
    store.is_now(&rival(&key, 5)?, "C-73").await?;
    store.is_now(&record(&key, 6)?, "C-73").await?;
    let store = cx.reopen(store).await?;
    store.is_now(&rival(&key, 5)?, "C-73").await
}
