//! Copies the live frames of a segment.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Pace;
use super::choose::{Candidate, needed};
use super::output::{Moved, OPERATION, Output};
use crate::backend::file::core::Core;
use crate::backend::file::core::segment::Segment;
use crate::backend::file::disk::read_whole;
use crate::backend::file::errors::{REPAIR, bad_frame, corrupt, io_error};
use crate::backend::file::format::flaw::Flaw;
use crate::backend::file::format::hints::push::push;
use crate::backend::file::format::hints::{Hint, Hints, What};
use crate::backend::file::format::{FRAME_BYTES, Frame, HEAD_BYTES, Kind, SEAL_BYTES, names};
use crate::backend::file::index::{Item, Place};
use crate::backend::file::recover::scan::{Scanner, Step};
use crate::error::Error;

/// The number of bytes that are copied in one write.
const FLUSH_BYTES: usize = 1 << 20;

/// A live frame.
struct Live {
    hint: Hint,
    /// The index entry of a put or of marks.
    item: Option<Item>,
}

impl Core {
    /// Copies the live frames of `victim`. Returns false if `pace` requested a stop.
    pub(super) fn copy_live(
        &self,
        victim: &Arc<Segment>,
        others: &[Candidate],
        output: &mut Option<Output>,
        pace: Pace<'_>,
    ) -> Result<bool, Error> {
        let hints = self.hints_of(victim)?;
        let mut result = Ok(true);
        let whole = hints.read(|hint| {
            if matches!(result, Ok(true))
                && let Some(live) = self.live(victim, others, hint)
            {
                result = self.copy_frame(victim, &live, output, pace);
            }
        });
        if whole.is_none() {
            return Err(self.damaged(victim, HEAD_BYTES));
        }
        result
    }

    /// Returns `None` if the frame is dead: a put or marks that the index does not refer to, or a
    /// delete that is not needed.
    fn live(&self, victim: &Segment, others: &[Candidate], hint: Hint) -> Option<Live> {
        let here = |item: &Item| item.place.slot == victim.slot && item.place.offset == hint.offset;
        let item = match &hint.what {
            What::Put { id, .. } => {
                let generation = self.generations.find(id.generation)?;
                let item = self.index.exact(hint.tag, generation, id.version, |item| item);
                Some(item.filter(here)?)
            }
            What::Marks { id, .. } => {
                let generation = self.generations.find(id.generation)?;
                let note = self.index.note(hint.tag, generation, id.version);
                Some(note.map(|note| note.item).filter(here)?)
            }
            What::Delete(_) => {
                needed(hint.seq, others).then_some(())?;
                None
            }
        };
        Some(Live { hint, item })
    }

    fn copy_frame(
        &self,
        victim: &Segment,
        live: &Live,
        output: &mut Option<Output>,
        pace: Pace<'_>,
    ) -> Result<bool, Error> {
        let Live { hint, item } = live;
        let (frame, bytes) = self.frame_at(victim, hint)?;
        if output.is_none() {
            *output = Some(Output::new(self.prepare(0)?));
        }
        let Some(output) = output else { return Ok(true) };
        let offset = output.push(frame, Frame::body_in(&bytes));
        let Hint { seq, body_bytes, tag, ref what, .. } = *hint;
        match what {
            What::Put { id, as_of, base } => {
                output.seal.puts += 1;
                output.hints.push_put(seq, body_bytes, tag, *id, (*as_of, *base));
            }
            What::Delete(scope) => {
                output.seal.others += 1;
                output.hints.push_delete(seq, body_bytes, tag, scope);
            }
            What::Marks { id, marks } => {
                output.seal.others += 1;
                output.hints.push_marks(seq, body_bytes, tag, *id, marks);
            }
        }
        if let Some(from) = *item {
            // The slot is set when the output has one.
            let to = Place { offset, ..from.place };
            let is_marks = matches!(what, What::Marks { .. });
            output.moved.push(Moved { tag, is_marks, from, to });
        }
        if output.buffer.len() < FLUSH_BYTES {
            return Ok(true);
        }
        let written = output.buffer.len() as u64;
        output.flush().map_err(|error| output.error(error))?;
        Ok(pace(written))
    }

