//! Lies about what there is: pages of snapshots, and pages of aggregates.

use std::collections::BTreeSet;
use std::sync::Mutex;

use snapfold::record::{Generation, Record, SnapshotMeta};
use snapfold::store::{Cursor, KeysRequest, ListRequest, Page, PutOptions, Selection};
use snapfold::{AggregateKey, Error, ErrorKind, SnapshotId};

use super::mutant::{Erased, Keys, Metas, Mutant, Outcomes, Pages};
use super::truth::{Truth, cursor_at};

mutants! {
    lists_the_oldest_first: OldestFirst breaks "C-30";
    lists_by_generation_first: ByGeneration breaks "C-30";
    lists_more_than_the_limit: OneOverTheLimit breaks "C-31";
    takes_the_limit_0_for_none: ZeroIsUnlimited breaks "C-31";
    gives_an_empty_page_before_the_end: FiltersAfterwards breaks "C-31";
    never_ends_a_list: NeverEnds breaks "C-31";
    says_that_the_list_ends_where_the_page_does: NeverNext breaks "C-31", "C-32";
    lists_the_last_of_a_page_again: RepeatsTheLast breaks "C-32";
    leaves_out_the_first_of_each_next_page: SkipsTheNext breaks "C-32";
    ends_a_list_whose_cursor_was_deleted: CursorMustExist breaks "C-32";
    continues_below_the_version_of_the_cursor: CursorIsVersion breaks "C-32";
    lists_one_generation: OneGeneration breaks "C-32";
    ignores_the_bounds_of_a_list: NoBounds breaks "C-34";
    takes_the_upper_bound_of_a_list_for_exclusive: AtMostIsBelow breaks "C-34";
    tells_the_bytes_of_the_payload_for_those_of_the_record: PayloadBytes breaks "C-34";
    leaves_labels_out_of_the_list: NoLabels breaks "C-34";
    leaves_out_empty_pages_of_several_lists: NoEmptyPages breaks "C-36";
    answers_several_lists_of_a_key_with_one: FirstOfEachKey breaks "C-36";
    ends_several_lists_at_their_limits: NoNextOfMany breaks "C-36";
    lists_an_aggregate_per_generation: KeyPerGeneration breaks "C-40";
    leaves_out_an_aggregate_between_pages: SkipsAKey breaks "C-40";
    counts_pages_of_aggregates_by_offset: ByOffset breaks "C-40";
    lists_no_more_than_a_hundred_aggregates: AHundred breaks "C-40";
    goes_on_listing_empty_aggregates: ListsEmpty breaks "C-40";
    pages_aggregates_without_regard_to_the_limit: AllKeysAtOnce breaks "C-40";
    takes_the_default_tenant_for_all: DefaultIsAll breaks "C-41";
    ignores_the_tenant: AnyTenant breaks "C-41";
    takes_the_kind_for_a_prefix: KindIsPrefix breaks "C-41";
    starts_over_at_a_foreign_cursor: StartsOver breaks "C-42";
    fails_on_the_list_of_nothing: NothingIsFailure breaks "C-02";
    lists_reserved_kinds_unasked: ShowsReserved breaks "C-43";
    never_lists_reserved_kinds: HidesReserved breaks "C-43";
    takes_a_kind_for_the_wish_to_see_it: ReservedByKind breaks "C-43";
}

#[derive(Default)]
struct OldestFirst;

impl Mutant for OldestFirst {
    async fn list(&self, truth: &Truth, request: ListRequest<'_>) -> Metas {
        let mut page = truth.list(request);
        page.items.reverse();
        Ok(page)
    }
}

#[derive(Default)]
struct ByGeneration;

impl Mutant for ByGeneration {
    async fn list(&self, truth: &Truth, request: ListRequest<'_>) -> Metas {
        let mut page = truth.list(request);
        page.items.sort_by_key(|meta| std::cmp::Reverse((meta.generation, meta.version)));
        Ok(page)
    }
}

#[derive(Default)]
struct OneOverTheLimit;

impl Mutant for OneOverTheLimit {
    async fn list(&self, truth: &Truth, request: ListRequest<'_>) -> Metas {
        Ok(truth.list(request.limit(request.limit.saturating_add(1))))
    }
}

