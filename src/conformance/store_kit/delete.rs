//! Deletes remove exactly what was selected.

use crate::conformance::case::{Context, cases};
use crate::conformance::failure::{Failure, Stop, ensure, shown};
use crate::conformance::probe::{Blame, Probe, outcomes_are};
use crate::conformance::samples::{NEW, OLD, RESHAPED, at, id, key, record, record_of, rival};
use crate::generation::Generation;
use crate::key::AggregateKey;
use crate::record::{Record, SnapshotMeta};
use crate::snapshot_id::SnapshotId;
use crate::store::{Deleted, ListRequest, Mark, MarkChange, PutOutcome, Query, Selection};

cases! { Delete:
    "all snapshots of a key are deleted", ["C-50"], all;
    "all snapshots below a version are deleted, but not that version", ["C-50"], below;
    "exactly the given ids are deleted", ["C-50"], ids;
    "deleting an id keeps the same version of other generations", ["C-50"], generations;
    "one generation is deleted, or all generations except one", ["C-50"], by_generation;
    "an empty list of ids deletes nothing", ["C-50"], no_ids;
    "duplicate ids and ids that are not stored are not counted", ["C-50"], odd_ids;
    "the number and the bytes of deleted snapshots are returned", ["C-50"], counted;
    "repeating a delete deletes nothing", ["C-50"], again;
    "a deleted snapshot is not found", ["C-51"], not_found;
    "a deleted snapshot is not listed", ["C-51"], not_listed;
    "a snapshot that is put after a delete is found", ["C-52"], put_again;
    "a deleted identity can be put as if it were new", ["C-52"], as_new;
    "an erased key has no snapshots, and others have theirs", ["C-58"], erased;
}

/// Puts versions 2, 4, 6 and 8, of which 4 and 6 exist in all generations.
async fn fill(store: &Probe) -> Result<(AggregateKey, Vec<(SnapshotId, Record)>), Stop> {
    fill_key(store, key("a")?).await
}

async fn fill_key(
    store: &Probe,
    key: AggregateKey,
) -> Result<(AggregateKey, Vec<(SnapshotId, Record)>), Stop> {
    let mut stored = Vec::new();
    for version in [2, 4, 6, 8] {
        for generation in [OLD, NEW, RESHAPED] {
            if generation == NEW || version == 4 || version == 6 {
                let payload = format!("{generation} {version}");
                let record = record_of(&key, generation, version, at(version), payload.as_bytes())?;
                stored.push((id(generation, version), record));
            }
        }
    }
    let records: Vec<_> = stored.iter().map(|(_, record)| record.clone()).collect();
    store.put_each(&records).await?;
    // Records that a put lost must not count against the delete.
    store.holds_all(&records).await?;
    Ok((key, stored))
}

async fn is_there(
    store: &Probe,
    key: &AggregateKey,
    id: SnapshotId,
    record: &Record,
) -> Result<bool, Stop> {
    let query = Query::latest(key, id.generation).at_most(id.version);
    Ok(store.get(query).await?.into_record().as_ref() == Some(record))
}

/// Fills a store, deletes, and checks what is left.
async fn delete_and_look(
    store: &Probe,
    aggregate: &str,
    selection: Selection<'_>,
) -> Result<(), Stop> {
    let (key, stored) = fill_key(store, key(aggregate)?).await?;
    let deleted = store.delete(&key, selection).await?;
    let selected = stored.iter().filter(|(id, _)| selection.admits(*id)).count() as u64;
    for (id, record) in &stored {
        let there = is_there(store, &key, *id, record).await?;
        let wanted = !selection.admits(*id);
        // A delete that reports more than it did breaks another obligation.
        let broken = if there && deleted.snapshots == selected { "C-51" } else { "C-50" };
        ensure(there == wanted, || {
            let (expected, got) = if wanted { ("kept", "gone") } else { ("gone", "still there") };
            Failure::new(broken, format!("get {id} after deleting {selection:?}"))
                .expected(expected)
                .got(got)
        })?;
    }
    ensure(deleted.snapshots == selected, || {
        Failure::new("C-50", format!("delete {selection:?}"))
            .expected(format!("{selected} snapshots"))
            .got(shown(&deleted))
    })
}

