//! Lies about what a delete took away, and for how long.

use std::collections::HashSet;
use std::sync::Mutex;

use snapfold::record::Record;
use snapfold::store::{self, DeleteOptions, Deleted, ListRequest, PutOptions, Selection};
use snapfold::{AggregateKey, Error, ErrorKind, SnapshotId};

use super::disk::{Disk, Incoming};
use super::mutant::{AllErased, Erased, Honest, Metas, Mutant, Outcomes, Receipt};
use super::truth::Truth;

mutants! {
    forgets_the_delete: Forgets breaks "C-51";
    goes_on_listing_what_was_deleted: ListsDeleted breaks "C-51";
    brings_deleted_ones_back_on_reopen: ComesBack breaks "C-51";
    deletes_the_bound_too: BelowOrAt breaks "C-50";
    deletes_below_in_the_newest_generation_only: BelowInOne breaks "C-50";
    deletes_all_but_the_newest_for_all: SparesTheNewest breaks "C-50";
    deletes_a_version_of_every_generation: IdsAreVersions breaks "C-50";
    deletes_the_next_older_too: OneTooMany breaks "C-50";
    deletes_all_for_no_ids: NoIdsIsAll breaks "C-50";
    deletes_of_every_tenant: EveryTenant breaks "C-01";
    deletes_what_begins_with_the_id: EveryPrefix breaks "C-01";
    counts_what_was_asked_for: CountsAsked breaks "C-50";
    counts_no_bytes: CountsNoBytes breaks "C-50";
    fails_where_nothing_is_selected: NothingIsFailure breaks "C-02";
    answers_several_deletes_in_another_order: DeletesReversed breaks "C-56";
    deletes_of_a_key_once_in_a_call: OncePerKey breaks "C-56";
    deletes_the_first_ids_of_every_key: IdsOfTheFirst breaks "C-56";
    leaves_out_keys_without_snapshots: NoEmptyResults breaks "C-56" shows "C-57";
    fails_for_one_key_without_snapshots: FailsForUnknown breaks "C-57";
    hides_what_is_put_after_a_delete: TombstoneWins breaks "C-52";
    erases_all_but_pinned_ones: ErasesUnpinned breaks "C-58";
    erases_every_key: ErasesEveryKey breaks "C-58";
    gives_the_same_receipt_again: SameReceipt breaks "C-58";
}

#[derive(Default)]
struct Forgets;

impl Mutant for Forgets {
    async fn delete(&self, truth: &Truth, key: &AggregateKey, selection: Selection<'_>) -> Erased {
        let rows = truth.rows(key);
        let rows = rows.iter().flat_map(|rows| &rows.by_id);
        let selected = rows.filter(|(id, _)| selection.admits(**id));
        Ok(selected.map(|(_, row)| Deleted::new(1, row.record.as_bytes().len() as u64)).sum())
    }
}

/// A list that is brought up to date by puts only.
#[derive(Default)]
struct ListsDeleted(Mutex<Option<Truth>>);

impl Mutant for ListsDeleted {
    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        *self.0.lock().unwrap() = None;
        truth.put(records, options)
    }

    async fn list(&self, truth: &Truth, request: ListRequest<'_>) -> Metas {
        let old = self.0.lock().unwrap();
        Ok(old.as_ref().unwrap_or(truth).list(request))
    }

    async fn delete(&self, truth: &Truth, key: &AggregateKey, selection: Selection<'_>) -> Erased {
        self.0.lock().unwrap().get_or_insert_with(|| truth.frozen());
        Ok(truth.delete(key, selection))
    }
}

/// Deletes in memory, and reads the files again when it is opened.
#[derive(Default)]
struct ComesBack;

impl Mutant for ComesBack {
    fn opened(disk: &mut Disk) {
        disk.crash();
    }

    async fn delete(&self, truth: &Truth, key: &AggregateKey, selection: Selection<'_>) -> Erased {
        let deleted = truth.erase(key, |id| selection.admits(id));
        truth.disk().dirty.clear();
        Ok(deleted)
    }
}

#[derive(Default)]
struct BelowOrAt;

impl Mutant for BelowOrAt {
    async fn delete(&self, truth: &Truth, key: &AggregateKey, selection: Selection<'_>) -> Erased {
        Ok(match selection {
            Selection::Below(version) => {
                truth.delete(key, Selection::Below(version.saturating_add(1)))
            }
            other => truth.delete(key, other),
        })
    }
}

#[derive(Default)]
struct BelowInOne;

impl Mutant for BelowInOne {
    async fn delete(&self, truth: &Truth, key: &AggregateKey, selection: Selection<'_>) -> Erased {
        let rows = truth.rows(key);
        let newest = rows.and_then(|rows| rows.by_id.into_keys().map(|id| id.generation).max());
        Ok(erased(truth, key, |id| {
            let one = !matches!(selection, Selection::Below(_)) || Some(id.generation) == newest;
            one && selection.admits(id)
        }))
    }
}

