//! Lies about what a put stored, and in whose place.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use snapfold::record::Record;
use snapfold::store::{Capabilities, Lookup, PutOptions, PutOutcome, Query};
use snapfold::{AggregateKey, Error, ErrorKind, SnapshotId};

use super::disk::Incoming;
use super::mutant::{Answer, Mutant, Outcomes};
use super::truth::{Truth, check};

mutants! {
    drops_every_hundredth_put: DropsHundredth breaks "C-10";
    stores_one_record_of_a_batch_per_aggregate: OnePerBatch breaks "C-10" shows "C-33", "C-50";
    keeps_the_newest_ten_of_an_aggregate: KeepsTen breaks "C-10";
    takes_an_empty_payload_for_nothing: DropsEmpty breaks "C-10", "C-12";
    keeps_versions_as_floats: FloatVersions breaks "C-20";
    takes_the_last_put_for_the_newest: LastPutWins breaks "C-13";
    deletes_what_is_newer_than_the_put: Rewinds breaks "C-13" shows "C-10";
    stores_half_a_batch_before_it_refuses: HalfABatch breaks "C-15";
    leaves_the_invalid_out_and_stores_the_rest: LeavesInvalidOut breaks "C-10", "C-15";
    takes_a_damaged_record_for_a_failure_of_its_own: FailsOnDamagedPut breaks "C-15";
    accepts_records_that_are_too_long: AnyRecordLength breaks "C-15";
    accepts_versions_that_are_too_high: AnyVersion breaks "C-15";
    keeps_half_of_a_batch_that_failed: HalfOnFailure breaks "C-16";
    learns_what_it_can_at_the_first_put: LearnsLate breaks "C-07";
}

#[derive(Default)]
struct DropsHundredth(AtomicUsize);

impl Mutant for DropsHundredth {
    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        truth.admit(&records)?;
        let mut outcomes = Vec::new();
        for record in records {
            if self.0.fetch_add(1, Ordering::Relaxed) % 100 == 99 {
                outcomes.push(PutOutcome::Stored);
            } else {
                outcomes.extend(truth.put(vec![record], options)?);
            }
        }
        Ok(outcomes)
    }
}

/// As if the aggregate were the key of the rows that a batch writes.
#[derive(Default)]
struct OnePerBatch;

impl Mutant for OnePerBatch {
    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        truth.admit(&records)?;
        let identity = |record: &Record| {
            let Incoming { key, id, .. } = truth.incoming(record.clone());
            (key, id)
        };
        let newest: BTreeMap<_, _> = records.iter().map(identity).collect();
        let told = records.into_iter().map(|record| {
            let (key, id) = identity(&record);
            let kept = newest[&key] == id;
            if kept { truth.put(vec![record], options).unwrap()[0] } else { PutOutcome::Stored }
        });
        Ok(told.collect())
    }
}

#[derive(Default)]
struct KeepsTen;

impl Mutant for KeepsTen {
    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        let outcomes = truth.put(records.clone(), options)?;
        for record in records {
            let incoming = truth.incoming(record);
            let rows = truth.rows(&incoming.key);
            let rows = rows.iter().flat_map(|rows| rows.by_id.keys());
            let tenth = rows.rev().nth(9).copied();
            truth.erase(&incoming.key, |id| tenth.is_some_and(|tenth| id < tenth));
        }
        Ok(outcomes)
    }
}

#[derive(Default)]
struct DropsEmpty;

impl Mutant for DropsEmpty {
    async fn put(&self, truth: &Truth, mut records: Vec<Record>, options: &PutOptions) -> Outcomes {
        truth.admit(&records)?;
        let count = records.len();
        records.retain(|record| record.header().unwrap().payload_bytes > 0);
        let mut outcomes = truth.put(records, options)?;
        outcomes.resize(count, PutOutcome::Stored);
        Ok(outcomes)
    }
}

/// A number of JSON: exact up to 2^53.
#[derive(Default)]
struct FloatVersions;

