//! Unusual keys and bounds.

use super::context::{ALL, SourceContext};
use super::under_test::Question;
use crate::conformance::case::cases;
use crate::conformance::failure::{Failure, Stop, ensure};
use crate::events::EventRange;
use crate::key::AggregateKey;

cases! { sources Hostile:
    "keys that differ in one part or one byte are kept apart", ["E-07"], apart;
    "a read of a key without events pushes no events of similar keys", ["E-07"], look_alikes;
    "no key makes a call panic or hang", ["E-11"], any_key;
    "no bound makes a call panic or hang", ["E-11"], any_bound;
}

/// Returns ids that a query, a pattern, a path or a collation could confuse with each other.
fn ids() -> Vec<String> {
    let mut ids: Vec<_> = [
        "a",
        "A",
        "a ",
        " a",
        "a\t",
        "aa",
        "ab",
        "a%",
        "a_",
        "%",
        "_",
        "*",
        "a*",
        "a/b",
        "a-b",
        "a:b",
        "a.b",
        "..",
        "1",
        "01",
        "1.0",
        "+1",
        "1e0",
        "true",
        "null",
        "NULL",
        "'",
        "a'; --",
        "\"",
        "\\",
        "a\\",
        "a\n",
        "\u{e9}",
        "e\u{301}",
        "\u{c9}",
        "\u{df}",
        "ss",
        "i",
        "I",
        "\u{131}",
        "\u{130}",
        "\u{200b}a",
        "a\u{200b}",
        "\u{1f980}",
        "{a}",
        "$1",
        "account",
        "account-a",
        "",
    ]
    .map(str::to_owned)
    .into();
    ids.push("x".repeat(300));
    ids.push("x".repeat(301));
    ids.push("a\0".into());
    ids.push("a\0b".into());
    ids
}

/// Returns the similar keys that the event store can hold.
fn keys(cx: &SourceContext) -> Result<Vec<AggregateKey>, Stop> {
    let kind = cx.subject.kind();
    let mut keys = Vec::new();
    for id in ids() {
        keys.push(AggregateKey::new(kind, &id)?);
    }
    for n in 1..=6 {
        keys.push(cx.key(n)?);
    }
    let id = cx.key(1)?.id().to_owned();
    for tenant in ["n", "N", "north", "n ", kind, &id] {
        for kind in [kind, "order", ""] {
            keys.push(AggregateKey::from_parts(tenant, kind, &id)?);
        }
    }
    // Parts that give the same string when they are joined.
    for (tenant, kind, id) in
        [("t", "k", "i"), ("tk", "", "i"), ("", "tk", "i"), ("t", "ki", ""), ("t-k", "", "i")]
    {
        keys.push(AggregateKey::from_parts(tenant, kind, id)?);
    }
    for (kind, id) in [("a-b", "c"), ("a", "b-c"), ("a", "b"), ("a-b-c", "")] {
        keys.push(AggregateKey::new(kind, id)?);
    }
    keys.sort();
    keys.dedup();
    keys.retain(|key| cx.subject.takes(key));
    Ok(keys)
}

async fn apart(cx: &mut SourceContext) -> Result<(), Stop> {
    let keys = keys(cx)?;
    for (n, key) in (0..).zip(&keys) {
        cx.append(key, 1 + n % 3).await?;
    }
    for key in &keys {
        cx.reads(key, ALL).await?;
    }
    cx.notes.push(format!("keys that were kept apart: {}", keys.len()));
    Ok(())
}

async fn look_alikes(cx: &mut SourceContext) -> Result<(), Stop> {
    let keys = keys(cx)?;
    let mut random = cx.random.clone();
    // A random half of the keys has events.
    for key in &keys {
        if random.bool() {
            cx.append(key, 2).await?;
        }
    }
    for key in &keys {
        cx.reads(key, ALL).await?;
    }
    Ok(())
}

async fn any_key(cx: &mut SourceContext) -> Result<(), Stop> {
    let own = cx.key(1)?;
    cx.append(&own, 3).await?;
    let kind = cx.subject.kind();
    let long = "x".repeat(AggregateKey::MAX_PART_BYTES);
    let mut strange = vec![AggregateKey::from_parts(&long, &long, &long)?];
    for id in ids().into_iter().chain([long]) {
        strange.push(AggregateKey::new(kind, &id)?);
        strange.push(AggregateKey::from_parts("north", kind, &id)?);
    }
    strange.push(AggregateKey::from_parts("north", kind, own.id())?);
    for key in strange.iter().filter(|key| **key != own) {
        // A read of a key that cannot have events may fail or push nothing, but it never pushes the
        // events of another key.
        let ask = Question { key: key.clone(), range: ALL, stop_after: usize::MAX };
        let (pushed, _) =
            cx.bounded("read the events of an unusual key", cx.subject.read(&ask)).await?;
        ensure(pushed.seen.is_empty(), || {
            Failure::new("E-07", format!("read the events of {key}, which has none"))
                .expected("nothing")
                .got(format!("{} events", pushed.seen.len()))
        })?;
        let _ = cx.bounded("read the head of an unusual key", cx.subject.head(key)).await?;
        let _ = cx.bounded("read the floor of an unusual key", cx.subject.floor(key)).await?;
        let _ = cx
            .bounded("list the event times of an unusual key", cx.subject.times(key, ALL, 3))
            .await?;
    }
    cx.reads(&own, ALL).await
}

async fn any_bound(cx: &mut SourceContext) -> Result<(), Stop> {
    let key = cx.key(1)?;
    cx.append(&key, 3).await?;
    let odd = [0, 1, 2, 3, 4, u64::from(u32::MAX), 1 << 53, u64::MAX >> 1, u64::MAX];
    for after in odd {
        for until in odd {
            // `EventRange::new` lowers bounds that are too high.
            cx.reads(&key, EventRange::new(after, until)).await?;
        }
    }
    Ok(())
}
