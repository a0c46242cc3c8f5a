//! Lies about marks: where they stand, what they keep and what they hide.

use std::collections::BTreeMap;
use std::sync::Mutex;

use snapfold::record::Record;
use snapfold::store::{
    Capabilities, DeleteOptions, Deleted, ListRequest, Lookup, Mark, MarkChange, MarkKind, Marks,
    PutOptions, PutOutcome, Query, Selection,
};
use snapfold::{AggregateKey, SnapshotId};
use tokio::task::yield_now;

use super::disk::{Disk, Incoming};
use super::mutant::{AllErased, Answer, Answers, Erased, Honest, Marked, Metas, Mutant, Outcomes};
use super::truth::Truth;

mutants! {
    drops_the_marks_of_a_put: PutDropsMarks breaks "C-18";
    forgets_marks_at_a_replacement: ReplaceDropsMarks breaks "C-18";
    lets_old_marks_win_at_a_replacement: OldMarksWin breaks "C-18";
    adds_marks_to_what_stays: ExistingTakesMarks breaks "C-18";
    replaces_what_is_pinned: SparesNothing breaks "C-19";
    spares_what_is_retired: SparesRetired breaks "C-19";
    looks_for_pins_before_it_replaces: LooksFirst breaks "C-19";
    stores_some_of_a_put_with_too_many_marks: StoresBeforeRefusal breaks "C-18";
    finds_what_is_retired: FindsRetired breaks "C-24";
    hides_the_retired_even_when_asked: HidesRetired breaks "C-24";
    hides_what_is_retired_and_says_absent: AbsentForRetired breaks "C-21";
    answers_several_queries_in_another_order: Reversed breaks "C-25";
    leaves_out_what_it_does_not_find: ShortAnswers breaks "C-25";
    returns_a_delta_alone: Alone breaks "C-26";
    returns_the_farthest_base_first: FarthestFirst breaks "C-26";
    returns_one_base: OneBase breaks "C-26";
    returns_no_retired_base: NoRetiredBase breaks "C-26";
    lists_no_marks: ListsNone breaks "C-35";
    lists_no_notes: ListsNoNotes breaks "C-35";
    lists_only_what_is_not_retired: ListsUnretired breaks "C-34";
    deletes_what_is_pinned: DeletesPinned breaks "C-54";
    deletes_what_is_pinned_among_several: ManyOverrule breaks "C-54";
    says_nothing_of_the_pinned: CountsNoPinned breaks "C-54";
    never_overrules_pins: NeverOverrules breaks "C-54";
    takes_a_retirement_for_a_pin: KeepsRetired breaks "C-50";
    deletes_bases: DeletesBases breaks "C-55";
    deletes_bases_among_several: ManyTakeBases breaks "C-55";
    keeps_the_nearest_base_only: NearestBaseOnly breaks "C-55";
    lets_an_overruled_pin_take_the_base: OverrulesBases breaks "C-55";
    marks_every_snapshot: MarksAll breaks "C-60";
    marks_a_version_of_every_generation: MarksVersions breaks "C-60";
    keeps_one_mark_of_each_kind: OneOfEachKind breaks "C-60";
    clears_all_of_a_kind: ClearsTheKind breaks "C-60";
    writes_the_mark_into_the_record: ChangesRecord breaks "C-60";
    counts_what_was_selected: CountsSelected breaks "C-61";
    lets_the_first_mark_stand: FirstMarkStands breaks "C-61";
    forgets_marks_when_it_crashes: UnsyncedMarks breaks "C-62";
    forgets_marks_when_it_is_opened: MarksInMemory breaks "C-62";
    loses_marks_that_are_set_at_once: LosesMarks breaks "C-63";
    takes_marks_beyond_the_limits: SwallowsRefusals breaks "C-64";
    marks_up_to_the_one_that_is_full: PartOfASelection breaks "C-64";
    takes_no_odd_texts: PlainTexts breaks "C-64";
    keeps_marks_for_the_next_of_that_name: MarksOutlive breaks "C-65";
    drops_all_marks_when_it_is_cut_off: CutOffClears breaks "C-66";
    keeps_no_marks_and_says_nothing: Ignores breaks "C-67";
}

