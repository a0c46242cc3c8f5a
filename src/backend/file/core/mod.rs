//! [`Core`]: an open store, without threads and without a runtime. Everything here blocks.

mod chores;
pub(super) mod flights;
pub(super) mod log;
pub(super) mod segment;
mod trouble;
pub(super) mod troubles;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::config::FileStoreConfig;
use super::disk::{Disk, LockedDir, write_file};
use super::errors::io_error;
use super::format::names;
use super::format::tag::Tag;
use super::format::{Entry, Manifest};
use super::index::Generations;
use super::index::Index;
use crate::error::{Error, ErrorKind, Retry};
use crate::key::AggregateKey;
use chores::Chores;
use flights::Flights;
use log::Log;
use segment::{Segment, Segments};
use troubles::Troubles;

/// An open store.
///
/// Locks are taken in this order: `maintenance`, `log`, the list of `flights`, a shard of the index,
/// the segments. Nobody who holds the log or waits for the flights has the turn to sync.
pub(crate) struct Core {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) config: FileStoreConfig,
    pub(super) store: [u8; 16],
    pub(super) secret: [u64; 2],
    pub(super) index: Index,
    pub(super) segments: Segments,
    pub(super) generations: Generations,
    /// The end of the log; held by whoever writes.
    log: Mutex<Log>,
    pub(super) flights: Flights,
    /// Held by whoever moves or removes segments, or needs them to stay.
    maintenance: Mutex<()>,
    /// How many wait for `maintenance`.
    waiting: AtomicUsize,
    pub(super) next_id: AtomicU32,
    pub(super) snapshots: AtomicU64,
    /// Set once, by a failure after which nobody knows what the disk holds.
    poison: OnceLock<String>,
    closed: AtomicBool,
    pub(super) chores: Chores,
    pub(super) troubles: Troubles,
    /// Whether the reserve is on the disk.
    pub(super) reserved: AtomicBool,
    /// The same as `disk`: the directory, and its lock.
    pub(super) locked_dir: Arc<LockedDir>,
}

impl Core {
    pub(super) fn new(
        locked_dir: Arc<LockedDir>,
        config: FileStoreConfig,
        manifest: &Manifest,
        index: Index,
        segments: Segments,
        generations: Generations,
        log: Log,
    ) -> Self {
        Self {
            disk: Arc::clone(&locked_dir) as Arc<dyn Disk>,
            config,
            store: manifest.store,
            secret: manifest.secret,
            index,
            segments,
            generations,
            log: Mutex::new(log),
            flights: Flights::default(),
            maintenance: Mutex::new(()),
            waiting: AtomicUsize::new(0),
            next_id: AtomicU32::new(manifest.next_id),
            snapshots: AtomicU64::new(0),
            poison: OnceLock::new(),
            closed: AtomicBool::new(false),
            chores: Chores::default(),
            troubles: Troubles::default(),
            reserved: AtomicBool::new(false),
            locked_dir,
        }
    }

    /// What stands for an aggregate in this store.
    pub(crate) fn tag(&self, key: &AggregateKey) -> Tag {
        Tag::of(self.secret, key)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.config.dir.join(name)
    }

    pub(super) fn dir(&self) -> &Path {
        &self.config.dir
    }

