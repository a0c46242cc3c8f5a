//! [`Disk`]: what a site keeps, as the operating system shows it and as a crash leaves it.

use std::collections::{BTreeMap, BTreeSet};

use snapfold::record::Record;
use snapfold::store::{Marks, PutOptions, PutOutcome};
use snapfold::{AggregateKey, SnapshotId, Timestamp};

/// Rows by the place where their aggregate is kept; no empty ones.
pub(crate) type Table = BTreeMap<AggregateKey, Rows>;

/// The snapshots that are kept at one place.
#[derive(Clone)]
pub(crate) struct Rows {
    /// The aggregate that was put here first: the only one, if the store is right.
    pub(crate) key: AggregateKey,
    pub(crate) by_id: BTreeMap<SnapshotId, Row>,
}

#[derive(Clone)]
pub(crate) struct Row {
    pub(crate) record: Record,
    pub(crate) as_of: Timestamp,
    pub(crate) marks: Marks,
}

/// One record on its way into the table.
#[derive(Clone)]
pub(crate) struct Incoming {
    pub(crate) place: AggregateKey,
    pub(crate) key: AggregateKey,
    pub(crate) id: SnapshotId,
    pub(crate) row: Row,
}

/// Closing a store leaves what was written; a crash leaves what was synced.
#[derive(Default)]
pub(crate) struct Disk {
    pub(crate) written: Table,
    pub(crate) synced: Table,
    /// Places where the two differ.
    pub(crate) dirty: BTreeSet<AggregateKey>,
    /// Refuses to take a batch to its end.
    pub(crate) failing: bool,
}

impl Disk {
    pub(crate) fn insert(&mut self, incoming: Incoming, options: &PutOptions) -> PutOutcome {
        let Incoming { place, key, id, mut row } = incoming;
        self.dirty.insert(place.clone());
        let rows = self.written.entry(place);
        let rows = rows.or_insert_with(|| Rows { key, by_id: BTreeMap::new() });
        match rows.by_id.get_mut(&id) {
            None => {
                row.marks = row.marks.merged(&options.marks).unwrap();
                rows.by_id.insert(id, row);
                PutOutcome::Stored
            }
            Some(stored) if options.replaces(&stored.marks) => {
                row.marks = stored.marks.merged(&options.marks).unwrap();
                *stored = row;
                PutOutcome::Replaced
            }
            Some(stored) => {
                PutOutcome::Existing { identical: stored.record.has_state_of(&row.record) }
            }
        }
    }

    pub(crate) fn remove(&mut self, place: &AggregateKey, id: SnapshotId) -> Option<Row> {
        let rows = self.written.get_mut(place)?;
        let row = rows.by_id.remove(&id)?;
        if rows.by_id.is_empty() {
            self.written.remove(place);
        }
        self.dirty.insert(place.clone());
        Some(row)
    }

    pub(crate) fn sync(&mut self) {
        for place in std::mem::take(&mut self.dirty) {
            match self.written.get(&place) {
                Some(rows) => self.synced.insert(place, rows.clone()),
                None => self.synced.remove(&place),
            };
        }
    }

    pub(crate) fn crash(&mut self) {
        self.written = self.synced.clone();
        self.dirty.clear();
    }

    /// Flips a bit of the byte that `at` finds in the record.
    pub(crate) fn damage(
        &mut self,
        place: &AggregateKey,
        id: SnapshotId,
        at: impl Fn(&mut [u8]) -> Option<&mut u8>,
    ) -> bool {
        let mut damaged = false;
        for table in [&mut self.written, &mut self.synced] {
            let row = table.get_mut(place).and_then(|rows| rows.by_id.get_mut(&id));
            let Some(row) = row else { continue };
            let mut bytes = row.record.as_bytes().to_vec();
            let Some(byte) = at(&mut bytes) else { continue };
            *byte ^= 1;
            row.record = Record::from_bytes(bytes);
            damaged = true;
        }
        damaged
    }
}
