//! Input up to the limits of the capabilities, and beyond them.

use crate::conformance::case::{Context, cases, has_small_records, needs};
use crate::conformance::failure::{Failure, Stop, ensure, shown};
use crate::conformance::probe::Probe;
use crate::conformance::samples::{NEW, at, key, noise, record, record_of};
use crate::error::ErrorKind;
use crate::key::AggregateKey;
use crate::record::Record;
use crate::store::{ListRequest, PutOptions, Query, Selection};

cases! { Hostile:
    "a payload of sixteen mebibytes is returned byte for byte", ["C-06"], large_payload;
    "a record of the maximum size is accepted", ["C-15"], largest_record;
    "a record above the maximum size is refused as invalid", ["C-15"], record_too_large;
    "a key of the maximum length is accepted, whatever its bytes", ["C-15"], longest_key;
    "a key that is too long is refused as invalid, or accepted", ["C-15"], key_too_long;
    "the highest and the lowest version are accepted", ["C-15"], highest_version;
    "a version above the maximum is refused as invalid", ["C-15"], version_too_high;
    "a payload that is damaged before the put is refused, or returned",
        ["C-15", "C-22"], damaged_when_put;
}

async fn large_payload(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let key = key("a")?;
    let most = store.capabilities().max_record_bytes.saturating_sub(1_000);
    let bytes = usize::try_from(most).unwrap_or(usize::MAX).min(16 << 20);
    let noise = noise(&mut cx.random, bytes);
    let record = record_of(&key, NEW, 1, at(1), &noise)?;
    store.put(std::slice::from_ref(&record)).await?;
    store.finds(Query::latest(&key, NEW), &record).await
}

/// Returns a record of this total size, or of the size of a header if that is larger.
fn sized(key: &AggregateKey, bytes: u64) -> Result<Record, Stop> {
    let wanted = usize::try_from(bytes).unwrap_or(usize::MAX);
    let with_header_of = |header: usize, version: u64| {
        record_of(key, NEW, version, at(1), &vec![7; wanted.saturating_sub(header)])
    };
    let longest = with_header_of(0, 1)?.as_bytes().len() - wanted;
    // A shorter payload may have a shorter length field. If that leaves a gap, a version that takes
    // one byte more fills it.
    for (header, version) in [(longest, 1), (longest - 1, 1), (longest, 128), (longest + 1, 128)] {
        let record = with_header_of(header, version)?;
        if record.as_bytes().len() == wanted {
            return Ok(record);
        }
    }
    Ok(with_header_of(longest, 1)?)
}

async fn largest_record(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    needs(has_small_records(store.capabilities()), "a record limit of at most 64 MiB")?;
    let key = key("a")?;
    let largest = sized(&key, store.capabilities().max_record_bytes)?;
    store.put(std::slice::from_ref(&largest)).await?;
    store.finds(Query::latest(&key, NEW), &largest).await
}

/// Checks that `bad` is refused as invalid, and that earlier records of the call are not stored.
async fn refused(store: &Probe, bad: Record, what: &str) -> Result<(), Stop> {
    let good = key("good")?;
    let batch = vec![record(&good, 1)?, bad];
    let answer = store.try_put(batch, PutOptions::default()).await?;
    let kind = answer.as_ref().map_err(crate::error::Error::kind);
    ensure(kind == Err(ErrorKind::InvalidInput), || {
        Failure::new("C-15", what).expected("InvalidInput").got(shown(&answer))
    })?;
    store.finds_nothing(&good, NEW, "C-15").await
}

async fn record_too_large(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    needs(has_small_records(store.capabilities()), "a record limit of at most 64 MiB")?;
    let bytes = store.capabilities().max_record_bytes + 1;
    let large = sized(&key("a")?, bytes)?;
    refused(&store, large, "put a record one byte above the limit").await
}

