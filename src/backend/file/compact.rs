//! Compaction: copies what is live out of segments that are mostly dead, and removes them.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::core::Core;
use super::disk::write_all;
use super::fault::{corrupt, io_error};
use super::hints::{Hint, Hints, What};
use super::index::{Item, Place};
use super::layout::{FRAME_BYTES, Frame, HEAD_BYTES, Kind, SEAL_BYTES, Seal, padded};
use super::log::{Active, Prepared, encode_seal};
use super::names;
use super::open;
use super::plan::{self, Candidate};
use super::scan::{Scanner, Step};
use super::segment::Segment;
use super::tag::Tag;
use crate::checksum::crc32;
use crate::error::{Error, ErrorKind};

const OPERATION: &str = "compact the log";

/// What compaction did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compacted {
    /// The number of files that were removed.
    pub removed: u64,
    /// The bytes of those files.
    pub freed_bytes: u64,
    /// The bytes that were copied into new files.
    pub copied_bytes: u64,
}

/// Told how many bytes were copied; says whether to go on.
pub(super) type Pace<'a> = &'a mut dyn FnMut(u64) -> bool;

/// A snapshot that was copied.
struct Moved {
    tag: Tag,
    from: Item,
    to: Place,
}

/// The copy in the making.
struct Output {
    prepared: Prepared,
    hints: Hints,
    seal: Seal,
    buffer: Vec<u8>,
    /// Where the buffer begins in the file.
    written: u64,
    moved: Vec<Moved>,
}

impl Core {
    /// Rewrites segments until none is worth it, or `pace` says to stop.
    pub(super) fn compact(&self, pace: Pace<'_>) -> Result<Compacted, Error> {
        let _maintenance = self.maintenance();
        let mut sum = Compacted::default();
        let most = self.config.segment_bytes - HEAD_BYTES - SEAL_BYTES;
        let mut room = most;
        loop {
            self.check_writable(OPERATION)?;
            let round = match self.compact_round(room, pace) {
                // What is nearly dead can be copied into the space of the reserve.
                Err(error) if error.kind() == ErrorKind::OutOfSpace && room == most => {
                    self.release_reserve();
                    room = self.config.reserve_bytes.min(most / 2);
                    continue;
                }
                round => round?,
            };
            let Some(round) = round else { return Ok(sum) };
            sum.removed += round.removed;
            sum.freed_bytes += round.freed_bytes;
            sum.copied_bytes += round.copied_bytes;
        }
    }

    /// Whether [`compact`](Self::compact) has something to do.
    pub(super) fn wants_compaction(&self) -> bool {
        let all: Vec<_> = self.segments.all().iter().map(|segment| candidate(segment)).collect();
        !plan::choose(&all, self.config.compact_at, self.config.segment_bytes).is_empty()
    }

    fn compact_round(&self, room: u64, pace: Pace<'_>) -> Result<Option<Compacted>, Error> {
        let segments = self.segments.all();
        let all: Vec<_> = segments.iter().map(|segment| candidate(segment)).collect();
        let chosen = plan::choose(&all, self.config.compact_at, room);
        if chosen.is_empty() {
            return Ok(None);
        }
        let others: Vec<_> = all.iter().filter(|one| !chosen.contains(&one.id)).copied().collect();
        let victims: Vec<_> =
            segments.into_iter().filter(|segment| chosen.contains(&segment.id)).collect();
        let mut output = None;
        for victim in &victims {
            match self.copy_live(victim, &others, &mut output, pace) {
                Ok(true) => {}
                Ok(false) => {
                    self.discard(output);
                    return Ok(None);
                }
                Err(error) => {
                    self.discard(output);
                    return Err(error);
                }
            }
        }
        let copied_bytes = output.as_ref().map_or(0, |output| output.end() - HEAD_BYTES);
        self.replace(&victims, output)?;
        let freed_bytes = victims.iter().map(|one| one.bytes.load(Ordering::Relaxed)).sum();
        Ok(Some(Compacted { removed: victims.len() as u64, freed_bytes, copied_bytes }))
    }

    /// Copies what counts in `victim`; false if `pace` says to stop.
    fn copy_live(
        &self,
        victim: &Arc<Segment>,
        others: &[Candidate],
        output: &mut Option<Output>,
        pace: Pace<'_>,
    ) -> Result<bool, Error> {
        let hints = self.hints_of(victim)?;
        let mut result = Ok(true);
        let whole = hints.read(|hint| {
            if matches!(result, Ok(true)) {
                result = self.copy_frame(victim, others, &hint, output, pace);
            }
        });
        if whole.is_none() {
            return Err(self.damaged(victim, HEAD_BYTES));
        }
        result
    }