/// The snapshots of a key that `selection` selects.
fn selected(truth: &Truth, key: &AggregateKey, selection: Selection<'_>) -> Vec<SnapshotId> {
    let rows = truth.rows(key).map(|rows| rows.by_id).unwrap_or_default();
    rows.into_keys().filter(|id| selection.admits(*id)).collect()
}

/// Changes the marks of a snapshot in any way.
fn remark(truth: &Truth, key: &AggregateKey, id: SnapshotId, change: impl Fn(&Marks) -> Marks) {
    let place = truth.place(key);
    let mut disk = truth.disk();
    let row = disk.written.get_mut(&place).and_then(|rows| rows.by_id.get_mut(&id));
    if let Some(row) = row {
        row.marks = change(&row.marks);
    }
    disk.dirty.insert(place);
    disk.sync();
}

fn without_marks(options: &PutOptions) -> PutOptions {
    options.clone().marks(Marks::NONE)
}

/// Puts, and then changes the marks of the records whose outcome is one that `is` tells.
fn put_and_remark(
    truth: &Truth,
    records: Vec<Record>,
    options: &PutOptions,
    is: impl Fn(&PutOutcome) -> bool,
    change: impl Fn(&Marks) -> Marks,
) -> Outcomes {
    truth.admit(&records)?;
    let named: Vec<_> = records.iter().map(|record| truth.incoming(record.clone())).collect();
    let outcomes = truth.put(records, options)?;
    for (Incoming { key, id, .. }, outcome) in named.into_iter().zip(&outcomes) {
        if is(outcome) {
            remark(truth, &key, id, &change);
        }
    }
    Ok(outcomes)
}

#[derive(Default)]
struct PutDropsMarks;

impl Mutant for PutDropsMarks {
    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        truth.admit(&records)?;
        truth.fits(&records, options)?;
        truth.put(records, &without_marks(options))
    }
}

#[derive(Default)]
struct ReplaceDropsMarks;

impl Mutant for ReplaceDropsMarks {
    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        let replaced = |outcome: &PutOutcome| *outcome == PutOutcome::Replaced;
        put_and_remark(truth, records, options, replaced, |_| options.marks.clone())
    }
}

#[derive(Default)]
struct SparesNothing;

impl Mutant for SparesNothing {
    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        truth.put(records, &options.clone().spare_pinned(false))
    }
}

#[derive(Default)]
struct SparesRetired;

impl Mutant for SparesRetired {
    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        truth.admit(&records)?;
        let any = |is: fn(&Marks) -> bool| {
            records.iter().any(|record| {
                let Incoming { key, id, .. } = truth.incoming(record.clone());
                let rows = truth.rows(&key).map(|rows| rows.by_id).unwrap_or_default();
                rows.get(&id).is_some_and(|row| is(&row.marks))
            })
        };
        let spares = options.spare_pinned && any(Marks::is_retired);
        truth.put(records, &options.clone().replace(options.replace && !spares))
    }
}

#[derive(Default)]
struct LooksFirst;

impl Mutant for LooksFirst {
    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        truth.admit(&records)?;
        let pinned = records.iter().any(|record| {
            let Incoming { key, id, .. } = truth.incoming(record.clone());
            let rows = truth.rows(&key);
            rows.is_some_and(|rows| rows.by_id.get(&id).is_some_and(|row| row.marks.is_pinned()))
        });
        if !options.spare_pinned || pinned {
            return truth.put(records, options);
        }
        yield_now().await;
        truth.put(records, &options.clone().spare_pinned(false))
    }
}

#[derive(Default)]
struct OldMarksWin;

impl Mutant for OldMarksWin {
    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        truth.admit(&records)?;
        let mut before = BTreeMap::new();
        for record in &records {
            let Incoming { key, id, .. } = truth.incoming(record.clone());
            let row = truth.rows(&key).and_then(|rows| rows.by_id.get(&id).cloned());
            before.extend(row.map(|row| ((key, id), row.marks)));
        }
        let outcomes = truth.put(records, options)?;
        for ((key, id), old) in before.into_iter().filter(|_| options.replace) {
            remark(truth, &key, id, |marks| marks.merged(&old).unwrap());
        }
        Ok(outcomes)
    }
}

