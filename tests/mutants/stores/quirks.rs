//! Stores that are odd and tell no lie: what the promises leave open, the kit must let pass.

use snapfold::record::{Record, SnapshotMeta};
use snapfold::store::{
    Capabilities, KeysRequest, ListRequest, Lookup, MarkChange, Page, PutOptions, Query, Selection,
};
use snapfold::{AggregateKey, Error, ErrorKind};

use super::mutant::{Answer, Erased, Honest, Keys, Marked, Metas, Mutant, Outcomes};
use super::truth::{Truth, check, cursor_at, place_of};

mutants! {
    tells_the_truth: Honest;
    says_other_generation_where_it_does_not_know: NeverKnows;
    lists_aggregates_backwards: Backwards;
    gives_smaller_pages_than_asked_for: SmallPages;
    finds_out_late_that_a_list_has_ended: LateEnd;
    takes_a_foreign_cursor_for_the_end: ForeignIsEnd;
    promises_little_and_keeps_it: PromisesLittle;
    takes_longer_keys_than_it_promises: AnyKeyLength;
    keeps_no_marks_and_says_so: NoMarks;
}

#[derive(Default)]
struct NeverKnows;

impl Mutant for NeverKnows {
    async fn get(&self, truth: &Truth, query: Query<'_>) -> Answer {
        Ok(truth.newest(query).map_or(Lookup::OtherGeneration, Lookup::Found))
    }
}

#[derive(Default)]
struct Backwards;

impl Mutant for Backwards {
    async fn keys(&self, truth: &Truth, mut request: KeysRequest<'_>) -> Keys {
        let limit = request.limit.max(1);
        let after = request.after.take().map(place_of).transpose()?;
        let mut items = truth.keys(request.limit(usize::MAX))?.items;
        items.reverse();
        items.retain(|key| after.as_ref().is_none_or(|after| key < after));
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(cursor_at);
        Ok(Page::new(items, next))
    }
}

#[derive(Default)]
struct SmallPages;

impl Mutant for SmallPages {
    async fn list(&self, truth: &Truth, request: ListRequest<'_>) -> Metas {
        Ok(truth.list(request.limit(request.limit.min(3))))
    }

    async fn keys(&self, truth: &Truth, request: KeysRequest<'_>) -> Keys {
        truth.keys(request.limit(request.limit.min(3)))
    }
}

/// A full page leads on, perhaps to an empty one.
#[derive(Default)]
struct LateEnd;

impl Mutant for LateEnd {
    async fn list(&self, truth: &Truth, request: ListRequest<'_>) -> Metas {
        let mut page = truth.list(request);
        if page.items.len() == request.limit.max(1) {
            page.next = page.items.last().map(SnapshotMeta::id);
        }
        Ok(page)
    }
}

#[derive(Default)]
struct ForeignIsEnd;

impl Mutant for ForeignIsEnd {
    async fn keys(&self, truth: &Truth, request: KeysRequest<'_>) -> Keys {
        truth.keys(request).or_else(|_| Ok(Page::new(Vec::new(), None)))
    }
}

#[derive(Default)]
struct PromisesLittle;

impl Mutant for PromisesLittle {
    fn capabilities(&self) -> Capabilities {
        Truth::capabilities().durable(false).atomic_batches(false)
    }

    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        check(Truth::capabilities(), &records)?;
        truth.fits(&records, options)?;
        if truth.disk().failing {
            let half = records[..records.len() / 2].to_vec();
            truth.write(half, options);
            return Err(Error::new(ErrorKind::Store, "put", "the disk is full"));
        }
        Ok(truth.write(records, options))
    }

    async fn delete(&self, truth: &Truth, key: &AggregateKey, selection: Selection<'_>) -> Erased {
        Ok(truth.erase(key, |id| selection.admits(id)))
    }
}

#[derive(Default)]
struct AnyKeyLength;

impl Mutant for AnyKeyLength {
    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        truth.put_within(Truth::capabilities().max_key_bytes(u64::MAX), records, options)
    }
}

#[derive(Default)]
struct NoMarks;

impl Mutant for NoMarks {
    fn capabilities(&self) -> Capabilities {
        Truth::capabilities().marks(false).returns_bases(false)
    }

    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        options.refuse_marks()?;
        truth.put(records, options)
    }

    async fn mark(
        &self,
        _: &Truth,
        _: &AggregateKey,
        _: Selection<'_>,
        _: MarkChange<'_>,
    ) -> Marked {
        Err(Error::new(ErrorKind::Unsupported, "mark snapshots", "no marks here"))
    }
}
