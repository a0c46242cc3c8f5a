//! Deltas are returned with their bases, and needed bases are not deleted.

use super::effects::left;
use super::{check_basics, pin, retirement};
use crate::codec::CodecId;
use crate::conformance::case::{Context, cases, needs};
use crate::conformance::failure::{Failure, Stop, ensure, shown};
use crate::conformance::probe::Probe;
use crate::conformance::samples::{NEW, OLD, RESHAPED, at, id, key, record, record_of};
use crate::conformance::store_kit::delete_many::{delete_alike, twins};
use crate::generation::Generation;
use crate::key::AggregateKey;
use crate::mark::MarkChange;
use crate::record::{Base, Record, RecordBuilder};
use crate::store::{DeleteOptions, Deleted, Found, Lookup, Query, Selection};

cases! { Marks:
    "a delta is returned with its bases, nearest first", ["C-26"], bases;
    "a delta is returned without bases that do not exist", ["C-26"], broken_chain;
    "several queries return deltas with their bases", ["C-26"], bases_of_many;
    "a base is kept while a remaining delta needs it", ["C-55"], needed;
    "the base of a pinned delta is kept", ["C-55"], needed_by_pinned;
    "several deletes in one call keep needed bases", ["C-55"], needed_of_many;
    "a replacement has its own base", ["C-26", "C-55"], replaced;
    "bases are known after reopening and after a crash", ["C-26", "C-55"], reopened;
}

/// Returns a record whose header names a base. Its payload is not a real delta, because stores do
/// not read payloads.
fn delta(
    key: &AggregateKey,
    generation: Generation,
    version: u64,
    base: u64,
) -> Result<Record, Stop> {
    let builder = RecordBuilder::new(key.clone(), generation, version, at(version))
        .codec(CodecId::custom(1))
        .created_at(at(1))
        .base(Base { version: base, checksum: 7 });
    Ok(builder.build(format!("{version} over {base}").as_bytes())?)
}

async fn open_with_bases(cx: &mut Context) -> Result<Probe, Stop> {
    let store = cx.open().await?;
    check_support(&store).await?;
    Ok(store)
}

async fn check_support(store: &Probe) -> Result<(), Stop> {
    needs(store.capabilities().returns_bases, "Capabilities::returns_bases")?;
    if store.capabilities().marks {
        check_basics(store).await?;
    }
    Ok(())
}

/// Puts version 10, and deltas of version 20 over 10, 30 over 20, and 40 over 10.
async fn put_chain(store: &Probe, key: &AggregateKey) -> Result<[Record; 4], Stop> {
    let over = |version, base| delta(key, NEW, version, base);
    let chain = [record(key, 10)?, over(20, 10)?, over(30, 20)?, over(40, 10)?];
    store.put(&chain).await?;
    store.holds_all(&chain).await?;
    Ok(chain)
}

async fn comes_with(store: &Probe, query: Query<'_>, bases: &[&Record]) -> Result<(), Stop> {
    has_bases(&store.get(query).await?, query, bases)
}

fn has_bases(lookup: &Lookup, query: Query<'_>, bases: &[&Record]) -> Result<(), Stop> {
    let found: Vec<_> = match lookup {
        Lookup::Found(found) => found.bases.iter().collect(),
        Lookup::Absent | Lookup::OtherGeneration => Vec::new(),
    };
    ensure(matches!(lookup, Lookup::Found(_)) && found == bases, || {
        Failure::new("C-26", format!("get a delta of {}", query.key))
            .expected(shown(&bases))
            .got(shown(&lookup))
    })
}