#[derive(Default)]
struct ZeroIsUnlimited;

impl Mutant for ZeroIsUnlimited {
    async fn list(&self, truth: &Truth, request: ListRequest<'_>) -> Metas {
        Ok(truth.list(if request.limit == 0 { request.limit(usize::MAX) } else { request }))
    }
}

/// Reads as many rows as the limit says, and looks at the bounds then.
#[derive(Default)]
struct FiltersAfterwards;

impl Mutant for FiltersAfterwards {
    async fn list(&self, truth: &Truth, request: ListRequest<'_>) -> Metas {
        let mut page = truth.list(request.at_most(u64::MAX).at_least(0));
        page.items.retain(|meta| request.admits(meta.id()));
        Ok(page)
    }
}

/// Goes on after the end: an empty page, and then another one.
#[derive(Default)]
struct NeverEnds;

impl Mutant for NeverEnds {
    async fn list(&self, truth: &Truth, request: ListRequest<'_>) -> Metas {
        let mut page = truth.list(request);
        page.next = page.items.last().map(SnapshotMeta::id).or(request.after);
        Ok(page)
    }
}

#[derive(Default)]
struct NeverNext;

impl Mutant for NeverNext {
    async fn list(&self, truth: &Truth, request: ListRequest<'_>) -> Metas {
        Ok(Page::new(truth.list(request).items, None))
    }
}

/// Takes the cursor for the first of the next page.
#[derive(Default)]
struct RepeatsTheLast;

impl Mutant for RepeatsTheLast {
    async fn list(&self, truth: &Truth, request: ListRequest<'_>) -> Metas {
        let mut page = truth.list(request);
        let Some(after) = request.after.filter(|_| request.limit > 1) else { return Ok(page) };
        let only = ListRequest::new(request.key).at_most(after.version).at_least(after.version);
        page.items.splice(0..0, truth.list(only).items.into_iter().find(|meta| meta.id() == after));
        if page.items.len() > request.limit {
            page.items.truncate(request.limit);
            page.next = page.items.last().map(SnapshotMeta::id);
        }
        Ok(page)
    }
}

/// Takes the cursor for the last of the next page but one.
#[derive(Default)]
struct SkipsTheNext;

impl Mutant for SkipsTheNext {
    async fn list(&self, truth: &Truth, request: ListRequest<'_>) -> Metas {
        let mut page = truth.list(request);
        if request.after.is_some() && page.items.len() > 1 {
            page.items.remove(0);
        }
        Ok(page)
    }
}

#[derive(Default)]
struct CursorMustExist;

impl Mutant for CursorMustExist {
    async fn list(&self, truth: &Truth, request: ListRequest<'_>) -> Metas {
        let there = |id| truth.rows(request.key).is_some_and(|rows| rows.by_id.contains_key(&id));
        match request.after {
            Some(after) if !there(after) => Ok(Page::new(Vec::new(), None)),
            _ => Ok(truth.list(request)),
        }
    }
}

#[derive(Default)]
struct CursorIsVersion;

impl Mutant for CursorIsVersion {
    async fn list(&self, truth: &Truth, mut request: ListRequest<'_>) -> Metas {
        if let Some(after) = &mut request.after {
            after.generation = Generation { schema_version: 0, fingerprint: 0 };
        }
        Ok(truth.list(request))
    }
}

#[derive(Default)]
struct OneGeneration;

impl Mutant for OneGeneration {
    async fn list(&self, truth: &Truth, request: ListRequest<'_>) -> Metas {
        let mut page = truth.list(request.limit(usize::MAX));
        let newest = page.items.first().map(|meta| meta.generation);
        page.items.retain(|meta| Some(meta.generation) == newest);
        let limit = request.limit.max(1);
        let next = page.items.get(limit - 1).map(SnapshotMeta::id);
        page.next = next.filter(|_| page.items.len() > limit);
        page.items.truncate(limit);
        Ok(page)
    }
}

#[derive(Default)]
struct NoBounds;

impl Mutant for NoBounds {
    async fn list(&self, truth: &Truth, request: ListRequest<'_>) -> Metas {
        Ok(truth.list(request.at_most(u64::MAX).at_least(0)))
    }
}