    /// The end of the log, with everything that is written visible.
    pub(super) fn log(&self) -> MutexGuard<'_, Log> {
        let log = self.log_with_flights();
        // None takes off while the log is held.
        self.flights.wait();
        log
    }

    /// The end of the log, where groups may be that are not yet visible.
    // What a lock guards is changed only after everything that can fail; a poisoned lock says no
    // more than `poison` does.
    pub(super) fn log_with_flights(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for its turn, which the keeper gives up for anybody else: it may be at rest.
    pub(super) fn maintenance(&self) -> MutexGuard<'_, ()> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        self.chores.wake();
        let guard = self.maintenance.lock().unwrap_or_else(PoisonError::into_inner);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        guard
    }

    /// Whether somebody waits for [`maintenance`](Self::maintenance).
    pub(super) fn is_waited_for(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    /// Nothing is written any more: what the disk holds is not known.
    pub(super) fn poison(&self, why: String) {
        let _ = self.poison.set(why);
    }

    pub(super) fn close(&self) -> bool {
        !self.closed.swap(true, Ordering::SeqCst)
    }

    /// Fails if the store does not write any more.
    pub(super) fn check_writable(&self, operation: &'static str) -> Result<(), Error> {
        if self.locked_dir.is_lost() {
            self.poison("its directory or lock file was removed or replaced".into());
        }
        if let Some(why) = self.poison.get() {
            let message = format!("the store stopped writing: {why}; reopen it");
            return Err(Error::new(ErrorKind::Poisoned, operation, message));
        }
        self.check_open(operation)
    }

    /// Fails if the store was closed.
    pub(super) fn check_open(&self, operation: &'static str) -> Result<(), Error> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Store, operation, "the store was closed"));
        }
        Ok(())
    }

    pub(super) fn is_poisoned(&self) -> bool {
        self.poison.get().is_some()
    }

    /// A failure after which it is not known what the disk holds: poisons, and says so.
    pub(super) fn unknown(
        &self,
        operation: &'static str,
        what: &Path,
        error: std::io::Error,
    ) -> Error {
        self.poison(format!("{}: {}", what.display(), error.kind()));
        io_error(operation, what, error).with_retry(Retry::Unknown)
    }

    /// Writes a whole small file, durable but for its name.
    pub(super) fn write_file(&self, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
        write_file(&*self.disk, path, bytes)
    }

    /// The manifest for these segments, without those that are retired: their files may go at any
    /// moment, though the segments are open until then.
    pub(super) fn manifest(&self, log: &Log, segments: &[Arc<Segment>]) -> Manifest {
        let segments = segments.iter().filter(|segment| !log.retired.contains(&segment.id));
        let entries = segments.map(|segment| Entry {
            id: segment.id,
            sealed: segment.sealed.load(Ordering::Relaxed),
            salt: segment.salt,
            bytes: log.durable_bytes(segment),
        });
        Manifest {
            store: self.store,
            secret: self.secret,
            next_seq: log.next_seq,
            next_id: self.next_id.load(Ordering::Relaxed),
            segments: entries.collect(),
            retired: log.retired.clone(),
        }
    }

    /// Makes `manifest` the one that counts. An error that is not [`Retry::Unknown`] leaves the
    /// old one in force.
    pub(super) fn commit_manifest(
        &self,
        operation: &'static str,
        manifest: &Manifest,
    ) -> Result<(), Error> {
        let path = self.path(names::MANIFEST);
        let temporary = self.path(&names::temporary(names::MANIFEST));
        self.write_file(&temporary, &manifest.to_bytes())
            .map_err(|error| io_error(operation, &temporary, error))?;
        self.disk
            .rename(&temporary, &path)
            .and_then(|()| self.disk.sync_dir(self.dir()))
            .map_err(|error| self.unknown(operation, &path, error))
    }

    /// Writes the reserve, if there is none and there should be one. Without it the store works, until
    /// the disk is full.
    pub(super) fn fill_reserve(&self) {
        let bytes = self.config.reserve_bytes;
        if bytes == 0 || self.reserved.load(Ordering::Relaxed) {
            return;
        }
        let path = self.path(names::RESERVE);
        let whole = || self.disk.open(&path, false).and_then(|file| file.len());
        if !whole().is_ok_and(|len| len >= bytes)
            && let Err(error) = self.write_zeros(&path, bytes)
        {
            let _ = self.disk.remove(&path);
            self.trouble(&io_error("write the reserve", &path, error));
            return;
        }
        self.reserved.store(true, Ordering::Relaxed);
    }

    fn write_zeros(&self, path: &Path, bytes: u64) -> std::io::Result<()> {
        let file = self.disk.create(path)?;
        super::disk::write_zeros(&*file, 0, bytes)?;
        file.sync()
    }

    /// Gives the reserve up; false if there was none.
    pub(super) fn release_reserve(&self) -> bool {
        self.reserved.swap(false, Ordering::Relaxed)
            && self.disk.remove(&self.path(names::RESERVE)).is_ok()
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStore")
            .field("dir", &self.config.dir)
            .field("aggregates", &self.index.len())
            .field("snapshots", &self.snapshots.load(Ordering::Relaxed))
            .field("segments", &self.segments)
            .finish_non_exhaustive()
    }
}
