//! Compaction: copies the live frames of segments that are mostly dead, and removes those segments.

mod choose;
mod copy;
mod expunge;
mod output;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::backend::file::core::Core;
use crate::backend::file::core::segment::Segment;
use crate::backend::file::format::{HEAD_BYTES, SEAL_BYTES, frame_bytes, names};
use crate::backend::file::index::{Item, Place};
use crate::error::{Error, ErrorKind};
use choose::{Candidate, choose};
use output::{Moved, OPERATION, Output};

/// The result of a compaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compacted {
    /// The number of files that were removed.
    pub removed: u64,
    /// The total size of the removed files in bytes.
    pub freed_bytes: u64,
    /// The number of bytes that were copied into new files.
    pub copied_bytes: u64,
}

/// Called with the number of bytes that were copied. Returns whether to continue.
pub(crate) type Pace<'a> = &'a mut dyn FnMut(u64) -> bool;

impl Core {
    /// Rewrites segments until none is worth rewriting or `pace` requests a stop. Considers only
    /// the segments that existed at the beginning and those that it creates from them, because
    /// writers may make files dead faster than they can be removed. Newer segments are left to the
    /// next compaction.
    pub(crate) fn compact(&self, pace: Pace<'_>) -> Result<Compacted, Error> {
        let _maintenance = self.maintenance.turn();
        let mut sum = Compacted::default();
        let most = self.config.segment_bytes - HEAD_BYTES - SEAL_BYTES;
        let mut room = most;
        let mut full = None;
        let end = self.segments.next_id();
        let mut made = Vec::new();
        loop {
            self.health.check_writable(OPERATION)?;
            let round = match self.compact_round(room, end, &mut made, pace) {
                // Segments that are almost dead fit into the space used by the reserve, and the
                // space they free allows more. The manifest needs some of that space, and other
                // writers may take it first. So the limit is halved each time, until only entirely
                // dead segments are removed.
                Err(error) if error.kind() == ErrorKind::OutOfSpace && room > 0 => {
                    self.reserve.release();
                    room /= 2;
                    full = Some(error);
                    continue;
                }
                round => round?,
            };
            let Some(round) = round else {
                // Some segments are worth rewriting, but there is no space.
                return full.filter(|_| sum.removed == 0).map_or(Ok(sum), Err);
            };
            sum.removed += round.removed;
            sum.freed_bytes += round.freed_bytes;
            sum.copied_bytes += round.copied_bytes;
            room = room.saturating_mul(2).min(most);
            // Rounds that only remove files copy nothing, and other threads may be waiting.
            if !pace(0) {
                return Ok(sum);
            }
        }
    }

    /// Returns whether [`compact`](Self::compact) has something to do.
    pub(super) fn wants_compaction(&self) -> bool {
        let all: Vec<_> = self.segments.all().iter().map(|segment| candidate(segment)).collect();
        !choose(&all, self.config.compact_at, self.config.segment_bytes).is_empty()
    }

    /// Rewrites segments into one segment of up to `room` bytes. Considers only segments that are
    /// numbered below `end` or were `made` by earlier rounds.
    fn compact_round(
        &self,
        room: u64,
        end: u32,
        made: &mut Vec<u32>,
        pace: Pace<'_>,
    ) -> Result<Option<Compacted>, Error> {
        let segments = self.segments.all();
        let mut all: Vec<_> = segments.iter().map(|segment| candidate(segment)).collect();
        for one in &mut all {
            one.movable &= one.id < end || made.contains(&one.id);
        }
        let chosen = choose(&all, self.config.compact_at, room);
        if chosen.is_empty() {
            return Ok(None);
        }
        let others: Vec<_> = all.iter().filter(|one| !chosen.contains(&one.id)).copied().collect();
        let victims: Vec<_> =
            segments.into_iter().filter(|segment| chosen.contains(&segment.id)).collect();
        let mut output = None;
        if !self.copy_all(&victims, &others, &mut output, pace)? {
            return Ok(None);
        }
        let copied_bytes = output.as_ref().map_or(0, |output| output.end() - HEAD_BYTES);
        made.extend(self.replace(&victims, output)?);
        let freed_bytes = victims.iter().map(|one| one.bytes.load(Ordering::Relaxed)).sum();
        Ok(Some(Compacted { removed: victims.len() as u64, freed_bytes, copied_bytes }))
    }

    /// Copies the live frames of the victims to an output, if there are any. Returns false if `pace`
    /// requested a stop.
    fn copy_all(
        &self,
        victims: &[Arc<Segment>],
        others: &[Candidate],
        output: &mut Option<Output>,
        pace: Pace<'_>,
    ) -> Result<bool, Error> {
        for victim in victims {
            let copied = self.copy_live(victim, others, output, pace);
            if !matches!(copied, Ok(true)) {
                self.discard(output.take());
                return copied;
            }
        }
        Ok(true)
    }

