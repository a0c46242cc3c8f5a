//! Writes the frames of a group to the end of the log.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::plan::{Effect, Plan, Planned};
use crate::backend::file::config::{Durability, ZeroAhead};
use crate::backend::file::core::Core;
use crate::backend::file::core::log::{Active, Log};
use crate::backend::file::core::segment::Segment;
use crate::backend::file::disk::{DiskFile, write_all, write_zeros};
use crate::backend::file::errors::io_error;
use crate::backend::file::format::{FRAME_BYTES, Frame, MAX_OFFSET, MAX_SEQ, names};
use crate::error::{Error, ErrorKind};

pub(super) const OPERATION: &str = "write to the log";

/// Bodies up to this length are copied into one buffer. Longer ones are written from their own
/// memory.
const COPIED: usize = 1 << 10;

/// While a write longer than this is in progress, the system is asked to start writing its
/// beginning to the device.
const LONG_WRITE: u64 = 2 << 20;

/// The size of the pieces in which a long write is passed to the device.
const RUN_BYTES: u64 = 1 << 20;

/// The file grows in steps of this size. After a crash, the unused part is scanned unnecessarily.
const LENGTHEN_BYTES: u64 = 4 << 20;

/// Writes up to this length are followed by zeros if there are none yet.
const ZEROED_WRITE: u64 = 64 << 10;

/// The number of zeros written at once. This delays one write in a few hundred by about a
/// millisecond.
const ZERO_BYTES: u64 = 1 << 20;

/// The position of the frames of a group.
pub(super) struct Written {
    pub(super) segment: Arc<Segment>,
    /// The offset of each frame.
    pub(super) offsets: Vec<u64>,
    /// The sequence number of the first frame. The others have consecutive numbers.
    pub(super) first_seq: u64,
    /// The end of the last frame.
    pub(super) end: u64,
}

impl Core {
    /// Appends the frames to the log. They are not durable yet. After an error, the end of the log
    /// is unchanged, and [`roll_back`](Self::roll_back) must restore the file accordingly.
    pub(super) fn append(&self, log: &mut Log, plan: &Plan) -> Result<Written, Error> {
        let (frames, total) = (plan.frames.as_slice(), plan.bytes());
        if log.next_seq + frames.len() as u64 > MAX_SEQ {
            let message =
                "the store has used all sequence numbers: copy the snapshots to a new store";
            return Err(Error::new(ErrorKind::OutOfSpace, OPERATION, message));
        }
        let Log { active: Some(active), next_seq, scratch, .. } = log else {
            return Err(Error::new(ErrorKind::Store, OPERATION, "the log has no active segment"));
        };
        if active.end + total > MAX_OFFSET {
            let message = "the batch is larger than 2 GiB: split it";
            return Err(Error::new(ErrorKind::InvalidInput, OPERATION, message));
        }
        self.lengthen(active, total);
        let offsets = encode(active, frames, *next_seq, scratch);
        let is_long = total > LONG_WRITE && self.config.durability == Durability::Sync;
        let run_bytes = if is_long { RUN_BYTES } else { u64::MAX };
        write(active, frames, scratch, run_bytes).map_err(|error| {
            io_error(OPERATION, &self.path(&names::segment(active.segment.id)), error)
        })?;
        for (seq, frame) in (*next_seq..).zip(frames) {
            active.add(seq, frame);
        }
        active.end += total;
        self.zero_behind(active, total);
        let first_seq = *next_seq;
        *next_seq += frames.len() as u64;
        let segment = Arc::clone(&active.segment);
        let written = Written { segment, offsets, first_seq, end: active.end };
        if log.wants_segment(self.config.segment_bytes) {
            self.maintenance.note();
        }
        Ok(written)
    }

    /// Extends the file by more than needed if `total` bytes are about to be written beyond its
    /// end, so that most syncs do not have to make a new length durable. Only on Linux: other
    /// systems would fill the hole, or have not been measured.
    fn lengthen(&self, active: &mut Active, total: u64) {
        let end = active.end + total;
        if cfg!(target_os = "linux") && end > active.file_bytes {
            let ahead = end.next_multiple_of(LENGTHEN_BYTES).min(self.config.segment_bytes);
            let bytes = ahead.max(end);
            // If this fails, the write extends the file.
            let lengthened = active.segment.file.set_len(bytes).is_ok();
            active.file_bytes = if lengthened { bytes } else { end };
        }
    }

