//! Lies about the bytes that were put.

use snapfold::AggregateKey;
use snapfold::record::{Header, Record, RecordBuilder};
use snapfold::store::PutOptions;

use super::disk::Incoming;
use super::mutant::{Mutant, Outcomes};
use super::truth::Truth;

mutants! {
    writes_the_record_anew: Reencodes breaks "C-06" shows "C-22", "C-34";
    cuts_trailing_zeros: CutsZeros breaks "C-06";
    keeps_a_reference_to_the_latest_state: OneBuffer breaks "C-06", "C-11", "R1"
        shows "C-05", "C-12", "C-13", "C-22", "C-34", "C-51", "C-52";
}

/// Leaves out what only the payload's reader would miss.
#[derive(Default)]
struct Reencodes;

impl Mutant for Reencodes {
    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        truth.admit(&records)?;
        let anew = |record: &Record| {
            let header = record.header().unwrap();
            again(&header, &record.as_bytes()[header.header_bytes()..])
        };
        truth.put(records.iter().map(anew).collect(), options)
    }
}

/// The record with another payload, and without the name of the node that made it.
fn again(header: &Header<'_>, payload: &[u8]) -> Record {
    let key = AggregateKey::from_stored(header.tenant, header.kind, header.id).unwrap();
    let mut record = RecordBuilder::new(key, header.generation, header.version, header.as_of)
        .created_at(header.created_at)
        .last_recorded_at(header.last_recorded_at)
        .codec(header.codec);
    if let Some(anchor) = header.anchor {
        record = record.anchor(anchor);
    }
    for label in header.labels() {
        record = record.label(label);
    }
    record.build(payload).unwrap()
}

/// As a column of fixed width does.
#[derive(Default)]
struct CutsZeros;

impl Mutant for CutsZeros {
    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        truth.admit(&records)?;
        let mut disk = truth.disk();
        let told = records.into_iter().map(|record| {
            let payload_at = record.header().unwrap().header_bytes();
            let mut incoming = truth.incoming(record.clone());
            let mut bytes = record.as_bytes().to_vec();
            while bytes.len() > payload_at && bytes.last() == Some(&0) {
                bytes.pop();
            }
            incoming.row.record = Record::from_bytes(bytes);
            disk.insert(incoming, options)
        });
        let told = told.collect();
        disk.sync();
        Ok(told)
    }
}

/// All snapshots of a state point at the one buffer that the latest put filled.
#[derive(Default)]
struct OneBuffer;

impl Mutant for OneBuffer {
    async fn put(&self, truth: &Truth, records: Vec<Record>, options: &PutOptions) -> Outcomes {
        let outcomes = truth.put(records.clone(), options)?;
        let mut disk = truth.disk();
        for record in records {
            let header = record.header().unwrap();
            let buffer = &record.as_bytes()[header.header_bytes()..];
            let Incoming { place, id, .. } = truth.incoming(record.clone());
            let rows = disk.written.get_mut(&place).unwrap().by_id.iter_mut();
            for (_, row) in rows.filter(|(other, _)| other.generation == id.generation) {
                let old = row.record.clone();
                if let Ok(header) = old.header() {
                    row.record = again(&header, buffer);
                }
            }
        }
        disk.sync();
        Ok(outcomes)
    }
}