fn erased(truth: &Truth, key: &AggregateKey, selected: impl Fn(SnapshotId) -> bool) -> Deleted {
    let deleted = truth.erase(key, selected);
    truth.disk().sync();
    deleted
}

#[derive(Default)]
struct SparesTheNewest;

impl Mutant for SparesTheNewest {
    async fn delete(&self, truth: &Truth, key: &AggregateKey, selection: Selection<'_>) -> Erased {
        let rows = truth.rows(key);
        let newest = rows.and_then(|rows| rows.by_id.into_keys().next_back());
        let spared = newest.filter(|_| selection == Selection::All);
        Ok(erased(truth, key, |id| selection.admits(id) && Some(id) != spared))
    }
}

#[derive(Default)]
struct IdsAreVersions;

impl Mutant for IdsAreVersions {
    async fn delete(&self, truth: &Truth, key: &AggregateKey, selection: Selection<'_>) -> Erased {
        Ok(erased(truth, key, |id| match selection {
            Selection::Ids(ids) => ids.iter().any(|asked| asked.version == id.version),
            other => other.admits(id),
        }))
    }
}

#[derive(Default)]
struct OneTooMany;

impl Mutant for OneTooMany {
    async fn delete(&self, truth: &Truth, key: &AggregateKey, selection: Selection<'_>) -> Erased {
        let rows = truth.rows(key);
        let ids: Vec<_> = rows.into_iter().flat_map(|rows| rows.by_id.into_keys()).collect();
        let next_older = ids.windows(2).find(|pair| selection.admits(pair[1]));
        let next_older = next_older.map(|pair| pair[0]);
        Ok(erased(truth, key, |id| selection.admits(id) || Some(id) == next_older))
    }
}

#[derive(Default)]
struct NoIdsIsAll;

impl Mutant for NoIdsIsAll {
    async fn delete(&self, truth: &Truth, key: &AggregateKey, selection: Selection<'_>) -> Erased {
        let all = selection == Selection::Ids(&[]);
        Ok(truth.delete(key, if all { Selection::All } else { selection }))
    }
}

#[derive(Default)]
struct EveryTenant;

impl Mutant for EveryTenant {
    async fn delete(&self, truth: &Truth, key: &AggregateKey, selection: Selection<'_>) -> Erased {
        Ok(erased_of(truth, selection, |other| {
            other.kind() == key.kind() && other.id() == key.id()
        }))
    }
}

#[derive(Default)]
struct EveryPrefix;

impl Mutant for EveryPrefix {
    async fn delete(&self, truth: &Truth, key: &AggregateKey, selection: Selection<'_>) -> Erased {
        Ok(erased_of(truth, selection, |other| {
            other.tenant() == key.tenant()
                && other.kind() == key.kind()
                && other.id().starts_with(key.id())
        }))
    }
}

fn erased_of(
    truth: &Truth,
    selection: Selection<'_>,
    of: impl Fn(&AggregateKey) -> bool,
) -> Deleted {
    let keys: Vec<_> = truth.disk().written.keys().filter(|key| of(key)).cloned().collect();
    keys.iter().map(|key| truth.delete(key, selection)).sum()
}

#[derive(Default)]
struct CountsAsked;

impl Mutant for CountsAsked {
    async fn delete(&self, truth: &Truth, key: &AggregateKey, selection: Selection<'_>) -> Erased {
        let mut deleted = truth.delete(key, selection);
        if let Selection::Ids(ids) = selection {
            deleted.snapshots = ids.len() as u64;
        }
        Ok(deleted)
    }
}

#[derive(Default)]
struct CountsNoBytes;

impl Mutant for CountsNoBytes {
    async fn delete(&self, truth: &Truth, key: &AggregateKey, selection: Selection<'_>) -> Erased {
        Ok(Deleted::new(truth.delete(key, selection).snapshots, 0))
    }
}

#[derive(Default)]
struct NothingIsFailure;

impl Mutant for NothingIsFailure {
    async fn delete(&self, truth: &Truth, key: &AggregateKey, selection: Selection<'_>) -> Erased {
        match truth.delete(key, selection) {
            Deleted { snapshots: 0, .. } => {
                Err(Error::new(ErrorKind::Store, "delete", "there is nothing to delete"))
            }
            deleted => Ok(deleted),
        }
    }
}

/// Tombstones that hide an identity for ever.
#[derive(Default)]
struct TombstoneWins(Mutex<HashSet<(AggregateKey, SnapshotId)>>);

