//! Lies about bases that a store remembers wrongly: after a put, or after it was opened.

use std::collections::BTreeMap;
use std::sync::Mutex;

use snapfold::record::Record;
use snapfold::store::{
    Deletable, DeleteOptions, DeletePlan, Deleted, Found, Lookup, PutOptions, PutOutcome, Query,
    Selection,
};
use snapfold::{AggregateKey, SnapshotId};

use super::disk::Incoming;
use super::mutant::{Answer, Answers, Erased, Mutant, Outcomes};
use super::truth::Truth;

mutants! {
    returns_several_deltas_alone: SeveralAlone breaks "C-26";
    forgets_bases_when_it_is_opened: BasesInMemory breaks "C-26";
    keeps_the_base_of_what_was_replaced: OldBaseStays breaks "C-55";
    takes_the_base_of_what_was_not_stored: AnyBaseCounts breaks "C-55";
    forgets_needs_when_it_is_opened: NeedsInMemory breaks "C-55";
}

#[derive(Default)]
struct SeveralAlone;

impl Mutant for SeveralAlone {
    async fn get_many(&self, truth: &Truth, queries: &[Query<'_>]) -> Answers {
        let alone = |query: &Query<'_>| match truth.get(*query) {
            Lookup::Found(found) => Lookup::Found(Found::new(found.version, found.record)),
            other => other,
        };
        Ok(queries.iter().map(alone).collect())
    }
}

/// The version of the base of each delta, as a process remembers it.
#[derive(Default)]
struct Remembered(Mutex<BTreeMap<(AggregateKey, SnapshotId), Option<u64>>>);

impl Remembered {
    fn note(&self, truth: &Truth, record: &Record, again: bool) {
        let Incoming { key, id, .. } = truth.incoming(record.clone());
        let base = record.header().unwrap().base.map(|base| base.version);
        let mut remembered = self.0.lock().unwrap();
        if again || !remembered.contains_key(&(key.clone(), id)) {
            remembered.insert((key, id), base);
        }
    }

    fn base(&self, key: &AggregateKey, id: SnapshotId) -> Option<u64> {
        self.0.lock().unwrap().get(&(key.clone(), id)).copied().flatten()
    }

    /// A delete that keeps what is needed by this memory.
    fn delete(
        &self,
        truth: &Truth,
        key: &AggregateKey,
        selection: Selection<'_>,
        options: DeleteOptions,
    ) -> Deleted {
        let rows = truth.rows(key).map(|rows| rows.by_id).unwrap_or_default();
        let stored = rows.iter().map(|(id, row)| {
            Deletable::new(*id, 1).pinned(row.marks.is_pinned()).base(self.base(key, *id))
        });
        let stored: Vec<_> = stored.collect();
        let plan = DeletePlan::new(selection, options, &stored);
        let ids: Vec<_> = rows.into_keys().filter(|id| plan.removes(*id)).collect();
        let Deleted { pinned, needed, .. } = plan.deleted;
        truth.delete(key, Selection::Ids(&ids)).kept(pinned, needed)
    }
}

#[derive(Default)]
struct BasesInMemory(Remembered);

impl Mutant for BasesInMemory {
    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        let outcomes = truth.put(records.clone(), options)?;
        for record in &records {
            self.0.note(truth, record, true);
        }
        Ok(outcomes)
    }

    async fn get(&self, truth: &Truth, query: Query<'_>) -> Answer {
        let remembered = |id| self.0.base(query.key, id).is_some();
        let Lookup::Found(found) = truth.get(query) else { return Ok(truth.get(query)) };
        let id = SnapshotId { generation: query.generation, version: found.version };
        let bases = if remembered(id) { found.bases } else { Vec::new() };
        Ok(Lookup::Found(Found::new(found.version, found.record).with_bases(bases)))
    }
}

#[derive(Default)]
struct NeedsInMemory(Remembered);

impl Mutant for NeedsInMemory {
    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        let outcomes = truth.put(records.clone(), options)?;
        for (record, outcome) in records.iter().zip(&outcomes) {
            if !matches!(outcome, PutOutcome::Existing { .. }) {
                self.0.note(truth, record, true);
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
        Ok(self.0.delete(truth, key, selection, options))
    }
}

#[derive(Default)]
struct OldBaseStays(Remembered);

impl Mutant for OldBaseStays {
    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        let outcomes = truth.put(records.clone(), options)?;
        for record in &records {
            self.0.note(truth, record, false);
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
        Ok(self.0.delete(truth, key, selection, options))
    }
}

#[derive(Default)]
struct AnyBaseCounts(Remembered);

impl Mutant for AnyBaseCounts {
    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        let outcomes = truth.put(records.clone(), options)?;
        for record in &records {
            self.0.note(truth, record, true);
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
        Ok(self.0.delete(truth, key, selection, options))
    }
}
