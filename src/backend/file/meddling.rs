//! Readers without a lock at the worst moments: a disk on which the writer acts between two calls of
//! the reader.

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::backend::file::config::FileStoreConfig;
use crate::backend::file::core::Core;
use crate::backend::file::disk::sim::SimDisk;
use crate::backend::file::disk::{Disk, DiskFile, Locking, PathKind};
use crate::backend::file::maintain::verify::verify;
use crate::backend::file::read::Patience;
use crate::backend::file::recover::open_read_only::open_read_only;
use crate::backend::file::recover::{open, view};
use crate::backend::file::samples::{key, put_bytes};
use crate::error::{ErrorKind, Retry};
use crate::generation::Generation;
use crate::store::{DeleteOptions, Lookup, Query, Selection};

type Action = Box<dyn FnMut() + Send>;

/// A disk that runs `before_open` before each segment is opened, and whose segments begin as if the
/// bytes from `unwritten` on were still being written.
struct MeddlingDisk {
    disk: SimDisk,
    before_open: Mutex<Action>,
    unwritten: Option<u64>,
}

impl std::fmt::Debug for MeddlingDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MeddlingDisk")
    }
}

impl Disk for MeddlingDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir(dir)
    }
    fn look(&self, path: &Path) -> io::Result<PathKind> {
        self.disk.look(path)
    }
    fn files(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.files(dir)
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.create(path)
    }
    fn open(&self, path: &Path, write: bool) -> io::Result<Arc<dyn DiskFile>> {
        if path.extension().is_none_or(|extension| extension != "seg") {
            return self.disk.open(path, write);
        }
        (self.before_open.lock().unwrap())();
        let file = self.disk.open(path, write)?;
        Ok(match self.unwritten {
            Some(from) => Arc::new(HalfWritten { file, from, read: AtomicBool::new(false) }),
            None => file,
        })
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.hard_link(from, to)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }
    fn lock(&self, path: &Path, write: bool) -> io::Result<Locking> {
        self.disk.lock(path, write)
    }
    fn random(&self) -> u64 {
        self.disk.random()
    }
}

/// A file whose first read of frames finds only zeros in 16 bytes at `from`. All later ones find what
/// was written.
#[derive(Debug)]
struct HalfWritten {
    file: Arc<dyn DiskFile>,
    from: u64,
    read: AtomicBool,
}

impl DiskFile for HalfWritten {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn read(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = self.file.read(offset, len)?;
        if offset >= 48 && !self.read.swap(true, Ordering::SeqCst) {
            let from = usize::try_from(self.from - offset).unwrap();
            bytes[from..from + 16].fill(0);
        }
        Ok(bytes)
    }
    fn read_cached(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.read(offset, len)
    }
    fn write(&self, offset: u64, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.file.write(offset, pieces)
    }
    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
}

fn config() -> FileStoreConfig {
    let config = FileStoreConfig::new("/store".into()).segment_bytes(4096);
    config.reserve_bytes(0).background(false).compact_at(0.2)
}

fn put(core: &Core, version: u64, bytes: usize) {
    core.commit(vec![put_bytes(core, version, bytes)], || ()).answers.remove(0).unwrap();
}

fn delete_below(core: &Core, version: u64) {
    let below = Selection::Below(version);
    let work = core.delete_work(&key(), below, DeleteOptions::default()).unwrap().unwrap();
    core.commit(vec![work], || ()).answers.remove(0).unwrap();
}

fn newest(core: &Core) -> Option<u64> {
    let (key, generation) = (key(), Generation { schema_version: 1, fingerprint: 1 });
    match core.get(Patience::Unlimited, &Query::latest(&key, generation)) {
        Ok(Lookup::Found(found)) => Some(found.version),
        Ok(_) => None,
        Err(error) => panic!("{}", error.into_error()),
    }
}

/// A writer on `disk` that compacts whenever a reader is about to open a segment, up to `times`.
fn compacting(disk: &SimDisk, times: u64) -> (Arc<Core>, Arc<MeddlingDisk>) {
    let core = Arc::new(open::open(Arc::new(disk.clone()), config()).unwrap());
    for version in 1..=3 {
        put(&core, version, 2000);
    }
    let (writer, mut done) = (Arc::clone(&core), 0);
    let act = move || {
        if done < times {
            done += 1;
            let version = 3 + done * 3;
            for version in version - 2..=version {
                put(&writer, version, 2000);
            }
            delete_below(&writer, version);
            assert!(writer.compact(&mut |_| true).unwrap().removed > 0);
        }
    };
    let meddling = MeddlingDisk {
        disk: disk.clone(),
        before_open: Mutex::new(Box::new(act)),
        unwritten: None,
    };
    (core, Arc::new(meddling))
}

#[test]
fn segments_that_are_compacted_between_two_steps_of_an_open_are_looked_up_again() {
    let (core, disk) = compacting(&SimDisk::new(1), 5);
    let reader = open_read_only(disk, config()).unwrap();
    assert_eq!(newest(&reader), Some(18));
    // Nor does it matter to the reader what happens later.
    put(&core, 19, 2000);
    delete_below(&core, 19);
    core.compact(&mut |_| true).unwrap();
    assert_eq!((newest(&reader), newest(&core)), (Some(18), Some(19)));
}

#[test]
fn a_reader_gives_up_if_the_files_change_at_every_attempt() {
    let (_core, disk) = compacting(&SimDisk::new(1), u64::MAX);
    let error = open_read_only(Arc::clone(&disk) as Arc<dyn Disk>, config()).unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Store, Retry::Later), "{error}");
    assert!(view::view(&*disk, Path::new("/store"), "test").is_err());
}

#[test]
fn a_frame_that_is_read_while_it_is_written_is_not_taken_for_damage() {
    let sim = SimDisk::new(1);
    let core = open::open(Arc::new(sim.clone()), config().segment_bytes(1 << 20)).unwrap();
    for version in 1..=3 {
        put(&core, version, 500);
    }
    let second = core.index.exact(core.tag(&key()), 0, 2, |item| item).unwrap().place.offset;
    let disk = || {
        let act: Action = Box::new(|| ());
        let unwritten = Some(second);
        Arc::new(MeddlingDisk { disk: sim.clone(), before_open: Mutex::new(act), unwritten })
    };
    assert_eq!(newest(&open_read_only(disk(), config()).unwrap()), Some(3));
    assert_eq!(verify(&*disk(), Path::new("/store")).unwrap().problems, []);
    // What stays that way is damage: there are frames after it that show that it was durable.
    let file = sim.open(Path::new("/store/00000001.seg"), true).unwrap();
    file.write(second, &[IoSlice::new(&[0; 16])]).unwrap();
    let error = open_read_only(disk(), config()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CorruptStore, "{error}");
    assert_eq!(verify(&*disk(), Path::new("/store")).unwrap().problems.len(), 1);
}