    /// Replaces the victims with the output. Returns the number of the output.
    fn replace(
        &self,
        victims: &[Arc<Segment>],
        output: Option<Output>,
    ) -> Result<Option<u32>, Error> {
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
                    let message =
                        "the store has too many segments: reopen it with a larger segment_bytes()";
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
            if !self.health.is_poisoned() {
                self.discard(new);
            }
            return Err(error);
        }
        drop(log);
        let number = added.as_ref().map(|segment| segment.id);
        if let (Some(output), Some(segment)) = (new, added) {
            let name = self.path(&names::segment(segment.id));
            self.disk
                .rename(&output.prepared.temporary, &name)
                .map_err(|error| self.health.unknown(OPERATION, &name, error))?;
            self.swap(&output, &segment);
        }
        self.unlink(victims);
        Ok(number)
    }

    /// Points the index to the copies. Snapshots that have been deleted or replaced since stay so.
    fn swap(&self, output: &Output, segment: &Segment) {
        for Moved { tag, is_marks, from, to } in &output.moved {
            let to = Item { version: from.version, place: Place { slot: segment.slot, ..*to } };
            let bytes = frame_bytes(to.place.len.into());
            segment.add_live(bytes);
            let is_there = if *is_marks {
                self.index.swap_note(*tag, from, to)
            } else {
                self.index.swap(*tag, from, to)
            };
            if !is_there {
                segment.drop_live(bytes);
            }
        }
        self.write_hints(segment, &output.hints);
    }

    /// Removes the files of segments that are no longer listed in the manifest. Readers that have
    /// such a file open can continue to read it.
    fn unlink(&self, victims: &[Arc<Segment>]) {
        let mut all_gone = true;
        for victim in victims {
            self.segments.remove(victim.slot);
            all_gone &= self.disk.remove(&self.path(&names::segment(victim.id))).is_ok();
            // There may be no index file.
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

fn candidate(segment: &Segment) -> Candidate {
    let get = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    Candidate {
        id: segment.id,
        // Counter updates from before the sealing are visible to any thread that sees it.
        movable: segment.sealed.load(Ordering::Acquire) && !segment.damaged.load(Ordering::Relaxed),
        bytes: get(&segment.bytes),
        live_bytes: get(&segment.live_bytes),
        puts: get(&segment.puts),
        live_puts: get(&segment.live_puts),
        delete_bytes: get(&segment.delete_bytes),
        min_put_seq: get(&segment.min_put_seq),
        max_delete_seq: get(&segment.max_delete_seq),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::backend::file::config::FileStoreConfig;
    use crate::backend::file::core::Core;
    use crate::backend::file::disk::sim::SimDisk;
    use crate::backend::file::recover::open;
    use crate::backend::file::samples::{key, put_bytes};
    use crate::store::{DeleteOptions, Selection};

    /// The defect: while writers left dead files behind, background compaction never ended, and
    /// neither did a backup that waited for it.
    #[test]
    fn compaction_that_only_removes_files_asks_whether_to_go_on() {
        let config = FileStoreConfig::new("/store".into()).reserve_bytes(0).background(false);
        let core = open::open(Arc::new(SimDisk::new(1)), config.segment_bytes(4096)).unwrap();
        fill_and_delete(&core, 1);
        let mut asked = 0;
        let compacted = core.compact(&mut |bytes| {
            assert_eq!(bytes, 0);
            asked += 1;
            fill_and_delete(&core, asked * 10);
            false
        });
        assert!(compacted.unwrap().removed > 0);
        assert_eq!(asked, 1);
        assert!(core.wants_compaction());
    }

    /// The defect: with such writers, a manual compaction did not return, and neither did a backup
    /// that waited for it.
    #[test]
    fn compaction_ends_with_the_files_that_there_were_at_its_beginning() {
        let config = FileStoreConfig::new("/store".into()).reserve_bytes(0).background(false);
        let core = open::open(Arc::new(SimDisk::new(1)), config.segment_bytes(4096)).unwrap();
        fill_and_delete(&core, 1);
        let mut asked = 0;
        let compacted = core.compact(&mut |_| {
            asked += 1;
            assert!(asked < 100, "it has no end");
            fill_and_delete(&core, asked * 10);
            true
        });
        assert!(compacted.unwrap().removed > 0);
        // Files that became dead since are left to the next compaction.
        assert!(core.compact(&mut |_| true).unwrap().removed > 0);
        assert!(!core.wants_compaction());
    }

    /// Leaves files that contain nothing live.
    fn fill_and_delete(core: &Core, first: u64) {
        for version in first..first + 9 {
            core.commit(vec![put_bytes(core, version, 2000)], || ()).answers.remove(0).unwrap();
        }
        let delete =
            core.delete_work(&key(), Selection::All, DeleteOptions::default()).unwrap().unwrap();
        core.commit(vec![delete], || ()).answers.remove(0).unwrap();
    }
}
