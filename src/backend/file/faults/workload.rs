//! The operations of the fault suite, generated from a seed.

use std::collections::{BTreeMap, BTreeSet};

use crate::backend::file::core::Core;
use crate::backend::file::disk::sim::random;
use crate::backend::file::write::work::{Answer, Work};
use crate::codec::CodecId;
use crate::error::Error;
use crate::generation::Generation;
use crate::key::AggregateKey;
use crate::mark::{Mark, MarkChange, MarkKind, Marks};
use crate::record::{Base, Record, RecordBuilder};
use crate::snapshot_id::SnapshotId;
use crate::store::{DeleteOptions, Found, PutOptions, PutOutcome, Rewrite, Selection};
use crate::timestamp::Timestamp;

/// All snapshots with their marks.
pub(super) type Model = BTreeMap<(AggregateKey, SnapshotId), (Record, Marks)>;

/// The operation of one caller.
#[derive(Clone, Debug)]
pub(super) enum Doing {
    Put {
        records: Vec<(AggregateKey, SnapshotId, Record)>,
        replace: bool,
        marks: Marks,
    },
    Delete {
        key: AggregateKey,
        scope: Which,
        overrule_pins: bool,
    },
    /// Sets the mark, or clears the mark with its kind and name.
    Mark {
        key: AggregateKey,
        scope: Which,
        mark: Mark,
        clear: bool,
    },
    Rewrite {
        key: AggregateKey,
        id: SnapshotId,
        rewrite: Rewrite,
    },
}

#[derive(Clone, Debug)]
pub(super) enum Which {
    All,
    Below(u64),
    Ids(Vec<SnapshotId>),
    Generation(Generation),
}