#[derive(Default)]
struct ExistingTakesMarks;

impl Mutant for ExistingTakesMarks {
    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        let existing = |outcome: &PutOutcome| matches!(outcome, PutOutcome::Existing { .. });
        let merged = |marks: &Marks| marks.merged(&options.marks).unwrap();
        put_and_remark(truth, records, options, existing, merged)
    }
}

#[derive(Default)]
struct StoresBeforeRefusal;

impl Mutant for StoresBeforeRefusal {
    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        if truth.disk().failing || options.marks.is_empty() || !options.replace {
            return truth.put(records, options);
        }
        let mut outcomes = Vec::new();
        for record in records {
            outcomes.extend(truth.put(vec![record], options)?);
        }
        Ok(outcomes)
    }
}

#[derive(Default)]
struct FindsRetired;

impl Mutant for FindsRetired {
    async fn get(&self, truth: &Truth, query: Query<'_>) -> Answer {
        Ok(truth.get(query.include_retired(true)))
    }
}

#[derive(Default)]
struct HidesRetired;

impl Mutant for HidesRetired {
    async fn get(&self, truth: &Truth, query: Query<'_>) -> Answer {
        // What it reads by name is right, so that the bases of a delta are.
        let exact = query.at_least == query.at_most;
        Ok(truth.get(query.include_retired(query.include_retired && exact)))
    }
}

#[derive(Default)]
struct AbsentForRetired;

impl Mutant for AbsentForRetired {
    async fn get(&self, truth: &Truth, query: Query<'_>) -> Answer {
        let answer = truth.get(query);
        let all = truth.newest(query.include_retired(true));
        let hidden = answer == Lookup::OtherGeneration && all.is_some();
        Ok(if hidden { Lookup::Absent } else { answer })
    }
}

#[derive(Default)]
struct Reversed;