    /// Writes zeros after the last frame for later writes, if the last `total` bytes were a small
    /// write that found no zeros. The sync of that write also covers the zeros.
    fn zero_behind(&self, active: &mut Active, total: u64) {
        let wanted = self.config.zero_ahead == ZeroAhead::SmallWrites
            && self.config.durability == Durability::Sync
            && total <= ZEROED_WRITE;
        if !wanted || active.end <= active.zeroed {
            return;
        }
        let to = active.end.next_multiple_of(ZERO_BYTES).min(self.config.segment_bytes);
        if write_zeros(&*active.segment.file, active.end, to).is_ok() {
            active.zeroed = to;
            active.file_bytes = active.file_bytes.max(to);
        } else {
            // The space may be needed for data. This is not tried again in this file.
            active.zeroed = u64::MAX;
            let cut = active.segment.file.set_len(active.end).is_ok();
            active.file_bytes = if cut { active.end } else { active.file_bytes.max(to) };
        }
    }
}

impl Active {
    /// Records a frame that was written.
    fn add(&mut self, seq: u64, frame: &Planned) {
        let len = u32::try_from(frame.body.len()).unwrap_or(u32::MAX);
        self.seal.min_seq = self.seal.min_seq.min(seq);
        self.seal.max_seq = self.seal.max_seq.max(seq);
        match &frame.effect {
            Effect::Put { id, as_of, base, .. } => {
                self.seal.puts += 1;
                self.hints.push_put(seq, len, frame.tag, *id, (*as_of, *base));
                self.segment.count_put(seq);
            }
            Effect::Delete { scope, .. } => {
                self.seal.others += 1;
                self.hints.push_delete(seq, len, frame.tag, scope);
                self.segment.count_delete(seq, frame.total_bytes());
            }
            Effect::Marks { id, marks, .. } => {
                self.seal.others += 1;
                self.hints.push_marks(seq, len, frame.tag, *id, marks);
                self.segment.count_put(seq);
            }
        }
    }
}

/// Writes everything except long bodies to `scratch`. Returns the offset of each frame.
fn encode(active: &Active, frames: &[Planned], mut seq: u64, scratch: &mut Vec<u8>) -> Vec<u64> {
    scratch.clear();
    let durable_below = active.segment.synced.load(Ordering::Relaxed);
    let mut offset = active.end;
    let mut offsets = Vec::with_capacity(frames.len());
    for planned in frames {
        let frame = Frame::of(planned.kind, seq, durable_below, &planned.body);
        let frame = Frame { more: planned.more, ..frame };
        scratch.extend_from_slice(&frame.head(active.segment.salt, offset));
        if planned.body.len() <= COPIED {
            scratch.extend_from_slice(&planned.body);
        }
        scratch.resize(scratch.len() + frame.padding(), 0);
        offsets.push(offset);
        offset += frame.total_bytes();
        seq += 1;
    }
    offsets
}

/// Writes the frames to the end of the log.
fn write(active: &Active, frames: &[Planned], scratch: &[u8], run_bytes: u64) -> io::Result<()> {
    let mut pieces = Vec::with_capacity(frames.len() * 2 + 1);
    let mut rest = scratch;
    let head = usize::try_from(FRAME_BYTES).unwrap_or(0);
    // The number of bytes at the start of `rest` before the next long body.
    let mut before = 0;
    for frame in frames {
        let padding = usize::try_from(frame.total_bytes()).unwrap_or(0) - head - frame.body.len();
        before += head;
        if frame.body.len() <= COPIED {
            before += frame.body.len() + padding;
            continue;
        }
        let (copied, after) = rest.split_at_checked(before).unwrap_or_default();
        pieces.push(IoSlice::new(copied));
        pieces.push(IoSlice::new(&frame.body));
        rest = after;
        before = padding;
    }
    pieces.push(IoSlice::new(rest));
    write_runs(&*active.segment.file, active.end, &mut pieces, run_bytes)
}

/// Writes the pieces in runs of at least `run_bytes`. Asks the system to start writing each run
/// except the last to the device.
fn write_runs(
    file: &dyn DiskFile,
    mut at: u64,
    mut pieces: &mut [IoSlice<'_>],
    run_bytes: u64,
) -> io::Result<()> {
    let mut left: u64 = pieces.iter().map(|piece| piece.len() as u64).sum();
    while !pieces.is_empty() {
        let (mut count, mut bytes) = (0, 0);
        for piece in pieces.iter() {
            if bytes >= run_bytes && left >= run_bytes {
                break;
            }
            count += 1;
            bytes += piece.len() as u64;
            left -= piece.len() as u64;
        }
        let (run, behind) = pieces.split_at_mut(count);
        write_all(file, at, run)?;
        if !behind.is_empty() {
            file.begin_sync(at, bytes);
        }
        (pieces, at) = (behind, at + bytes);
    }
    Ok(())
}