async fn bases(cx: &mut Context) -> Result<(), Stop> {
    let store = open_with_bases(cx).await?;
    let key = key("a")?;
    // A snapshot of another generation is not a base.
    store.put(&[record_of(&key, OLD, 10, at(10), b"other")?]).await?;
    let [first, second, third, _] = &put_chain(&store, &key).await?;
    let query = Query::latest(&key, NEW);
    comes_with(&store, query, &[first]).await?;
    comes_with(&store, query.at_most(39), &[second, first]).await?;
    comes_with(&store, query.as_of(at(30)), &[second, first]).await?;
    comes_with(&store, query.at_most(19), &[]).await?;
    if store.capabilities().marks {
        // A retired base is returned, because the delta needs its data.
        let ids = [id(NEW, 10), id(NEW, 20)];
        store.mark(&key, Selection::Ids(&ids), MarkChange::Set(&retirement("a"))).await?;
        comes_with(&store, Query::exact(&key, id(NEW, 30)), &[second, first]).await?;
    }
    // A chain that is longer than an answer can be.
    let most = Found::MAX_BASES as u64;
    let mut chain = vec![third.clone()];
    for version in 50..50 + most {
        chain.push(delta(&key, NEW, version, if version == 50 { 30 } else { version - 1 })?);
    }
    store.put(chain.get(1..).unwrap_or_default()).await?;
    let nearest: Vec<_> = chain.iter().rev().skip(1).collect();
    comes_with(&store, Query::latest(&key, NEW), &nearest).await
}

async fn broken_chain(cx: &mut Context) -> Result<(), Stop> {
    let store = open_with_bases(cx).await?;
    let key = key("a")?;
    let other = record_of(&key, OLD, 3, at(3), b"other")?;
    store.put(&[other, delta(&key, NEW, 5, 3)?, delta(&key, NEW, 8, 5)?]).await?;
    let query = Query::latest(&key, NEW);
    comes_with(&store, query, &[&delta(&key, NEW, 5, 3)?]).await?;
    comes_with(&store, query.at_most(7), &[]).await?;
    // A record that names itself or a higher version as its base has no valid chain.
    store.put(&[delta(&key, RESHAPED, 5, 5)?, delta(&key, RESHAPED, 6, 7)?]).await?;
    store.put(&[delta(&key, RESHAPED, 7, 6)?]).await?;
    comes_with(&store, Query::exact(&key, id(RESHAPED, 5)), &[]).await?;
    comes_with(&store, Query::exact(&key, id(RESHAPED, 6)), &[]).await
}

