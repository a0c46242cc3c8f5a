//! Marks are set by a put, kept by a replacement, and deleted with their snapshot.

use super::limits::most;
use super::{clear, open, pin, retirement};
use crate::conformance::case::{Context, cases};
use crate::conformance::failure::{Failure, Stop, ensure, shown};
use crate::conformance::probe::{Blame, Probe};
use crate::conformance::samples::{NEW, at, id, key, record, rival};
use crate::error::ErrorKind;
use crate::mark::{Mark, MarkChange, Marks};
use crate::record::Record;
use crate::store::{DeleteOptions, PutOptions, PutOutcome, Query, Selection};

cases! { Marks:
    "a snapshot is stored with the marks of its put", ["C-18"], put_with;
    "a replacement keeps the marks of the old record", ["C-18"], replacement;
    "a put that replaces nothing does not change marks", ["C-18"], existing;
    "a replacement spares pinned snapshots on request", ["C-19"], spared;
    "a put that would exceed the limit of marks stores nothing", ["C-18"], put_too_many;
    "a snapshot that is put again after a delete has no marks", ["C-65"], put_again;
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
    // Marks of one call do not apply to the next.
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
    // Marks in the options are added, and take precedence.
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

async fn spared(cx: &mut Context) -> Result<(), Stop> {
    let store = open(cx).await?;
    let key = key("a")?;
    let (audit, wrong) = (pin("audit"), retirement("wrong fold"));
    let sparing = PutOptions::default().replace(true).spare_pinned(true);
    store.put_marked(&record(&key, 5)?, std::slice::from_ref(&audit)).await?;
    store.put_marked(&record(&key, 6)?, std::slice::from_ref(&wrong)).await?;
    store.put(&[record(&key, 7)?]).await?;
    let sent = vec![rival(&key, 5)?, rival(&key, 6)?, rival(&key, 7)?, rival(&key, 8)?];
    let stays = PutOutcome::Existing { identical: false };
    let expected = [stays, PutOutcome::Replaced, PutOutcome::Replaced, PutOutcome::Stored];
    puts(&store, sent, sparing.clone(), &expected).await?;
    let retired = Query::exact(&key, id(NEW, 6)).include_retired(true);
    let blame = Blame::all("C-19");
    store.finds_or(retired, &rival(&key, 6)?, blame).await?;
    for (version, there) in [(5, record(&key, 5)?), (7, rival(&key, 7)?), (8, rival(&key, 8)?)] {
        store.finds_or(Query::exact(&key, id(NEW, version)), &there, blame).await?;
    }
    store.has_marks(&key, id(NEW, 5), std::slice::from_ref(&audit), "C-19").await?;
    let same = PutOutcome::Existing { identical: true };
    puts(&store, vec![record(&key, 5)?], sparing.clone(), &[same]).await?;

    // A pin set by a put also counts for later records of the same call.
    let pinning = sparing.clone().marks(Marks::new([pin("now")])?);
    let twice = vec![record(&key, 9)?, rival(&key, 9)?];
    puts(&store, twice, pinning.clone(), &[PutOutcome::Stored, stays]).await?;
    let twice = vec![record(&key, 7)?, rival(&key, 7)?];
    puts(&store, twice, pinning, &[PutOutcome::Replaced, stays]).await?;
    for version in [7, 9] {
        let exact = Query::exact(&key, id(NEW, version));
        store.finds_or(exact, &record(&key, version)?, blame).await?;
    }

    store.mark(&key, Selection::All, clear(&audit)).await?;
    puts(&store, vec![rival(&key, 5)?], sparing, &[PutOutcome::Replaced]).await?;
    store.finds_or(Query::exact(&key, id(NEW, 5)), &rival(&key, 5)?, blame).await
}

/// Puts `records`, and checks the outcomes.
async fn puts(
    store: &Probe,
    records: Vec<Record>,
    options: PutOptions,
    expected: &[PutOutcome],
) -> Result<(), Stop> {
    let outcomes = store.put_with(records, options).await?;
    ensure(outcomes == expected, || {
        Failure::new("C-19", "replace snapshots and spare pinned ones")
            .expected(shown(&expected))
            .got(shown(&outcomes))
    })
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
        let what = "add a mark to a snapshot that has the maximum number of marks";
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
