//! The outcome of a put.

use crate::codec::CodecId;
use crate::conformance::case::{Context, cases};
use crate::conformance::failure::{Failure, Stop, ensure, shown};
use crate::conformance::probe::{Blame, outcomes_are};
use crate::conformance::samples::{NEW, at, id, key, record, record_of, records, rival};
use crate::error::ErrorKind;
use crate::record::{Record, RecordBuilder};
use crate::store::PutOutcome::{Existing, Replaced, Stored};
use crate::store::{PutOptions, Query};
use crate::timestamp::Timestamp;

cases! { Core:
    "each of many single puts is stored", ["C-10"], stored_one_by_one;
    "each record of a batch is stored", ["C-10"], stored_in_a_batch;
    "a put without records succeeds", ["C-02"], nothing;
    "a put returns one outcome per record, in their order", ["C-17"], outcomes_in_order;
    "a stored record is never changed by another put", ["C-11"], immutable;
    "`identical` is set if and only if the payloads are the same", ["C-11"], existing;
    "a replacement is found instead of the old record", ["C-12"], replaced;
    "a replacement returns whether a record existed", ["C-12"], replaced_outcomes;
    "replacing one version does not affect the others", ["C-12"], replaced_alone;
    "an older version put later does not hide a newer one", ["C-13"], late_and_old;
    "if an identity is put twice in one call, the first is kept", ["C-14"], twice;
    "if an identity is replaced twice in one call, the last is kept", ["C-14"], twice_replacing;
    "one unreadable record fails the whole call", ["C-15"], unreadable;
    "a call that is refused as invalid stores nothing", ["C-15"], unreadable_leaves_nothing;
}

async fn stored_one_by_one(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let key = key("a")?;
    let versions: Vec<_> = (1..=260).collect();
    let records = records(&key, &versions)?;
    store.put_each(&records).await?;
    store.holds_all(&records).await
}

async fn stored_in_a_batch(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let mut records = Vec::new();
    for aggregate in 0..40 {
        for version in [3, 8, 9] {
            records.push(record(&key(&format!("a{aggregate}"))?, version)?);
        }
    }
    store.put(&records).await?;
    store.holds_all(&records).await
}

async fn nothing(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let outcomes = store.put(&[]).await?;
    outcomes_are("C-02", "put no records", &outcomes, &[])
}

async fn outcomes_in_order(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let (a, b, c) = (key("a")?, key("b")?, key("c")?);
    store.put(&[record(&b, 5)?]).await?;
    // The order is not one that a store might sort by.
    let batch = [record(&c, 9)?, record(&b, 5)?, record(&a, 2)?, rival(&b, 5)?, record(&c, 1)?];
    let outcomes = store.put(&batch).await?;
    let taken: Vec<_> = outcomes.iter().map(|outcome| matches!(outcome, Existing { .. })).collect();
    // A wrong number of existing records is not a fault in the order.
    let told = taken.iter().filter(|taken| **taken).count();
    let broken = if taken.len() == 5 && told != 2 { "C-11" } else { "C-17" };
    ensure(taken == [false, true, false, true, false], || {
        Failure::new(broken, "put five records, of which the second and the fourth exist")
            .expected("outcomes in the order of the records")
            .got(shown(&outcomes))
    })
}

async fn immutable(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let key = key("a")?;
    let first = record(&key, 4)?;
    store.put(std::slice::from_ref(&first)).await?;
    let redone = same_payload(&first, at(4))?;
    for other in [rival(&key, 4)?, redone] {
        store.put(&[other]).await?;
        store.holds_or(&first, Blame::PUT.bytes("C-11")).await?;
    }
    Ok(())
}

/// Returns a record with the payload of `record` that was created at another time.
fn same_payload(record: &Record, as_of: Timestamp) -> Result<Record, Stop> {
    let key = key("a")?;
    let payload = format!("{key} after 4 events");
    let builder = RecordBuilder::new(key, NEW, 4, as_of).codec(CodecId::custom(1));
    let again = builder.created_at(Timestamp::from_seconds(5)).build(payload.as_bytes())?;
    debug_assert!(again != *record && again.has_state_of(record), "only the header differs");
    Ok(again)
}

async fn existing(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let key = key("a")?;
    let first = record(&key, 4)?;
    let outcomes = store.put(std::slice::from_ref(&first)).await?;
    outcomes_are("C-11", "put an identity for the first time", &outcomes, &[Stored])?;
    let redone = same_payload(&first, at(4))?;
    for (what, record, identical) in [
        ("put the same record again", first, true),
        ("put the same payload with another header", redone, true),
        ("put another payload", rival(&key, 4)?, false),
    ] {
        let outcomes = store.put(&[record]).await?;
        outcomes_are("C-11", what, &outcomes, &[Existing { identical }])?;
    }
    Ok(())
}

async fn replaced(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let key = key("a")?;
    store.put(&[record(&key, 4)?]).await?;
    let query = Query::latest(&key, NEW);
    // The store might cache this answer.
    store.get(query).await?;
    let new = rival(&key, 4)?;
    store.replace(&new).await?;
    store.holds_or(&new, Blame::PUT.bytes("C-12")).await?;
    // A longer, a shorter and an empty payload.
    for payload in [&[1; 5_000][..], b"x", b""] {
        let next = record_of(&key, NEW, 4, at(9), payload)?;
        store.replace(&next).await?;
        store.holds_or(&next, Blame::PUT.bytes("C-12")).await?;
    }
    Ok(())
}

