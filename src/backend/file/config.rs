//! [`FileStoreConfig`], [`Durability`] and [`ZeroAhead`].

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Error, ErrorKind};

/// When a write is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Durability {
    /// When the write is synced to the device, so it survives a crash of the machine. The default.
    #[default]
    Sync,
    /// When the write is handed to the operating system, so it survives a crash of the process but
    /// not of the machine. A machine crash loses writes from the end of the log, never from its
    /// middle. Each segment is synced when it is full, and the last one when the store is closed.
    Os,
}

/// Whether the store writes zeros past the end of the log in advance.
///
/// Syncing blocks that have been written before is cheaper than syncing blocks that are new to a
/// file, because the file system does not have to update its journal. On ext4, a 4 KiB sync takes
/// about 40% less time. The total number of bytes written hardly grows, because fewer journal
/// blocks are written. From about 16 KiB per sync, the zeros cost more bytes than they save.
/// Copy-on-write file systems (btrfs, ZFS) gain nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ZeroAhead {
    /// Never writes zeros ahead.
    Never,
    /// Writes 1 MiB of zeros in advance when a sync of up to 64 KiB (inclusive) finds none left.
    /// Larger syncs gain little. The default.
    #[default]
    SmallWrites,
    /// Fills whole files with zeros before they are used, on the background thread if it is
    /// enabled. Every sync takes less time, down to half, but twice as many bytes are written. A
    /// file is not filled if the disk has no space for it, or if it was started before the store
    /// was opened.
    WholeFiles,
}

/// The application's callback for background errors.
#[derive(Clone)]
pub(super) struct Listener(pub(super) Arc<dyn Fn(&Error) + Send + Sync>);

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
}

/// A builder for a [`FileStore`](super::FileStore). The defaults suit most applications.
///
/// ```no_run
/// use snapfold::file::{FileStore, ZeroAhead};
///
/// let store = FileStore::builder("snapshots").zero_ahead(ZeroAhead::WholeFiles).open()?;
/// # Ok::<(), snapfold::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a configuration does nothing until `open` is called"]
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

    /// Sets the size at which a log file is full and the next one is started: 4 KiB to 1 GiB
    /// (inclusive), 64 MiB by default. A batch that is larger gets its own file. The store keeps
    /// every file open, so use the maximum for stores in the terabyte range.
    pub const fn segment_bytes(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes;
        self
    }

    /// Sets when a write is acknowledged. The default is [`Durability::Sync`].
    pub const fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Sets whether zeros are written past the end of the log in advance, which makes syncs faster.
    /// The default is [`ZeroAhead::SmallWrites`].
    pub const fn zero_ahead(mut self, zero_ahead: ZeroAhead) -> Self {
        self.zero_ahead = zero_ahead;
        self
    }

    /// Sets the fraction of dead bytes at which compaction rewrites a file: greater than 0 and at
    /// most 1, 0.3 by default. A lower value saves space but writes more.
    pub const fn compact_at(mut self, dead_part: f64) -> Self {
        self.compact_at = dead_part;
        self
    }

    /// Sets the maximum rate of background compaction in bytes per second: 64 MiB by default, 0 for
    /// no limit. The rate does not apply to [`FileStore::compact`](super::FileStore::compact).
    pub const fn compact_bytes_per_second(mut self, bytes: u64) -> Self {
        self.compact_bytes_per_second = bytes;
        self
    }

    /// Sets the size of the reserve file: 4 MiB by default, at most 1 GiB, 0 for none. The store
    /// removes this file when the disk is full, so that deletes and compaction can still free
    /// space.
    pub const fn reserve_bytes(mut self, bytes: u64) -> Self {
        self.reserve_bytes = bytes;
        self
    }

    /// Sets whether a background thread prepares files and compacts the log. The default is true.
    /// If false, call [`FileStore::compact`](super::FileStore::compact) after deletes.
    pub const fn background(mut self, background: bool) -> Self {
        self.background = background;
        self
    }

    /// Sets a callback for errors that no caller receives: a failed background compaction, a file
    /// that cannot be prepared, a damaged file, or a thread that ends early.
    ///
    /// Records that do not verify are not reported here: the load that reads such a record reports
    /// it. Consecutive repetitions of an error are reported once, but
    /// [`FileStore::stats`](super::FileStore::stats) counts all of them. The callback runs on the
    /// store's threads and on the threads of callers that find damage, so it must be quick and must
    /// not block. If it panics, the panic is caught and ignored.
    pub fn on_background_error(
        mut self,
        callback: impl Fn(&Error) + Send + Sync + 'static,
    ) -> Self {
        self.listener = Some(Listener(Arc::new(callback)));
        self
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        let invalid = |why: &str| Err(Error::new(ErrorKind::InvalidInput, "open a store", why));
        if !(4 << 10..=1 << 30).contains(&self.segment_bytes) {
            return invalid("segment_bytes must be between 4 KiB and 1 GiB");
        }
        // This also rejects NaN.
        if !(self.compact_at > 0.0 && self.compact_at <= 1.0) {
            return invalid("compact_at must be greater than 0 and at most 1");
        }
        if self.reserve_bytes > 1 << 30 {
            return invalid("reserve_bytes must be at most 1 GiB");
        }
        Ok(())
    }
}