async fn all(cx: &mut Context) -> Result<(), Stop> {
    delete_and_look(&cx.open().await?, "a", Selection::All).await
}

async fn below(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    for version in [0, 1, 2, 3, 4, 5, 8, 9, u64::MAX] {
        let aggregate = format!("below {version}");
        delete_and_look(&store, &aggregate, Selection::Below(version)).await?;
    }
    Ok(())
}

async fn ids(cx: &mut Context) -> Result<(), Stop> {
    delete_and_look(&cx.open().await?, "a", Selection::Ids(&[id(NEW, 8), id(NEW, 2)])).await
}

async fn generations(cx: &mut Context) -> Result<(), Stop> {
    delete_and_look(&cx.open().await?, "a", Selection::Ids(&[id(OLD, 4), id(RESHAPED, 6)])).await
}

async fn by_generation(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let unknown = Generation { schema_version: 77, fingerprint: NEW.fingerprint };
    for (round, generation) in [OLD, NEW, RESHAPED, unknown].into_iter().enumerate() {
        let (these, others) = (format!("these {round}"), format!("others {round}"));
        delete_and_look(&store, &these, Selection::Generation(generation)).await?;
        delete_and_look(&store, &others, Selection::ExceptGeneration(generation)).await?;
    }
    Ok(())
}

async fn no_ids(cx: &mut Context) -> Result<(), Stop> {
    delete_and_look(&cx.open().await?, "a", Selection::Ids(&[])).await
}

async fn odd_ids(cx: &mut Context) -> Result<(), Stop> {
    let ids = [id(NEW, 4), id(NEW, 4), id(NEW, 5), id(OLD, 8), id(NEW, 0), id(NEW, u64::MAX)];
    delete_and_look(&cx.open().await?, "a", Selection::Ids(&ids)).await
}

async fn counted(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let (key, stored) = fill(&store).await?;
    let mut rest = stored;
    let some = [id(NEW, 8), id(OLD, 6)];
    for selection in [Selection::Below(4), Selection::Ids(&some), Selection::All] {
        let (gone, kept): (Vec<_>, Vec<_>) =
            rest.into_iter().partition(|(id, _)| selection.admits(*id));
        rest = kept;
        let bytes = gone.iter().map(|(_, record)| record.as_bytes().len() as u64).sum();
        let expected = Deleted::new(gone.len() as u64, bytes);
        let deleted = store.delete(&key, selection).await?;
        ensure(deleted == expected, || {
            Failure::new("C-50", format!("delete {selection:?}"))
                .expected(shown(&expected))
                .got(shown(&deleted))
        })?;
        are_gone(&store, &key, &gone).await?;
    }
    Ok(())
}

/// Checks that snapshots reported as deleted are not found.
async fn are_gone(
    store: &Probe,
    key: &AggregateKey,
    gone: &[(SnapshotId, Record)],
) -> Result<(), Stop> {
    for (id, record) in gone {
        let there = is_there(store, key, *id, record).await?;
        ensure(!there, || {
            Failure::new("C-51", format!("get {id} after it was deleted"))
                .expected("another snapshot or none")
                .got("the deleted snapshot")
        })?;
    }
    Ok(())
}

async fn again(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let (key, stored) = fill(&store).await?;
    let mut rest = stored;
    for selection in [Selection::Below(5), Selection::Ids(&[id(NEW, 8)]), Selection::All] {
        let (gone, kept): (Vec<_>, Vec<_>) =
            rest.into_iter().partition(|(id, _)| selection.admits(*id));
        rest = kept;
        store.deletes(&key, selection, gone.len() as u64).await?;
        are_gone(&store, &key, &gone).await?;
        store.deletes(&key, selection, 0).await?;
    }
    Ok(())
}

