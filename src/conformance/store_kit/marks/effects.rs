//! Retired snapshots are not used, and pinned snapshots are not deleted.

use super::{clear, fill, open, pin, retirement, unless_lost};
use crate::conformance::case::{Context, cases};
use crate::conformance::failure::{Failure, Stop, ensure, shown};
use crate::conformance::probe::Probe;
use crate::conformance::samples::{NEW, OLD, RESHAPED, at, id, key, record, record_of};
use crate::conformance::store_kit::delete_many::{delete_alike, twins};
use crate::conformance::store_kit::history::is_other;
use crate::key::AggregateKey;
use crate::mark::MarkChange;
use crate::record::SnapshotMeta;
use crate::snapshot_id::SnapshotId;
use crate::store::{DeleteOptions, KeysRequest, ListRequest, Lookup, Query, Selection};

cases! { Marks:
    "a retired snapshot is not found", ["C-24"], retired;
    "a retired snapshot is found if the query includes retired ones", ["C-24"], retired_on_request;
    "a snapshot with any retirement is not found", ["C-24"], several_retirements;
    "a key is not absent if only its requested generation is retired", ["C-21"], retired_own;
    "a retired snapshot and its key are listed", ["C-34"], retired_listed;
    "a pinned snapshot is kept and counted", ["C-54"], pinned;
    "a pinned snapshot is deleted if pins are overruled", ["C-54"], overruled;
    "several deletes in one call keep pinned snapshots", ["C-54"], pinned_of_many;
    "a snapshot stays pinned until its last pin is cleared", ["C-54"], several_pins;
    "a retired snapshot can be deleted", ["C-50"], retired_deleted;
}

async fn retired(cx: &mut Context) -> Result<(), Stop> {
    let store = open(cx).await?;
    let key = key("a")?;
    let records = [record(&key, 10)?, record(&key, 20)?, record(&key, 30)?];
    store.put(&records).await?;
    store.holds_all(&records).await?;
    let mark = retirement("wrong fold");
    for (version, left) in [(30, Some(&records[1])), (10, Some(&records[1])), (20, None)] {
        let ids = [id(NEW, version)];
        store.marks(&key, Selection::Ids(&ids), MarkChange::Set(&mark), 1, "C-60").await?;
        let query = Query::latest(&key, NEW);
        for query in [query, query.as_of(at(40)), query.at_most(35).at_least(5)] {
            match left {
                Some(left) => store.finds(query, left).await.map_err(unless_lost)?,
                None => store.answers_nothing(query, "C-24").await?,
            }
        }
    }
    // After its retirement is cleared, a snapshot is found again.
    for (record, version) in records.iter().zip([10, 20, 30]) {
        let ids = [id(NEW, version)];
        store.marks(&key, Selection::Ids(&ids), clear(&mark), 1, "C-60").await?;
        store.finds(Query::latest(&key, NEW), record).await.map_err(unless_lost)?;
    }
    Ok(())
}

async fn retired_on_request(cx: &mut Context) -> Result<(), Stop> {
    let store = open(cx).await?;
    let key = key("a")?;
    let records = [record(&key, 10)?, record(&key, 20)?];
    store.put(&records).await?;
    store.holds_all(&records).await?;
    store.mark(&key, Selection::All, MarkChange::Set(&retirement("wrong fold"))).await?;
    let query = Query::latest(&key, NEW).include_retired(true);
    for (query, record) in [
        (query, &records[1]),
        (query.at_most(19), &records[0]),
        (query.as_of(at(19)), &records[0]),
        (Query::exact(&key, id(NEW, 10)), &records[0]),
    ] {
        store.finds(query, record).await.map_err(unless_lost)?;
    }
    Ok(())
}

