//! What the fault suite does to a store, drawn from a seed.

use std::collections::BTreeMap;

use super::super::core::Core;
use super::super::disk::sim::random;
use super::super::log::{Answer, Work};
use crate::codec::CodecId;
use crate::envelope::{Record, RecordBuilder};
use crate::error::Error;
use crate::generation::Generation;
use crate::key::AggregateKey;
use crate::snapshot_id::SnapshotId;
use crate::store::{PutOptions, PutOutcome, Selection};
use crate::timestamp::Timestamp;

pub(super) type Model = BTreeMap<(AggregateKey, SnapshotId), Record>;

/// What one caller does.
#[derive(Clone, Debug)]
pub(super) enum Doing {
    Put { records: Vec<(AggregateKey, SnapshotId, Record)>, replace: bool },
    Delete { key: AggregateKey, scope: Which },
}

#[derive(Clone, Debug)]
pub(super) enum Which {
    All,
    Below(u64),
    Ids(Vec<SnapshotId>),
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    Group(Vec<Doing>),
    /// Groups that are each begun before the one before has landed.
    Overlapping(Vec<Vec<Doing>>),
    Compact,
    Prepare,
    Reopen {
        cleanly: bool,
    },
}

pub(super) fn generation(number: u64) -> Generation {
    Generation { schema_version: u32::try_from(number).unwrap(), fingerprint: number * 1000 }
}

pub(super) fn record(key: &AggregateKey, id: SnapshotId, dice: &mut u64) -> Record {
    let len = match random(dice) % 8 {
        0 => 0,
        1 => 1500,
        2 => 5000,
        _ => random(dice) % 600,
    };
    record_of(len, key, id, dice)
}

fn record_of(len: u64, key: &AggregateKey, id: SnapshotId, dice: &mut u64) -> Record {
    let mut payload = vec![0; usize::try_from(len).unwrap()];
    for byte in &mut payload {
        *byte = u8::try_from(random(dice) & 0xff).unwrap();
    }
    let at = Timestamp::from_seconds(i64::try_from(id.version).unwrap());
    RecordBuilder::new(key.clone(), id.generation, id.version, at)
        .codec(CodecId::custom(1))
        .build(&payload)
        .unwrap()
}

pub(super) fn workload(seed: u64) -> Vec<Step> {
    let mut dice = seed;
    let keys: Vec<_> =
        (0..4).map(|i| AggregateKey::from_parts("", "k", &format!("id{i}")).unwrap()).collect();
    let mut steps = Vec::new();
    for _ in 0..18 {
        let step = match random(&mut dice) % 16 {
            0 | 1 => Step::Compact,
            2 => Step::Reopen { cleanly: true },
            3 => Step::Reopen { cleanly: false },
            4 => Step::Prepare,
            5..=7 => Step::Overlapping((0..3).map(|_| vec![small_put(&keys, &mut dice)]).collect()),
            _ => {
                let works = 1 + random(&mut dice) % 3;
                Step::Group((0..works).map(|_| doing(&keys, &mut dice)).collect())
            }
        };
        steps.push(step);
    }
    steps
}

pub(super) fn doing(keys: &[AggregateKey], dice: &mut u64) -> Doing {
    let (key, id) = one(keys, dice);
    let version = id.version;
    match random(dice) % 8 {
        0 => Doing::Delete { key, scope: Which::All },
        1 => Doing::Delete { key, scope: Which::Below(version) },
        2 => Doing::Delete {
            key,
            scope: Which::Ids((1..=version).map(|version| SnapshotId { version, ..id }).collect()),
        },
        _ => put(keys, dice),
    }
}

fn put(keys: &[AggregateKey], dice: &mut u64) -> Doing {
    let (key, id) = one(keys, dice);
    let many = 1 + random(dice) % 4;
    let records = (0..many).map(|i| {
        let id = SnapshotId { version: id.version + i * (random(dice) % 2), ..id };
        (key.clone(), id, record(&key, id, dice))
    });
    Doing::Put { records: records.collect(), replace: random(dice).is_multiple_of(4) }
}

/// Several of these fit into a segment, and often put the same snapshot.
fn small_put(keys: &[AggregateKey], dice: &mut u64) -> Doing {
    let (key, id) = one(keys, dice);
    let many = 1 + random(dice) % 2;
    let records = (0..many).map(|i| {
        let id = SnapshotId { generation: generation(1), version: 1 + id.version % 4 + i };
        (key.clone(), id, record_of(random(dice) % 200, &key, id, dice))
    });
    Doing::Put { records: records.collect(), replace: random(dice).is_multiple_of(4) }
}

fn one(keys: &[AggregateKey], dice: &mut u64) -> (AggregateKey, SnapshotId) {
    let key = keys[usize::try_from(random(dice) % 4).unwrap()].clone();
    let version = 1 + random(dice) % 12;
    (key, SnapshotId { generation: generation(random(dice) % 2), version })
}

impl Doing {
    pub(super) fn work(&self, core: &Core) -> Result<Option<Work>, Error> {
        match self {
            Self::Put { records, replace } => {
                let records = records.iter().map(|(_, _, record)| record.clone()).collect();
                core.put_work(records, &PutOptions::default().replace(*replace)).map(Some)
            }
            Self::Delete { key, scope } => core.delete_work(
                key,
                match scope {
                    Which::All => Selection::All,
                    Which::Below(version) => Selection::Below(*version),
                    Which::Ids(ids) => Selection::Ids(ids),
                },
            ),
        }
    }

    /// Does the same to the model; checks what the store said became of it.
    pub(super) fn apply(&self, model: &mut Model, answer: Option<&Answer>) {
        match self {
            Self::Put { records, replace } => {
                let mut outcomes = Vec::new();
                for (key, id, record) in records {
                    let place = (key.clone(), *id);
                    let old = model.get(&place);
                    outcomes.push(match old {
                        None => PutOutcome::Stored,
                        Some(_) if *replace => PutOutcome::Replaced,
                        Some(old) => PutOutcome::Existing { identical: old.has_state_of(record) },
                    });
                    if old.is_none() || *replace {
                        model.insert(place, record.clone());
                    }
                }
                if let Some(Answer::Put(said)) = answer {
                    assert_eq!(*said, outcomes);
                }
            }
            Self::Delete { key, scope } => {
                let covers = |(of, id): &(AggregateKey, SnapshotId)| {
                    of == key
                        && match scope {
                            Which::All => true,
                            Which::Below(version) => id.version < *version,
                            Which::Ids(ids) => ids.contains(id),
                        }
                };
                let len = model.len();
                model.retain(|place, _| !covers(place));
                if let Some(Answer::Delete(said)) = answer {
                    assert_eq!(said.snapshots, (len - model.len()) as u64);
                }
            }
        }
    }
}
