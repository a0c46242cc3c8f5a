//! Deltas in the log. The defects: a base is deleted, compacted away or forgotten while a delta
//! needs it, or a delta is returned with a record that is not its base.

use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

use super::run::{config, content, reopened};
use super::workload::generation;
use crate::backend::file::config::FileStoreConfig;
use crate::backend::file::core::Core;
use crate::backend::file::disk::sim::SimDisk;
use crate::backend::file::format::FRAME_BYTES;
use crate::backend::file::maintain::repair::repair;
use crate::backend::file::read::{Patience, Unread};
use crate::backend::file::recover::open;
use crate::backend::file::write::work::{Answer, Work};
use crate::error::{Error, ErrorKind};
use crate::generation::Generation;
use crate::key::AggregateKey;
use crate::mark::{Mark, MarkChange};
use crate::record::{Base, Record, RecordBuilder};
use crate::snapshot_id::SnapshotId;
use crate::store::{DeleteOptions, Deleted, Lookup, PutOptions, Query, Selection};
use crate::timestamp::Timestamp;

struct Store {
    disk: SimDisk,
    config: FileStoreConfig,
    core: Core,
}

fn key(id: &str) -> AggregateKey {
    AggregateKey::new("k", id).unwrap()
}

fn id(version: u64) -> SnapshotId {
    SnapshotId { generation: generation(1), version }
}

fn record(id: &str, of: Generation, version: u64, base: Option<u64>, len: usize) -> Record {
    let at = Timestamp::from_seconds(i64::try_from(version).unwrap());
    let mut builder = RecordBuilder::new(key(id), of, version, at);
    if let Some(version) = base {
        builder = builder.base(Base { version, checksum: 7 });
    }
    builder.build(&vec![1; len]).unwrap()
}

impl Store {
    fn new(config: FileStoreConfig) -> Self {
        let disk = SimDisk::new(1);
        let core = open::open(Arc::new(disk.clone()), config.clone()).unwrap();
        Self { disk, config, core }
    }

    fn put_work(&self, records: Vec<Record>, replace: bool) -> Work {
        self.core.put_work(records, &PutOptions::default().replace(replace)).unwrap()
    }

    /// Puts a snapshot of the aggregate `x`.
    fn put(&self, version: u64, base: Option<u64>, len: usize) -> Record {
        let record = record("x", generation(1), version, base, len);
        let work = self.put_work(vec![record.clone()], false);
        self.commit(vec![work]).remove(0).unwrap();
        record
    }

    fn delete_work(&self, selection: Selection<'_>) -> Work {
        let options = DeleteOptions::default();
        self.core.delete_work(&key("x"), selection, options).unwrap().unwrap()
    }

    fn delete(&self, selection: Selection<'_>) -> Deleted {
        self.commit(vec![self.delete_work(selection)]).remove(0).unwrap().deleted()
    }

    fn commit(&self, works: Vec<Work>) -> Vec<Result<Answer, Error>> {
        self.core.commit(works, || ()).answers
    }

    /// Returns the bases of a snapshot of `x`, or `None` if it is not stored.
    fn bases(&self, version: u64) -> Option<Vec<Record>> {
        match self.core.get(Patience::Unlimited, &Query::exact(&key("x"), id(version))) {
            Ok(Lookup::Found(found)) => Some(found.bases),
            Ok(_) => None,
            Err(unread) => panic!("{:?}", unread.into_error()),
        }
    }

    /// Returns the versions of `x` that are stored.
    fn versions(&self) -> Vec<u64> {
        let own = |of: &AggregateKey| *of == key("x");
        content(&self.core)
            .into_keys()
            .filter(|(of, _)| own(of))
            .map(|(_, id)| id.version)
            .collect()
    }

    /// Checks that the content is the same after a power failure, with and without index files.
    fn reopened(self) -> Self {
        let Self { disk, config, core } = self;
        let (disk, core) = reopened(&disk, &config, core);
        Self { disk, config, core }
    }

    /// Damages the payload of a snapshot of `x` in its file.
    fn damage(&self, version: u64) {
        let tag = self.core.tag(&key("x"));
        let generation = self.core.generations.find(generation(1)).unwrap();
        let item = self.core.index.exact(tag, generation, version, |item| item).unwrap();
        let segment = self.core.segments.get(item.place.slot).unwrap();
        let last = item.place.offset + FRAME_BYTES + u64::from(item.place.len) - 1;
        segment.file.write(last, &[IoSlice::new(&[9])]).unwrap();
        segment.file.sync().unwrap();
    }
}

