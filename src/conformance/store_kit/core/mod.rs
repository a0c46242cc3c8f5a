//! Stored records are found, and aggregates are kept apart.

pub(super) mod keys;
pub(super) mod put;

use crate::codec::CodecId;
use crate::conformance::case::{Context, cases};
use crate::conformance::failure::{Failure, Stop, ensure, shown};
use crate::conformance::probe::Blame;
use crate::conformance::samples::{NEW, at, id, key, noise, record, record_of};
use crate::key::AggregateKey;
use crate::record::RecordBuilder;
use crate::store::{KeysRequest, ListRequest, Query, Selection};
use crate::timestamp::Timestamp;

cases! { Core:
    "nothing is found for a key that was never put", ["C-02"], absent_get;
    "a key that was never put has an empty list", ["C-02"], absent_list;
    "an empty store has no keys", ["C-02"], absent_keys;
    "a delete for a key that was never put deletes nothing", ["C-02"], absent_delete;
    "a record is returned byte for byte", ["C-06"], bytes;
    "payloads of any length are returned byte for byte", ["C-06"], payloads;
    "every field of a header is returned", ["C-06"], headers;
    "a snapshot of another aggregate is not found", ["C-01"], isolated_get;
    "a snapshot of another aggregate is not listed", ["C-01"], isolated_list;
    "a put is not affected by the same version of another aggregate", ["C-01"], isolated_put;
    "a delete does not affect other aggregates", ["C-01"], isolated_delete;
    "the next get sees an acknowledged put", ["C-23"], read_your_writes;
    "the capabilities never change", ["C-07"], capabilities;
}

async fn absent_get(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let nobody = key("nobody")?;
    store.finds_nothing(&nobody, NEW, "C-02").await?;
    store.put(&[record(&key("somebody")?, 1)?]).await?;
    store.finds_nothing(&nobody, NEW, "C-01").await
}

async fn absent_list(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let nobody = key("nobody")?;
    let page = store.list(ListRequest::new(&nobody)).await?;
    ensure(page.items.is_empty() && page.next.is_none(), || {
        Failure::new("C-02", "list an absent key").expected("an empty page").got(shown(&page))
    })
}

async fn absent_keys(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let page = store.keys(KeysRequest::new()).await?;
    ensure(page.items.is_empty() && page.next.is_none(), || {
        Failure::new("C-02", "list the keys of an empty store")
            .expected("an empty page")
            .got(shown(&page))
    })
}

async fn absent_delete(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let nobody = key("nobody")?;
    for selection in [Selection::All, Selection::Below(9), Selection::Ids(&[])] {
        let deleted = store.delete(&nobody, selection).await?;
        ensure(deleted.snapshots == 0 && deleted.bytes == 0, || {
            let what = format!("delete {selection:?} of an absent key");
            Failure::new("C-02", what).expected("nothing deleted").got(shown(&deleted))
        })?;
    }
    Ok(())
}

async fn bytes(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let record = record(&key("a")?, 1)?;
    store.put(std::slice::from_ref(&record)).await?;
    store.holds(&record).await
}

async fn payloads(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let most = store.capabilities().max_record_bytes;
    for length in [0, 1, 2, 511, 4_096, 65_535, 65_536, 1 << 20] {
        let key = key(&format!("{length} bytes"))?;
        let noise = noise(&mut cx.random, length);
        for (version, payload) in [(1, &*noise), (2, &*vec![0; length])] {
            let record = record_of(&key, NEW, version, at(version), payload)?;
            if record.as_bytes().len() as u64 <= most {
                store.put(std::slice::from_ref(&record)).await?;
                store.finds(Query::latest(&key, NEW), &record).await?;
            }
        }
    }
    Ok(())
}

async fn headers(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let key = AggregateKey::from_parts("north", "account", "a")?;
    let plain = RecordBuilder::new(key.clone(), NEW, 1, Timestamp::from_micros(-1));
    let full = RecordBuilder::new(key.clone(), NEW, 2, Timestamp::from_micros(i64::MAX - 1))
        .codec(CodecId::custom(77))
        .created_at(Timestamp::from_micros(123_456_789))
        .last_recorded_at(Timestamp::from_micros(5))
        .anchor(noise(&mut cx.random, 300))
        .label("month-end")
        .label("pinned")
        .label("")
        .origin("node 7");
    for record in [plain.build(b"")?, full.build(b"state")?] {
        store.put(std::slice::from_ref(&record)).await?;
        store.finds(Query::latest(&key, NEW), &record).await?;
    }
    Ok(())
}

