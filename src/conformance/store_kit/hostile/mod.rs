//! Unusual ids and calls.

pub(super) mod damage;
pub(super) mod limits;

use crate::conformance::case::{Context, cases};
use crate::conformance::failure::{Failure, Stop, ensure, shown};
use crate::conformance::probe::{Blame, Probe};
use crate::conformance::samples::{NEW, id, key, record, records};
use crate::conformance::store_kit::core::keys::keys_are;
use crate::key::AggregateKey;
use crate::store::{KeysRequest, ListRequest, Query, Selection};
use crate::timestamp::Timestamp;

cases! { Hostile:
    "ids with any characters are accepted and found", ["C-03"], any_characters;
    "similar ids are kept apart", ["C-01"], look_alikes;
    "ids with any characters are listed as they were put", ["C-40"], listed_as_put;
    "parts of a key may be empty", ["C-03"], empty_parts;
    "random ids are kept apart", ["C-01"], random_ids;
    "requests with extreme bounds and limits get an answer", ["C-03"], extreme_requests;
    "a delete of ten thousand ids succeeds", ["C-03"], many_ids;
    "a put of five thousand records succeeds", ["C-03"], many_records;
}

/// Ids with a special meaning in file names, patterns, queries and terminals.
const STRANGE: &[&str] = &[
    "",
    " ",
    "  ",
    ".",
    "..",
    "/",
    "//",
    "../../etc/passwd",
    "a/b",
    "a\\b",
    "C:\\a",
    "a:b",
    "a;b",
    "%",
    "%%",
    "%2f",
    "%00",
    "_",
    "a%b_c",
    "*",
    "?",
    "[a-z]",
    "{}",
    "$1",
    "${x}",
    "`id`",
    "'",
    "''",
    "\"",
    "o'brien\"; DROP TABLE x; --",
    "\\",
    "\\0",
    "\\u0000",
    "\0",
    "a\0",
    "a\0b",
    "\u{1}",
    "\n",
    "\r\n",
    "\t",
    "\u{7f}",
    "\u{1b}[31m",
    "NULL",
    "null",
    "nil",
    "undefined",
    "con",
    "NUL",
    "-",
    "--",
    "-rf",
    "~",
    "#",
    "&",
    "=",
    "+",
    "<b>",
    "\u{e9}",
    "e\u{301}",
    "\u{df}",
    "\u{130}",
    "\u{2028}",
    "\u{202e}abc",
    "\u{feff}",
    "\u{fffd}",
    "\u{ffff}",
    "\u{10ffff}",
    "\u{1f600}",
    "0",
    "-1",
    "1e9",
    "0x10",
    "18446744073709551616",
];

fn strange_keys() -> Result<Vec<AggregateKey>, Stop> {
    let mut keys = Vec::new();
    for text in STRANGE {
        keys.push(AggregateKey::from_parts("", "account", text)?);
        keys.push(AggregateKey::from_parts(text, "account", "a")?);
        keys.push(AggregateKey::from_parts("", text, "a")?);
    }
    for c in '\0'..='\u{ff}' {
        keys.push(AggregateKey::from_parts("", "char", &c.to_string())?);
    }
    keys.sort();
    keys.dedup();
    Ok(keys)
}

/// Checks that each key is put, found and listed without an effect on the others.
async fn each_on_its_own(store: &Probe, keys: &[AggregateKey]) -> Result<(), Stop> {
    for key in keys {
        let items = store.list(ListRequest::new(key)).await?.items;
        ensure(items.is_empty(), || {
            Failure::new("C-01", format!("list {key}, which was never put"))
                .expected("[]")
                .got(shown(&items))
        })?;
        store.put(&[record(key, 1)?]).await?;
    }
    for key in keys {
        store.holds_or(&record(key, 1)?, Blame { bytes: "C-01", lost: "C-10" }).await?;
        let items = store.list(ListRequest::new(key)).await?.items;
        ensure(items.len() == 1 && items.iter().all(|meta| meta.key == *key), || {
            Failure::new("C-01", format!("list {key}"))
                .expected("its one snapshot")
                .got(shown(&items))
        })?;
    }
    Ok(())
}