async fn not_found(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let (key, stored) = fill(&store).await?;
    store.deletes(&key, Selection::Ids(&[id(NEW, 8)]), 1).await?;
    are_gone(&store, &key, stored.get(stored.len() - 1..).unwrap_or_default()).await?;
    store.deletes(&key, Selection::All, stored.len() as u64 - 1).await?;
    for generation in [OLD, NEW, RESHAPED] {
        store.finds_nothing(&key, generation, "C-51").await?;
    }
    Ok(())
}

async fn not_listed(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let (key, _) = fill(&store).await?;
    for (selection, snapshots) in
        [(Selection::Ids(&[id(NEW, 8)]), 1), (Selection::Below(5), 4), (Selection::All, 3)]
    {
        store.deletes(&key, selection, snapshots).await?;
        let items = store.list(ListRequest::new(&key)).await?.items;
        let stays = items.iter().find(|meta| selection.admits(meta.id()));
        ensure(stays.is_none(), || {
            Failure::new("C-51", format!("list snapshots after deleting {selection:?}"))
                .expected("none of the deleted snapshots")
                .got(shown(&stays.map(SnapshotMeta::id)))
        })?;
    }
    Ok(())
}

async fn put_again(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let key = key("a")?;
    let records = [record(&key, 5)?, record(&key, 6)?];
    store.put(&records).await?;
    store.holds_all(&records).await?;
    let ids = [id(NEW, 5), id(NEW, 6)];
    for selection in [Selection::Ids(&ids), Selection::Below(9), Selection::All] {
        store.deletes(&key, selection, 2).await?;
        store.put(&records).await?;
        for record in &records {
            store.holds_or(record, Blame::all("C-52")).await?;
        }
    }
    // Puts an older version than the deleted ones.
    store.deletes(&key, Selection::All, 2).await?;
    let old = record(&key, 2)?;
    store.put(std::slice::from_ref(&old)).await?;
    store.holds_or(&old, Blame::all("C-52")).await
}

async fn as_new(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let key = key("a")?;
    store.put(&[record(&key, 5)?]).await?;
    store.deletes(&key, Selection::All, 1).await?;
    store.finds_nothing(&key, NEW, "C-51").await?;
    let other = rival(&key, 5)?;
    let outcomes = store.put(std::slice::from_ref(&other)).await?;
    outcomes_are(
        "C-52",
        "put a record under a deleted identity",
        &outcomes,
        &[PutOutcome::Stored],
    )?;
    store.holds_or(&other, Blame::all("C-52")).await
}

async fn erased(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let (a, of_a) = fill(&store).await?;
    let (b, of_b) = fill_key(&store, key("b")?).await?;
    if store.capabilities().marks {
        let pin = Mark::pin("kit", at(1));
        store.mark(&a, Selection::Ids(&[id(NEW, 4)]), MarkChange::Set(&pin)).await?;
    }
    let bytes: u64 = of_a.iter().map(|(_, record)| record.as_bytes().len() as u64).sum();
    for (snapshots, bytes) in [(of_a.len() as u64, bytes), (0, 0)] {
        let erased = store.erase(&a).await?;
        ensure((erased.snapshots, erased.bytes) == (snapshots, bytes), || {
            Failure::new("C-58", format!("erase {a}"))
                .expected(format!("{snapshots} snapshots, {bytes} bytes"))
                .got(shown(&erased))
        })?;
        for (id, record) in &of_a {
            ensure(!is_there(&store, &a, *id, record).await?, || {
                Failure::new("C-58", format!("get {id} of {a} after it was erased"))
                    .expected("no snapshot")
                    .got("the erased one")
            })?;
        }
    }
    for (id, record) in &of_b {
        ensure(is_there(&store, &b, *id, record).await?, || {
            Failure::new("C-58", format!("get {id} of {b} after {a} was erased"))
                .expected("the snapshot")
                .got("another answer")
        })?;
    }
    Ok(())
}
