//! [`OpenTail`]: the frames of a store open read-only that its writer may still take back.

use std::collections::HashMap;

use crate::backend::file::format::Frame;
use crate::backend::file::index::Place;

/// The frames at the end of the log that were found when the store was opened read-only, and that
/// were not known to be durable.
///
/// A writer that fails to write or sync its last group, or that opens the store after a crash,
/// truncates the log after its last acknowledged frame and writes others in their place. Each frame
/// is therefore compared with the one that was found, whenever it is read.
#[derive(Debug, Default)]
pub(crate) struct OpenTail {
    /// The slot of the segment.
    pub(crate) slot: u32,
    pub(crate) salt: u64,
    /// The frames, by their offset.
    pub(crate) frames: HashMap<u64, Frame>,
}

impl OpenTail {
    /// Returns the frame that was found at `place`, or `None` if nothing can have changed there.
    pub(crate) fn found(&self, place: Place) -> Option<&Frame> {
        if place.slot == self.slot { self.frames.get(&place.offset) } else { None }
    }

    /// Returns whether `bytes`, read at `place`, begin with the frame that was found there.
    pub(crate) fn is_still(&self, found: &Frame, place: Place, bytes: &[u8]) -> bool {
        Frame::parse(bytes, self.salt, place.offset).as_ref() == Some(found)
    }
}
