//! Marks are set on selected snapshots and listed.

pub(super) mod bases;
pub(super) mod durable;
pub(super) mod effects;
pub(super) mod limits;
pub(super) mod put;
pub(super) mod races;

use crate::conformance::case::{Context, cases, needs};
use crate::conformance::failure::{Failure, Stop, ensure, shown};
use crate::conformance::probe::{Blame, Probe};
use crate::conformance::samples::{NEW, OLD, RESHAPED, at, id, key, record, record_of};
use crate::error::{Error, ErrorKind};
use crate::key::AggregateKey;
use crate::mark::{Mark, MarkChange, Marks};
use crate::record::Record;
use crate::snapshot_id::SnapshotId;
use crate::store::{ListRequest, PutOptions, Selection};

cases! { Marks:
    "marks are kept or refused, and never silently dropped", ["C-67"], kept_or_refused;
    "a mark is listed as it was set", ["C-35"], listed;
    "marks are set on the selected snapshots and on no others", ["C-60"], selected;
    "changing one mark does not affect the others", ["C-60"], one_of_many;
    "marks do not change the record", ["C-60"], record_stays;
    "a change without effect is not counted", ["C-61"], idempotent;
    "a mark that differs from the old one is replaced and counted", ["C-61"], replaced;
}

pub(super) async fn open(cx: &mut Context) -> Result<Probe, Stop> {
    let store = cx.open().await?;
    needs(store.capabilities().marks, "Capabilities::marks")?;
    check_basics(&store).await?;
    Ok(store)
}

/// Checks the basics, without which no other case can find the cause of a fault.
pub(super) async fn check_basics(store: &Probe) -> Result<(), Stop> {
    let key = key("control")?;
    let records = [record(&key, 1)?, record(&key, 2)?];
    store.put(&records).await?;
    let (own, other) = (id(NEW, 1), id(NEW, 2));
    let ids = [own];
    let only = Selection::Ids(&ids);
    let all = [pin("a"), pin("b"), retirement("a"), retirement("b")];
    for (count, mark) in (1..).zip(&all) {
        store.marks(&key, only, MarkChange::Set(mark), 1, "C-60").await?;
        store.has_marks(&key, own, all.get(..count).unwrap_or_default(), "C-60").await?;
        store.marks(&key, only, MarkChange::Set(mark), 0, "C-61").await?;
    }
    store.has_marks(&key, other, &[], "C-60").await?;
    let later = Mark { at: at(99), ..pin("b") };
    store.marks(&key, only, MarkChange::Set(&later), 1, "C-61").await?;
    let [first, _, third, last] = all;
    store.marks(&key, only, clear(&third), 1, "C-60").await?;
    store.has_marks(&key, own, &[first.clone(), later.clone(), last.clone()], "C-60").await?;
    for mark in [&first, &later, &last] {
        store.marks(&key, only, clear(mark), 1, "C-60").await?;
        store.marks(&key, only, clear(mark), 0, "C-61").await?;
    }
    store.has_marks(&key, own, &[], "C-60").await?;
    for record in &records {
        store.holds_or(record, Blame::all("C-60")).await?;
    }
    Ok(())
}

/// Reports C-24 instead of C-20, because a wrong lookup is caused by marks in these cases.
pub(super) fn unless_lost(stop: Stop) -> Stop {
    match stop {
        Stop::Failed(failure) if failure.broken == ["C-20"] => {
            Stop::Failed(Failure { broken: vec!["C-24"], ..failure })
        }
        other => other,
    }
}

pub(super) fn pin(name: &str) -> Mark {
    Mark::pin(name, at(7)).actor("ops").note("for the audit")
}

pub(super) fn retirement(name: &str) -> Mark {
    Mark::retirement(name, at(8)).actor("ops").note("a wrong fold")
}

pub(super) const fn clear(mark: &Mark) -> MarkChange<'_> {
    MarkChange::Clear { kind: mark.kind, name: mark.name.as_str() }
}

/// Puts versions 2, 4 and 6 of a key, of which 4 exists in all generations.
pub(super) async fn fill(store: &Probe, key: &AggregateKey) -> Result<Vec<SnapshotId>, Stop> {
    let mut ids = Vec::new();
    for (version, generation) in [(2, NEW), (4, OLD), (4, NEW), (4, RESHAPED), (6, NEW)] {
        let record = record_of(key, generation, version, at(version), b"state")?;
        store.put(std::slice::from_ref(&record)).await?;
        store.holds(&record).await?;
        ids.push(id(generation, version));
    }
    Ok(ids)
}

impl Probe {
    /// Changes marks, and checks the number of changed snapshots. Any other number breaks `broken`.
    pub(super) async fn marks(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        change: MarkChange<'_>,
        snapshots: u64,
        broken: &'static str,
    ) -> Result<(), Stop> {
        let changed = self.mark(key, selection, change).await?;
        ensure(changed == snapshots, || {
            Failure::new(broken, format!("apply {change:?} to {selection:?} of {key}"))
                .expected(format!("{snapshots} snapshots changed"))
                .got(shown(&changed))
        })
    }

