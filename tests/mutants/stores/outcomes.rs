//! Lies about what stays and what is told where an identity is taken.

use std::collections::BTreeSet;

use snapfold::record::Record;
use snapfold::store::{PutOptions, PutOutcome};
use snapfold::{Error, ErrorKind};

use super::disk::Incoming;
use super::mutant::{Mutant, Outcomes};
use super::truth::Truth;

mutants! {
    tells_the_outcomes_in_the_order_of_versions: SortsOutcomes breaks "C-17";
    replaces_without_being_asked: AlwaysReplaces breaks "C-11";
    says_stored_where_it_is_taken: SaysStored breaks "C-11";
    calls_every_payload_identical: SaysIdentical breaks "C-11";
    says_stored_where_it_replaced: SaysStoredForReplaced breaks "C-12";
    compares_headers_too_for_identical: ComparesHeaders breaks "C-11";
    ignores_replace: NeverReplaces breaks "C-12";
    keeps_the_last_of_twins_in_a_batch: LastTwinWins breaks "C-14";
    refuses_twins_in_a_batch: RefusesTwins breaks "C-02", "C-14";
}

#[derive(Default)]
struct SortsOutcomes;

impl Mutant for SortsOutcomes {
    async fn put(&self, truth: &Truth, mut records: Vec<Record>, options: &PutOptions) -> Outcomes {
        truth.admit(&records)?;
        // Stable: twins keep their order.
        records.sort_by_key(|record| record.header().unwrap().version);
        truth.put(records, options)
    }
}

#[derive(Default)]
struct AlwaysReplaces;

impl Mutant for AlwaysReplaces {
    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        let outcomes = truth.put(records.clone(), options)?;
        truth.put(records, &options.clone().replace(true))?;
        Ok(outcomes)
    }
}

#[derive(Default)]
struct SaysStored;

impl Mutant for SaysStored {
    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        said(truth.put(records, options), |outcome| match outcome {
            PutOutcome::Existing { .. } => PutOutcome::Stored,
            other => other,
        })
    }
}

#[derive(Default)]
struct SaysIdentical;

impl Mutant for SaysIdentical {
    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        said(truth.put(records, options), |outcome| match outcome {
            PutOutcome::Existing { .. } => PutOutcome::Existing { identical: true },
            other => other,
        })
    }
}

#[derive(Default)]
struct SaysStoredForReplaced;

impl Mutant for SaysStoredForReplaced {
    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        said(truth.put(records, options), |outcome| match outcome {
            PutOutcome::Replaced => PutOutcome::Stored,
            other => other,
        })
    }
}

fn said(outcomes: Outcomes, instead: impl Fn(PutOutcome) -> PutOutcome) -> Outcomes {
    outcomes.map(|outcomes| outcomes.into_iter().map(instead).collect())
}

#[derive(Default)]
struct ComparesHeaders;

impl Mutant for ComparesHeaders {
    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        let outcomes = truth.put(records.clone(), options)?;
        let same = |record: &Record| {
            let Incoming { key, id, row, .. } = truth.incoming(record.clone());
            truth.rows(&key).is_some_and(|rows| rows.by_id[&id].record == row.record)
        };
        let told = outcomes.into_iter().zip(&records).map(|(outcome, record)| match outcome {
            PutOutcome::Existing { .. } => PutOutcome::Existing { identical: same(record) },
            other => other,
        });
        Ok(told.collect())
    }
}

#[derive(Default)]
struct NeverReplaces;

impl Mutant for NeverReplaces {
    async fn put(&self, truth: &Truth, records: Vec<Record>, _: &PutOptions) -> Outcomes {
        truth.put(records, &PutOptions::default())
    }
}

#[derive(Default)]
struct LastTwinWins;

impl Mutant for LastTwinWins {
    async fn put(&self, truth: &Truth, mut records: Vec<Record>, options: &PutOptions) -> Outcomes {
        truth.admit(&records)?;
        records.reverse();
        let mut outcomes = truth.put(records, options)?;
        outcomes.reverse();
        Ok(outcomes)
    }
}

/// As a database does that meets one row twice in one statement.
#[derive(Default)]
struct RefusesTwins;

impl Mutant for RefusesTwins {
    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        truth.admit(&records)?;
        let mut met = BTreeSet::new();
        for record in &records {
            let Incoming { key, id, .. } = truth.incoming(record.clone());
            if !met.insert((key, id)) {
                return Err(Error::new(ErrorKind::Store, "put", "a row was changed twice"));
            }
        }
        truth.put(records, options)
    }
}