/// Checks that the store handles an ordinary key, so that later refusals must be caused by the
/// unusual input.
async fn hostile(cx: &mut Context) -> Result<Probe, Stop> {
    let store = cx.open().await?;
    let plain = key("plain")?;
    store.finds_nothing(&plain, NEW, "C-02").await?;
    store.list(ListRequest::new(&plain)).await?;
    store.delete(&plain, Selection::All).await?;
    store.put(&[record(&plain, 1)?]).await?;
    store.holds(&record(&plain, 1)?).await?;
    store.keys(KeysRequest::new()).await?;
    store.deletes(&plain, Selection::Ids(&[id(NEW, 1)]), 1).await?;
    store.delete(&plain, Selection::Below(1)).await?;
    Ok(store.blaming("C-03"))
}

async fn any_characters(cx: &mut Context) -> Result<(), Stop> {
    let store = hostile(cx).await?;
    for key in strange_keys()? {
        let record = record(&key, 1)?;
        store.put(std::slice::from_ref(&record)).await?;
        store.holds_or(&record, Blame::PUT.bytes("C-01")).await?;
        store.list(ListRequest::new(&key)).await?;
        store.delete(&key, Selection::Below(1)).await?;
    }
    Ok(())
}

async fn look_alikes(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let mut keys = Vec::new();
    let pairs = [
        ("a", "A"),
        ("a", "a "),
        ("a", " a"),
        ("a", "a\0"),
        ("\u{e9}", "e\u{301}"),
        ("\u{e9}", "e"),
        ("\u{df}", "ss"),
        ("i", "\u{131}"),
        ("k", "\u{212a}"),
        ("1", "01"),
        ("1", "1.0"),
        ("a", "a."),
        ("a", "a/"),
        ("a/b", "a//b"),
        ("a", "./a"),
        ("a%2fb", "a/b"),
        ("a_b", "axb"),
        ("a*", "ab"),
        ("\0", "\\0"),
        ("%", "a"),
        ("_", "a"),
        ("a%", "ab"),
        ("?", "a"),
        (".*", "ab"),
        ("[a]", "a"),
        ("\u{1}\u{1}", "\0"),
        ("\u{1}\u{2}", "\u{1}"),
        ("", "\0"),
        ("a\nb", "a\\nb"),
    ];
    for (one, other) in pairs {
        for text in [one, other] {
            keys.push(AggregateKey::from_parts("", "account", text)?);
            keys.push(AggregateKey::from_parts(text, "account", "x")?);
            keys.push(AggregateKey::from_parts("", text, "x")?);
        }
    }
    // Keys that are equal if they are joined by a separator, or truncated by a column.
    for separator in ["/", ":", "|", "-", "_", ".", ",", ";", " ", "#", "@", "\t", "\0", "\u{1f}"] {
        let joined = format!("b{separator}c");
        keys.push(AggregateKey::from_parts(&joined, "d", "e")?);
        keys.push(AggregateKey::from_parts("b", &format!("c{separator}d"), "e")?);
        keys.push(AggregateKey::from_parts("b", "c", &format!("d{separator}e"))?);
    }
    let most = usize::try_from(store.capabilities().max_key_bytes).unwrap_or(usize::MAX);
    for bytes in [16, 32, 36, 64, 100, 128, 255, 256, 300, 512, 1_000, 1_024, 4_000] {
        if bytes + 8 <= most {
            let long = "x".repeat(bytes);
            keys.push(AggregateKey::from_parts("", "account", &format!("{long}1"))?);
            keys.push(AggregateKey::from_parts("", "account", &format!("{long}2"))?);
        }
    }
    keys.sort();
    keys.dedup();
    each_on_its_own(&store, &keys).await?;
    // Deleting every second key does not affect the others.
    for key in keys.iter().step_by(2) {
        store.delete(key, Selection::All).await?;
    }
    for key in keys.iter().skip(1).step_by(2) {
        store.holds_or(&record(key, 1)?, Blame::all("C-01")).await?;
    }
    Ok(())
}