#[derive(Default)]
struct AtMostIsBelow;

impl Mutant for AtMostIsBelow {
    async fn list(&self, truth: &Truth, request: ListRequest<'_>) -> Metas {
        Ok(truth.list(match request.at_most {
            u64::MAX => request,
            version => request.at_most(version.saturating_sub(1)),
        }))
    }
}

#[derive(Default)]
struct PayloadBytes;

impl Mutant for PayloadBytes {
    async fn list(&self, truth: &Truth, request: ListRequest<'_>) -> Metas {
        let mut page = truth.list(request);
        for meta in &mut page.items {
            meta.stored_bytes = meta.raw_bytes;
        }
        Ok(page)
    }
}

#[derive(Default)]
struct NoLabels;

impl Mutant for NoLabels {
    async fn list(&self, truth: &Truth, request: ListRequest<'_>) -> Metas {
        let mut page = truth.list(request);
        for meta in &mut page.items {
            meta.labels.clear();
        }
        Ok(page)
    }
}

#[derive(Default)]
struct NothingIsFailure;

impl Mutant for NothingIsFailure {
    async fn list(&self, truth: &Truth, request: ListRequest<'_>) -> Metas {
        match truth.rows(request.key) {
            Some(_) => Ok(truth.list(request)),
            None => Err(Error::new(ErrorKind::Store, "list", "there is no such aggregate")),
        }
    }
}

#[derive(Default)]
struct KeyPerGeneration;

impl Mutant for KeyPerGeneration {
    async fn keys(&self, truth: &Truth, request: KeysRequest<'_>) -> Keys {
        let page = truth.keys(request)?;
        let generations = |key: &AggregateKey| {
            let rows = truth.rows(key).into_iter().flat_map(|rows| rows.by_id.into_keys());
            rows.map(|id| id.generation).collect::<BTreeSet<_>>().len()
        };
        let items = page.items.into_iter().flat_map(|key| {
            let times = generations(&key);
            std::iter::repeat_n(key, times)
        });
        Ok(Page::new(items.collect(), page.next))
    }
}

#[derive(Default)]
struct SkipsAKey;

impl Mutant for SkipsAKey {
    async fn keys(&self, truth: &Truth, request: KeysRequest<'_>) -> Keys {
        let mut page = truth.keys(request)?;
        if request.after.is_some() && page.items.len() > 1 {
            page.items.remove(0);
        }
        Ok(page)
    }
}

/// The cursor is how many were listed, so a deletion shifts the rest.
#[derive(Default)]
struct ByOffset;

impl Mutant for ByOffset {
    async fn keys(&self, truth: &Truth, mut request: KeysRequest<'_>) -> Keys {
        let offset = match request.after.take() {
            None => 0,
            Some(cursor) => {
                let foreign = |_| Error::new(ErrorKind::InvalidInput, "list", "a foreign cursor");
                u64::from_be_bytes(cursor.as_bytes().try_into().map_err(foreign)?)
            }
        };
        let limit = request.limit.max(1);
        let skipped = usize::try_from(offset).unwrap_or(usize::MAX);
        let mut rest = truth.keys(request.limit(usize::MAX))?.items.into_iter().skip(skipped);
        let items: Vec<_> = rest.by_ref().take(limit).collect();
        let end = offset.saturating_add(items.len() as u64);
        let next = rest.next().map(|_| Cursor::new(end.to_be_bytes()));
        Ok(Page::new(items, next))
    }
}

/// As many as the service below gives in one answer.
#[derive(Default)]
struct AHundred;

impl Mutant for AHundred {
    async fn keys(&self, truth: &Truth, request: KeysRequest<'_>) -> Keys {
        let mut page = truth.keys(request)?;
        if page.items.len() > 100 {
            page.items.truncate(100);
            page.next = None;
        }
        Ok(page)
    }
}

/// A register of aggregates that is brought up to date by puts only.
#[derive(Default)]
struct ListsEmpty(Mutex<Option<Truth>>);

