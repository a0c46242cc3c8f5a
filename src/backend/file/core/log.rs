//! [`Log`]: the end of the log, where frames are appended.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::segment::Segment;
use crate::backend::file::disk::DiskFile;
use crate::backend::file::format::hints::Hints;
use crate::backend::file::format::{Head, SegmentSeal};

/// The end of the log. Writing requires its lock.
pub(crate) struct Log {
    pub(crate) active: Option<Active>,
    /// A segment that was prepared in advance.
    pub(crate) next: Option<Prepared>,
    pub(crate) next_seq: u64,
    /// Segments that are no longer listed but whose files may still exist.
    pub(crate) retired: Vec<u32>,
    pub(crate) scratch: Vec<u8>,
}

/// The segment that is being written.
pub(crate) struct Active {
    pub(crate) segment: Arc<Segment>,
    /// The offset of the next frame.
    pub(crate) end: u64,
    /// The last known length of the file, at least `end`.
    pub(crate) file_bytes: u64,
    /// The end of the zeros that were written ahead, if it is beyond `end`.
    pub(crate) zeroed: u64,
    pub(crate) hints: Hints,
    pub(crate) seal: SegmentSeal,
}

/// A segment that is complete except for its name and contains no frames.
pub(crate) struct Prepared {
    pub(crate) head: Head,
    pub(crate) file: Arc<dyn DiskFile>,
    /// The length of the file, all of which has been written.
    pub(crate) file_bytes: u64,
    pub(crate) temporary: PathBuf,
}

impl Log {
    pub(crate) fn wants_segment(&self, segment_bytes: u64) -> bool {
        let half_full = |active: &Active| active.end > segment_bytes / 2;
        self.next.is_none() && self.active.as_ref().is_some_and(half_full)
    }

    /// Returns how many bytes of a segment are known to be durable.
    pub(super) fn durable_bytes(&self, segment: &Segment) -> u64 {
        match &self.active {
            Some(active) if active.segment.id == segment.id => {
                segment.synced.load(Ordering::Relaxed)
            }
            _ => segment.bytes.load(Ordering::Relaxed),
        }
    }
}