/// The file with the base is rewritten twice, that with the delta never.
#[test]
fn a_base_in_another_file_stays_and_moves() {
    let mut store = Store::new(config().compact_at(0.2));
    let base = store.put(1, None, 1000);
    store.put(2, None, 2500);
    store.put(3, None, 3000);
    let delta = store.put(4, Some(1), 10);
    store.put(5, Some(4), 3000);
    store.put(6, None, 3000);
    for round in 0..2 {
        let ids = [id(1), id(2), id(3), id(4)];
        let deleted = store.delete(Selection::Ids(&ids));
        let expected = if round == 0 { (2, 2) } else { (0, 2) };
        assert_eq!((deleted.snapshots, deleted.needed), expected);
        assert_eq!(store.core.compact(&mut |_| true).unwrap().removed > 0, round == 0);
        assert_eq!(store.bases(5), Some(vec![delta.clone(), base.clone()]));
        store = store.reopened();
    }
    let deleted = store.delete(Selection::Below(6));
    assert_eq!((deleted.snapshots, deleted.needed), (3, 0));
    store.core.compact(&mut |_| true).unwrap();
    assert_eq!(store.reopened().versions(), [6]);
}

type Step = Box<dyn Fn(&Store) -> Work>;

/// A delete decides after the work before it, in whatever way both are grouped.
#[test]
fn a_group_has_the_effect_of_its_parts_one_after_the_other() {
    let replaced = |base| vec![record("x", generation(1), 20, base, 5)];
    let delete_of =
        |version| move |store: &Store| store.delete_work(Selection::Ids(&[id(version)]));
    let steps: Vec<Step> = vec![
        Box::new(delete_of(10)),
        Box::new(delete_of(20)),
        Box::new(delete_of(30)),
        Box::new(|store| store.delete_work(Selection::Below(25))),
        Box::new(|store| store.delete_work(Selection::All)),
        Box::new(|store| store.delete_work(Selection::Generation(generation(1)))),
        Box::new(move |store| store.put_work(replaced(None), true)),
        Box::new(move |store| store.put_work(replaced(Some(10)), true)),
        Box::new(move |store| store.put_work(replaced(Some(10)), false)),
        Box::new(|store| store.put_work(vec![record("x", generation(1), 30, Some(20), 5)], false)),
        Box::new(|store| store.put_work(vec![record("x", generation(0), 20, Some(10), 5)], false)),
    ];
    let begun = || {
        let store = Store::new(config().segment_bytes(64 << 10));
        store.put(10, None, 5);
        store.put(20, Some(10), 5);
        store
    };
    let all = || 0..steps.len();
    for numbers in all().flat_map(|a| all().flat_map(move |b| all().map(move |c| [a, b, c]))) {
        let said = |answers: Vec<Result<Answer, Error>>| -> Vec<_> {
            answers.into_iter().map(|answer| format!("{:?}", answer.unwrap())).collect()
        };
        let (single, joined) = (begun(), begun());
        let expected = numbers.map(|number| said(single.commit(vec![steps[number](&single)])));
        let works = numbers.map(|number| steps[number](&joined));
        assert_eq!(said(joined.commit(works.into())), expected.concat(), "{numbers:?}");
        let content = content(&joined.core);
        assert!(content == super::run::content(&single.core), "{numbers:?}");
    }
}

/// The defect: the put that would have ended the need for the base was not written, but the delete
/// of the base was.
#[test]
fn on_a_full_disk_a_base_stays_if_the_delta_was_not_replaced() {
    let store = Store::new(config().segment_bytes(64 << 10).reserve_bytes(16 << 10));
    store.core.fill_reserve();
    let base = store.put(10, None, 5);
    store.put(20, Some(10), 5);
    store.put(30, None, 5);
    store.disk.limit_space(Some(0));
    let whole = vec![record("x", generation(1), 20, None, 80 << 10)];
    let ids = [id(10), id(30)];
    let works = vec![store.put_work(whole, true), store.delete_work(Selection::Ids(&ids))];
    let mut answers = store.commit(works);
    assert_eq!(answers.remove(0).unwrap_err().kind(), ErrorKind::OutOfSpace);
    let deleted = answers.remove(0).unwrap().deleted();
    assert_eq!((deleted.snapshots, deleted.needed), (1, 1));
    assert_eq!(store.bases(20), Some(vec![base.clone()]));
    assert_eq!(store.reopened().bases(20), Some(vec![base]));
}

#[test]
fn a_snapshot_of_another_aggregate_or_generation_is_not_a_base_and_not_kept() {
    let store = Store::new(config().segment_bytes(64 << 10));
    let others = [
        record("y", generation(1), 10, None, 5),
        record("x", generation(0), 10, None, 5),
        // Names itself, and a higher one.
        record("x", generation(1), 7, Some(7), 5),
        record("x", generation(1), 8, Some(20), 5),
        record("x", generation(1), 20, Some(10), 5),
    ];
    store.commit(vec![store.put_work(others.to_vec(), false)]).remove(0).unwrap();
    let store = store.reopened();
    for version in [7, 8, 20] {
        assert_eq!(store.bases(version), Some(vec![]), "{version}");
    }
    let ids = [7, 20].map(id);
    let old = [SnapshotId { generation: generation(0), version: 10 }];
    let deleted = store.delete(Selection::Ids(&[&ids[..1], &old].concat()));
    assert_eq!((deleted.snapshots, deleted.needed), (2, 0));
    let deleted = store.delete(Selection::Ids(&ids));
    assert_eq!((deleted.snapshots, deleted.needed), (1, 0));
    assert_eq!(content(&store.reopened().core).len(), 2);
}