impl Mutant for Reversed {
    async fn get_many(&self, truth: &Truth, queries: &[Query<'_>]) -> Answers {
        Ok(queries.iter().rev().map(|query| truth.get(*query)).collect())
    }
}

#[derive(Default)]
struct ShortAnswers;

impl Mutant for ShortAnswers {
    async fn get_many(&self, truth: &Truth, queries: &[Query<'_>]) -> Answers {
        let answers = queries.iter().map(|query| truth.get(*query));
        Ok(answers.filter(|answer| matches!(answer, Lookup::Found(_))).collect())
    }
}

fn with_bases(
    truth: &Truth,
    query: Query<'_>,
    change: impl Fn(Vec<Record>) -> Vec<Record>,
) -> Lookup {
    match truth.get(query) {
        Lookup::Found(mut found) => {
            found.bases = change(found.bases);
            Lookup::Found(found)
        }
        other => other,
    }
}

#[derive(Default)]
struct Alone;

impl Mutant for Alone {
    async fn get(&self, truth: &Truth, query: Query<'_>) -> Answer {
        Ok(with_bases(truth, query, |_| Vec::new()))
    }
}

#[derive(Default)]
struct FarthestFirst;

impl Mutant for FarthestFirst {
    async fn get(&self, truth: &Truth, query: Query<'_>) -> Answer {
        Ok(with_bases(truth, query, |bases| bases.into_iter().rev().collect()))
    }
}

#[derive(Default)]
struct OneBase;

impl Mutant for OneBase {
    async fn get(&self, truth: &Truth, query: Query<'_>) -> Answer {
        Ok(with_bases(truth, query, |bases| bases.into_iter().take(1).collect()))
    }
}

#[derive(Default)]
struct NoRetiredBase;

impl Mutant for NoRetiredBase {
    async fn get(&self, truth: &Truth, query: Query<'_>) -> Answer {
        let rows = truth.rows(query.key);
        Ok(with_bases(truth, query, |bases| {
            let retired = |record: &Record| {
                let Incoming { id, .. } = truth.incoming(record.clone());
                rows.as_ref().is_some_and(|rows| rows.by_id[&id].marks.is_retired())
            };
            bases.into_iter().take_while(|base| !retired(base)).collect()
        }))
    }
}

#[derive(Default)]
struct ListsNone;

impl Mutant for ListsNone {
    async fn list(&self, truth: &Truth, request: ListRequest<'_>) -> Metas {
        let mut page = truth.list(request);
        page.items.iter_mut().for_each(|meta| meta.marks = Marks::NONE);
        Ok(page)
    }
}

#[derive(Default)]
struct ListsNoNotes;

impl Mutant for ListsNoNotes {
    async fn list(&self, truth: &Truth, request: ListRequest<'_>) -> Metas {
        let mut page = truth.list(request);
        for meta in &mut page.items {
            let marks = meta.marks.iter().map(|mark| mark.clone().note(""));
            meta.marks = Marks::new(marks).unwrap();
        }
        Ok(page)
    }
}

#[derive(Default)]
struct ListsUnretired;

impl Mutant for ListsUnretired {
    async fn list(&self, truth: &Truth, request: ListRequest<'_>) -> Metas {
        let mut page = truth.list(request);
        // Only where the whole key is retired, so that its marks can still be seen.
        let all = truth.list(ListRequest::new(request.key).limit(usize::MAX)).items;
        if all.len() > 3 && all.iter().all(|meta| *meta.marks == *all[0].marks) {
            page.items.retain(|meta| !meta.is_retired() || meta.marks.is_pinned());
            page.next = page.next.filter(|_| !page.items.is_empty());
        }
        Ok(page)
    }
}

#[derive(Default)]
struct DeletesPinned;

impl Mutant for DeletesPinned {
    async fn delete_with(
        &self,
        truth: &Truth,
        key: &AggregateKey,
        selection: Selection<'_>,
        _: DeleteOptions,
    ) -> Erased {
        let options = DeleteOptions::default().overrule_pins(true);
        let (ids, Deleted { needed, .. }) = truth.doomed(key, selection, options);
        Ok(truth.delete(key, Selection::Ids(&ids)).kept(0, needed))
    }
}

#[derive(Default)]
struct CountsNoPinned;

impl Mutant for CountsNoPinned {
    async fn delete_with(
        &self,
        truth: &Truth,
        key: &AggregateKey,
        selection: Selection<'_>,
        options: DeleteOptions,
    ) -> Erased {
        let (ids, Deleted { needed, .. }) = truth.doomed(key, selection, options);
        Ok(truth.delete(key, Selection::Ids(&ids)).kept(0, needed))
    }
}

#[derive(Default)]
struct NeverOverrules;

impl Mutant for NeverOverrules {
    async fn delete_with(
        &self,
        truth: &Truth,
        key: &AggregateKey,
        selection: Selection<'_>,
        _: DeleteOptions,
    ) -> Erased {
        let (ids, kept) = truth.doomed(key, selection, DeleteOptions::default());
        Ok(truth.delete(key, Selection::Ids(&ids)).kept(kept.pinned, kept.needed))
    }
}

#[derive(Default)]
struct KeepsRetired;

impl Mutant for KeepsRetired {
    async fn delete(&self, truth: &Truth, key: &AggregateKey, selection: Selection<'_>) -> Erased {
        let rows = truth.rows(key).map(|rows| rows.by_id).unwrap_or_default();
        let ids = selected(truth, key, selection);
        let stays = |id: &SnapshotId| {
            let marks = &rows[id].marks;
            marks.is_retired() && !marks.is_pinned()
        };
        let ids: Vec<_> = ids.into_iter().filter(|id| !stays(id)).collect();
        Ok(truth.delete(key, Selection::Ids(&ids)))
    }
}

/// Deletes what is selected and not pinned, whatever `spared` says of bases.
fn delete_some(
    truth: &Truth,
    key: &AggregateKey,
    selection: Selection<'_>,
    options: DeleteOptions,
    spared: impl Fn(&[SnapshotId], SnapshotId) -> bool,
) -> Deleted {
    let rows = truth.rows(key).map(|rows| rows.by_id).unwrap_or_default();
    let free = |id: &SnapshotId| options.overrule_pins || !rows[id].marks.is_pinned();
    let all = selected(truth, key, selection);
    let ids: Vec<_> = all.iter().copied().filter(free).collect();
    let gone: Vec<_> = ids.iter().copied().filter(|id| !spared(&ids, *id)).collect();
    let (pinned, needed) = (all.len() - ids.len(), ids.len() - gone.len());
    truth.delete(key, Selection::Ids(&gone)).kept(pinned as u64, needed as u64)
}

#[derive(Default)]
struct DeletesBases;

impl Mutant for DeletesBases {
    async fn delete_with(
        &self,
        truth: &Truth,
        key: &AggregateKey,
        selection: Selection<'_>,
        options: DeleteOptions,
    ) -> Erased {
        Ok(delete_some(truth, key, selection, options, |_, _| false))
    }
}

#[derive(Default)]
struct NearestBaseOnly;

impl Mutant for NearestBaseOnly {
    async fn delete_with(
        &self,
        truth: &Truth,
        key: &AggregateKey,
        selection: Selection<'_>,
        options: DeleteOptions,
    ) -> Erased {
        let rows = truth.rows(key).map(|rows| rows.by_id).unwrap_or_default();
        Ok(delete_some(truth, key, selection, options, |gone, id| {
            rows.iter().any(|(delta, row)| {
                let base = row.record.header().ok().and_then(|header| header.base);
                !gone.contains(delta)
                    && delta.generation == id.generation
                    && base.is_some_and(|base| base.version == id.version)
            })
        }))
    }
}

#[derive(Default)]
struct OverrulesBases;

impl Mutant for OverrulesBases {
    async fn delete_with(
        &self,
        truth: &Truth,
        key: &AggregateKey,
        selection: Selection<'_>,
        options: DeleteOptions,
    ) -> Erased {
        if options.overrule_pins {
            return Ok(delete_some(truth, key, selection, options, |_, _| false));
        }
        let (ids, kept) = truth.doomed(key, selection, options);
        Ok(truth.delete(key, Selection::Ids(&ids)).kept(kept.pinned, kept.needed))
    }
}

#[derive(Default)]
struct MarksAll;

impl Mutant for MarksAll {
    async fn mark(
        &self,
        truth: &Truth,
        key: &AggregateKey,
        selection: Selection<'_>,
        change: MarkChange<'_>,
    ) -> Marked {
        let any = !selected(truth, key, selection).is_empty();
        truth.mark(key, if any { Selection::All } else { selection }, change)
    }
}

#[derive(Default)]
struct MarksVersions;

impl Mutant for MarksVersions {
    async fn mark(
        &self,
        truth: &Truth,
        key: &AggregateKey,
        selection: Selection<'_>,
        change: MarkChange<'_>,
    ) -> Marked {
        let ids = selected(truth, key, selection);
        let all = selected(truth, key, Selection::All);
        let same = |id: &SnapshotId| ids.iter().any(|own| own.version == id.version);
        let ids: Vec<_> = all.into_iter().filter(same).collect();
        truth.mark(key, Selection::Ids(&ids), change)
    }
}

#[derive(Default)]
struct OneOfEachKind;

impl Mutant for OneOfEachKind {
    async fn mark(
        &self,
        truth: &Truth,
        key: &AggregateKey,
        selection: Selection<'_>,
        change: MarkChange<'_>,
    ) -> Marked {
        let changed = truth.mark(key, selection, change)?;
        if let MarkChange::Set(mark) = change {
            for id in selected(truth, key, selection) {
                remark(truth, key, id, |marks| {
                    let others = marks.iter().filter(|other| other.kind != mark.kind);
                    Marks::new(others.cloned().chain([mark.clone()])).unwrap()
                });
            }
        }
        Ok(changed)
    }
}

#[derive(Default)]
struct ClearsTheKind;

impl Mutant for ClearsTheKind {
    async fn mark(
        &self,
        truth: &Truth,
        key: &AggregateKey,
        selection: Selection<'_>,
        change: MarkChange<'_>,
    ) -> Marked {
        let changed = truth.mark(key, selection, change)?;
        if let MarkChange::Clear { kind, .. } = change {
            for id in selected(truth, key, selection) {
                let others = |marks: &Marks| {
                    Marks::new(marks.iter().filter(|other| other.kind != kind).cloned()).unwrap()
                };
                remark(truth, key, id, others);
            }
        }
        Ok(changed)
    }
}

#[derive(Default)]
struct ChangesRecord;

impl Mutant for ChangesRecord {
    async fn mark(
        &self,
        truth: &Truth,
        key: &AggregateKey,
        selection: Selection<'_>,
        change: MarkChange<'_>,
    ) -> Marked {
        let place = truth.place(key);
        for id in selected(truth, key, selection) {
            truth.disk().damage(&place, id, <[u8]>::last_mut);
        }
        truth.mark(key, selection, change)
    }
}

#[derive(Default)]
struct CountsSelected;

impl Mutant for CountsSelected {
    async fn mark(
        &self,
        truth: &Truth,
        key: &AggregateKey,
        selection: Selection<'_>,
        change: MarkChange<'_>,
    ) -> Marked {
        truth.mark(key, selection, change)?;
        Ok(selected(truth, key, selection).len() as u64)
    }
}

#[derive(Default)]
struct FirstMarkStands;

impl Mutant for FirstMarkStands {
    async fn mark(
        &self,
        truth: &Truth,
        key: &AggregateKey,
        selection: Selection<'_>,
        change: MarkChange<'_>,
    ) -> Marked {
        let rows = truth.rows(key).map(|rows| rows.by_id).unwrap_or_default();
        let mut ids = selected(truth, key, selection);
        if let MarkChange::Set(mark) = change {
            ids.retain(|id| rows[id].marks.find(mark.kind, &mark.name).is_none());
        }
        truth.mark(key, Selection::Ids(&ids), change)
    }
}

#[derive(Default)]
struct UnsyncedMarks;

impl Mutant for UnsyncedMarks {
    async fn mark(
        &self,
        truth: &Truth,
        key: &AggregateKey,
        selection: Selection<'_>,
        change: MarkChange<'_>,
    ) -> Marked {
        let changed = truth.note(key, |id| selection.admits(id), change);
        truth.disk().dirty.clear();
        changed
    }
}

#[derive(Default)]
struct MarksInMemory;

impl Mutant for MarksInMemory {
    fn opened(disk: &mut Disk) {
        for table in [&mut disk.written, &mut disk.synced] {
            for row in table.values_mut().flat_map(|rows| rows.by_id.values_mut()) {
                row.marks = Marks::NONE;
            }
        }
    }
}

#[derive(Default)]
struct LosesMarks;

impl Mutant for LosesMarks {
    async fn mark(
        &self,
        truth: &Truth,
        key: &AggregateKey,
        selection: Selection<'_>,
        change: MarkChange<'_>,
    ) -> Marked {
        let rows = truth.rows(key).map(|rows| rows.by_id).unwrap_or_default();
        let changed = truth.frozen().mark(key, selection, change)?;
        yield_now().await;
        for id in selected(truth, key, selection) {
            let Some(row) = rows.get(&id) else { continue };
            if let Some(marks) = row.marks.changed(change)? {
                remark(truth, key, id, |_| marks.clone());
            }
        }
        Ok(changed)
    }
}

#[derive(Default)]
struct SwallowsRefusals;

impl Mutant for SwallowsRefusals {
    async fn mark(
        &self,
        truth: &Truth,
        key: &AggregateKey,
        selection: Selection<'_>,
        change: MarkChange<'_>,
    ) -> Marked {
        Ok(truth.mark(key, selection, change).unwrap_or(0))
    }
}

#[derive(Default)]
struct PartOfASelection;

impl Mutant for PartOfASelection {
    async fn mark(
        &self,
        truth: &Truth,
        key: &AggregateKey,
        selection: Selection<'_>,
        change: MarkChange<'_>,
    ) -> Marked {
        change.check()?;
        let ids = selected(truth, key, selection);
        ids.into_iter().map(|id| truth.mark(key, Selection::Ids(&[id]), change)).sum()
    }
}

/// As a column that holds no NUL would.
#[derive(Default)]
struct PlainTexts;

impl Mutant for PlainTexts {
    async fn mark(
        &self,
        truth: &Truth,
        key: &AggregateKey,
        selection: Selection<'_>,
        change: MarkChange<'_>,
    ) -> Marked {
        let plain = |text: &str| text.replace('\0', "?");
        let mark;
        let change = match change {
            MarkChange::Set(set) => {
                mark = Mark::new(set.kind, plain(&set.name), set.at)
                    .actor(plain(&set.actor))
                    .note(plain(&set.note));
                MarkChange::Set(&mark)
            }
            other => other,
        };
        truth.mark(key, selection, change)
    }
}

#[derive(Default)]
struct MarksOutlive(Mutex<BTreeMap<(AggregateKey, SnapshotId), Marks>>);

impl Mutant for MarksOutlive {
    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        truth.admit(&records)?;
        let named: Vec<_> = records.iter().map(|record| truth.incoming(record.clone())).collect();
        let outcomes = truth.put(records, options)?;
        for (Incoming { key, id, .. }, outcome) in named.into_iter().zip(&outcomes) {
            let old = self.0.lock().unwrap().remove(&(key.clone(), id));
            if let Some(old) = old.filter(|_| *outcome == PutOutcome::Stored) {
                remark(truth, &key, id, |marks| marks.merged(&old).unwrap());
            }
        }
        Ok(outcomes)
    }