impl Mutant for TombstoneWins {
    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        let outcomes = truth.put(records.clone(), options)?;
        for record in records {
            let Incoming { place, key, id, .. } = truth.incoming(record);
            if self.0.lock().unwrap().contains(&(key, id)) {
                truth.disk().remove(&place, id);
            }
        }
        Ok(outcomes)
    }

    async fn delete(&self, truth: &Truth, key: &AggregateKey, selection: Selection<'_>) -> Erased {
        let rows = truth.rows(key);
        let ids = rows.into_iter().flat_map(|rows| rows.by_id.into_keys());
        let selected = ids.filter(|id| selection.admits(*id));
        self.0.lock().unwrap().extend(selected.map(|id| (key.clone(), id)));
        Ok(truth.delete(key, selection))
    }
}

#[derive(Default)]
struct DeletesReversed;

impl Mutant for DeletesReversed {
    async fn delete_many(
        &self,
        truth: &Truth,
        selected: &[(&AggregateKey, &[SnapshotId])],
        options: DeleteOptions,
    ) -> AllErased {
        let mut deleted = Honest.delete_many(truth, selected, options).await?;
        deleted.reverse();
        Ok(deleted)
    }
}

/// As a map from key to ids would.
#[derive(Default)]
struct OncePerKey;

impl Mutant for OncePerKey {
    async fn delete_many(
        &self,
        truth: &Truth,
        selected: &[(&AggregateKey, &[SnapshotId])],
        options: DeleteOptions,
    ) -> AllErased {
        let mut seen = HashSet::new();
        let once = |(key, ids)| (key, if seen.insert(key) { ids } else { &[][..] });
        let selected: Vec<_> = selected.iter().copied().map(once).collect();
        Honest.delete_many(truth, &selected, options).await
    }
}

#[derive(Default)]
struct IdsOfTheFirst;

impl Mutant for IdsOfTheFirst {
    async fn delete_many(
        &self,
        truth: &Truth,
        selected: &[(&AggregateKey, &[SnapshotId])],
        options: DeleteOptions,
    ) -> AllErased {
        let first = selected.first().map_or(&[][..], |(_, ids)| *ids);
        let selected: Vec<_> = selected.iter().map(|(key, _)| (*key, first)).collect();
        Honest.delete_many(truth, &selected, options).await
    }
}

/// As a statement that groups the deleted rows by key would.
#[derive(Default)]
struct NoEmptyResults;

impl Mutant for NoEmptyResults {
    async fn delete_many(
        &self,
        truth: &Truth,
        selected: &[(&AggregateKey, &[SnapshotId])],
        options: DeleteOptions,
    ) -> AllErased {
        let mut deleted = Honest.delete_many(truth, selected, options).await?;
        deleted.retain(|deleted| deleted.snapshots > 0);
        Ok(deleted)
    }
}

#[derive(Default)]
struct FailsForUnknown;

impl Mutant for FailsForUnknown {
    async fn delete_many(
        &self,
        truth: &Truth,
        selected: &[(&AggregateKey, &[SnapshotId])],
        options: DeleteOptions,
    ) -> AllErased {
        let is_known =
            |(key, ids): &&(&AggregateKey, &[SnapshotId])| key.id() != "nobody" || ids.is_empty();
        let known: Vec<_> = selected.iter().take_while(is_known).copied().collect();
        let deleted = Honest.delete_many(truth, &known, options).await?;
        if known.len() < selected.len() {
            return Err(Error::new(ErrorKind::Store, "delete", "no such aggregate"));
        }
        Ok(deleted)
    }
}

#[derive(Default)]
struct ErasesUnpinned;

impl Mutant for ErasesUnpinned {
    async fn erase(&self, truth: &Truth, key: &AggregateKey) -> Receipt {
        let deleted =
            self.delete_with(truth, key, Selection::All, DeleteOptions::default()).await?;
        Ok(store::Erased::new(deleted, []))
    }
}

#[derive(Default)]
struct ErasesEveryKey;

impl Mutant for ErasesEveryKey {
    async fn erase(&self, truth: &Truth, key: &AggregateKey) -> Receipt {
        let mut erased = store::Erased::default();
        let keys: Vec<_> = truth.disk().written.keys().cloned().collect();
        for one in keys {
            let deleted = truth.delete(&one, Selection::All);
            if one == *key {
                erased = store::Erased::new(deleted, []);
            }
        }
        Ok(erased)
    }
}

/// The receipt of the first call.
#[derive(Default)]
struct SameReceipt(Mutex<Option<store::Erased>>);

impl Mutant for SameReceipt {
    async fn erase(&self, truth: &Truth, key: &AggregateKey) -> Receipt {
        let deleted = truth.delete(key, Selection::All);
        let mut receipt = self.0.lock().unwrap();
        Ok(receipt.get_or_insert_with(|| store::Erased::new(deleted, [])).clone())
    }
}
