//! Tests marks in the log. The defects: a pin or retirement is lost with the file that contains it,
//! or it reappears after it was cleared or its snapshot was deleted.

use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

use super::run::{config, content, reopened};
use super::workload::{Model, generation};
use crate::backend::file::config::FileStoreConfig;
use crate::backend::file::core::Core;
use crate::backend::file::disk::Disk;
use crate::backend::file::disk::sim::{SimDisk, Survival};
use crate::backend::file::format::names;
use crate::backend::file::maintain::verify::verify;
use crate::backend::file::recover::open;
use crate::backend::file::write::work::{Answer, Work};
use crate::error::{Error, ErrorKind};
use crate::key::AggregateKey;
use crate::mark::{Mark, MarkChange, MarkKind, Marks};
use crate::record::RecordBuilder;
use crate::snapshot_id::SnapshotId;
use crate::store::{DeleteOptions, PutOptions, Selection};
use crate::timestamp::Timestamp;

struct Store {
    disk: SimDisk,
    config: FileStoreConfig,
    core: Core,
}

fn key(id: &str) -> AggregateKey {
    AggregateKey::new("k", id).unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

const CLEAR: MarkChange<'static> = MarkChange::Clear { kind: MarkKind::Pin, name: "a" };

impl Store {
    fn new(config: FileStoreConfig) -> Self {
        let disk = SimDisk::new(1);
        let core = open::open(Arc::new(disk.clone()), config.clone()).unwrap();
        Self { disk, config, core }
    }

    fn put(&self, id: &str, len: usize) {
        self.put_with(id, len, &PutOptions::default());
    }

    fn put_with(&self, id: &str, len: usize, options: &PutOptions) {
        let record = RecordBuilder::new(key(id), generation(1), 1, at(1));
        let record = record.build(&vec![1; len]).unwrap();
        self.commit(vec![self.core.put_work(vec![record], options).unwrap()]).remove(0).unwrap();
    }

    fn delete(&self, id: &str) -> Work {
        let options = DeleteOptions::default();
        self.core.delete_work(&key(id), Selection::All, options).unwrap().unwrap()
    }

    fn change(&self, id: &str, change: MarkChange<'_>) -> Work {
        self.core.mark_work(&key(id), Selection::All, change).unwrap().unwrap()
    }

    fn pin(&self, id: &str) -> Work {
        self.change(id, MarkChange::Set(&Mark::pin("a", at(1))))
    }

    fn commit(&self, works: Vec<Work>) -> Vec<Result<Answer, Error>> {
        self.core.commit(works, || ()).answers
    }

    fn done(&self, work: Work) {
        self.commit(vec![work]).remove(0).unwrap();
    }

    fn marks(&self, id: &str) -> Marks {
        let snapshot = SnapshotId { generation: generation(1), version: 1 };
        let (_, marks) = content(&self.core).remove(&(key(id), snapshot)).expect("it is stored");
        marks
    }

    /// Checks that the content is the same after a power failure, with and without index files.
    fn reopened(self) -> Self {
        let Self { disk, config, core } = self;
        let (disk, core) = reopened(&disk, &config, core);
        Self { disk, config, core }
    }
}

/// The segment with the old marks contains no dead record, only those marks, but the delete is
/// still needed.
#[test]
fn marks_of_a_deleted_snapshot_do_not_come_back_with_its_successor() {
    let store = Store::new(config().compact_at(0.5));
    // The record is in one file, its marks are in the next, and the delete is in a third.
    store.put("marked", 3000);
    store.put("fills", 3000);
    store.done(store.pin("marked"));
    store.put("stays", 800);
    store.done(store.change("marked", CLEAR));
    store.done(store.pin("marked"));
    store.put("more", 3000);
    store.done(store.change("marked", CLEAR));
    store.done(store.delete("marked"));
    assert_eq!(store.core.index.notes(), 0);
    store.put("fills too", 500);
    store.put("last", 3000);
    store.done(store.delete("fills too"));
    store.done(store.delete("more"));
    while store.core.compact(&mut |_| true).unwrap().removed > 0 {}
    store.put("marked", 10);
    assert_eq!(store.marks("marked"), Marks::NONE);
    let store = store.reopened();
    assert_eq!(store.marks("marked"), Marks::NONE);
}

#[test]
fn compaction_carries_marks_and_what_was_cleared_stays_cleared() {
    let store = Store::new(config().compact_at(0.1));
    store.put("goes later", 300);
    for id in ["kept", "cleared", "changed"] {
        store.put(id, 100);
        store.done(store.pin(id));
        store.put(&format!("beside {id}"), 3000);
    }
    store.done(store.change("cleared", CLEAR));
    let later = Mark::pin("a", at(2)).note("later");
    store.done(store.change("changed", MarkChange::Set(&later)));
    let retirement = Mark::retirement("r", at(3));
    store.done(store.change("changed", MarkChange::Set(&retirement)));
    let replace = PutOptions::default().replace(true);
    store.put_with("kept", 200, &replace);
    store.put("goes later", 500);
    store.put("last", 3000);
    for id in ["kept", "cleared", "changed"] {
        store.done(store.delete(&format!("beside {id}")));
    }
    let compacted = store.core.compact(&mut |_| true).unwrap();
    assert!(compacted.removed > 2 && compacted.copied_bytes > 0, "{compacted:?}");
    // Once more, from the new position.
    store.done(store.delete("goes later"));
    let compacted = store.core.compact(&mut |_| true).unwrap();
    assert!(compacted.removed > 0 && compacted.copied_bytes > 0, "{compacted:?}");
    let store = store.reopened();
    let pin = Mark::pin("a", at(1));
    assert_eq!(store.marks("kept"), Marks::new([pin]).unwrap());
    assert_eq!(store.marks("cleared"), Marks::NONE);
    assert_eq!(store.marks("changed"), Marks::new([later, retirement]).unwrap());
    // Live and dead frames are counted correctly: there is nothing left to compact.
    assert_eq!(store.core.compact(&mut |_| true).unwrap().copied_bytes, 0);
}

/// The copy is in a file that comes after the file with the newer marks.
#[test]
fn a_copy_of_marks_does_not_hide_later_ones() {
    let store = Store::new(config().compact_at(0.2));
    store.put("x", 10);
    store.done(store.pin("x"));
    store.put("beside", 3000);
    store.put("last", 2000);
    store.done(store.delete("beside"));
    assert_eq!(store.core.compact(&mut |_| true).unwrap().removed, 1);
    let later = Mark::pin("a", at(2));
    store.done(store.change("x", MarkChange::Set(&later)));
    assert_eq!(store.reopened().marks("x"), Marks::new([later]).unwrap());
}

#[test]
fn works_of_one_group_see_the_marks_of_those_before_them() {
    let store = Store::new(config());
    let put = |options: &PutOptions| {
        let record = RecordBuilder::new(key("x"), generation(1), 1, at(1)).build(b"x").unwrap();
        store.core.put_work(vec![record], options).unwrap()
    };
    let plain = PutOptions::default();
    let retired = Marks::new([Mark::retirement("r", at(1))]).unwrap();
    let marked = PutOptions::default().replace(true).marks(retired);
    let overrule = DeleteOptions::default().overrule_pins(true);
    let delete_all = || store.core.delete_work(&key("x"), Selection::All, overrule);
    let answers = store.commit(vec![
        put(&plain),
        store.pin("x"),
        store.delete("x"),
        put(&marked),
        delete_all().unwrap().unwrap(),
        store.delete("x"),
        store.pin("x"),
        put(&plain),
        store.pin("x"),
        store.change("x", CLEAR),
        store.pin("x"),
    ]);
    let said = |number: usize| match answers[number].as_ref().unwrap() {
        Answer::Put(outcomes) => format!("{outcomes:?}"),
        Answer::Delete(deleted) => format!("{} and {}", deleted.snapshots, deleted.pinned),
        Answer::Mark(count) => count.to_string(),
    };
    let said: Vec<_> = (0..answers.len()).map(said).collect();
    let expected = [
        "[Stored]",
        "1",
        "0 and 1",
        "[Replaced]",
        "1 and 0",
        "0 and 0",
        "0",
        "[Stored]",
        "1",
        "1",
        "1",
    ];
    assert_eq!(said, expected);
    let pin = Marks::new([Mark::pin("a", at(1))]).unwrap();
    assert_eq!(store.marks("x"), pin);
    assert_eq!(store.reopened().marks("x"), pin);
}

#[test]
fn a_change_that_one_snapshot_cannot_take_changes_none() {
    let store = Store::new(config());
    store.put("x", 10);
    for n in 0..Marks::MAX {
        store.done(store.change("x", MarkChange::Set(&Mark::retirement(n.to_string(), at(1)))));
    }
    let record = RecordBuilder::new(key("x"), generation(1), 2, at(1)).build(b"x").unwrap();
    let work = store.core.put_work(vec![record], &PutOptions::default()).unwrap();
    store.done(work);
    let before = content(&store.core);
    let refused = |work| {
        let error = store.commit(vec![work]).remove(0).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(content(&store.core) == before);
    };
    refused(store.pin("x"));
    let records = [3, 1].map(|version| {
        RecordBuilder::new(key("x"), generation(1), version, at(1)).build(b"other").unwrap()
    });
    let marks = Marks::new([Mark::pin("a", at(1))]).unwrap();
    let options = PutOptions::default().replace(true).marks(marks);
    refused(store.core.put_work(records.to_vec(), &options).unwrap());
    store.reopened();
}

/// A frame counts once its last byte is there, and a put only together with its marks.
#[test]
fn of_a_log_that_is_cut_anywhere_the_whole_batches_before_the_cut_count() {
    let store = Store::new(config().segment_bytes(1 << 20));
    let marks = Marks::new([Mark::pin("a", at(1)).note("n"), Mark::retirement("r", at(2))]);
    let marked = PutOptions::default().replace(true).marks(marks.unwrap());
    let mut states: Vec<(u64, Model)> = Vec::new();
    let mut note = |store: &Store| {
        let end = store.core.log().active.as_ref().map_or(48, |active| active.end);
        states.push((end, content(&store.core)));
    };
    note(&store);
    store.put_with("x", 20, &marked);
    note(&store);
    store.put("y", 20);
    note(&store);
    for id in ["y", "x"] {
        store.done(store.pin(id));
        note(&store);
        store.done(store.change(id, CLEAR));
        note(&store);
    }
    store.put_with("y", 30, &marked);
    note(&store);
    store.done(store.delete("x"));
    note(&store);
    let Store { disk, config, core } = store;
    drop(core);
    let name = config.dir.join(names::segment(1));
    let end = states.last().unwrap().0;
    let bytes = disk.open(&name, false).unwrap().read(0, usize::try_from(end).unwrap()).unwrap();
    for cut in 48..=end {
        let disk = disk.after_crash(Survival::Everything);
        let file = disk.create(&name).unwrap();
        let kept = &bytes[..usize::try_from(cut).unwrap()];
        file.write(0, &[IoSlice::new(kept)]).unwrap();
        assert_eq!(verify(&disk, Path::new("/store")).unwrap().problems, []);
        let core = open::open(Arc::new(disk), config.clone()).unwrap();
        let expected = states.iter().rev().find(|(end, _)| *end <= cut).unwrap();
        assert!(content(&core) == expected.1, "cut at {cut}");
    }
}

/// Pins have to be cleared before anything can be deleted.
#[test]
fn on_a_full_disk_marks_can_be_cleared_and_their_snapshots_deleted() {
    let store = Store::new(config().segment_bytes(16 << 10).reserve_bytes(16 << 10));
    store.core.fill_reserve();
    store.disk.limit_space(Some(100 << 10));
    let marks = Marks::new([Mark::pin("a", at(1))]).unwrap();
    let options = PutOptions::default().marks(marks);
    // The last puts are small, so that there is no room even for marks.
    let mut count = 0;
    for len in [1000, 0] {
        loop {
            let record = RecordBuilder::new(key(&count.to_string()), generation(1), 1, at(1));
            let record = record.build(&vec![1; len]).unwrap();
            let work = store.core.put_work(vec![record], &options).unwrap();
            match store.commit(vec![work]).remove(0) {
                Ok(_) => count += 1,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::OutOfSpace);
                    break;
                }
            }
        }
    }
    assert_eq!(content(&store.core).len(), count);
    for n in 0..count {
        let id = n.to_string();
        store.done(store.change(&id, CLEAR));
        store.done(store.delete(&id));
    }
    assert!(content(&store.core).is_empty());
    store.reopened();
}
