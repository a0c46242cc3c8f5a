//! [`Log`]: the end of the log, where frames are appended.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::segment::Segment;
use crate::backend::file::disk::DiskFile;
use crate::backend::file::format::hints::Hints;
use crate::backend::file::format::{Head, Seal};

/// The end of the log. Whoever holds its lock writes.
pub(crate) struct Log {
    pub(crate) active: Option<Active>,
    /// A segment made ahead of need.
    pub(crate) next: Option<Prepared>,
    pub(crate) next_seq: u64,
    /// Segments not listed any more whose files may still be there.
    pub(crate) retired: Vec<u32>,
    pub(crate) scratch: Vec<u8>,
}

/// The segment that is written.
pub(crate) struct Active {
    pub(crate) segment: Arc<Segment>,
    /// Where the next frame goes.
    pub(crate) end: u64,
    /// The length of the file, when last heard of: never less than `end`.
    pub(crate) file_bytes: u64,
    /// Up to where zeros were written, if that is beyond `end`.
    pub(crate) zeroed: u64,
    pub(crate) hints: Hints,
    pub(crate) seal: Seal,
}

/// A segment that is complete but for its name, and holds no frames.
pub(crate) struct Prepared {
    pub(crate) head: Head,
    pub(crate) file: Arc<dyn DiskFile>,
    /// Its length, all of which was written.
    pub(crate) file_bytes: u64,
    pub(crate) temporary: PathBuf,
}

impl Log {
    pub(crate) fn wants_segment(&self, segment_bytes: u64) -> bool {
        let half_full = |active: &Active| active.end > segment_bytes / 2;
        self.next.is_none() && self.active.as_ref().is_some_and(half_full)
    }

    /// How much of a segment is known to be durable.
    pub(super) fn durable_bytes(&self, segment: &Segment) -> u64 {
        match &self.active {
            Some(active) if active.segment.id == segment.id => {
                segment.synced.load(Ordering::Relaxed)
            }
            _ => segment.bytes.load(Ordering::Relaxed),
        }
    }
}