    /// Reads and checks a whole frame, because damage must not be copied to a file with valid
    /// checksums.
    fn frame_at(&self, victim: &Segment, hint: &Hint) -> Result<(Frame, Vec<u8>), Error> {
        let total = FRAME_BYTES + u64::from(hint.body_bytes);
        let read = victim.file.read(hint.offset, usize::try_from(total).unwrap_or(usize::MAX));
        let bytes = read
            .map_err(|error| io_error(OPERATION, &self.path(&names::segment(victim.id)), error))?;
        let frame = Frame::parse(&bytes, victim.salt, hint.offset);
        let Some(frame) = frame.filter(|frame| frame.seq == hint.seq) else {
            return Err(self.damaged(victim, hint.offset));
        };
        match Flaw::of(&frame, Frame::body_in(&bytes)) {
            None => Ok((frame, bytes)),
            Some(flaw) => Err(self.flawed(victim, hint.offset, &flaw)),
        }
    }

    /// Returns the error for an invalid frame, and marks `segment` so that compaction skips it from
    /// now on.
    fn flawed(&self, segment: &Segment, offset: u64, flaw: &Flaw) -> Error {
        if flaw.is_newer() {
            // The frame cannot be checked by this release, so it is not copied.
            let path = self.path(&names::segment(segment.id));
            let error = bad_frame(OPERATION, &path, offset, flaw);
            self.troubles.report_damage(segment, &error);
            return error;
        }
        self.damaged(segment, offset)
    }

    pub(super) fn damaged(&self, segment: &Segment, offset: u64) -> Error {
        let path = self.path(&names::segment(segment.id));
        let why = format!("the frame at offset {offset} is damaged: {REPAIR}");
        let error = corrupt(OPERATION, &path, why);
        self.troubles.report_damage(segment, &error);
        error
    }

    /// Returns the hints of a sealed segment, from its index file or from a scan.
    pub(super) fn hints_of(&self, segment: &Segment) -> Result<Hints, Error> {
        let bytes = segment.bytes.load(Ordering::Relaxed);
        let path = self.path(&names::hints(segment.id));
        let read = read_whole(&*self.disk, &path).ok();
        let hints = read.and_then(|read| Hints::parse(&read, segment.salt, self.secret));
        if let Some(hints) =
            hints.filter(|hints| bytes.checked_sub(SEAL_BYTES) == Some(hints.covered()))
        {
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
                    push(&mut hints, &frame, body, self.secret)
                        .map_err(|_| self.damaged(segment, at))?;
                }
                Step::End => return Err(self.damaged(segment, at)),
                Step::Bad(flaw) => return Err(self.flawed(segment, at, &flaw)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    //! Anyone who can compute the checksum of an index file can change it while the store is open.

    use std::io::IoSlice;
    use std::path::Path;

    use super::*;
    use crate::backend::file::config::FileStoreConfig;
    use crate::backend::file::disk::Disk;
    use crate::backend::file::disk::sim::SimDisk;
    use crate::backend::file::recover::open;
    use crate::backend::file::samples::{key, put_bytes};
    use crate::store::{DeleteOptions, Selection};

    #[test]
    fn an_index_file_that_covers_what_no_file_has_is_not_believed() {
        let disk = SimDisk::new(1);
        let config = FileStoreConfig::new("/store".into()).segment_bytes(4096);
        let config = config.reserve_bytes(0).background(false);
        let core = open::open(Arc::new(disk.clone()), config).unwrap();
        for version in 1..=3 {
            let work = put_bytes(&core, version, 2000);
            core.commit(vec![work], || ()).answers.remove(0).unwrap();
        }
        let work = core
            .delete_work(&key(), Selection::Below(3), DeleteOptions::default())
            .unwrap()
            .unwrap();
        core.commit(vec![work], || ()).answers.remove(0).unwrap();
        for covered in [u64::MAX, 0] {
            let mut hints = Hints::new();
            hints.pretend_to_cover(covered);
            let segment = Arc::clone(core.segments.all().first().unwrap());
            let file = disk.create(Path::new("/store/00000001.idx")).unwrap();
            let bytes = hints.to_bytes(segment.salt, core.secret);
            file.write(0, &[IoSlice::new(&bytes)]).unwrap();
            let mut seen = 0;
            core.hints_of(&segment).unwrap().read(|_| seen += 1).unwrap();
            assert_eq!(seen, 1);
        }
        assert_eq!(core.compact(&mut |_| true).unwrap().removed, 2);
    }
}
