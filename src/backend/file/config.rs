//! [`FileStoreConfig`], [`Durability`] and [`ZeroAhead`].

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Error, ErrorKind};

/// When a write counts as done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Durability {
    /// When the device has it: it survives a crash of the machine. The default.
    #[default]
    Sync,
    /// When the operating system has it: it survives a crash of the process, and not one of the
    /// machine. What a machine crash loses is lost from the end of the log backwards, never from
    /// its middle. Segments are synced when they are full, and all at close.
    Os,
}

/// Whether zeros are written where the log will go on.
///
/// A sync of blocks that were written before is cheaper than one of blocks that are new to the file,
/// as the file system then has no entry to make in its journal. On ext4 a sync of 4 KiB takes about
/// 0.6 of the time, and, since the journal's own blocks are saved, hardly more is written; from some
/// 16 KiB on the zeros cost more bytes than they save. File systems that never write in place (btrfs,
/// ZFS) gain nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ZeroAhead {
    /// Nothing is written ahead.
    Never,
    /// 1 MiB is written ahead when a write of up to 64 KiB (inclusive; all that is synced together)
    /// needs it. Larger writes gain little by it. The default.
    #[default]
    SmallWrites,
    /// Whole files are filled before they are used, by the thread in the background if there is one:
    /// every sync is faster, by up to half, for twice the bytes written. A file for which the disk has
    /// no space is used as it is, and so is one that was begun before the store was opened.
    WholeFiles,
}

/// The application's function for errors of the background.
#[derive(Clone)]
pub(super) struct Listener(pub(super) Arc<dyn Fn(&Error) + Send + Sync>);

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
}

/// How a [`FileStore`](super::FileStore) is opened. Each setting has a default that suits most.
///
/// ```no_run
/// use snapfold::file::{FileStore, ZeroAhead};
///
/// let store = FileStore::builder("snapshots").zero_ahead(ZeroAhead::WholeFiles).open()?;
/// # Ok::<(), snapfold::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a configuration does nothing before `open`"]
pub struct FileStoreConfig {
    pub(super) dir: PathBuf,
    pub(super) segment_bytes: u64,
    pub(super) durability: Durability,
    pub(super) zero_ahead: ZeroAhead,
    pub(super) compact_at: f64,
    pub(super) compact_bytes_per_second: u64,
    pub(super) reserve_bytes: u64,
    pub(super) background: bool,
    pub(super) listener: Option<Listener>,
}

impl FileStoreConfig {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self {
            dir,
            segment_bytes: 64 << 20,
            durability: Durability::Sync,
            zero_ahead: ZeroAhead::SmallWrites,
            compact_at: 0.3,
            compact_bytes_per_second: 64 << 20,
            reserve_bytes: 4 << 20,
            background: true,
            listener: None,
        }
    }

    /// How large a file of the log grows before the next is begun: 4 KiB to 1 GiB (inclusive),
    /// 64 MiB by default. A batch that is larger gets a file of its own. Every file is held open:
    /// a store of a terabyte wants the largest.
    pub const fn segment_bytes(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes;
        self
    }

    /// When a write counts as done; [`Durability::Sync`] by default.
    pub const fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Whether zeros are written where the log will go on, which makes syncs faster;
    /// [`ZeroAhead::SmallWrites`] by default.
    pub const fn zero_ahead(mut self, zero_ahead: ZeroAhead) -> Self {
        self.zero_ahead = zero_ahead;
        self
    }

    /// The dead part of a file from which on compaction rewrites it: above 0 to 1 (inclusive), 0.3
    /// by default. Less saves space and writes more.
    pub const fn compact_at(mut self, dead_part: f64) -> Self {
        self.compact_at = dead_part;
        self
    }

    /// How many bytes compaction in the background copies per second; 64 MiB by default, 0 for no
    /// limit. Does not bound [`FileStore::compact`](super::FileStore::compact).
    pub const fn compact_bytes_per_second(mut self, bytes: u64) -> Self {
        self.compact_bytes_per_second = bytes;
        self
    }

    /// The size of a file that is given up when the disk is full, so that deletes and compaction
    /// still work and make room: 4 MiB by default, 0 for none, at most 1 GiB.
    pub const fn reserve_bytes(mut self, bytes: u64) -> Self {
        self.reserve_bytes = bytes;
        self
    }

    /// Whether a thread of the store prepares files ahead and compacts on its own; true by
    /// default. Without it, [`FileStore::compact`](super::FileStore::compact) has to be called after deletes.
    pub const fn background(mut self, background: bool) -> Self {
        self.background = background;
        self
    }

    /// Who is told what fails out of the callers' sight: compaction in the background, a file that
    /// cannot be prepared ahead, a file that is found damaged, a thread that ends early. A record that
    /// does not verify is not among them: the load that finds it says so. The same
    /// error is told once, however often it comes again; [`FileStore::stats`](super::FileStore::stats) counts them all.
    ///
    /// Called on the threads of the store, and on those of callers that meet damage, so it must be
    /// quick and must not block. A panic in it is caught and has no effect.
    pub fn on_background_error(mut self, tell: impl Fn(&Error) + Send + Sync + 'static) -> Self {
        self.listener = Some(Listener(Arc::new(tell)));
        self
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        let invalid = |why: &str| Err(Error::new(ErrorKind::InvalidInput, "open a store", why));
        if !(4 << 10..=1 << 30).contains(&self.segment_bytes) {
            return invalid("segment_bytes must lie between 4 KiB and 1 GiB");
        }
        // Also refuses what is not a number.
        if !(self.compact_at > 0.0 && self.compact_at <= 1.0) {
            return invalid("compact_at must lie above 0 and not above 1");
        }
        if self.reserve_bytes > 1 << 30 {
            return invalid("reserve_bytes must not exceed 1 GiB");
        }
        Ok(())
    }
}