/// What is put under a version that a delta names is its base, also after the delta.
#[test]
fn a_base_that_is_put_or_replaced_after_its_delta_is_returned_and_kept() {
    let store = Store::new(config());
    store.put(20, Some(10), 5);
    assert_eq!(store.bases(20), Some(vec![]));
    let base = store.put(10, None, 5);
    // The first one is kept.
    store.put(10, None, 6);
    assert_eq!(store.bases(20), Some(vec![base]));
    let other = record("x", generation(1), 10, None, 7);
    store.commit(vec![store.put_work(vec![other.clone()], true)]).remove(0).unwrap();
    let store = store.reopened();
    assert_eq!(store.bases(20), Some(vec![other]));
    assert_eq!(store.delete(Selection::Below(20)).needed, 1);
}

#[test]
fn a_delta_whose_base_a_repair_could_not_keep_has_none() {
    let store = Store::new(config());
    store.put(10, None, 3000);
    store.put(11, None, 3000);
    store.put(20, Some(10), 5);
    store.put(21, Some(11), 5);
    store.damage(10);
    // The engine rejects a damaged base.
    let damaged = store.bases(20).unwrap();
    assert!(damaged.len() == 1 && damaged[0].verify().is_err());
    store.core.shut_down().unwrap();
    let Store { disk, config, core } = store;
    drop(core);
    let repaired = repair(&disk, Path::new("/store")).unwrap();
    assert_eq!(repaired.kept, 3, "{repaired:?}");
    let core = open::open(Arc::new(disk.clone()), config.clone()).unwrap();
    let store = Store { disk, config, core };
    assert_eq!(store.bases(20), Some(vec![]));
    assert_eq!(store.bases(21).unwrap().len(), 1);
    assert_eq!(store.delete(Selection::Below(20)).needed, 1);
    assert_eq!(store.reopened().versions(), [11, 20, 21]);
}

#[test]
fn a_backup_contains_the_bases() {
    let store = Store::new(config());
    let base = store.put(10, None, 3000);
    store.put(11, None, 3000);
    store.put(20, Some(10), 5);
    store.delete(Selection::Below(20));
    store.core.backup(Path::new("/copy")).unwrap();
    let before = content(&store.core);
    let config = FileStoreConfig { dir: "/copy".into(), ..store.config };
    let core = open::open(Arc::new(store.disk.clone()), config.clone()).unwrap();
    assert!(content(&core) == before);
    let copy = Store { disk: store.disk, config, core };
    assert_eq!(copy.bases(20), Some(vec![base]));
    assert_eq!(copy.versions(), [10, 20]);
}

/// Retired and pinned bases are bases, and a pinned delta keeps its base.
#[test]
fn marks_and_bases_are_kept_apart() {
    let store = Store::new(config());
    let base = store.put(10, None, 5);
    store.put(20, Some(10), 5);
    let at = Timestamp::from_seconds(1);
    let mark = |version, mark: &Mark| {
        let ids = [id(version)];
        let change = MarkChange::Set(mark);
        let work = store.core.mark_work(&key("x"), Selection::Ids(&ids), change);
        store.commit(vec![work.unwrap().unwrap()]).remove(0).unwrap();
    };
    mark(10, &Mark::retirement("a", at));
    assert_eq!(store.bases(20), Some(vec![base]));
    mark(20, &Mark::pin("a", at));
    let deleted = store.delete(Selection::All);
    assert_eq!((deleted.snapshots, deleted.pinned, deleted.needed), (0, 1, 1));
    mark(10, &Mark::pin("b", at));
    let deleted = store.delete(Selection::All);
    assert_eq!((deleted.snapshots, deleted.pinned, deleted.needed), (0, 2, 0));
    let overrule = DeleteOptions::default().overrule_pins(true);
    let delete = |ids: &[SnapshotId]| {
        let work = store.core.delete_work(&key("x"), Selection::Ids(ids), overrule);
        store.commit(vec![work.unwrap().unwrap()]).remove(0).unwrap().deleted()
    };
    assert_eq!(delete(&[id(10)]).needed, 1);
    assert_eq!(delete(&[id(10), id(20)]).snapshots, 2);
}

/// An answer that is too large for the thread of a task is read elsewhere as a whole.
#[test]
fn the_limit_of_an_inline_read_counts_the_bases() {
    let store = Store::new(config());
    let lens =
        [store.put(10, None, 500), store.put(20, Some(10), 5)].map(|one| one.as_bytes().len());
    let get = |most: usize| {
        let patience = Patience::None(u32::try_from(most).unwrap());
        match store.core.get(patience, &Query::exact(&key("x"), id(20))) {
            Ok(Lookup::Found(found)) => Some(found.bases.len()),
            Ok(_) => Some(9),
            Err(Unread::WouldWait) => None,
            Err(Unread::Failed(error)) => panic!("{error}"),
        }
    };
    let both = lens[0] + lens[1];
    assert_eq!((get(both), get(both - 1), get(lens[0])), (Some(1), None, None));
}