    /// Checks that the snapshot has exactly these marks. A difference breaks `broken`, unless only
    /// the list is wrong.
    pub(super) async fn has_marks(
        &self,
        key: &AggregateKey,
        id: SnapshotId,
        expected: &[Mark],
        broken: &'static str,
    ) -> Result<(), Stop> {
        let listed = self.listed_marks(key, id).await?;
        if *listed == *expected {
            return Ok(());
        }
        let broken =
            if self.is_mislisted(key, id, expected, &listed).await? { "C-35" } else { broken };
        let failure = Failure::new(broken, format!("list the marks of {id} of {key}"));
        Err(failure.expected(shown(&expected)).got(shown(&listed)).into())
    }

    pub(super) async fn listed_marks(
        &self,
        key: &AggregateKey,
        id: SnapshotId,
    ) -> Result<Marks, Stop> {
        let request = ListRequest::new(key).at_most(id.version).at_least(id.version);
        let items = self.list(request).await?.items;
        let item = items.into_iter().find(|meta| meta.id() == id);
        let missing =
            || Failure::new("C-34", format!("list {key}")).expected(shown(&id)).got("not listed");
        Ok(item.ok_or_else(missing)?.marks)
    }

    /// Returns whether the stored marks are as expected and only the list is wrong. Setting or
    /// clearing a mark again shows whether it is stored.
    async fn is_mislisted(
        &self,
        key: &AggregateKey,
        id: SnapshotId,
        expected: &[Mark],
        listed: &[Mark],
    ) -> Result<bool, Stop> {
        let ids = [id];
        let same = |mark: &Mark, others: &[Mark]| others.contains(mark);
        for mark in expected.iter().filter(|mark| !same(mark, listed)) {
            if self.mark(key, Selection::Ids(&ids), MarkChange::Set(mark)).await? == 0 {
                return Ok(true);
            }
        }
        for mark in listed.iter().filter(|mark| !same(mark, expected)) {
            if self.mark(key, Selection::Ids(&ids), clear(mark)).await? == 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Checks that a store with marks refuses a change.
    pub(super) async fn refuses(
        &self,
        key: &AggregateKey,
        change: MarkChange<'_>,
    ) -> Result<(), Stop> {
        let answer = self.try_mark(key, Selection::All, change).await?;
        let invalid = |error: &Error| error.kind() == ErrorKind::InvalidInput;
        ensure(answer.as_ref().is_err_and(invalid), || {
            let what = format!("apply {} to {key}", shown(&change));
            Failure::new("C-64", what).expected("InvalidInput").got(shown(&answer))
        })
    }

    pub(super) async fn put_marked(&self, record: &Record, marks: &[Mark]) -> Result<(), Stop> {
        let marks = Marks::new(marks.iter().cloned())?;
        let options = PutOptions::default().marks(marks);
        self.put_with(vec![record.clone()], options).await.map(drop)
    }
}

async fn kept_or_refused(cx: &mut Context) -> Result<(), Stop> {
    let store = cx.open().await?;
    let (plain, marked) = (key("plain")?, key("marked")?);
    let mark = pin("audit");
    store.put(&[record(&plain, 1)?]).await?;
    store.holds(&record(&plain, 1)?).await?;
    if store.capabilities().marks {
        store.blaming("C-67").mark(&plain, Selection::All, MarkChange::Set(&mark)).await?;
        return store.blaming("C-67").put_marked(&record(&marked, 1)?, &[mark]).await;
    }
    let options = PutOptions::default().marks(Marks::new([mark.clone()])?);
    let put = store.try_put(vec![record(&marked, 1)?], options).await?.map(drop);
    let set = store.try_mark(&plain, Selection::All, MarkChange::Set(&mark)).await?.map(drop);
    for (what, answer) in [("put with a mark", put), ("set a mark", set)] {
        let fine = answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::Unsupported);
        ensure(fine, || {
            let what = format!("{what} in a store without marks");
            Failure::new("C-67", what).expected("Unsupported").got(shown(&answer))
        })?;
    }
    store.finds_nothing(&marked, NEW, "C-67").await
}

async fn listed(cx: &mut Context) -> Result<(), Stop> {
    let store = open(cx).await?;
    let key = key("a")?;
    fill(&store, &key).await?;
    let ids = [id(NEW, 4)];
    // Marks are listed by kind, then by name, and not in the order in which they were set.
    let marks = [pin("audit"), pin("b"), retirement("a"), retirement("wrong fold")];
    for mark in [&marks[2], &marks[1], &marks[3], &marks[0]] {
        store.mark(&key, Selection::Ids(&ids), MarkChange::Set(mark)).await?;
    }
    let items = store.list(ListRequest::new(&key)).await?.items;
    for meta in &items {
        let expected: &[Mark] = if ids.contains(&meta.id()) { &marks } else { &[] };
        store.has_marks(&key, meta.id(), expected, "C-60").await?;
        ensure(*meta.marks == *expected, || {
            Failure::new("C-35", format!("list {key}"))
                .expected(shown(&expected))
                .got(shown(&meta.marks))
        })?;
    }
    Ok(())
}

async fn selected(cx: &mut Context) -> Result<(), Stop> {
    let store = open(cx).await?;
    let stranger = key("stranger")?;
    let ids_there = fill(&store, &stranger).await?;
    let some = [id(NEW, 6), id(OLD, 4), id(OLD, 6), id(NEW, 6)];
    let selections = [
        Selection::All,
        Selection::Below(4),
        Selection::Generation(NEW),
        Selection::ExceptGeneration(NEW),
        Selection::Ids(&some),
        Selection::Ids(&[]),
    ];
    for (round, selection) in selections.into_iter().enumerate() {
        let key = key(&format!("a{round}"))?;
        let ids = fill(&store, &key).await?;
        let selected = ids.iter().filter(|id| selection.admits(**id)).count() as u64;
        for mark in [pin("one"), retirement("two")] {
            store.marks(&key, selection, MarkChange::Set(&mark), selected, "C-60").await?;
            for id in &ids {
                let expected = selection.admits(*id).then(|| mark.clone());
                store.has_marks(&key, *id, expected.as_slice(), "C-60").await?;
            }
            store.marks(&key, selection, clear(&mark), selected, "C-60").await?;
            for id in &ids {
                store.has_marks(&key, *id, &[], "C-60").await?;
            }
        }
    }
    for id in ids_there {
        store.has_marks(&stranger, id, &[], "C-60").await?;
    }
    let nobody = key("nobody")?;
    store.marks(&nobody, Selection::All, MarkChange::Set(&pin("one")), 0, "C-60").await
}

async fn one_of_many(cx: &mut Context) -> Result<(), Stop> {
    let store = open(cx).await?;
    let key = key("a")?;
    store.put(&[record(&key, 1)?]).await?;
    let id = id(NEW, 1);
    let mut all = vec![pin("a"), pin("b"), retirement("a"), retirement("b")];
    for mark in &all {
        store.marks(&key, Selection::All, MarkChange::Set(mark), 1, "C-60").await?;
    }
    store.has_marks(&key, id, &all, "C-60").await?;
    for place in [2, 0] {
        let gone = all.remove(place);
        store.marks(&key, Selection::All, clear(&gone), 1, "C-60").await?;
        store.has_marks(&key, id, &all, "C-60").await?;
    }
    Ok(())
}

async fn record_stays(cx: &mut Context) -> Result<(), Stop> {
    let store = open(cx).await?;
    let key = key("a")?;
    let record = record(&key, 1)?;
    store.put(std::slice::from_ref(&record)).await?;
    store.holds(&record).await?;
    let mark = pin("audit");
    for change in [MarkChange::Set(&mark), clear(&mark)] {
        store.mark(&key, Selection::All, change).await?;
        store.holds_or(&record, Blame::all("C-60")).await?;
    }
    Ok(())
}

async fn idempotent(cx: &mut Context) -> Result<(), Stop> {
    let store = open(cx).await?;
    let key = key("a")?;
    let ids = fill(&store, &key).await?;
    let all = ids.len() as u64;
    let (mark, other) = (pin("audit"), retirement("audit"));
    store.marks(&key, Selection::Below(4), MarkChange::Set(&mark), 1, "C-60").await?;
    store.marks(&key, Selection::All, MarkChange::Set(&mark), all - 1, "C-61").await?;
    store.marks(&key, Selection::All, MarkChange::Set(&mark), 0, "C-61").await?;
    store.marks(&key, Selection::All, clear(&other), 0, "C-61").await?;
    store.marks(&key, Selection::All, clear(&mark), all, "C-60").await?;
    store.marks(&key, Selection::All, clear(&mark), 0, "C-61").await
}

async fn replaced(cx: &mut Context) -> Result<(), Stop> {
    let store = open(cx).await?;
    let key = key("a")?;
    store.put(&[record(&key, 1)?]).await?;
    let first = pin("audit");
    store.marks(&key, Selection::All, MarkChange::Set(&first), 1, "C-60").await?;
    let later = Mark { at: at(99), ..first.clone() };
    let actor = Mark { actor: "another".into(), ..later.clone() };
    let note = Mark { note: String::new(), ..actor.clone() };
    for mark in [later, actor, note] {
        store.marks(&key, Selection::All, MarkChange::Set(&mark), 1, "C-61").await?;
        store.has_marks(&key, id(NEW, 1), &[mark], "C-61").await?;
    }
    Ok(())
}