async fn several_retirements(cx: &mut Context) -> Result<(), Stop> {
    let store = open(cx).await?;
    let key = key("a")?;
    let record = record(&key, 1)?;
    store.put(std::slice::from_ref(&record)).await?;
    // A pin does not override a retirement.
    let marks = [pin("a"), retirement("a"), retirement("b")];
    for mark in &marks {
        store.mark(&key, Selection::All, MarkChange::Set(mark)).await?;
    }
    for mark in &marks[1..] {
        store.answers_nothing(Query::latest(&key, NEW), "C-24").await?;
        store.mark(&key, Selection::All, clear(mark)).await?;
    }
    store.finds(Query::latest(&key, NEW), &record).await.map_err(unless_lost)
}

async fn retired_own(cx: &mut Context) -> Result<(), Stop> {
    let store = open(cx).await?;
    let key = key("a")?;
    store.put(&[record(&key, 9)?]).await?;
    let other = record_of(&key, OLD, 3, at(3), b"other")?;
    store.put(std::slice::from_ref(&other)).await?;
    store.holds(&other).await?;
    let ids = [id(NEW, 9)];
    store.mark(&key, Selection::Ids(&ids), MarkChange::Set(&retirement("a"))).await?;
    let query = Query::latest(&key, NEW);
    for query in [query, query.as_of(at(9)), query.at_least(3)] {
        store.answers_nothing(query, "C-24").await?;
        is_other(&store, query).await?;
    }
    Ok(())
}

async fn retired_listed(cx: &mut Context) -> Result<(), Stop> {
    let store = open(cx).await?;
    let key = key("a")?;
    let mut ids = fill(&store, &key).await?;
    store.mark(&key, Selection::All, MarkChange::Set(&retirement("a"))).await?;
    ids.sort_unstable_by_key(|id| std::cmp::Reverse(*id));
    let listed = store.walk(ListRequest::new(&key), 10).await?.items;
    let listed: Vec<_> = listed.iter().map(SnapshotMeta::id).collect();
    ensure(listed == ids, || {
        Failure::new("C-34", format!("list {key}, whose snapshots are all retired"))
            .expected(shown(&ids))
            .got(shown(&listed))
    })?;
    let keys = store.walk_keys(KeysRequest::new(), 10).await?.items;
    ensure(keys.contains(&key), || {
        Failure::new("C-40", "list keys").expected(shown(&key)).got(shown(&keys))
    })
}

/// Returns whether the snapshot is stored, even if it is retired.
async fn is_there(store: &Probe, key: &AggregateKey, id: SnapshotId) -> Result<bool, Stop> {
    Ok(matches!(store.get(Query::exact(key, id)).await?, Lookup::Found(_)))
}

/// Checks which of all `ids` remain after a delete. A difference breaks `broken`.
pub(super) async fn left(
    store: &Probe,
    key: &AggregateKey,
    ids: &[SnapshotId],
    stays: impl Fn(SnapshotId) -> bool,
    broken: &'static str,
) -> Result<(), Stop> {
    for id in ids {
        let (there, wanted) = (is_there(store, key, *id).await?, stays(*id));
        ensure(there == wanted, || {
            let got = if there { "still there" } else { "gone" };
            Failure::new(broken, format!("get {id} of {key} after a delete"))
                .expected(if wanted { "kept" } else { "gone" })
                .got(got)
        })?;
    }
    Ok(())
}