impl Mutant for ListsEmpty {
    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        *self.0.lock().unwrap() = None;
        truth.put(records, options)
    }

    async fn keys(&self, truth: &Truth, request: KeysRequest<'_>) -> Keys {
        let old = self.0.lock().unwrap();
        old.as_ref().unwrap_or(truth).keys(request)
    }

    async fn delete(&self, truth: &Truth, key: &AggregateKey, selection: Selection<'_>) -> Erased {
        self.0.lock().unwrap().get_or_insert_with(|| truth.frozen());
        Ok(truth.delete(key, selection))
    }
}

#[derive(Default)]
struct AllKeysAtOnce;

impl Mutant for AllKeysAtOnce {
    async fn keys(&self, truth: &Truth, request: KeysRequest<'_>) -> Keys {
        truth.keys(request.limit(usize::MAX))
    }
}

#[derive(Default)]
struct DefaultIsAll;

impl Mutant for DefaultIsAll {
    async fn keys(&self, truth: &Truth, mut request: KeysRequest<'_>) -> Keys {
        request.tenant = request.tenant.filter(|tenant| !tenant.is_empty());
        truth.keys(request)
    }
}

#[derive(Default)]
struct AnyTenant;

impl Mutant for AnyTenant {
    async fn keys(&self, truth: &Truth, mut request: KeysRequest<'_>) -> Keys {
        request.tenant = None;
        truth.keys(request)
    }
}

#[derive(Default)]
struct KindIsPrefix;

impl Mutant for KindIsPrefix {
    async fn keys(&self, truth: &Truth, mut request: KeysRequest<'_>) -> Keys {
        let Some(kind) = request.kind.take() else { return truth.keys(request) };
        let limit = request.limit.max(1);
        let mut items = truth.keys(request.limit(usize::MAX))?.items;
        items.retain(|key| key.kind().starts_with(kind));
        let next = items.get(limit - 1).filter(|_| items.len() > limit).map(cursor_at);
        items.truncate(limit);
        Ok(Page::new(items, next))
    }
}

#[derive(Default)]
struct StartsOver;

impl Mutant for StartsOver {
    async fn keys(&self, truth: &Truth, mut request: KeysRequest<'_>) -> Keys {
        match truth.keys(request) {
            Err(_) => {
                request.after = None;
                truth.keys(request)
            }
            page => page,
        }
    }
}

#[derive(Default)]
struct ShowsReserved;

impl Mutant for ShowsReserved {
    async fn keys(&self, truth: &Truth, request: KeysRequest<'_>) -> Keys {
        truth.keys(request.reserved(true))
    }
}

#[derive(Default)]
struct HidesReserved;

impl Mutant for HidesReserved {
    async fn keys(&self, truth: &Truth, request: KeysRequest<'_>) -> Keys {
        truth.keys(request.reserved(false))
    }
}

#[derive(Default)]
struct ReservedByKind;

impl Mutant for ReservedByKind {
    async fn keys(&self, truth: &Truth, request: KeysRequest<'_>) -> Keys {
        truth.keys(request.reserved(request.reserved || request.kind.is_some()))
    }
}

fn truthful(truth: &Truth, requests: &[ListRequest<'_>]) -> Vec<Page<SnapshotMeta, SnapshotId>> {
    requests.iter().map(|request| truth.list(*request)).collect()
}

/// As a join of requests and snapshots would.
#[derive(Default)]
struct NoEmptyPages;

impl Mutant for NoEmptyPages {
    async fn list_many(&self, truth: &Truth, requests: &[ListRequest<'_>]) -> Pages {
        let mut pages = truthful(truth, requests);
        pages.retain(|page| !page.items.is_empty());
        Ok(pages)
    }
}

#[derive(Default)]
struct FirstOfEachKey;

impl Mutant for FirstOfEachKey {
    async fn list_many(&self, truth: &Truth, requests: &[ListRequest<'_>]) -> Pages {
        let of = |key| *requests.iter().find(|first| first.key == key).unwrap();
        let requests: Vec<_> = requests.iter().map(|request| of(request.key)).collect();
        Ok(truthful(truth, &requests))
    }
}

#[derive(Default)]
struct NoNextOfMany;

impl Mutant for NoNextOfMany {
    async fn list_many(&self, truth: &Truth, requests: &[ListRequest<'_>]) -> Pages {
        let pages = truthful(truth, requests).into_iter();
        Ok(pages.map(|page| Page::new(page.items, None)).collect())
    }
}
