//! Marks come with a put, stay with a replacement, and end with their snapshot.

use super::limits::most;
use super::{open, pin, retirement};
use crate::conformance::case::{Context, cases};
use crate::conformance::failure::{Failure, Stop, ensure, shown};
use crate::conformance::probe::Blame;
use crate::conformance::samples::{NEW, at, id, key, record, rival};
use crate::error::ErrorKind;
use crate::mark::{Mark, MarkChange, Marks};
use crate::store::{DeleteOptions, PutOptions, Query, Selection};

cases! { Marks:
    "a snapshot is stored with the marks of its put", ["C-18"], put_with;
    "a replacement keeps the marks of what it replaces", ["C-18"], replacement;
    "a snapshot that stays keeps the marks that it has", ["C-18"], existing;
    "a put that makes too many marks stores nothing", ["C-18"], put_too_many;
    "a snapshot that is put again has no old marks", ["C-65"], put_again;
}

async fn put_with(cx: &mut Context) -> Result<(), Stop> {
    let store = open(cx).await?;
    let (a, b) = (key("a")?, key("b")?);
    let marks = [pin("audit"), retirement("wrong fold")];
    let records = vec![record(&a, 1)?, record(&a, 2)?, record(&b, 1)?];
    let options = PutOptions::default().marks(Marks::new(marks.clone())?);
    store.put_with(records.clone(), options).await?;
    for (key, version) in [(&a, 1), (&a, 2), (&b, 1)] {
        store.has_marks(key, id(NEW, version), &marks, "C-18").await?;
    }
    // Those of one call are not those of the next.
    let plain = record(&b, 2)?;
    store.put(std::slice::from_ref(&plain)).await?;
    store.has_marks(&b, id(NEW, 2), &[], "C-18").await?;
    store.finds(Query::latest(&b, NEW), &plain).await
}

async fn replacement(cx: &mut Context) -> Result<(), Stop> {
    let store = open(cx).await?;
    let key = key("a")?;
    let (audit, other) = (pin("audit"), pin("other"));
    store.put_marked(&record(&key, 5)?, std::slice::from_ref(&audit)).await?;
    store.replace(&rival(&key, 5)?).await?;
    store.has_marks(&key, id(NEW, 5), std::slice::from_ref(&audit), "C-18").await?;
    // Those of the options come on top, and win.
    let later = Mark { at: at(99), ..audit };
    let options = PutOptions::default().replace(true);
    let options = options.marks(Marks::new([later.clone(), other.clone()])?);
    store.put_with(vec![record(&key, 5)?], options).await?;
    store.has_marks(&key, id(NEW, 5), &[later, other], "C-18").await?;
    store.holds(&record(&key, 5)?).await
}

async fn existing(cx: &mut Context) -> Result<(), Stop> {
    let store = open(cx).await?;
    let key = key("a")?;
    let (audit, other) = (pin("audit"), pin("other"));
    store.put_marked(&record(&key, 5)?, std::slice::from_ref(&audit)).await?;
    for again in [record(&key, 5)?, rival(&key, 5)?] {
        store.put_marked(&again, std::slice::from_ref(&other)).await?;
        store.put(&[again]).await?;
        store.has_marks(&key, id(NEW, 5), std::slice::from_ref(&audit), "C-18").await?;
    }
    Ok(())
}

async fn put_too_many(cx: &mut Context) -> Result<(), Stop> {
    let store = open(cx).await?;
    let key = key("a")?;
    let old = record(&key, 5)?;
    store.put_marked(&old, &most()).await?;
    let options = PutOptions::default().replace(true).marks(Marks::new([pin("one more")])?);
    let records = vec![record(&key, 4)?, rival(&key, 5)?];
    let answer = store.try_put(records, options).await?;
    ensure(answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::InvalidInput), || {
        let what = "replace a snapshot that has all the marks it can have, with one more";
        Failure::new("C-18", what).expected("InvalidInput").got(shown(&answer))
    })?;
    store.finds_or(Query::exact(&key, id(NEW, 5)), &old, Blame::all("C-18")).await?;
    store.answers_nothing(Query::exact(&key, id(NEW, 4)), "C-18").await
}

async fn put_again(cx: &mut Context) -> Result<(), Stop> {
    let store = open(cx).await?;
    let key = key("a")?;
    store.put(&[record(&key, 4)?, record(&key, 5)?]).await?;
    let overrule = DeleteOptions::default().overrule_pins(true);
    for selection in [Selection::Ids(&[id(NEW, 5)]), Selection::All] {
        store.mark(&key, Selection::All, MarkChange::Set(&pin("audit"))).await?;
        store.delete_with(&key, selection, overrule).await?;
        store.answers_nothing(Query::exact(&key, id(NEW, 5)), "C-54").await?;
        store.put(&[record(&key, 5)?]).await?;
        store.has_marks(&key, id(NEW, 5), &[], "C-65").await?;
    }
    Ok(())
}