async fn pinned(cx: &mut Context) -> Result<(), Stop> {
    let store = open(cx).await?;
    let pinned = [id(NEW, 2), id(OLD, 4), id(NEW, 6)];
    let some = [id(NEW, 6), id(NEW, 4), id(OLD, 4)];
    let selections = [
        Selection::All,
        Selection::Below(5),
        Selection::Generation(NEW),
        Selection::ExceptGeneration(RESHAPED),
        Selection::Ids(&some),
    ];
    for (round, selection) in selections.into_iter().enumerate() {
        let key = key(&format!("a{round}"))?;
        let ids = fill(&store, &key).await?;
        let (mark, ids_pinned) = (pin("audit"), Selection::Ids(&pinned));
        store.marks(&key, ids_pinned, MarkChange::Set(&mark), 3, "C-60").await?;
        let kept = pinned.iter().filter(|id| selection.admits(**id)).count() as u64;
        let gone = ids.iter().filter(|id| selection.admits(**id)).count() as u64 - kept;
        let deleted = store.delete(&key, selection).await?;
        left(&store, &key, &ids, |id| pinned.contains(&id) || !selection.admits(id), "C-54")
            .await?;
        let counts = (deleted.snapshots, deleted.pinned, deleted.needed);
        ensure(counts == (gone, kept, 0), || {
            Failure::new("C-54", format!("delete {selection:?}, which includes pinned snapshots"))
                .expected(format!("{gone} deleted, {kept} pinned"))
                .got(shown(&deleted))
        })?;
        for id in pinned {
            store.has_marks(&key, id, std::slice::from_ref(&mark), "C-54").await?;
        }
    }
    Ok(())
}

async fn pinned_of_many(cx: &mut Context) -> Result<(), Stop> {
    let store = open(cx).await?;
    let (pinned, some) = ([id(NEW, 2), id(OLD, 4)], [id(NEW, 2), id(NEW, 4), id(OLD, 4)]);
    let plain = DeleteOptions::default();
    for (options, names) in [(plain, ["a", "b"]), (plain.overrule_pins(true), ["c", "d"])] {
        for name in names {
            for key in twins(name)? {
                fill(&store, &key).await?;
                store.mark(&key, Selection::Ids(&pinned), MarkChange::Set(&pin("audit"))).await?;
            }
        }
        let [first, second] = names;
        let selected = [(first, &some[..]), (second, &pinned)];
        delete_alike(&store, &selected, options, "C-54").await?;
    }
    Ok(())
}

async fn overruled(cx: &mut Context) -> Result<(), Stop> {
    let store = open(cx).await?;
    let key = key("a")?;
    let ids = fill(&store, &key).await?;
    store.mark(&key, Selection::All, MarkChange::Set(&pin("audit"))).await?;
    let overrule = DeleteOptions::default().overrule_pins(true);
    for (selection, stays) in [(Selection::Below(4), 4), (Selection::All, 0)] {
        let deleted = store.delete_with(&key, selection, overrule).await?;
        left(&store, &key, &ids, |id| stays > 0 && !selection.admits(id), "C-54").await?;
        ensure(deleted.pinned == 0, || {
            let what = format!("delete {selection:?} with pins overruled");
            Failure::new("C-54", what)
                .expected("no snapshot kept because of a pin")
                .got(shown(&deleted))
        })?;
    }
    Ok(())
}

async fn several_pins(cx: &mut Context) -> Result<(), Stop> {
    let store = open(cx).await?;
    let key = key("a")?;
    store.put(&[record(&key, 1)?]).await?;
    let only = [id(NEW, 1)];
    let marks = [pin("a"), pin("b"), retirement("a")];
    for mark in &marks {
        store.mark(&key, Selection::All, MarkChange::Set(mark)).await?;
    }
    for mark in marks.get(..2).unwrap_or_default() {
        store.delete(&key, Selection::All).await?;
        left(&store, &key, &only, |_| true, "C-54").await?;
        store.mark(&key, Selection::All, clear(mark)).await?;
    }
    store.delete(&key, Selection::All).await?;
    left(&store, &key, &only, |_| false, "C-50").await
}

async fn retired_deleted(cx: &mut Context) -> Result<(), Stop> {
    let store = open(cx).await?;
    let key = key("a")?;
    let ids = fill(&store, &key).await?;
    store.mark(&key, Selection::All, MarkChange::Set(&retirement("a"))).await?;
    store.deletes(&key, Selection::All, ids.len() as u64).await?;
    left(&store, &key, &ids, |_| false, "C-51").await
}
