//! [`AggregateIndex`]: which snapshots an aggregate has, and the newest of them.

use bytes::Bytes;

use crate::mark::Marks;
use crate::record::{Header, Record};
use crate::snapshot_id::SnapshotId;
use crate::store::{Deletable, Query};
use crate::timestamp::Timestamp;

/// The first bytes of an index. The last one is the format.
pub(super) const MAGIC: [u8; 4] = *b"SNX1";
/// How many of the last changes an index names.
pub(super) const REMEMBERED: usize = 256;
/// The length of an index without snapshots. Every other index is longer, so that a list shows which
/// aggregates have none.
pub(crate) const EMPTY_BYTES: u64 = 4 + 4 + 8 + 8 * REMEMBERED as u64 + 4;
/// The largest index that is read or written, in bytes (inclusive).
pub(crate) const MAX_INDEX_BYTES: u64 = 16 << 20;
/// The number of snapshots that an index can have (inclusive).
pub(crate) const MAX_SNAPSHOTS: usize = 4_096;
/// The newest snapshots of this many generations are copied into the index.
pub(super) const MAX_COPIES: usize = 4;

/// The index of one aggregate. Each change is one conditional write of the whole index, which makes
/// it the only place that decides which snapshots exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AggregateIndex {
    /// The number of changes so far.
    pub(super) sequence: u64,
    /// The random numbers of the last changes. That of change `n` is at `n % REMEMBERED`.
    pub(super) changes: [u64; REMEMBERED],
    /// The highest id comes first.
    pub(super) snapshots: Vec<Indexed>,
}

/// One snapshot in an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Indexed {
    pub(crate) id: SnapshotId,
    pub(crate) as_of: Timestamp,
    /// The version of the base if the record is a delta.
    pub(crate) base: Option<u64>,
    /// The unique part of the record's name.
    pub(crate) object: u64,
    /// The length of the record.
    pub(crate) record_bytes: u64,
    pub(crate) marks: Marks,
    /// The header of the record, or all of it.
    pub(super) start: Bytes,
    pub(super) header_bytes: usize,
}

/// What became of a change, as far as a later index shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChangeFate {
    Made,
    NotMade,
    /// Too many changes followed.
    Forgotten,
}

impl Indexed {
    /// Describes a record whose header is `header`.
    pub(crate) fn new(record: &Record, header: &Header<'_>, object: u64, marks: Marks) -> Self {
        Self {
            id: SnapshotId { generation: header.generation, version: header.version },
            as_of: header.as_of,
            base: header.base.map(|base| base.version),
            object,
            record_bytes: header.record_bytes(),
            marks,
            start: record.clone().into_bytes(),
            header_bytes: header.header_bytes(),
        }
    }

    /// The bytes of the record's header.
    pub(crate) fn header(&self) -> &[u8] {
        self.start.get(..self.header_bytes).unwrap_or_default()
    }

    /// The record, if the index has a copy of it.
    pub(crate) fn copy(&self) -> Option<Record> {
        (self.start.len() as u64 == self.record_bytes)
            .then(|| Record::from_bytes(self.start.clone()))
    }

    /// What a reader gets if the record is missing or was exchanged: its header, which no load
    /// accepts as a record.
    pub(crate) fn remnant(&self) -> Record {
        Record::from_bytes(self.start.slice(..self.header_bytes.min(self.start.len())))
    }

    pub(crate) fn deletable(&self) -> Deletable {
        Deletable::new(self.id, self.record_bytes).pinned(self.marks.is_pinned()).base(self.base)
    }
}

impl AggregateIndex {
    pub(crate) const EMPTY: Self =
        Self { sequence: 0, changes: [0; REMEMBERED], snapshots: Vec::new() };

    pub(crate) fn snapshots(&self) -> &[Indexed] {
        &self.snapshots
    }

    pub(crate) const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Returns the index after the change `nonce`, which keeps all snapshots.
    pub(crate) fn changed(&self, nonce: u64) -> Self {
        let mut index = self.clone();
        index.sequence = index.sequence.saturating_add(1);
        if let Some(slot) = index.changes.get_mut(slot(index.sequence)) {
            *slot = nonce;
        }
        index
    }

    /// Returns whether the change `nonce` to this sequence was made.
    pub(crate) fn fate(&self, sequence: u64, nonce: u64) -> ChangeFate {
        if self.sequence < sequence {
            ChangeFate::NotMade
        } else if self.sequence - sequence >= REMEMBERED as u64 {
            ChangeFate::Forgotten
        } else if self.changes.get(slot(sequence)) == Some(&nonce) {
            ChangeFate::Made
        } else {
            ChangeFate::NotMade
        }
    }

    pub(crate) fn find(&self, id: SnapshotId) -> Option<&Indexed> {
        self.snapshots.get(self.place(id).ok()?)
    }

    pub(crate) fn find_mut(&mut self, id: SnapshotId) -> Option<&mut Indexed> {
        let place = self.place(id).ok()?;
        self.snapshots.get_mut(place)
    }

    /// Adds a snapshot, and returns the one that it replaces.
    pub(crate) fn insert(&mut self, snapshot: Indexed) -> Option<Indexed> {
        match self.place(snapshot.id) {
            Ok(place) => {
                self.snapshots.get_mut(place).map(|there| std::mem::replace(there, snapshot))
            }
            Err(place) => {
                self.snapshots.insert(place, snapshot);
                None
            }
        }
    }

    /// Removes the snapshots that `is_removed` selects, and returns them.
    pub(crate) fn remove(&mut self, is_removed: impl Fn(&Indexed) -> bool) -> Vec<Indexed> {
        self.snapshots.extract_if(.., |snapshot| is_removed(snapshot)).collect()
    }

    /// Returns the snapshot with the highest version that a query admits.
    pub(crate) fn newest(&self, query: &Query<'_>) -> Option<&Indexed> {
        self.admitted(query).find(|snapshot| snapshot.id.generation == query.generation)
    }

    /// Returns whether a query admits snapshots of any generation.
    pub(crate) fn admits_any(&self, query: &Query<'_>) -> bool {
        self.admitted(query).next().is_some()
    }

    fn admitted<'s>(&'s self, query: &Query<'_>) -> impl Iterator<Item = &'s Indexed> {
        self.snapshots.iter().filter(move |snapshot| {
            query.admits(snapshot.id.version, snapshot.as_of)
                && (query.include_retired || !snapshot.marks.is_retired())
        })
    }

    fn place(&self, id: SnapshotId) -> Result<usize, usize> {
        self.snapshots.binary_search_by(|snapshot| id.cmp(&snapshot.id))
    }
}

/// Where the number of a change is.
fn slot(sequence: u64) -> usize {
    // The remainder is below `REMEMBERED`.
    usize::try_from(sequence % REMEMBERED as u64).unwrap_or(0)
}