    async fn delete_with(
        &self,
        truth: &Truth,
        key: &AggregateKey,
        selection: Selection<'_>,
        options: DeleteOptions,
    ) -> Erased {
        let rows = truth.rows(key).map(|rows| rows.by_id).unwrap_or_default();
        let (ids, kept) = truth.doomed(key, selection, options);
        let left = ids.iter().map(|id| ((key.clone(), *id), rows[id].marks.clone()));
        self.0.lock().unwrap().extend(left.filter(|(_, marks)| !marks.is_empty()));
        Ok(truth.delete(key, Selection::Ids(&ids)).kept(kept.pinned, kept.needed))
    }
}

#[derive(Default)]
struct CutOffClears;

impl Mutant for CutOffClears {
    async fn mark(
        &self,
        truth: &Truth,
        key: &AggregateKey,
        selection: Selection<'_>,
        change: MarkChange<'_>,
    ) -> Marked {
        struct OnDrop<'a>(&'a Truth, &'a AggregateKey, Vec<SnapshotId>);
        impl Drop for OnDrop<'_> {
            fn drop(&mut self) {
                for id in &self.2 {
                    remark(self.0, self.1, *id, |_| Marks::NONE);
                }
            }
        }
        let mut cut_off = OnDrop(truth, key, selected(truth, key, selection));
        yield_now().await;
        cut_off.2.clear();
        truth.mark(key, selection, change)
    }
}