/// Returns keys that differ only in one part, or only in the boundary between parts.
fn neighbours() -> Result<Vec<AggregateKey>, Stop> {
    let parts = [
        ("", "account", "a"),
        ("north", "account", "a"),
        ("south", "account", "a"),
        ("north", "order", "a"),
        ("north", "account", "b"),
        ("north", "account", "ab"),
        ("north", "account", ""),
        ("northaccount", "", "a"),
        ("", "northaccount", "a"),
        ("north", "accounta", ""),
    ];
    let keys = parts.iter().map(|(tenant, kind, id)| AggregateKey::from_parts(tenant, kind, id));
    Ok(keys.collect::<Result<_, _>>()?)
}

async fn isolated_get(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let keys = neighbours()?;
    for (place, own) in keys.iter().enumerate() {
        for later in keys.iter().skip(place) {
            store.finds_nothing(later, NEW, "C-01").await?;
        }
        store.put(&[record(own, 1)?]).await?;
    }
    for key in &keys {
        store.holds_or(&record(key, 1)?, Blame::PUT.bytes("C-01")).await?;
    }
    Ok(())
}

async fn isolated_list(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let keys = neighbours()?;
    for (version, key) in (1..).zip(&keys) {
        store.put(&[record(key, version)?]).await?;
    }
    for (version, key) in (1..).zip(&keys) {
        let page = store.list(ListRequest::new(key)).await?;
        let foreign = page.items.iter().any(|meta| meta.key != *key || meta.version != version);
        ensure(!foreign, || {
            Failure::new("C-01", format!("list {key}"))
                .expected(format!("only its own version {version}"))
                .got(shown(&page.items))
        })?;
    }
    Ok(())
}

async fn isolated_put(cx: &mut Context) -> Result<(), Stop> {
    use crate::store::PutOutcome::Stored;
    let store = cx.open().await?;
    for key in neighbours()? {
        let outcomes = store.put(&[record(&key, 1)?]).await?;
        ensure(outcomes == [Stored], || {
            Failure::new("C-01", format!("put {key} for the first time after similar keys"))
                .expected("[Stored]")
                .got(shown(&outcomes))
        })?;
    }
    Ok(())
}

async fn isolated_delete(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let keys = neighbours()?;
    for key in &keys {
        let records = [record(key, 1)?, record(key, 2)?];
        store.put(&records).await?;
        // Records that a put lost must not count against the delete.
        store.holds_all(&records).await?;
    }
    let ids = [id(NEW, 1), id(NEW, 2)];
    let selections = [Selection::All, Selection::Below(3), Selection::Ids(&ids)];
    let mut rest = &keys[..];
    for selection in selections {
        let Some((own, others)) = rest.split_first() else { break };
        rest = others;
        store.delete(own, selection).await?;
        for other in others {
            for version in [1, 2] {
                store.holds_or(&record(other, version)?, Blame::all("C-01")).await?;
            }
        }
    }
    Ok(())
}

async fn read_your_writes(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let key = key("a")?;
    let query = Query::latest(&key, NEW);
    // The store might cache this answer.
    store.get(query).await?;
    for version in 1..=50 {
        let newest = record(&key, version)?;
        store.put(std::slice::from_ref(&newest)).await?;
        let lookup = store.get(query).await?;
        if lookup.clone().into_record() != Some(newest) {
            let listed = store.is_listed(&key, id(NEW, version)).await?;
            let id = if listed { "C-23" } else { "C-10" };
            let failure = Failure::new(
                id,
                format!("get the newest snapshot after the put of version {version}"),
            );
            let failure = failure.expected(format!("version {version}")).got(shown(&lookup));
            return Err(failure.into());
        }
    }
    Ok(())
}

async fn capabilities(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let first = store.capabilities();
    store.put(&[record(&key("a")?, 1)?]).await?;
    let then = store.capabilities();
    ensure(then == first, || {
        Failure::new("C-07", "compare the capabilities before and after a put")
            .expected(shown(&first))
            .got(shown(&then))
    })
}
