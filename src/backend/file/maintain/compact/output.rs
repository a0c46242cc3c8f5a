//! [`Output`]: the segment that compaction writes.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::backend::file::core::log::Prepared;
use crate::backend::file::core::segment::Segment;
use crate::backend::file::disk::write_all;
use crate::backend::file::errors::io_error;
use crate::backend::file::format::hints::{Hints, What};
use crate::backend::file::format::tag::Tag;
use crate::backend::file::format::{Frame, HEAD_BYTES, SegmentSeal, encode_seal, frame_bytes};
use crate::backend::file::index::{Item, Place};
use crate::error::Error;

pub(crate) const OPERATION: &str = "compact the log";

/// A record, or the marks of a snapshot, that was copied.
pub(super) struct Moved {
    pub(crate) tag: Tag,
    pub(super) is_marks: bool,
    pub(crate) from: Item,
    pub(crate) to: Place,
}

/// The unfinished copy.
pub(crate) struct Output {
    pub(crate) prepared: Prepared,
    pub(crate) hints: Hints,
    pub(crate) seal: SegmentSeal,
    pub(crate) buffer: Vec<u8>,
    /// The offset in the file at which the buffer starts.
    pub(crate) written: u64,
    pub(crate) moved: Vec<Moved>,
}

impl Output {
    pub(crate) fn new(prepared: Prepared) -> Self {
        Self {
            prepared,
            hints: Hints::new(),
            seal: SegmentSeal { min_seq: u64::MAX, ..SegmentSeal::default() },
            buffer: Vec::new(),
            written: HEAD_BYTES,
            moved: Vec::new(),
        }
    }

    pub(crate) fn end(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Adds a frame with its old sequence number, outside of any batch, because its batch is known
    /// to be complete.
    pub(crate) fn push(&mut self, frame: Frame, body: &[u8]) -> u64 {
        let offset = self.end();
        let frame = Frame { more: false, durable_below: offset, ..frame };
        frame.put(body, self.prepared.head.salt, offset, &mut self.buffer);
        self.seal.min_seq = self.seal.min_seq.min(frame.seq);
        self.seal.max_seq = self.seal.max_seq.max(frame.seq);
        offset
    }

    pub(crate) fn error(&self, error: io::Error) -> Error {
        io_error(OPERATION, &self.prepared.temporary, error)
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        write_all(&*self.prepared.file, self.written, &mut [IoSlice::new(&self.buffer)])?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    pub(crate) fn finish(&mut self) -> io::Result<()> {
        let salt = self.prepared.head.salt;
        let seal = encode_seal(self.seal, self.seal.max_seq, salt, self.end(), self.end());
        self.buffer.extend_from_slice(&seal);
        self.flush()?;
        self.prepared.file.sync()
    }

    pub(crate) fn segment(&self, slot: u32) -> Segment {
        let head = self.prepared.head;
        let segment = Segment::new(head.id, slot, head.salt, Arc::clone(&self.prepared.file));
        segment.sealed.store(true, Ordering::Relaxed);
        segment.bytes.store(self.written, Ordering::Relaxed);
        // Counts before other threads can see the segment, so that no needed delete is dropped
        // meanwhile.
        self.hints.read(|hint| match hint.what {
            What::Put { .. } | What::Marks { .. } => segment.count_put(hint.seq),
            What::Delete(_) => {
                segment.count_delete(hint.seq, frame_bytes(hint.body_bytes.into()));
            }
        });
        segment
    }
}