impl Mutant for FloatVersions {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the lie"
    )]
    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        truth.admit(&records)?;
        let incoming = records.into_iter().map(|record| {
            let mut incoming = truth.incoming(record);
            incoming.id.version = incoming.id.version as f64 as u64;
            incoming
        });
        let mut disk = truth.disk();
        let outcomes = incoming.map(|incoming| disk.insert(incoming, options)).collect();
        disk.sync();
        Ok(outcomes)
    }
}

/// A pointer to the head of each aggregate, moved by every put.
#[derive(Default)]
struct LastPutWins(Mutex<HashMap<AggregateKey, SnapshotId>>);

impl Mutant for LastPutWins {
    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        let outcomes = truth.put(records.clone(), options)?;
        for record in records {
            let Incoming { key, id, .. } = truth.incoming(record);
            self.0.lock().unwrap().insert(key, id);
        }
        Ok(outcomes)
    }

    async fn get(&self, truth: &Truth, query: Query<'_>) -> Answer {
        let head = self.0.lock().unwrap().get(query.key).copied();
        if let Some(head) = head
            && head.generation == query.generation
            && query.at_most == u64::MAX
            && let found @ Lookup::Found(_) = truth.get(query.at_most(head.version))
        {
            return Ok(found);
        }
        Ok(truth.get(query))
    }
}

#[derive(Default)]
struct Rewinds;

impl Mutant for Rewinds {
    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        truth.admit(&records)?;
        let mut outcomes = Vec::new();
        for record in records {
            let Incoming { key, id: own, .. } = truth.incoming(record.clone());
            let outcome = truth.put(vec![record], options)?[0];
            if outcome == PutOutcome::Stored {
                truth.erase(&key, |id| id.generation == own.generation && id.version > own.version);
            }
            outcomes.push(outcome);
        }
        Ok(outcomes)
    }
}

#[derive(Default)]
struct HalfABatch;

impl Mutant for HalfABatch {
    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        if truth.disk().failing {
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
struct FailsOnDamagedPut;

impl Mutant for FailsOnDamagedPut {
    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        let damaged = |record: &Record| record.header().is_ok() && record.verify().is_err();
        if records.iter().any(damaged) {
            let message = "the snapshot cannot be written";
            return Err(Error::new(ErrorKind::Store, "put a snapshot", message));
        }
        truth.put(records, options)
    }
}

#[derive(Default)]
struct LeavesInvalidOut;

impl Mutant for LeavesInvalidOut {
    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        if truth.disk().failing {
            return truth.put(records, options);
        }
        let told = records.into_iter().map(|record| match truth.put(vec![record], options) {
            Ok(outcomes) => outcomes[0],
            Err(_) => PutOutcome::Existing { identical: false },
        });
        Ok(told.collect())
    }
}

#[derive(Default)]
struct AnyRecordLength;

impl Mutant for AnyRecordLength {
    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        let limits = Truth::capabilities().max_record_bytes(u64::MAX);
        truth.put_within(limits, records, options)
    }
}

#[derive(Default)]
struct AnyVersion;

impl Mutant for AnyVersion {
    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        truth.put_within(Truth::capabilities().max_version(u64::MAX), records, options)
    }
}

#[derive(Default)]
struct LearnsLate(AtomicUsize);

impl Mutant for LearnsLate {
    fn capabilities(&self) -> Capabilities {
        let told = Truth::capabilities();
        if self.0.load(Ordering::Relaxed) == 0 { told.atomic_batches(false) } else { told }
    }

    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        self.0.fetch_add(1, Ordering::Relaxed);
        truth.put(records, options)
    }
}

/// The medium fails in the middle of a batch, and what was written stays.
#[derive(Default)]
struct HalfOnFailure;

impl Mutant for HalfOnFailure {
    async fn put(&self, truth: &Truth, mut records: Vec<Record>, options: &PutOptions) -> Outcomes {
        let refused = truth.put(records.clone(), options);
        if truth.disk().failing && check(Truth::capabilities(), &records).is_ok() {
            records.truncate(records.len() / 2);
            truth.write(records, options);
        }
        refused
    }
}
