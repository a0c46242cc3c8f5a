//! Deletes of several keys in one call have the same effect as single deletes.

use crate::conformance::case::{Context, cases};
use crate::conformance::failure::{Failure, Stop, ensure, shown};
use crate::conformance::probe::Probe;
use crate::conformance::samples::{NEW, OLD, RESHAPED, at, id, key, record, record_of};
use crate::key::AggregateKey;
use crate::record::SnapshotMeta;
use crate::snapshot_id::SnapshotId;
use crate::store::{DeleteOptions, ListRequest, Selection};

cases! { Delete:
    "several deletes in one call have the effect of single deletes", ["C-56"], alike;
    "several deletes in one call may be many, or none", ["C-56"], any_number;
    "a delete with nothing to delete does not affect others", ["C-57"], nothing;
}

/// Returns two keys for `name`: the snapshots of one are deleted by single calls, those of the other
/// in a call for several keys.
pub(super) fn twins(name: &str) -> Result<[AggregateKey; 2], Stop> {
    Ok([key(&format!("single {name}"))?, key(&format!("joined {name}"))?])
}

/// Deletes the same ids of [`twins`] with equal snapshots, and compares the results. A difference
/// breaks `broken`.
pub(super) async fn delete_alike(
    store: &Probe,
    selected: &[(&str, &[SnapshotId])],
    options: DeleteOptions,
    broken: &'static str,
) -> Result<(), Stop> {
    let (mut expected, mut keys) = (Vec::new(), Vec::new());
    for (name, ids) in selected {
        let [single, joined] = twins(name)?;
        expected.push(store.delete_with(&single, Selection::Ids(ids), options).await?);
        keys.push((single, joined));
    }
    let asked: Vec<_> =
        keys.iter().zip(selected).map(|((_, joined), (_, ids))| (joined, *ids)).collect();
    let deleted = store.blaming(broken).delete_many(&asked, options).await?;
    for (single, joined) in &keys {
        let [kept, left] = [single, joined].map(|key| store.walk(ListRequest::new(key), 20));
        let (kept, left) = (kept.await?.items, left.await?.items);
        let ids = |metas: &[SnapshotMeta]| metas.iter().map(SnapshotMeta::id).collect::<Vec<_>>();
        ensure(ids(&left) == ids(&kept), || {
            Failure::new(broken, format!("list {joined} after several deletes in one call"))
                .expected(shown(&ids(&kept)))
                .got(shown(&ids(&left)))
        })?;
    }
    ensure(deleted == expected, || {
        Failure::new(broken, format!("make {} deletes in one call", selected.len()))
            .expected(shown(&expected))
            .got(shown(&deleted))
    })
}

async fn fill(store: &Probe, key: &AggregateKey) -> Result<(), Stop> {
    for version in [2, 4, 6, 8] {
        for generation in [OLD, NEW, RESHAPED] {
            let record = record_of(key, generation, version, at(version), b"state")?;
            store.put(std::slice::from_ref(&record)).await?;
            store.holds(&record).await?;
        }
    }
    Ok(())
}

async fn alike(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let odd = [id(NEW, 4), id(NEW, 4), id(NEW, 5), id(RESHAPED, 8), id(NEW, 0), id(NEW, u64::MAX)];
    let selected: &[(&str, &[SnapshotId])] = &[
        ("b", &[id(NEW, 8), id(OLD, 2)]),
        ("a", &odd),
        ("c", &[]),
        ("nobody", &[id(NEW, 8)]),
        ("b", &[id(NEW, 6), id(NEW, 8)]),
        ("d", &[id(OLD, 6)]),
        ("a", &odd),
    ];
    for name in ["a", "b", "c", "d"] {
        for key in twins(name)? {
            fill(&store, &key).await?;
        }
    }
    delete_alike(&store, selected, DeleteOptions::default(), "C-56").await
}

async fn any_number(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let mut keys = (0..300).map(|n| key(&format!("a{n}"))).collect::<Result<Vec<_>, _>>()?;
    let kind = format!("{}kit", AggregateKey::RESERVED_PREFIX);
    keys.push(AggregateKey::from_stored("", &kind, "a")?);
    let records = keys.iter().map(|key| record(key, 4)).collect::<Result<Vec<_>, _>>()?;
    store.put(&records).await?;
    store.holds_all(&records).await?;
    let ids = [id(NEW, 4)];
    let all: Vec<_> = keys.iter().rev().map(|key| (key, &ids[..])).collect();
    for selected in [&[], &all[..]] {
        let expected = vec![1; selected.len()];
        let deleted = store.blaming("C-56").delete_many(selected, DeleteOptions::default()).await?;
        let deleted: Vec<_> = deleted.iter().map(|deleted| deleted.snapshots).collect();
        ensure(deleted == expected, || {
            Failure::new("C-56", format!("make {} deletes in one call", expected.len()))
                .expected(shown(&expected))
                .got(shown(&deleted))
        })?;
    }
    Ok(())
}

async fn nothing(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let (a, b, nobody) = (key("a")?, key("b")?, key("nobody")?);
    let long = key(&"x".repeat(AggregateKey::MAX_PART_BYTES))?;
    let records = [record(&a, 4)?, record(&b, 4)?];
    store.put(&records).await?;
    store.holds_all(&records).await?;
    let (ids, above) = ([id(NEW, 4)], [id(NEW, u64::MAX)]);
    // What is wrong alone breaks other obligations.
    let idle = [(&long, &ids[..]), (&nobody, &ids), (&a, &above), (&nobody, &[])];
    let (mut selected, mut expected) = (vec![(&a, &ids[..])], vec![1]);
    for (key, ids) in idle {
        expected.push(store.delete(key, Selection::Ids(ids)).await?.snapshots);
        selected.push((key, ids));
    }
    selected.push((&b, &ids));
    expected.push(1);
    let deleted = store.blaming("C-57").delete_many(&selected, DeleteOptions::default()).await?;
    let deleted: Vec<_> = deleted.iter().map(|deleted| deleted.snapshots).collect();
    ensure(deleted == expected, || {
        Failure::new("C-57", "delete what is stored and what is not in one call")
            .expected(shown(&expected))
            .got(shown(&deleted))
    })
}