async fn replaced_outcomes(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let key = key("a")?;
    let outcomes = store.replace(&record(&key, 4)?).await?;
    outcomes_are("C-12", "replace a record that does not exist", &outcomes, &[Stored])?;
    let outcomes = store.replace(&rival(&key, 4)?).await?;
    outcomes_are("C-12", "replace a record that exists", &outcomes, &[Replaced])
}

async fn replaced_alone(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let key = key("a")?;
    store.put_each(&records(&key, &[3, 4, 5])?).await?;
    store.replace(&rival(&key, 4)?).await?;
    for version in [3, 5] {
        store.holds_or(&record(&key, version)?, Blame::PUT.bytes("C-12")).await?;
    }
    Ok(())
}

async fn late_and_old(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let key = key("a")?;
    let newest = record(&key, 10)?;
    store.put(std::slice::from_ref(&newest)).await?;
    for version in [1, 9, 5] {
        store.put(&[record(&key, version)?]).await?;
        let lookup = store.get(Query::latest(&key, NEW)).await?;
        ensure(lookup.clone().into_record().as_ref() == Some(&newest), || {
            Failure::new(
                "C-13",
                format!("get the newest snapshot after version {version} was put out of order"),
            )
            .expected("version 10")
            .got(shown(&lookup))
        })?;
    }
    Ok(())
}

async fn twice(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let key = key("a")?;
    // First, one record per call.
    store.put(&[record(&key, 3)?]).await?;
    let outcomes = store.put(&[record(&key, 3)?]).await?;
    outcomes_are("C-11", "put the same record again", &outcomes, &[Existing { identical: true }])?;
    store.holds(&record(&key, 3)?).await?;
    let store = store.blaming("C-14");
    let (first, second) = (record(&key, 4)?, rival(&key, 4)?);
    let outcomes = store.put(&[first.clone(), second, first.clone()]).await?;
    // Other cases check which payloads are identical.
    ensure(matches!(&*outcomes, [Stored, Existing { .. }, Existing { .. }]), || {
        Failure::new("C-14", "put an identity three times in one call")
            .expected("Stored, then Existing twice")
            .got(shown(&outcomes))
    })?;
    store.holds_or(&first, Blame::PUT.bytes("C-14")).await
}

async fn twice_replacing(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let key = key("a")?;
    // First, one record per call.
    store.put(&[record(&key, 3)?]).await?;
    store.replace(&rival(&key, 3)?).await?;
    store.holds_or(&rival(&key, 3)?, Blame::PUT.bytes("C-12")).await?;
    let store = store.blaming("C-14");
    let (first, second) = (record(&key, 4)?, rival(&key, 4)?);
    let options = PutOptions::default().replace(true);
    let outcomes = store.put_with(vec![first, second.clone()], options).await?;
    // Other cases check the outcome of a replacement.
    ensure(matches!(&*outcomes, [_, _]), || {
        Failure::new("C-14", "replace an identity twice in one call")
            .expected("two outcomes")
            .got(shown(&outcomes))
    })?;
    store.holds_or(&second, Blame::PUT.bytes("C-14")).await
}

/// Returns records whose header does not parse.
fn garbage() -> Result<Vec<Record>, Stop> {
    let whole = record(&key("bad")?, 1)?.into_bytes();
    let longer = [&whole[..], b"!"].concat();
    let mut flipped = whole.to_vec();
    // This byte is in the fingerprint, which the header's checksum covers.
    if let Some(byte) = flipped.get_mut(18) {
        *byte ^= 1;
    }
    let shorter = whole.slice(..whole.len() - 1);
    let cut = whole.slice(..30);
    let others = [b"".as_slice(), b"SNF", b"not a record at all"];
    let all = [longer, flipped, shorter.to_vec(), cut.to_vec()];
    let all = all.into_iter().chain(others.iter().map(|bytes| bytes.to_vec()));
    Ok(all.map(Record::from_bytes).collect())
}

async fn unreadable(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let good = record(&key("good")?, 1)?;
    for bad in garbage()? {
        for batch in [vec![bad.clone()], vec![good.clone(), bad.clone()]] {
            let answer = store.try_put(batch, PutOptions::default()).await?;
            let kind = answer.as_ref().map_err(crate::error::Error::kind);
            ensure(kind == Err(ErrorKind::InvalidInput), || {
                let what = format!("put {} bytes that are not a record", bad.as_bytes().len());
                Failure::new("C-15", what).expected("InvalidInput").got(shown(&answer))
            })?;
        }
    }
    Ok(())
}

async fn unreadable_leaves_nothing(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    for (place, bad) in garbage()?.into_iter().enumerate() {
        let key = key(&format!("good {place}"))?;
        let batch = vec![record(&key, 1)?, bad, record(&key, 2)?];
        if store.try_put(batch, PutOptions::default()).await?.is_err() {
            store.finds_nothing(&key, NEW, "C-15").await?;
            let listed = store.is_listed(&key, id(NEW, 1)).await?;
            ensure(!listed, || {
                Failure::new("C-15", "list snapshots after a refused put")
                    .expected("nothing")
                    .got("a record of the refused call")
            })?;
        }
    }
    Ok(())
}
