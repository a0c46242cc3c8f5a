//! Writing the frames of a group to the end of the log.

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

/// Bodies up to this length are copied together; longer ones are written from where they are.
const COPIED: usize = 1 << 10;

/// Of a write that is longer than this the device gets the beginning while the rest is still handed
/// to the system.
const LONG_WRITE: u64 = 2 << 20;

/// So much of it at a time.
const RUN_BYTES: u64 = 1 << 20;

/// The file is lengthened by so much at a time. What a crash leaves of it is scanned in vain.
const LENGTHEN_BYTES: u64 = 4 << 20;

/// Writes of up to this length have zeros written behind them, where these are missing.
const ZEROED_WRITE: u64 = 64 << 10;

/// So many zeros at a time: that delays one write of a few hundred, by about a millisecond.
const ZERO_BYTES: u64 = 1 << 20;

/// Where the frames of a group are.
pub(super) struct Written {
    pub(super) segment: Arc<Segment>,
    /// Where each frame begins.
    pub(super) offsets: Vec<u64>,
    /// The sequence number of the first; the others follow it.
    pub(super) first_seq: u64,
    /// Where the last one ends.
    pub(super) end: u64,
}

impl Core {
    /// Writes the frames behind all others. They are not durable yet. After an error the log ends
    /// where it did, and [`roll_back`](Self::roll_back) has to see to it that the file does too.
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

    /// Lengthens the file, if `total` bytes are about to be written beyond its end, by more than
    /// they need, so that most syncs find no change of its length to make durable. Elsewhere such a
    /// hole would be filled, or nobody has measured it.
    fn lengthen(&self, active: &mut Active, total: u64) {
        let end = active.end + total;
        if cfg!(target_os = "linux") && end > active.file_bytes {
            let ahead = end.next_multiple_of(LENGTHEN_BYTES).min(self.config.segment_bytes);
            let bytes = ahead.max(end);
            // If that fails the write lengthens it.
            let lengthened = active.segment.file.set_len(bytes).is_ok();
            active.file_bytes = if lengthened { bytes } else { end };
        }
    }

    /// Writes zeros behind the last frame, for the writes to come, if the last `total` bytes were a
    /// small write that found none: it pays for the zeros with its own sync.
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
            // The space may be needed for what is to be stored. No other try in this file.
            active.zeroed = u64::MAX;
            let cut = active.segment.file.set_len(active.end).is_ok();
            active.file_bytes = if cut { active.end } else { active.file_bytes.max(to) };
        }
    }
}

impl Active {
    /// Takes note of a frame that was written.
    fn add(&mut self, seq: u64, frame: &Planned) {
        let len = u32::try_from(frame.body.len()).unwrap_or(u32::MAX);
        self.seal.min_seq = self.seal.min_seq.min(seq);
        self.seal.max_seq = self.seal.max_seq.max(seq);
        match &frame.effect {
            Effect::Put { id, as_of, .. } => {
                self.seal.puts += 1;
                self.hints.push_put(seq, len, frame.tag, *id, *as_of);
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

/// Fills `scratch` with everything but the long bodies; returns where each frame begins.
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

/// Writes the frames behind all others.
fn write(active: &Active, frames: &[Planned], scratch: &[u8], run_bytes: u64) -> io::Result<()> {
    let mut pieces = Vec::with_capacity(frames.len() * 2 + 1);
    let mut rest = scratch;
    let head = usize::try_from(FRAME_BYTES).unwrap_or(0);
    // The bytes at the start of `rest` that come before the next long body.
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

/// Writes the pieces in runs of at least `run_bytes`, and has the device begin with each but the
/// last.
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
