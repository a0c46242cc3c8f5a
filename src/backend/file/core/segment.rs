//! [`Segment`]: one open file of the log. [`Segments`]: all of them.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::backend::file::disk::DiskFile;
use crate::backend::file::format::names;
use crate::backend::file::index::Place;

/// One open file of the log.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) id: u32,
    /// The slot of the segment in [`Segments`].
    pub(crate) slot: u32,
    pub(crate) salt: u64,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) sealed: AtomicBool,
    /// Whether damage was found. Compaction does not touch the segment then; a repair does.
    pub(crate) damaged: AtomicBool,
    /// The end of the frames. All of them are as durable as the store promises.
    pub(crate) bytes: AtomicU64,
    /// Everything before this offset has been synced.
    pub(crate) synced: AtomicU64,
    /// The number of bytes in frames that the index refers to.
    pub(crate) live_bytes: AtomicU64,
    /// The number of frames that the index refers to.
    pub(crate) live_puts: AtomicU64,
    /// The number of frames that can be live: puts, and marks, which count as puts in all these
    /// counters.
    pub(crate) puts: AtomicU64,
    pub(crate) delete_bytes: AtomicU64,
    pub(crate) deletes: AtomicU64,
    /// The lowest sequence number of a put, or `u64::MAX` if there is none.
    pub(crate) min_put_seq: AtomicU64,
    /// The highest sequence number of a delete, or 0 if there is none.
    pub(crate) max_delete_seq: AtomicU64,
}

impl Segment {
    pub(crate) fn new(id: u32, slot: u32, salt: u64, file: Arc<dyn DiskFile>) -> Self {
        Self {
            id,
            slot,
            salt,
            file,
            sealed: AtomicBool::new(false),
            damaged: AtomicBool::new(false),
            bytes: AtomicU64::new(0),
            synced: AtomicU64::new(0),
            live_bytes: AtomicU64::new(0),
            live_puts: AtomicU64::new(0),
            puts: AtomicU64::new(0),
            delete_bytes: AtomicU64::new(0),
            deletes: AtomicU64::new(0),
            min_put_seq: AtomicU64::new(u64::MAX),
            max_delete_seq: AtomicU64::new(0),
        }
    }

    // The counters feed decisions that are checked again where it matters, so the memory order
    // between them is irrelevant.
    pub(crate) fn count_put(&self, seq: u64) {
        self.puts.fetch_add(1, Ordering::Relaxed);
        self.min_put_seq.fetch_min(seq, Ordering::Relaxed);
    }

    pub(crate) fn count_delete(&self, seq: u64, bytes: u64) {
        self.deletes.fetch_add(1, Ordering::Relaxed);
        self.delete_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.max_delete_seq.fetch_max(seq, Ordering::Relaxed);
    }

    pub(crate) fn add_live(&self, bytes: u64) {
        self.live_puts.fetch_add(1, Ordering::Relaxed);
        self.live_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn drop_live(&self, bytes: u64) {
        self.live_puts.fetch_sub(1, Ordering::Relaxed);
        self.live_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// All open segments, each in a slot that the index refers to.
pub(crate) struct Segments {
    slots: RwLock<Vec<Option<Arc<Segment>>>>,
    next_id: AtomicU32,
}

impl Segments {
    pub(crate) const fn new(next_id: u32) -> Self {
        Self { slots: RwLock::new(Vec::new()), next_id: AtomicU32::new(next_id) }
    }

    pub(crate) fn get(&self, slot: u32) -> Option<Arc<Segment>> {
        self.read().get(slot as usize).cloned().flatten()
    }

    /// Adds the segment that `make` creates from its slot number. Returns `None` if all slots are
    /// taken.
    pub(crate) fn add(&self, make: impl FnOnce(u32) -> Segment) -> Option<Arc<Segment>> {
        let mut slots = self.write();
        let free = slots.iter().position(Option::is_none).unwrap_or(slots.len());
        let slot = u32::try_from(free).ok().filter(|slot| *slot < Place::MAX_SLOTS)?;
        let segment = Arc::new(make(slot));
        match slots.get_mut(free) {
            Some(place) => *place = Some(Arc::clone(&segment)),
            None => slots.push(Some(Arc::clone(&segment))),
        }
        Some(segment)
    }

    /// Frees the slot. The index must no longer refer to it.
    pub(crate) fn remove(&self, slot: u32) {
        if let Some(place) = self.write().get_mut(slot as usize) {
            *place = None;
        }
    }

    /// Returns all segments, ordered by id.
    pub(crate) fn all(&self) -> Vec<Arc<Segment>> {
        let mut all: Vec<_> = self.read().iter().flatten().cloned().collect();
        all.sort_unstable_by_key(|segment| segment.id);
        all
    }

    /// Returns the names of the files that were found damaged or could not be read.
    pub(crate) fn damaged_files(&self) -> Vec<String> {
        let segments = self.all();
        let damaged = segments.iter().filter(|segment| segment.damaged.load(Ordering::Relaxed));
        damaged.map(|segment| names::segment(segment.id)).collect()
    }

    /// Returns the number of the next segment.
    pub(crate) fn next_id(&self) -> u32 {
        self.next_id.load(Ordering::Relaxed)
    }

    /// Takes a number for a new segment, or returns `None` if all numbers are used up. Numbers, and
    /// so file names, are never reused.
    pub(crate) fn take_id(&self) -> Option<u32> {
        let next = |id: u32| (id < u32::MAX - 1).then_some(id + 1);
        self.next_id.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).ok()
    }

    #[cfg(test)]
    pub(crate) fn set_next_id(&self, id: u32) {
        self.next_id.store(id, Ordering::Relaxed);
    }

    fn read(&self) -> RwLockReadGuard<'_, Vec<Option<Arc<Segment>>>> {
        self.slots.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Vec<Option<Arc<Segment>>>> {
        self.slots.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Segments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} segments", self.read().iter().flatten().count())
    }
}
