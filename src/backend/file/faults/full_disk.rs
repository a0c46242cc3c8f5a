//! Tests a full disk. The defects: a store that has run out of space cannot free any, because
//! deletes and compaction have to write first; a store that gives up its reserve needlessly and
//! never restores it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::run::{config, content};
use super::workload::{Model, generation};
use crate::backend::file::config::{FileStoreConfig, ZeroAhead};
use crate::backend::file::core::Core;
use crate::backend::file::disk::Disk;
use crate::backend::file::disk::sim::{Call, SimDisk, Survival};
use crate::backend::file::format::names;
use crate::backend::file::recover::open;
use crate::error::{Error, ErrorKind, Retry};
use crate::key::AggregateKey;
use crate::record::RecordBuilder;
use crate::store::{DeleteOptions, PutOptions, Selection};
use crate::timestamp::Timestamp;

const SPACE: u64 = 200 << 10;
const RECORD_BYTES: usize = 600;

/// A store on a disk that is almost full.
struct Cramped {
    disk: SimDisk,
    config: FileStoreConfig,
    core: Core,
}

impl Cramped {
    fn new(config: FileStoreConfig) -> Self {
        let disk = SimDisk::new(9);
        let core = open::open(Arc::new(disk.clone()), config.clone()).unwrap();
        core.fill_reserve();
        disk.limit_space(Some(SPACE));
        Self { disk, config, core }
    }

    fn put(&self, n: u64) -> Result<(), Error> {
        let at = Timestamp::from_seconds(1);
        let record = RecordBuilder::new(key(n), generation(1), 1, at)
            .build(&[n.to_le_bytes()[0]; RECORD_BYTES])
            .unwrap();
        let work = self.core.put_work(vec![record], &PutOptions::default())?;
        self.core.commit(vec![work], || ()).answers.remove(0).map(|_| ())
    }

    fn delete(&self, n: u64) {
        self.try_delete(n).unwrap();
    }

    fn try_delete(&self, n: u64) -> Result<(), Error> {
        let work = self
            .core
            .delete_work(&key(n), Selection::All, DeleteOptions::default())
            .unwrap()
            .unwrap();
        self.core.commit(vec![work], || ()).answers.remove(0).map(|_| ())
    }

    /// Puts until there is no space left. Returns the number of puts.
    fn fill(&self) -> u64 {
        for n in 0.. {
            if let Err(error) = self.put(n) {
                assert_eq!((error.kind(), error.retry()), (ErrorKind::OutOfSpace, Retry::Later));
                assert_eq!(content(&self.core).len() as u64, n);
                return n;
            }
        }
        unreachable!("the disk is full at some time")
    }

    fn has_reserve(&self) -> bool {
        let reserve = Path::new("/store").join(names::RESERVE);
        self.disk.open(&reserve, false).is_ok()
    }

    /// Checks that nothing in `expected` is lost, also after a power failure.
    fn check(self, expected: &Model) {
        assert!(content(&self.core) == *expected);
        let Self { disk, config, core } = self;
        drop(core);
        let after = disk.after_crash(Survival::Nothing);
        let core = open::open(Arc::new(after), config).unwrap();
        assert!(content(&core) == *expected);
    }
}

fn key(n: u64) -> AggregateKey {
    AggregateKey::new("k", &n.to_string()).unwrap()
}

fn small() -> FileStoreConfig {
    config().segment_bytes(16 << 10).reserve_bytes(16 << 10).compact_at(0.3)
}

#[test]
fn a_full_disk_refuses_puts_and_still_deletes_and_gives_space_back() {
    let cramped = Cramped::new(small());
    let stored = cramped.fill();
    for n in 0..stored * 9 / 10 {
        cramped.delete(n);
    }
    let before = cramped.disk.used();
    cramped.core.compact(&mut |_| true).unwrap();
    let after = cramped.disk.used();
    assert!(after < before / 2, "{before} to {after}");
    cramped.core.fill_reserve();
    for n in stored..stored + 10 {
        cramped.put(n).unwrap();
    }
    let expected = content(&cramped.core);
    assert_eq!(expected.len() as u64, 10 + stored - stored * 9 / 10);
    cramped.check(&expected);
}