impl Which {
    fn selection(&self) -> Selection<'_> {
        match self {
            Self::All => Selection::All,
            Self::Below(version) => Selection::Below(*version),
            Self::Ids(ids) => Selection::Ids(ids),
            Self::Generation(generation) => Selection::Generation(*generation),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    Group(Vec<Doing>),
    /// Groups that each start before the previous one is visible.
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
    let mut builder =
        RecordBuilder::new(key.clone(), id.generation, id.version, at).codec(CodecId::custom(1));
    // Half of the records are deltas, a few of them of a version that cannot be a base.
    if random(dice).is_multiple_of(2) {
        let version = random(dice) % id.version + random(dice) % 8 / 7 * id.version;
        builder = builder.base(Base { version, checksum: 7 });
    }
    builder.build(&payload).unwrap()
}

/// Returns the version of the base of a delta.
fn base(record: &Record) -> Option<u64> {
    let header = record.header().expect("a stored record is valid");
    header.base.map(|base| base.version).filter(|base| *base < header.version)
}

/// Returns the records that must be returned with a snapshot, nearest first.
pub(super) fn chain(model: &Model, key: &AggregateKey, id: SnapshotId) -> Vec<Record> {
    let next = |above: &(SnapshotId, Record)| {
        let id = SnapshotId { version: base(&above.1)?, ..above.0 };
        Some((id, model.get(&(key.clone(), id))?.0.clone()))
    };
    let (own, _) = &model[&(key.clone(), id)];
    let chain = std::iter::successors(next(&(id, own.clone())), next);
    chain.take(Found::MAX_BASES).map(|(_, record)| record).collect()
}

/// Adds the bases of everything in `kept`, and theirs.
fn add_bases(model: &Model, key: &AggregateKey, kept: &mut BTreeSet<SnapshotId>) {
    loop {
        let bases = kept.iter().filter_map(|id| {
            let (record, _) = model.get(&(key.clone(), *id))?;
            let base = SnapshotId { version: base(record)?, ..*id };
            model.contains_key(&(key.clone(), base)).then_some(base)
        });
        let missing: Vec<_> = bases.filter(|base| !kept.contains(base)).collect();
        if missing.is_empty() {
            return;
        }
        kept.extend(missing);
    }
}

pub(super) fn workload(seed: u64) -> Vec<Step> {
    let mut dice = seed;
    let keys: Vec<_> =
        (0..4).map(|i| AggregateKey::from_parts("", "k", &format!("id{i}")).unwrap()).collect();
    let (mut steps, mut likely) = (Vec::new(), BTreeMap::new());
    for _ in 0..18 {
        let step = match random(&mut dice) % 16 {
            0 | 1 => Step::Compact,
            2 => Step::Reopen { cleanly: true },
            3 => Step::Reopen { cleanly: false },
            4 => Step::Prepare,
            5..=7 => Step::Overlapping((0..3).map(|_| vec![small_put(&keys, &mut dice)]).collect()),
            _ => {
                let works = 1 + random(&mut dice) % 3;
                let works = (0..works).map(|_| {
                    let mut doing = doing(&keys, &mut dice);
                    doing.expect(&mut likely);
                    doing
                });
                Step::Group(works.collect())
            }
        };
        steps.push(step);
    }
    steps
}

pub(super) fn doing(keys: &[AggregateKey], dice: &mut u64) -> Doing {
    let (key, id) = one(keys, dice);
    let what = random(dice) % 13;
    let scope = match random(dice) % 4 {
        0 => Which::All,
        1 => Which::Below(id.version),
        2 => Which::Generation(id.generation),
        _ => Which::Ids((1..=id.version).map(|version| SnapshotId { version, ..id }).collect()),
    };
    match what {
        0..3 => Doing::Delete { key, scope, overrule_pins: random(dice).is_multiple_of(4) },
        3..6 => {
            let clear = random(dice).is_multiple_of(3);
            Doing::Mark { key, scope, mark: mark(dice), clear }
        }
        6..8 => {
            let new = record(&key, id, dice);
            Doing::Rewrite { rewrite: Rewrite::new(record(&key, id, dice), new), key, id }
        }
        _ => put(keys, dice),
    }
}

fn mark(dice: &mut u64) -> Mark {
    let kind = [MarkKind::Pin, MarkKind::Retirement][usize::try_from(random(dice) % 2).unwrap()];
    let at = Timestamp::from_seconds(i64::try_from(random(dice) % 3).unwrap());
    let long = usize::try_from(random(dice) % 300).unwrap();
    Mark::new(kind, ["a", "b"][usize::try_from(random(dice) % 2).unwrap()], at)
        .note("n".repeat(long))
}

fn put(keys: &[AggregateKey], dice: &mut u64) -> Doing {
    let (key, id) = one(keys, dice);
    let many = 1 + random(dice) % 4;
    let records = (0..many).map(|i| {
        let id = SnapshotId { version: id.version + i * (random(dice) % 2), ..id };
        (key.clone(), id, record(&key, id, dice))
    });
    let records = records.collect();
    let marked = random(dice).is_multiple_of(4);
    let marks = Marks::new(marked.then(|| mark(dice))).unwrap();
    Doing::Put { records, replace: random(dice).is_multiple_of(4), marks }
}

/// Generates a put so small that several fit into a segment, often of the same snapshot.
fn small_put(keys: &[AggregateKey], dice: &mut u64) -> Doing {
    let (key, id) = one(keys, dice);
    let many = 1 + random(dice) % 2;
    let records = (0..many).map(|i| {
        let id = SnapshotId { generation: generation(1), version: 1 + id.version % 4 + i };
        (key.clone(), id, record_of(random(dice) % 200, &key, id, dice))
    });
    let records = records.collect();
    Doing::Put { records, replace: random(dice).is_multiple_of(4), marks: Marks::NONE }
}

fn one(keys: &[AggregateKey], dice: &mut u64) -> (AggregateKey, SnapshotId) {
    let key = keys[usize::try_from(random(dice) % 4).unwrap()].clone();
    let version = 1 + random(dice) % 12;
    (key, SnapshotId { generation: generation(random(dice) % 2), version })
}

fn change(mark: &Mark, clear: bool) -> MarkChange<'_> {
    if clear {
        MarkChange::Clear { kind: mark.kind, name: &mark.name }
    } else {
        MarkChange::Set(mark)
    }
}