    fn copy_frame(
        &self,
        victim: &Arc<Segment>,
        others: &[Candidate],
        hint: &Hint,
        output: &mut Option<Output>,
        pace: Pace<'_>,
    ) -> Result<bool, Error> {
        let kept = match &hint.what {
            What::Put(id) => {
                let generation = self.generations.find(id.generation);
                let item = generation.and_then(|generation| {
                    self.index.exact(hint.tag, generation, id.version, |item| item)
                });
                let here = |item: &Item| {
                    item.place.slot == victim.slot && item.place.offset == hint.offset
                };
                item.filter(here)
            }
            What::Delete(_) if plan::needed(hint.seq, others) => None,
            What::Delete(_) => return Ok(true),
        };
        if kept.is_none() && matches!(hint.what, What::Put(_)) {
            return Ok(true);
        }
        let (frame, body) = self.frame_at(victim, hint)?;
        if output.is_none() {
            *output = Some(Output::new(self.prepare(0)?));
        }
        let Some(output) = output else { return Ok(true) };
        let offset = output.push(frame, &body);
        match (&hint.what, kept) {
            (What::Put(id), Some(from)) => {
                output.seal.puts += 1;
                output.hints.push_put(hint.seq, hint.body_bytes, hint.tag, *id);
                // The slot is known once the segment has one.
                let to = Place { offset, ..from.place };
                output.moved.push(Moved { tag: hint.tag, from, to });
            }
            (What::Delete(scope), _) => {
                output.seal.deletes += 1;
                output.hints.push_delete(hint.seq, hint.body_bytes, hint.tag, scope);
            }
            (What::Put(_), None) => {}
        }
        if output.buffer.len() < 1 << 20 {
            return Ok(true);
        }
        let written = output.buffer.len() as u64;
        output.flush().map_err(|error| output.error(error))?;
        Ok(pace(written))
    }

    /// Reads a whole frame and checks it: damage must not spread to a file with valid checksums.
    fn frame_at(&self, victim: &Arc<Segment>, hint: &Hint) -> Result<(Frame, Vec<u8>), Error> {
        let total = FRAME_BYTES + u64::from(hint.body_bytes);
        let read = victim.file.read(hint.offset, usize::try_from(total).unwrap_or(usize::MAX));
        let bytes = read
            .map_err(|error| io_error(OPERATION, &self.path(&names::segment(victim.id)), error))?;
        let frame = Frame::parse(&bytes, victim.salt, hint.offset);
        let body = bytes.get(24..).unwrap_or_default();
        match frame {
            Some(frame) if frame.seq == hint.seq && crc32(body) == frame.body_checksum => {
                Ok((frame, body.to_vec()))
            }
            _ => Err(self.damaged(victim, hint.offset)),
        }
    }

    fn damaged(&self, segment: &Segment, offset: u64) -> Error {
        segment.damaged.store(true, Ordering::Relaxed);
        let path = self.path(&names::segment(segment.id));
        corrupt(OPERATION, &path, format!("damaged at offset {offset}: it is left to a repair"))
    }

    /// The hints of a sealed segment: from its index file, or from a scan.
    fn hints_of(&self, segment: &Arc<Segment>) -> Result<Hints, Error> {
        let bytes = segment.bytes.load(Ordering::Relaxed);
        let path = self.path(&names::hints(segment.id));
        let read = open::read_whole(&*self.disk, &path).ok();
        let hints = read.and_then(|read| Hints::parse(&read, segment.salt, self.secret));
        if let Some(hints) = hints.filter(|hints| hints.covered() + SEAL_BYTES == bytes) {
            return Ok(hints);
        }
        let mut hints = Hints::new();
        let mut scanner = Scanner::new(&*segment.file, segment.salt, HEAD_BYTES, bytes);
        loop {
            let at = scanner.at;
            let step = scanner.step().map_err(|error| {
                io_error(OPERATION, &self.path(&names::segment(segment.id)), error)
            })?;
            match step {
                Step::Frame(frame, _) if frame.kind == Kind::Seal => return Ok(hints),
                Step::Frame(frame, body) => {
                    open::push(&mut hints, &frame, body, self.secret)
                        .map_err(|_| self.damaged(segment, at))?;
                }
                Step::End | Step::Bad(_) => return Err(self.damaged(segment, at)),
            }
        }
    }

    /// Puts the output in the place of the victims.
    fn replace(&self, victims: &[Arc<Segment>], output: Option<Output>) -> Result<(), Error> {
        let new = match output {
            Some(mut output) => {
                if let Err(error) = output.finish() {
                    let error = output.error(error);
                    self.discard(Some(output));
                    return Err(error);
                }
                Some(output)
            }
            None => None,
        };
        let mut log = self.log();
        let added = match &new {
            None => None,
            Some(output) => {
                let added = self.segments.add(|slot| output.segment(slot));
                let Some(added) = added else {
                    self.discard(new);
                    let message = "the store has too many segments";
                    return Err(Error::new(ErrorKind::OutOfSpace, OPERATION, message));
                };
                Some(added)
            }
        };
        let retired_before = log.retired.len();
        log.retired.extend(victims.iter().map(|victim| victim.id));
        let manifest = self.manifest(&log, &self.segments.all());
        if let Err(error) = self.commit_manifest(OPERATION, &manifest) {
            log.retired.truncate(retired_before);
            if let Some(added) = added {
                self.segments.remove(added.slot);
            }
            if !self.is_poisoned() {
                self.discard(new);
            }
            return Err(error);
        }
        drop(log);
        if let (Some(output), Some(segment)) = (new, added) {
            let name = self.path(&names::segment(segment.id));
            self.disk
                .rename(&output.prepared.temporary, &name)
                .map_err(|error| self.unknown(OPERATION, &name, error))?;
            self.swap(output, &segment);
        }
        self.unlink(victims);
        Ok(())
    }

