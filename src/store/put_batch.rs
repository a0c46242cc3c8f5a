//! [`PutBatch`]: records on their way to another store.

use std::mem;

use crate::mark::Marks;
use crate::record::Record;

/// The maximum number of records that are put together.
const RECORDS: usize = 256;
/// Records are put when they reach this many bytes.
const BYTES: usize = 8 << 20;

/// Records that are put together. All have the same marks, because the marks of a put apply to all
/// of its records. `T` is what the caller remembers about each.
#[derive(Debug)]
pub(crate) struct PutBatch<T> {
    records: Vec<(T, Record)>,
    marks: Marks,
    bytes: usize,
}

impl<T> PutBatch<T> {
    pub(crate) const fn new() -> Self {
        Self { records: Vec::new(), marks: Marks::NONE, bytes: 0 }
    }

    /// Returns whether a record with these marks can be added. If not, the batch is due.
    pub(crate) fn takes(&self, marks: &Marks) -> bool {
        self.records.is_empty()
            || (self.marks == *marks && self.records.len() < RECORDS && self.bytes < BYTES)
    }

    /// Adds a record that the batch [takes](Self::takes).
    pub(crate) fn add(&mut self, of: T, record: Record, marks: Marks) {
        self.bytes = self.bytes.saturating_add(record.as_bytes().len());
        self.marks = marks;
        self.records.push((of, record));
    }

    /// Returns the records and their marks, and begins the next batch. `None` if there are none.
    pub(crate) fn take(&mut self) -> Option<(Vec<(T, Record)>, Marks)> {
        let Self { records, marks, .. } = mem::replace(self, Self::new());
        (!records.is_empty()).then_some((records, marks))
    }
}