#[derive(Default)]
struct Ignores;

impl Mutant for Ignores {
    fn capabilities(&self) -> Capabilities {
        Truth::capabilities().marks(false)
    }

    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        truth.put(records, &without_marks(options))
    }

    async fn mark(
        &self,
        truth: &Truth,
        key: &AggregateKey,
        selection: Selection<'_>,
        _: MarkChange<'_>,
    ) -> Marked {
        let none = MarkChange::Clear { kind: MarkKind::Pin, name: "no such mark" };
        truth.mark(key, selection, none)
    }
}

#[derive(Default)]
struct ManyOverrule;

impl Mutant for ManyOverrule {
    async fn delete_many(
        &self,
        truth: &Truth,
        selected: &[(&AggregateKey, &[SnapshotId])],
        options: DeleteOptions,
    ) -> AllErased {
        Honest.delete_many(truth, selected, options.overrule_pins(true)).await
    }
}

#[derive(Default)]
struct ManyTakeBases;

impl Mutant for ManyTakeBases {
    async fn delete_many(
        &self,
        truth: &Truth,
        selected: &[(&AggregateKey, &[SnapshotId])],
        options: DeleteOptions,
    ) -> AllErased {
        let mut deleted = Vec::new();
        for (key, ids) in selected {
            let (_, Deleted { pinned, .. }) = truth.doomed(key, Selection::Ids(ids), options);
            let rows = truth.rows(key).map(|rows| rows.by_id).unwrap_or_default();
            let mut ids = ids.to_vec();
            ids.retain(|id| {
                options.overrule_pins || !rows.get(id).is_some_and(|row| row.marks.is_pinned())
            });
            deleted.push(truth.delete(key, Selection::Ids(&ids)).kept(pinned, 0));
        }
        Ok(deleted)
    }
}