async fn listed_as_put(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let keys = strange_keys()?;
    for key in &keys {
        store.put(&[record(key, 1)?]).await?;
    }
    keys_are(&store, KeysRequest::new().limit(10), &keys, "C-40").await
}

async fn empty_parts(cx: &mut Context) -> Result<(), Stop> {
    let store = hostile(cx).await?;
    let parts = ["", "a"];
    for tenant in parts {
        for kind in parts {
            for id in parts {
                let key = AggregateKey::from_parts(tenant, kind, id)?;
                let records = records(&key, &[1, 2])?;
                store.put(&records).await?;
                store.holds_all(&records).await?;
            }
        }
    }
    Ok(())
}

async fn random_ids(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let mut keys = Vec::new();
    for _ in 0..150 {
        let mut parts = [String::new(), String::new(), String::new()];
        for part in &mut parts {
            for _ in 0..cx.random.usize(0..4) {
                part.extend(cx.random.choice(['\0', '\u{1}', 'a', 'A', '/', '%', '\u{e9}']));
            }
        }
        let [tenant, kind, id] = &parts;
        keys.push(AggregateKey::from_parts(tenant, kind, id)?);
    }
    keys.sort();
    keys.dedup();
    each_on_its_own(&store, &keys).await
}

async fn extreme_requests(cx: &mut Context) -> Result<(), Stop> {
    let store = hostile(cx).await?;
    let key = key("a")?;
    store.put(&[record(&key, 1)?, record(&key, 2)?]).await?;
    let query = Query::latest(&key, NEW);
    for at_most in [0, 1, u64::MAX - 1, u64::MAX] {
        for as_of in [Timestamp::MIN, Timestamp::from_micros(0), Timestamp::MAX] {
            store.get(query.at_most(at_most).as_of(as_of)).await?;
        }
    }
    let list = ListRequest::new(&key);
    for limit in [0, 1, u32::MAX as usize, usize::MAX] {
        for (at_least, at_most) in
            [(0, 0), (9, 1), (u64::MAX, u64::MAX), (0, u64::MAX), (u64::MAX, 0)]
        {
            let request = list.limit(limit).at_least(at_least).at_most(at_most);
            store.list(request).await?;
            store.list(request.after(id(NEW, u64::MAX))).await?;
            store.list(request.after(id(NEW, 0))).await?;
        }
        store.keys(KeysRequest::new().limit(limit).tenant("\0").kind("")).await?;
    }
    for version in [0, u64::MAX] {
        store.delete(&key, Selection::Ids(&[id(NEW, version)])).await?;
    }
    store.holds(&record(&key, 2)?).await
}

async fn many_ids(cx: &mut Context) -> Result<(), Stop> {
    let store = hostile(cx).await?;
    let key = key("a")?;
    store.put(&records(&key, &[1, 2, 3])?).await?;
    let ids: Vec<_> = (2..10_002).map(|version| id(NEW, version)).collect();
    let deleted = store.delete(&key, Selection::Ids(&ids)).await?;
    ensure(deleted.snapshots == 2, || {
        Failure::new("C-50", "delete 10,000 ids, two of which are stored")
            .expected("2 snapshots")
            .got(shown(&deleted))
    })?;
    store.holds(&record(&key, 1)?).await
}

async fn many_records(cx: &mut Context) -> Result<(), Stop> {
    let store = hostile(cx).await?;
    let mut batch = Vec::new();
    for place in 0..5_000 {
        batch.push(record(&key(&format!("{}", place % 500))?, 1 + place / 500)?);
    }
    store.put(&batch).await?;
    for record in batch.iter().step_by(97) {
        store.holds(record).await?;
    }
    Ok(())
}
