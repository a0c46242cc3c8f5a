//! Lies that a reopening or a crash brings to light.

use snapfold::AggregateKey;
use snapfold::record::Record;
use snapfold::store::{PutOptions, Selection};

use super::disk::Disk;
use super::mutant::{Erased, Mutant, Outcomes};
use super::truth::Truth;

mutants! {
    acknowledges_before_it_syncs: NeverSyncs breaks "C-10";
    syncs_what_was_put_before: SyncsOneLate breaks "C-10";
    syncs_only_the_first_of_a_batch: SyncsTheFirst breaks "C-10";
    loses_the_newest_on_reopen: LosesTheNewest breaks "C-10";
    loses_replacements_in_a_crash: LosesReplacements breaks "C-10";
    brings_deleted_ones_back_after_a_crash: DeletesUnsynced breaks "C-51";
}

#[derive(Default)]
struct NeverSyncs;

impl Mutant for NeverSyncs {
    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        truth.admit(&records)?;
        Ok(truth.write(records, options))
    }
}

#[derive(Default)]
struct SyncsOneLate;

impl Mutant for SyncsOneLate {
    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        truth.admit(&records)?;
        truth.disk().sync();
        Ok(truth.write(records, options))
    }
}

#[derive(Default)]
struct SyncsTheFirst;

impl Mutant for SyncsTheFirst {
    async fn put(&self, truth: &Truth, mut records: Vec<Record>, options: &PutOptions) -> Outcomes {
        truth.admit(&records)?;
        let rest = records.split_off(records.len().min(1));
        let mut outcomes = truth.put(records, options)?;
        outcomes.extend(truth.write(rest, options));
        Ok(outcomes)
    }
}

/// Recovery that takes the last of each aggregate for torn.
#[derive(Default)]
struct LosesTheNewest;

impl Mutant for LosesTheNewest {
    fn opened(disk: &mut Disk) {
        let places: Vec<_> = disk.written.keys().cloned().collect();
        for place in places {
            let newest = disk.written[&place].by_id.keys().next_back().copied();
            newest.and_then(|id| disk.remove(&place, id));
        }
        disk.sync();
    }
}

#[derive(Default)]
struct LosesReplacements;

impl Mutant for LosesReplacements {
    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        if options.replace {
            truth.admit(&records)?;
            return Ok(truth.write(records, options));
        }
        truth.put(records, options)
    }
}

#[derive(Default)]
struct DeletesUnsynced;

impl Mutant for DeletesUnsynced {
    async fn delete(&self, truth: &Truth, key: &AggregateKey, selection: Selection<'_>) -> Erased {
        Ok(truth.erase(key, |id| selection.admits(id)))
    }
}