#[test]
fn compaction_without_any_space_gives_the_reserve_up_and_gets_it_back() {
    let cramped = Cramped::new(small());
    let stored = cramped.fill();
    // Other programs free some space for a moment and then use it again.
    cramped.disk.limit_space(None);
    // No file is entirely dead, so freeing space requires copying.
    for n in (0..stored).filter(|n| n % 4 != 0) {
        cramped.delete(n);
    }
    assert_eq!(
        cramped
            .core
            .segments
            .all()
            .iter()
            .filter(|one| one.live_puts.load(Ordering::Relaxed) == 0)
            .count(),
        0
    );
    cramped.core.fill_reserve();
    cramped.disk.limit_space(Some(cramped.disk.used()));
    assert!(cramped.has_reserve());
    let expected = content(&cramped.core);

    let before = cramped.disk.used();
    let compacted = cramped.core.compact(&mut |_| true).unwrap();
    assert!(compacted.copied_bytes > 0 && compacted.removed > 1, "{compacted:?}");
    assert!(!cramped.has_reserve(), "it was not needed");
    assert!(cramped.disk.used() < before / 2, "{before} to {}", cramped.disk.used());
    assert!(content(&cramped.core) == expected);

    cramped.core.fill_reserve();
    assert!(cramped.has_reserve());
    cramped.put(stored).unwrap();
    let expected = content(&cramped.core);
    cramped.check(&expected);
}

#[test]
fn compaction_without_space_or_reserve_fails_and_harms_nothing() {
    let cramped = Cramped::new(small().reserve_bytes(0));
    let stored = cramped.fill();
    cramped.disk.limit_space(None);
    for n in (0..stored).filter(|n| n % 4 != 0) {
        cramped.delete(n);
    }
    cramped.disk.limit_space(Some(cramped.disk.used()));
    let expected = content(&cramped.core);
    let error = cramped.core.compact(&mut |_| true).unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::OutOfSpace, Retry::Later));
    assert!(content(&cramped.core) == expected);
    // It works when there is space again.
    cramped.disk.limit_space(None);
    assert!(cramped.core.compact(&mut |_| true).unwrap().removed > 1);
    cramped.check(&expected);
}

/// The defect: the copied data filled the reserve to the last byte, which left no space for the
/// manifest. Compaction failed each time, on a store of which only a thirtieth was live.
#[test]
fn a_reserve_much_smaller_than_a_file_is_enough_for_compaction() {
    let cramped = Cramped::new(small().segment_bytes(64 << 10));
    cramped.disk.limit_space(Some(1 << 20));
    let stored = cramped.fill();
    cramped.disk.limit_space(None);
    for n in (0..stored).filter(|n| n % 32 != 0) {
        cramped.delete(n);
    }
    cramped.core.fill_reserve();
    cramped.disk.limit_space(Some(cramped.disk.used()));
    let expected = content(&cramped.core);
    let before = cramped.disk.used();
    let compacted = cramped.core.compact(&mut |_| true).unwrap();
    assert!(cramped.disk.used() < before / 4, "{compacted:?}");
    cramped.check(&expected);
}

/// The defect: when files were filled with zeros in advance, neither puts nor deletes found space
/// although there was some, and the reserve did not help.
#[test]
fn a_file_for_which_there_are_no_zeros_is_used_without() {
    let whole = small().segment_bytes(64 << 10).zero_ahead(ZeroAhead::WholeFiles);
    let cramped = Cramped::new(whole);
    let stored = cramped.fill();
    assert!(cramped.disk.used() > SPACE - (4 << 10), "{}", cramped.disk.used());
    for n in 0..stored / 2 {
        cramped.delete(n);
    }
    let expected = content(&cramped.core);
    assert_eq!(expected.len() as u64, stored - stored / 2);
    cramped.check(&expected);
}

/// The defect: the error of the first attempt claimed that nothing was written.
#[test]
fn a_delete_whose_second_attempt_may_have_been_written_says_so() {
    // Deletes until a delete uses the reserve. Returns its answer and the number of syncs.
    let run = |failing: Option<u64>| {
        let cramped = Cramped::new(small());
        let stored = cramped.fill();
        if let Some(sync) = failing {
            cramped.disk.fail(Call::Sync, sync, std::io::ErrorKind::Other);
        }
        let mut answers = (0..stored).map(|n| cramped.try_delete(n));
        let answer = answers.find(|_| !cramped.has_reserve()).unwrap();
        (answer, cramped.disk.count(Call::Sync))
    };
    let (answer, syncs) = run(None);
    answer.unwrap();
    // The last sync is that of the delete.
    let (answer, _) = run(Some(syncs));
    assert_eq!(answer.unwrap_err().retry(), Retry::Unknown);
}
