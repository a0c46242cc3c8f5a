//! [`Log`]: the end of the log, where frames are appended.

mod append;
mod flight;
mod flights;
mod group;
mod plan;
mod plan_marks;
mod plan_work;
mod roll;
#[cfg(test)]
mod tests;
mod touched;
mod work;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::disk::DiskFile;
use super::format::hints::Hints;
use super::format::{Head, Seal};
use super::segment::Segment;

#[cfg(test)]
pub(super) use flight::Flight;
pub(super) use flights::Flights;
#[cfg(test)]
pub(super) use group::Begun;
pub(super) use roll::encode_seal;
pub(super) use work::{Answer, Change, DeleteItem, MarkItem, Pick, PutItem, Work};

/// The end of the log. Whoever holds its lock writes.
pub(super) struct Log {
    pub(super) active: Option<Active>,
    /// A segment made ahead of need.
    pub(super) next: Option<Prepared>,
    pub(super) next_seq: u64,
    /// Segments not listed any more whose files may still be there.
    pub(super) retired: Vec<u32>,
    pub(super) scratch: Vec<u8>,
}

/// The segment that is written.
pub(super) struct Active {
    pub(super) segment: Arc<Segment>,
    /// Where the next frame goes.
    pub(super) end: u64,
    /// The length of the file, when last heard of: never less than `end`.
    pub(super) file_bytes: u64,
    /// Up to where zeros were written, if that is beyond `end`.
    pub(super) zeroed: u64,
    pub(super) hints: Hints,
    pub(super) seal: Seal,
}

/// A segment that is complete but for its name, and holds no frames.
pub(super) struct Prepared {
    pub(super) head: Head,
    pub(super) file: Arc<dyn DiskFile>,
    /// Its length, all of which was written.
    pub(super) file_bytes: u64,
    pub(super) temporary: PathBuf,
}

impl Log {
    pub(super) fn wants_segment(&self, segment_bytes: u64) -> bool {
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