impl Doing {
    /// Lets a rewrite expect the record that was probably stored last. `likely` contains those.
    fn expect(&mut self, likely: &mut BTreeMap<(AggregateKey, SnapshotId), Record>) {
        match self {
            Self::Put { records, .. } => {
                for (key, id, record) in records {
                    likely.insert((key.clone(), *id), record.clone());
                }
            }
            Self::Rewrite { key, id, rewrite } => {
                let last = likely.insert((key.clone(), *id), rewrite.record.clone());
                rewrite.expected = last.unwrap_or(rewrite.expected.clone());
            }
            Self::Delete { .. } | Self::Mark { .. } => {}
        }
    }

    pub(super) fn work(&self, core: &Core) -> Result<Option<Work>, Error> {
        match self {
            Self::Put { records, replace, marks } => {
                let records = records.iter().map(|(_, _, record)| record.clone()).collect();
                let options = PutOptions::default().replace(*replace).marks(marks.clone());
                core.put_work(records, &options).map(Some)
            }
            Self::Delete { key, scope, overrule_pins } => {
                let options = DeleteOptions::default().overrule_pins(*overrule_pins);
                core.delete_work(key, scope.selection(), options)
            }
            Self::Mark { key, scope, mark, clear } => {
                core.mark_work(key, scope.selection(), change(mark, *clear))
            }
            Self::Rewrite { rewrite, .. } => core.rewrite_work(vec![rewrite.clone()]).map(Some),
        }
    }

    /// Applies the operation to the model, and checks the answer of the store against it.
    pub(super) fn apply(&self, model: &mut Model, answer: Option<&Answer>) {
        match self {
            Self::Put { records, replace, marks } => {
                let mut outcomes = Vec::new();
                for (key, id, record) in records {
                    let place = (key.clone(), *id);
                    let old = model.get(&place);
                    outcomes.push(match old {
                        None => PutOutcome::Stored,
                        Some(_) if *replace => PutOutcome::Replaced,
                        Some((old, _)) => {
                            PutOutcome::Existing { identical: old.has_state_of(record) }
                        }
                    });
                    if old.is_none() || *replace {
                        let before = old.map_or(Marks::NONE, |(_, marks)| marks.clone());
                        model.insert(place, (record.clone(), before.merged(marks).unwrap()));
                    }
                }
                if let Some(Answer::Put(said)) = answer {
                    assert_eq!(*said, outcomes);
                }
            }
            Self::Delete { key, scope, overrule_pins } => {
                let (mut kept, mut selected, mut pinned) = (BTreeSet::new(), 0, 0);
                for ((_, id), (_, marks)) in model.iter().filter(|((of, _), _)| of == key) {
                    let is_selected = scope.selection().admits(*id);
                    let is_pinned = is_selected && marks.is_pinned() && !overrule_pins;
                    selected += u64::from(is_selected);
                    pinned += u64::from(is_pinned);
                    if !is_selected || is_pinned {
                        kept.insert(*id);
                    }
                }
                let before = kept.len();
                add_bases(model, key, &mut kept);
                let needed = (kept.len() - before) as u64;
                model.retain(|(of, id), _| of != key || kept.contains(id));
                if let Some(Answer::Delete(said)) = answer {
                    let expected = (selected - pinned - needed, pinned, needed);
                    assert_eq!((said.snapshots, said.pinned, said.needed), expected);
                }
            }
            Self::Mark { key, scope, mark, clear } => {
                let mut changed = 0;
                for ((of, id), (_, marks)) in model {
                    if of == key
                        && scope.selection().admits(*id)
                        && let Some(after) = marks.changed(change(mark, *clear)).unwrap()
                    {
                        *marks = after;
                        changed += 1;
                    }
                }
                if let Some(Answer::Mark(said)) = answer {
                    assert_eq!(*said, changed);
                }
            }
            Self::Rewrite { key, id, rewrite } => {
                let there = model.get_mut(&(key.clone(), *id));
                let there = there.filter(|(record, _)| rewrite.replaces(record));
                if let Some(Answer::Put(said)) = answer {
                    let expected = match there {
                        Some(_) => PutOutcome::Replaced,
                        None => PutOutcome::Existing { identical: false },
                    };
                    assert_eq!(*said, [expected]);
                }
                if let Some((record, _)) = there {
                    *record = rewrite.record.clone();
                }
            }
        }
    }
}