async fn bases_of_many(cx: &mut Context) -> Result<(), Stop> {
    let store = open_with_bases(cx).await?;
    let (a, b) = (key("a")?, key("b")?);
    let [first, second, ..] = &put_chain(&store, &a).await?;
    store.put(&[record(&b, 10)?]).await?;
    let latest = Query::latest(&a, NEW);
    let asked: [(Query<'_>, &[&Record]); 4] = [
        (latest, &[first]),
        (Query::latest(&b, NEW), &[]),
        (latest.at_most(39), &[second, first]),
        (latest.at_most(10), &[]),
    ];
    let found = store.get_many(&asked.map(|(query, _)| query)).await?;
    let expected = format!("{} results", asked.len());
    ensure(found.len() == asked.len(), || {
        Failure::new("C-25", "run several queries").expected(expected).got(shown(&found))
    })?;
    for (lookup, (query, bases)) in found.iter().zip(asked) {
        has_bases(lookup, query, bases)?;
    }
    Ok(())
}

async fn spares(
    store: &Probe,
    key: &AggregateKey,
    (selection, options): (Selection<'_>, DeleteOptions),
    expected: (u64, u64),
    versions: &[u64],
) -> Result<(), Stop> {
    let deleted = store.delete_with(key, selection, options).await?;
    let all = [10, 20, 30, 40].map(|version| id(NEW, version));
    left(store, key, &all, |id| versions.contains(&id.version), "C-55").await?;
    let Deleted { snapshots, needed, .. } = deleted;
    ensure((snapshots, needed) == expected, || {
        Failure::new("C-55", format!("delete {selection:?} of {key}"))
            .expected(format!("{} deleted, {} needed", expected.0, expected.1))
            .got(shown(&deleted))
    })
}

async fn needed(cx: &mut Context) -> Result<(), Stop> {
    let store = open_with_bases(cx).await?;
    let plain = DeleteOptions::default();
    let overrule = plain.overrule_pins(true);
    for (round, options) in [plain, overrule].into_iter().enumerate() {
        let key = key(&format!("a{round}"))?;
        put_chain(&store, &key).await?;
        spares(&store, &key, (Selection::Below(30), options), (0, 2), &[10, 20, 30, 40]).await?;
        let ids = [id(NEW, 30), id(NEW, 10)];
        spares(&store, &key, (Selection::Ids(&ids), options), (1, 1), &[10, 20, 40]).await?;
        spares(&store, &key, (Selection::Below(40), options), (1, 1), &[10, 40]).await?;
        spares(&store, &key, (Selection::All, options), (2, 0), &[]).await?;
    }
    Ok(())
}

async fn needed_by_pinned(cx: &mut Context) -> Result<(), Stop> {
    let store = open_with_bases(cx).await?;
    needs(store.capabilities().marks, "Capabilities::marks")?;
    let key = key("a")?;
    put_chain(&store, &key).await?;
    let ids = [id(NEW, 30)];
    store.mark(&key, Selection::Ids(&ids), MarkChange::Set(&pin("audit"))).await?;
    let ids = [id(NEW, 30), id(NEW, 40)];
    store.delete(&key, Selection::Ids(&ids)).await?;
    left(&store, &key, &ids, |id| id.version == 30, "C-54").await?;
    spares(&store, &key, (Selection::All, DeleteOptions::default()), (0, 2), &[10, 20, 30]).await
}

async fn needed_of_many(cx: &mut Context) -> Result<(), Stop> {
    let store = open_with_bases(cx).await?;
    for name in ["a", "b", "c", "d", "pinned"] {
        for key in twins(name)? {
            put_chain(&store, &key).await?;
            if store.capabilities().marks && name == "pinned" {
                let ids = [id(NEW, 30)];
                let change = pin("audit");
                store.mark(&key, Selection::Ids(&ids), MarkChange::Set(&change)).await?;
            }
        }
    }
    let all = [10, 20, 30, 40].map(|version| id(NEW, version));
    let (lowest, odd) = ([id(NEW, 10), id(NEW, 20)], [id(NEW, 10), id(NEW, 30), id(NEW, 40)]);
    // The second delete of `b` removes bases that the first one had to keep.
    let selected: &[(&str, &[_])] =
        &[("a", &lowest), ("b", &odd), ("pinned", &all), ("b", &all), ("c", &all), ("d", &odd)];
    delete_alike(&store, selected, DeleteOptions::default(), "C-55").await
}

/// A snapshot that is put again keeps its base. One that is replaced gets that of its replacement.
async fn replaced(cx: &mut Context) -> Result<(), Stop> {
    let store = open_with_bases(cx).await?;
    let key = key("a")?;
    let [first, second, third, _] = &put_chain(&store, &key).await?;
    let plain = DeleteOptions::default();
    let whole = record_of(&key, NEW, 20, at(20), b"whole")?;
    store.put(std::slice::from_ref(&whole)).await?;
    let (latest, query) = (Query::latest(&key, NEW), Query::exact(&key, id(NEW, 30)));
    comes_with(&store, query, &[second, first]).await?;
    spares(&store, &key, (Selection::Below(30), plain), (0, 2), &[10, 20, 30, 40]).await?;
    store.replace(&whole).await?;
    comes_with(&store, query, &[&whole]).await?;
    comes_with(&store, latest, &[first]).await?;
    store.replace(&delta(&key, NEW, 40, 30)?).await?;
    comes_with(&store, latest, &[third, &whole]).await?;
    spares(&store, &key, (Selection::Below(40), plain), (1, 2), &[20, 30, 40]).await?;
    store.replace(&record(&key, 40)?).await?;
    comes_with(&store, latest, &[]).await?;
    spares(&store, &key, (Selection::Below(40), plain), (2, 0), &[40]).await
}

async fn reopened(cx: &mut Context) -> Result<(), Stop> {
    let mut store = cx.open_durable().await?;
    check_support(&store).await?;
    let key = key("a")?;
    let [first, second, ..] = &put_chain(&store, &key).await?;
    for crash in [false, true] {
        store = if crash { cx.crash(store).await? } else { cx.reopen(store).await? };
        let query = Query::latest(&key, NEW);
        comes_with(&store, query, &[first]).await?;
        comes_with(&store, query.at_most(39), &[second, first]).await?;
        let options = DeleteOptions::default();
        spares(&store, &key, (Selection::Below(30), options), (0, 2), &[10, 20, 30, 40]).await?;
    }
    Ok(())
}
