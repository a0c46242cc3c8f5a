//! Starts a new segment and ends the previous one.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::backend::file::core::Core;
use crate::backend::file::core::log::{Active, Log, Prepared};
use crate::backend::file::core::segment::Segment;
use crate::backend::file::disk::write_all;
use crate::backend::file::errors::io_error;
use crate::backend::file::format::hints::Hints;
use crate::backend::file::format::{HEAD_BYTES, SEAL_BYTES, SegmentSeal, encode_seal, names};
use crate::error::{Error, ErrorKind};

impl Core {
    /// Makes sure that `bytes` more fit into the active segment. Starts a new segment if necessary.
    pub(super) fn make_room(&self, log: &mut Log, bytes: u64) -> Result<(), Error> {
        if let Some(active) = &log.active {
            let unsealed = !active.segment.sealed.load(Ordering::Relaxed);
            let fits = active.end + bytes + SEAL_BYTES <= self.config.segment_bytes;
            if unsealed && (fits || active.end == HEAD_BYTES) {
                return Ok(());
            }
        }
        self.roll(log)
    }

    /// Ends the active segment if it contains frames, so that it can be rewritten.
    pub(crate) fn end_segment(&self) -> Result<(), Error> {
        let mut log = self.log();
        if log.active.as_ref().is_some_and(|active| active.end > HEAD_BYTES) {
            self.roll(&mut log)?;
        }
        Ok(())
    }

    /// Starts a new segment. Can be called again after an error.
    fn roll(&self, log: &mut Log) -> Result<(), Error> {
        if log.next.is_none() {
            log.next = Some(self.prepare(self.zero_bytes())?);
        }
        if let Some(active) = &mut log.active {
            let seq = log.next_seq;
            self.seal(active, seq)?;
        }
        let Some(Prepared { head, file, file_bytes, temporary }) = log.next.take() else {
            return Ok(());
        };
        let segment = self
            .segments
            .add(|slot| Segment::new(head.id, slot, head.salt, Arc::clone(&file)))
            .ok_or_else(|| {
                let message =
                    "the store has too many segments: reopen it with a larger segment_bytes()";
                Error::new(ErrorKind::OutOfSpace, "begin a segment", message)
            })?;
        segment.bytes.store(HEAD_BYTES, Ordering::Relaxed);
        segment.synced.store(HEAD_BYTES, Ordering::Relaxed);
        let manifest = self.manifest(log, &self.segments.all());
        let listed = self.commit_manifest("begin a segment", &manifest);
        if let Err(error) = listed {
            self.segments.remove(segment.slot);
            log.next = Some(Prepared { head, file, file_bytes, temporary });
            return Err(error);
        }
        // From here on, the segment is part of the store. Its file is found under either name.
        let name = self.path(&names::segment(head.id));
        self.disk
            .rename(&temporary, &name)
            .map_err(|error| self.health.unknown("begin a segment", &name, error))?;
        let active = Active {
            segment,
            end: HEAD_BYTES,
            file_bytes,
            zeroed: file_bytes,
            hints: Hints::new(),
            seal: SegmentSeal { min_seq: u64::MAX, ..SegmentSeal::default() },
        };
        if let Some(full) = log.active.replace(active) {
            self.write_hints(&full.segment, &full.hints);
        }
        self.maintenance.note();
        Ok(())
    }

    /// Seals a segment. Nothing is written to it after this.
    fn seal(&self, active: &mut Active, seq: u64) -> Result<(), Error> {
        let segment = &active.segment;
        if segment.sealed.load(Ordering::Relaxed) {
            return Ok(());
        }
        let path = self.path(&names::segment(segment.id));
        let synced = segment.synced.load(Ordering::Relaxed);
        let bytes = encode_seal(active.seal, seq, segment.salt, active.end, synced);
        let end = active.end + bytes.len() as u64;
        let write = || -> io::Result<()> {
            write_all(&*segment.file, active.end, &mut [IoSlice::new(&bytes)])?;
            // Removes the extra length of the file.
            segment.file.set_len(end)
        };
        if let Err(error) = write() {
            self.roll_back(active, "begin a segment")?;
            return Err(io_error("begin a segment", &path, error));
        }
        segment
            .file
            .sync()
            .map_err(|error| self.health.unknown("begin a segment", &path, error))?;
        active.end = end;
        segment.synced.store(end, Ordering::Relaxed);
        segment.bytes.store(end, Ordering::Relaxed);
        segment.sealed.store(true, Ordering::Release);
        Ok(())
    }

    /// Undoes a failed write after the last durable frame. Poisons the store if that fails.
    pub(super) fn roll_back(
        &self,
        active: &mut Active,
        operation: &'static str,
    ) -> Result<(), Error> {
        let file = &active.segment.file;
        active.file_bytes = active.end;
        active.zeroed = active.end;
        file.set_len(active.end).and_then(|()| file.sync()).map_err(|error| {
            let path = self.path(&names::segment(active.segment.id));
            self.health.unknown(operation, &path, error)
        })
    }
}
