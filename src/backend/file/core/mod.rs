//! [`Core`]: an open store without threads or a runtime. All of its methods block.

pub(super) mod access;
pub(super) mod flights;
mod health;
mod index_file;
pub(super) mod log;
mod maintenance;
mod manifest;
mod reserve;
pub(super) mod segment;
pub(super) mod tail;
mod troubles;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::config::FileStoreConfig;
use super::disk::Disk;
use super::format::tag::Tag;
use super::format::{Manifest, names};
use super::index::{Generations, Index};
use crate::key::AggregateKey;
use access::Access;
use flights::Flights;
use health::Health;
use log::Log;
use maintenance::Maintenance;
use reserve::Reserve;
use segment::Segments;
use tail::OpenTail;
use troubles::Troubles;

/// An open store.
///
/// Locks are taken in this order: `maintenance`, `log`, the list of `flights`, a shard of the
/// index, the segments. A thread that holds the log or waits for the flights must not hold the
/// right to sync.
pub(crate) struct Core {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) config: FileStoreConfig,
    pub(super) store: [u8; 16],
    pub(super) secret: [u64; 2],
    pub(super) index: Index,
    pub(super) segments: Segments,
    pub(super) generations: Generations,
    /// The end of the log. Writers hold this lock.
    log: Mutex<Log>,
    pub(super) flights: Flights,
    pub(super) maintenance: Maintenance,
    pub(super) snapshots: AtomicU64,
    /// What may still change in a store that is open read-only.
    pub(super) tail: Option<OpenTail>,
    pub(super) health: Health,
    pub(super) troubles: Troubles,
    pub(super) reserve: Reserve,
}

impl Core {
    pub(super) fn new(
        access: Access,
        config: FileStoreConfig,
        manifest: &Manifest,
        index: Index,
        segments: Segments,
        generations: Generations,
        log: Log,
    ) -> Self {
        let disk = access.disk();
        let reserve = config.dir.join(names::RESERVE);
        Self {
            reserve: Reserve::new(Arc::clone(&disk), reserve, config.reserve_bytes),
            troubles: Troubles::new(config.listener.clone()),
            health: Health::new(access),
            maintenance: Maintenance::default(),
            disk,
            config,
            store: manifest.store,
            secret: manifest.secret,
            index,
            segments,
            generations,
            log: Mutex::new(log),
            flights: Flights::default(),
            snapshots: AtomicU64::new(0),
            tail: None,
        }
    }

    /// Returns the tag of an aggregate in this store.
    pub(crate) fn tag(&self, key: &AggregateKey) -> Tag {
        Tag::of(self.secret, key)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.config.dir.join(name)
    }

    pub(super) fn dir(&self) -> &Path {
        &self.config.dir
    }

    /// Locks the end of the log after everything that was written has become visible.
    pub(super) fn log(&self) -> MutexGuard<'_, Log> {
        let log = self.log_with_flights();
        // No new group can be added while the log is locked.
        self.flights.wait();
        log
    }

    /// Locks the end of the log, which may contain groups that are not yet visible.
    // Guarded values are changed only after everything that can fail, so a poisoned lock adds
    // nothing to what `health` records.
    pub(super) fn log_with_flights(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Creates the reserve file if it is missing and one is configured.
    pub(crate) fn fill_reserve(&self) {
        if let Err(error) = self.reserve.fill() {
            self.troubles.report(&error);
        }
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