/// Returns a key of this total size, made of `c`, with as many bytes as possible in the part with
/// the index `first`.
fn long_key(bytes: u64, c: char, first: usize) -> Result<AggregateKey, Stop> {
    let mut left = usize::try_from(bytes).unwrap_or(usize::MAX);
    let mut parts = [String::new(), String::new(), String::new()];
    for place in [first, first + 1, first + 2] {
        if let Some(part) = parts.get_mut(place % 3) {
            let own = left.min(AggregateKey::MAX_PART_BYTES);
            left -= own;
            part.extend(std::iter::repeat_n(c, own / c.len_utf8()));
        }
    }
    let [tenant, kind, id] = &parts;
    Ok(AggregateKey::from_parts(tenant, kind, id)?)
}

async fn longest_key(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?.blaming("C-15");
    let bytes = store.capabilities().max_key_bytes;
    for first in 0..3 {
        for c in ['k', '\0', '\u{1}', '\'', '\u{e9}', '\u{1f600}'] {
            let key = long_key(bytes, c, first)?;
            let record = record(&key, 1)?;
            store.put(std::slice::from_ref(&record)).await?;
            store.holds(&record).await?;
            store.list(ListRequest::new(&key)).await?;
            store.delete(&key, Selection::All).await?;
        }
    }
    Ok(())
}

async fn key_too_long(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let limit = store.capabilities().max_key_bytes;
    let most = 3 * AggregateKey::MAX_PART_BYTES as u64;
    needs(limit < most, "a limit on the length of keys")?;
    for bytes in [limit + 1, limit * 2, limit * 10, most] {
        for first in 0..3 {
            let key = long_key(bytes.min(most), 'k', first)?;
            let record = record(&key, 1)?;
            // Reading, listing and deleting return an answer, whether or not such a key can be
            // stored.
            store.finds_nothing(&key, NEW, "C-01").await?;
            store.delete(&key, Selection::All).await?;
            match store.try_put(vec![record.clone()], PutOptions::default()).await? {
                Ok(_) => {
                    store.holds(&record).await?;
                    store.delete(&key, Selection::All).await?;
                }
                Err(error) => ensure(error.kind() == ErrorKind::InvalidInput, || {
                    Failure::new("C-15", format!("put a record whose key is {bytes} bytes long"))
                        .expected("InvalidInput, or success")
                        .got(shown(&error))
                })?,
            }
        }
    }
    Ok(())
}

async fn highest_version(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let key = key("a")?;
    let highest = store.capabilities().max_version;
    for version in [1, highest] {
        let record = record(&key, version)?;
        store.put(std::slice::from_ref(&record)).await?;
        store.finds(Query::latest(&key, NEW), &record).await?;
        store.holds(&record).await?;
    }
    Ok(())
}

async fn version_too_high(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let highest = store.capabilities().max_version;
    needs(highest < u64::MAX, "a limit on versions")?;
    for version in [highest + 1, u64::MAX] {
        let bad = record(&key("a")?, version)?;
        refused(&store, bad, &format!("put version {version}")).await?;
    }
    Ok(())
}

async fn damaged_when_put(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let key = key("a")?;
    store.put(&[record(&key, 1)?]).await?;
    // The payload does not match its checksum, which a store need not verify.
    let mut bytes = record(&key, 2)?.as_bytes().to_vec();
    if let Some(last) = bytes.last_mut() {
        *last ^= 0xff;
    }
    let odd = Record::from_bytes(bytes);
    let answer = store.try_put(vec![odd.clone()], PutOptions::default()).await?;
    if answer.is_err() {
        let what = "put a record whose payload does not match its checksum";
        refused(&store, odd, what).await?;
        return store.finds(Query::latest(&key, NEW), &record(&key, 1)?).await;
    }
    let lookup = store.blaming("C-22").get(Query::latest(&key, NEW)).await?;
    ensure(lookup.clone().into_record() == Some(odd), || {
        Failure::new("C-22", "get a record whose payload does not match its checksum")
            .expected("the record as it was put")
            .got(shown(&lookup))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes at which a length field of the header takes one byte more.
    #[test]
    fn a_record_of_any_size_is_made() {
        let key = key("a").unwrap();
        for bytes in (60..400).chain(16_300..16_600).chain(2_097_150..2_097_300) {
            let record = sized(&key, bytes).map_err(|_| "not made").unwrap();
            assert_eq!(record.as_bytes().len() as u64, bytes);
        }
    }
}