    /// Lets the index refer to the copies. What was deleted or replaced meanwhile stays so.
    fn swap(&self, output: Output, segment: &Arc<Segment>) {
        for Moved { tag, from, to } in &output.moved {
            let to = Item { version: from.version, place: Place { slot: segment.slot, ..*to } };
            let bytes = FRAME_BYTES + padded(to.place.len.into());
            segment.add_live(bytes);
            if !self.index.swap(*tag, from, to) {
                segment.drop_live(bytes);
            }
        }
        let Output { hints, seal, written, .. } = output;
        let segment = Arc::clone(segment);
        self.write_hints(&Active { segment, end: written, file_bytes: written, hints, seal });
    }

    /// Removes the files of segments that the manifest does not list any more. Readers that hold
    /// one open go on reading it.
    fn unlink(&self, victims: &[Arc<Segment>]) {
        let mut all_gone = true;
        for victim in victims {
            self.segments.remove(victim.slot);
            all_gone &= self.disk.remove(&self.path(&names::segment(victim.id))).is_ok();
            // There may be none.
            let _ = self.disk.remove(&self.path(&names::hints(victim.id)));
        }
        if all_gone && self.disk.sync_dir(self.dir()).is_ok() {
            let mut log = self.log();
            log.retired.retain(|id| !victims.iter().any(|victim| victim.id == *id));
        }
    }

    fn discard(&self, output: Option<Output>) {
        if let Some(output) = output {
            let _ = self.disk.remove(&output.prepared.temporary);
        }
    }
}

impl Output {
    fn new(prepared: Prepared) -> Self {
        Self {
            prepared,
            hints: Hints::new(),
            seal: Seal { min_seq: u64::MAX, ..Seal::default() },
            buffer: Vec::new(),
            written: HEAD_BYTES,
            moved: Vec::new(),
        }
    }

    fn end(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Adds a frame, under its old sequence number and outside of any batch: all of its batch has
    /// been seen to be whole.
    fn push(&mut self, frame: Frame, body: &[u8]) -> u64 {
        let offset = self.end();
        let frame = Frame { more: false, durable_below: offset, ..frame };
        self.buffer.extend_from_slice(&frame.to_bytes(self.prepared.head.salt, offset));
        self.buffer.extend_from_slice(body);
        let padding = padded(body.len() as u64) - body.len() as u64;
        self.buffer.extend(std::iter::repeat_n(0, usize::try_from(padding).unwrap_or(0)));
        self.seal.min_seq = self.seal.min_seq.min(frame.seq);
        self.seal.max_seq = self.seal.max_seq.max(frame.seq);
        offset
    }

    fn error(&self, error: io::Error) -> Error {
        io_error(OPERATION, &self.prepared.temporary, error)
    }

    fn flush(&mut self) -> io::Result<()> {
        write_all(&*self.prepared.file, self.written, &mut [IoSlice::new(&self.buffer)])?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        let salt = self.prepared.head.salt;
        let seal = encode_seal(self.seal, self.seal.max_seq, salt, self.end(), self.end());
        self.buffer.extend_from_slice(&seal);
        self.flush()?;
        self.prepared.file.sync()
    }

    fn segment(&self, slot: u32) -> Segment {
        let head = self.prepared.head;
        let segment = Segment::new(head.id, slot, head.salt, Arc::clone(&self.prepared.file));
        segment.sealed.store(true, Ordering::Relaxed);
        segment.bytes.store(self.written, Ordering::Relaxed);
        // Counted before the segment is known to anyone, so that no delete is dropped in between.
        self.hints.read(|hint| match hint.what {
            What::Put(_) => segment.count_put(hint.seq),
            What::Delete(_) => {
                segment.count_delete(hint.seq, FRAME_BYTES + padded(hint.body_bytes.into()));
            }
        });
        segment
    }
}

fn candidate(segment: &Segment) -> Candidate {
    let get = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    Candidate {
        id: segment.id,
        movable: segment.sealed.load(Ordering::Relaxed) && !segment.damaged.load(Ordering::Relaxed),
        bytes: get(&segment.bytes),
        live_bytes: get(&segment.live_bytes),
        puts: get(&segment.puts),
        live_puts: get(&segment.live_puts),
        delete_bytes: get(&segment.delete_bytes),
        min_put_seq: get(&segment.min_put_seq),
        max_delete_seq: get(&segment.max_delete_seq),
    }
}
