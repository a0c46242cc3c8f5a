//! Marks survive closing and crashing.

use super::{check_basics, clear, pin, retirement, unless_lost};
use crate::conformance::case::{Context, cases, needs};
use crate::conformance::failure::Stop;
use crate::conformance::probe::Probe;
use crate::conformance::samples::{NEW, id, key, record};
use crate::mark::{Mark, MarkChange, Marks};
use crate::store::{PutOptions, Query, Selection};

cases! { Marks:
    "marks are kept after reopening", ["C-62"], reopened;
    "marks survive a crash", ["C-62"], crashed;
}

/// Puts version 1 with a pin, pins version 2 later, clears the pin of version 3, and retires
/// version 4.
async fn fill(cx: &mut Context) -> Result<Probe, Stop> {
    let store = cx.open_durable().await?;
    needs(store.capabilities().marks, "Capabilities::marks")?;
    check_basics(&store).await?;
    let key = key("a")?;
    let options = PutOptions::default().marks(Marks::new([pin("a")])?);
    store.put_with(vec![record(&key, 1)?, record(&key, 3)?], options).await?;
    store.put(&[record(&key, 2)?, record(&key, 4)?]).await?;
    for version in [1, 3] {
        store.has_marks(&key, id(NEW, version), &[pin("a")], "C-18").await?;
    }
    for (version, change) in [
        (2, MarkChange::Set(&pin("b"))),
        (2, MarkChange::Set(&pin("a"))),
        (3, clear(&pin("a"))),
        (4, MarkChange::Set(&retirement("a"))),
    ] {
        store.marks(&key, Selection::Ids(&[id(NEW, version)]), change, 1, "C-60").await?;
    }
    as_left(&store, "C-60").await?;
    Ok(store)
}

async fn as_left(store: &Probe, broken: &'static str) -> Result<(), Stop> {
    let key = key("a")?;
    store.holds(&record(&key, 1)?).await?;
    let expected: [(u64, &[Mark]); 4] =
        [(1, &[pin("a")]), (2, &[pin("a"), pin("b")]), (3, &[]), (4, &[retirement("a")])];
    for (version, marks) in expected {
        store.has_marks(&key, id(NEW, version), marks, broken).await?;
    }
    let query = Query::latest(&key, NEW);
    store.finds(query, &record(&key, 3)?).await.map_err(unless_lost)
}

async fn reopened(cx: &mut Context) -> Result<(), Stop> {
    let mut store = fill(cx).await?;
    for _ in 0..2 {
        store = cx.reopen(store).await?;
        as_left(&store, "C-62").await?;
    }
    Ok(())
}

async fn crashed(cx: &mut Context) -> Result<(), Stop> {
    let store = fill(cx).await?;
    let store = cx.crash(store).await?;
    as_left(&store, "C-62").await
}
