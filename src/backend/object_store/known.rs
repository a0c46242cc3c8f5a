//! [`KnownIndex`] and [`Memory`]: what was read or written before.

use std::sync::Arc;

use bytes::Bytes;
use object_store::UpdateVersion;
use object_store::path::Path;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::index::AggregateIndex;

/// An index, and the version of its object.
#[derive(Debug)]
pub(super) struct KnownIndex {
    pub(super) index: AggregateIndex,
    /// `None` if there is no object yet.
    pub(super) version: Option<UpdateVersion>,
    bytes: u64,
}

impl KnownIndex {
    pub(super) const ABSENT: Self = Self { index: AggregateIndex::EMPTY, version: None, bytes: 0 };

    pub(super) const fn new(index: AggregateIndex, version: UpdateVersion, bytes: u64) -> Self {
        Self { index, version: Some(version), bytes }
    }
}

/// Indexes and records in memory, up to a number of bytes. An index is only used together with the
/// version that the server still has; a record never changes under its name.
#[derive(Debug)]
pub(super) struct Memory(Cache<Path, MemoryEntry, ByBytes>);

#[derive(Clone, Debug)]
enum MemoryEntry {
    Index(Arc<KnownIndex>),
    Record(Bytes),
}

#[derive(Clone, Debug)]
struct ByBytes;

impl Weighter<Path, MemoryEntry> for ByBytes {
    fn weight(&self, path: &Path, remembered: &MemoryEntry) -> u64 {
        let bytes = match remembered {
            // The parsed form takes about as much again.
            MemoryEntry::Index(known) => 2 * known.bytes,
            MemoryEntry::Record(bytes) => bytes.len() as u64,
        };
        bytes + path.as_ref().len() as u64 + 100
    }
}

impl Memory {
    pub(super) fn new(bytes: u64) -> Self {
        let entries = usize::try_from(bytes / 1_024).unwrap_or(usize::MAX).clamp(16, 1 << 20);
        Self(Cache::with_weighter(entries, bytes, ByBytes))
    }

    pub(super) fn index(&self, path: &Path) -> Option<Arc<KnownIndex>> {
        match self.0.get(path)? {
            MemoryEntry::Index(known) => Some(known),
            MemoryEntry::Record(_) => None,
        }
    }

    pub(super) fn set_index(&self, path: &Path, known: &Arc<KnownIndex>) {
        self.0.insert(path.clone(), MemoryEntry::Index(Arc::clone(known)));
    }

    pub(super) fn record(&self, path: &Path) -> Option<Bytes> {
        match self.0.get(path)? {
            MemoryEntry::Record(bytes) => Some(bytes),
            MemoryEntry::Index(_) => None,
        }
    }

    pub(super) fn set_record(&self, path: &Path, bytes: &Bytes) {
        self.0.insert(path.clone(), MemoryEntry::Record(bytes.clone()));
    }

    pub(super) fn forget(&self, path: &Path) {
        self.0.remove(path);
    }
}
