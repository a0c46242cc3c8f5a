//! Writing a group: the work of many callers in one write and one sync.

use std::collections::{HashMap, HashSet};
use std::io::{self, IoSlice};
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::super::config::Durability;
use super::super::core::Core;
use super::super::disk::write_all;
use super::super::fault::{corrupt, io_error};
use super::super::index::{Item, Place};
use super::super::layout::{FRAME_BYTES, Frame, Kind, MAX_SEQ, Scope, padded};
use super::super::names;
use super::super::tag::Tag;
use super::{Active, Answer, DeleteItem, Log, PutItem, Work};
use crate::envelope::Record;
use crate::error::{Error, ErrorKind, Retry};
use crate::snapshot_id::SnapshotId;
use crate::store::{Deleted, PutOutcome};

/// Bodies up to this length are copied together; longer ones are written from where they are.
const COPIED: usize = 1 << 10;

/// A frame that is to be written, and what it changes.
struct Planned {
    kind: Kind,
    more: bool,
    body: Bytes,
    checksum: u32,
    tag: Tag,
    effect: Effect,
}

enum Effect {
    Put {
        id: SnapshotId,
        generation: u32,
    },
    /// Also counts towards the answer of the work with this number.
    Delete {
        scope: Scope,
        work: usize,
    },
}

/// The frames of a group, and the answers that hold once they are durable.
#[derive(Default)]
struct Plan {
    frames: Vec<Planned>,
    answers: Vec<Result<Answer, Error>>,
    /// The snapshots that this group puts, for those who put the same ones again.
    fresh: HashMap<(Tag, u32, u64), Record>,
}

impl Core {
    /// Writes all of `group`, durable and visible when it returns; one answer for each.
    pub(in super::super) fn commit(&self, group: Vec<Work>) -> Vec<Result<Answer, Error>> {
        let mut log = self.log();
        let mut answers = Vec::with_capacity(group.len());
        let mut part = Vec::with_capacity(group.len());
        // A put that follows a delete of the same aggregate depends on what is left: it waits
        // until the delete is done.
        let mut deleted = HashSet::new();
        for work in group {
            match &work {
                Work::Delete { items } => deleted.extend(items.iter().map(|item| item.tag)),
                Work::Put { items, .. } if !deleted.is_empty() => {
                    if items.iter().any(|item| deleted.contains(&item.tag)) {
                        answers.extend(self.commit_part(&mut log, std::mem::take(&mut part)));
                        deleted.clear();
                    }
                }
                Work::Put { .. } => {}
            }
            part.push(work);
        }
        answers.extend(self.commit_part(&mut log, part));
        answers
    }

    fn commit_part(&self, log: &mut Log, group: Vec<Work>) -> Vec<Result<Answer, Error>> {
        let alone = group.len() == 1 && group.iter().all(|work| work.len() == 1);
        let mut plan = Plan::default();
        let mut deletes = Vec::new();
        for (number, work) in group.into_iter().enumerate() {
            let operation = work.operation();
            if let Err(error) = self.check_writable(operation) {
                plan.answers.push(Err(error));
                continue;
            }
            match work {
                Work::Put { items, replace } => self.plan_put(&mut plan, items, replace, alone),
                Work::Delete { items } => {
                    deletes.push((number, plan.frames.len()));
                    self.plan_delete(&mut plan, items, number);
                }
            }
        }
        if plan.frames.is_empty() {
            return plan.answers;
        }
        match self.append(log, &plan.frames) {
            Ok(offsets) => {
                self.publish(log, &mut plan, offsets);
                return plan.answers;
            }
            Err(error) => {
                let makes_room = error.kind() == ErrorKind::OutOfSpace
                    && error.retry() != Retry::Unknown
                    && !deletes.is_empty();
                if !(makes_room && self.retry_deletes(log, &mut plan, &error)) {
                    plan.fail(&error);
                }
            }
        }
        plan.answers
    }

    /// Writes just the deletes of a group that found the disk full, into the space that the
    /// reserve gives up.
    fn retry_deletes(&self, log: &mut Log, plan: &mut Plan, error: &Error) -> bool {
        if !self.release_reserve() {
            return false;
        }
        for answer in &mut plan.answers {
            if matches!(answer, Ok(Answer::Put(_))) {
                *answer = Err(error.clone());
            }
        }
        plan.frames.retain(|frame| frame.kind == Kind::Delete);
        match self.append(log, &plan.frames) {
            Ok(offsets) => {
                self.publish(log, plan, offsets);
                true
            }
            Err(_) => false,
        }
    }

    fn plan_put(&self, plan: &mut Plan, items: Vec<PutItem>, replace: bool, alone: bool) {
        let first = plan.frames.len();
        let mut outcomes = Vec::with_capacity(items.len());
        for item in items {
            let identity = (item.tag, item.generation, item.id.version);
            match self.existing(plan, identity, &item.record) {
                Err(error) => {
                    // Nothing of the batch is written; what others of the group saw of it, they
                    // may see again when they try again.
                    for frame in plan.frames.drain(first..) {
                        if let Effect::Put { id, generation } = frame.effect {
                            plan.fresh.remove(&(frame.tag, generation, id.version));
                        }
                    }
                    plan.answers.push(Err(error));
                    return;
                }
                Ok(Some(identical)) if !replace => {
                    outcomes.push(PutOutcome::Existing { identical });
                    continue;
                }
                Ok(Some(_)) => outcomes.push(PutOutcome::Replaced),
                Ok(None) => outcomes.push(PutOutcome::Stored),
            }
            if !alone {
                plan.fresh.insert(identity, item.record.clone());
            }
            plan.frames.push(Planned {
                kind: Kind::Put,
                more: true,
                body: item.record.into_bytes(),
                checksum: item.checksum,
                tag: item.tag,
                effect: Effect::Put { id: item.id, generation: item.generation },
            });
        }
        plan.close_batch(first);
        plan.answers.push(Ok(Answer::Put(outcomes)));
    }

    /// Whether the snapshot is there already, or comes earlier in the group; if so, whether it has
    /// the same payload.
    fn existing(
        &self,
        plan: &Plan,
        (tag, generation, version): (Tag, u32, u64),
        record: &Record,
    ) -> Result<Option<bool>, Error> {
        if let Some(fresh) = plan.fresh.get(&(tag, generation, version)) {
            return Ok(Some(fresh.has_payload_of(record)));
        }
        let there = self
            .index
            .exact(tag, generation, version, |item| (self.segments.get(item.place.slot), item));
        let Some((Some(segment), item)) = there else { return Ok(None) };
        let offset = item.place.offset + FRAME_BYTES;
        let bytes = segment.file.read(offset, item.place.len as usize).map_err(|error| {
            io_error("put a snapshot", &self.path(&names::segment(segment.id)), error)
        })?;
        let stored = Record::from_bytes(bytes);
        if let (Ok(ours), Ok(theirs)) = (record.header(), stored.header())
            && (ours.tenant, ours.kind, ours.id) != (theirs.tenant, theirs.kind, theirs.id)
        {
            let why = "two aggregates have the same hash: one of them cannot be stored";
            return Err(corrupt("put a snapshot", self.dir(), why));
        }
        Ok(Some(stored.has_payload_of(record)))
    }

    fn plan_delete(&self, plan: &mut Plan, items: Vec<DeleteItem>, work: usize) {
        let first = plan.frames.len();
        for item in items {
            let covers = self.covers(&item.scope);
            let found = self.index.list(item.tag, u64::MAX, |found, _| {
                // One is enough to know that the frame is needed.
                !found.last().is_some_and(&covers)
            });
            if !found.iter().any(covers) {
                continue;
            }
            plan.frames.push(Planned {
                kind: Kind::Delete,
                more: true,
                body: item.body,
                checksum: item.checksum,
                tag: item.tag,
                effect: Effect::Delete { scope: item.scope, work },
            });
        }
        plan.close_batch(first);
        plan.answers.push(Ok(Answer::Delete(Deleted::default())));
    }

    /// Tells which snapshots of an aggregate a delete covers.
    pub(in super::super) fn covers(&self, scope: &Scope) -> impl Fn(&Item) -> bool + use<> {
        let (all, below, ids) = match scope {
            Scope::All => (true, 0, Vec::new()),
            Scope::Below(version) => (false, *version, Vec::new()),
            Scope::Ids(ids) => {
                let number =
                    |id: &SnapshotId| Some((id.version, self.generations.find(id.generation)?));
                let mut ids: Vec<_> = ids.iter().filter_map(number).collect();
                ids.sort_unstable();
                (false, 0, ids)
            }
        };
        move |item| {
            all || item.version < below
                || ids.binary_search(&(item.version, item.place.generation)).is_ok()
        }
    }

    /// Writes and syncs the frames; returns where each begins. An error that is not
    /// [`Retry::Unknown`] leaves nothing of them behind.
    fn append(&self, log: &mut Log, frames: &[Planned]) -> Result<Vec<u64>, Error> {
        let operation = "write to the log";
        let total: u64 = frames.iter().map(Planned::total_bytes).sum();
        self.make_room(log, total)?;
        if log.next_seq + frames.len() as u64 > MAX_SEQ {
            let message = "all sequence numbers are used up: move the snapshots to a new store";
            return Err(Error::new(ErrorKind::OutOfSpace, operation, message));
        }
        let Log { active: Some(active), next_seq, scratch, .. } = log else {
            return Err(Error::new(ErrorKind::Store, operation, "there is no segment"));
        };
        if active.end + total > Place::MAX_OFFSET {
            let message = "the batch exceeds 2 GiB: split it";
            return Err(Error::new(ErrorKind::InvalidInput, operation, message));
        }
        let offsets = encode(active, frames, *next_seq, scratch);
        let path = || self.path(&names::segment(active.segment.id));
        if let Err(error) = write(active, frames, scratch) {
            self.roll_back(active, operation)?;
            return Err(io_error(operation, &path(), error));
        }
        if self.config.durability == Durability::Sync {
            let synced = active.segment.file.sync();
            synced.map_err(|error| self.unknown(operation, &path(), error))?;
            active.synced = active.end + total;
        }
        active.end += total;
        *next_seq += frames.len() as u64;
        Ok(offsets)
    }

    /// Makes frames visible that are durable.
    fn publish(&self, log: &mut Log, plan: &mut Plan, offsets: Vec<u64>) {
        let Some(active) = &mut log.active else { return };
        let first = log.next_seq - plan.frames.len() as u64;
        let segment = &active.segment;
        segment.bytes.store(active.end, Ordering::Relaxed);
        let (mut added, mut removed) = (0, 0);
        for (seq, (frame, offset)) in (first..).zip(plan.frames.drain(..).zip(offsets)) {
            let total = frame.total_bytes();
            let len = u32::try_from(frame.body.len()).unwrap_or(u32::MAX);
            active.seal.min_seq = active.seal.min_seq.min(seq);
            active.seal.max_seq = active.seal.max_seq.max(seq);
            match frame.effect {
                Effect::Put { id, generation } => {
                    active.seal.puts += 1;
                    active.hints.push_put(seq, len, frame.tag, id);
                    segment.count_put(seq);
                    segment.add_live(total);
                    added += 1;
                    let place = Place { slot: segment.slot, offset, len, generation };
                    let item = Item { version: id.version, place };
                    if let Some(old) = self.index.insert(frame.tag, item) {
                        self.forget(&old);
                        removed += 1;
                    }
                }
                Effect::Delete { scope, work } => {
                    active.seal.deletes += 1;
                    active.hints.push_delete(seq, len, frame.tag, &scope);
                    segment.count_delete(seq, total);
                    let deleted = self.remove(frame.tag, &scope);
                    removed += deleted.snapshots;
                    if let Some(Ok(Answer::Delete(sum))) = plan.answers.get_mut(work) {
                        *sum = [*sum, deleted].into_iter().sum();
                    }
                }
            }
        }
        self.snapshots.fetch_add(added, Ordering::Relaxed);
        self.snapshots.fetch_sub(removed, Ordering::Relaxed);
        if removed > 0 || log.wants_segment(self.config.segment_bytes) {
            self.chores.note();
        }
    }

    /// Takes snapshots out of the index.
    fn remove(&self, tag: Tag, scope: &Scope) -> Deleted {
        let covers = self.covers(scope);
        let mut deleted = Deleted::default();
        self.index.remove(tag, |item| {
            let covered = covers(item);
            if covered {
                deleted.snapshots += 1;
                deleted.bytes += u64::from(item.place.len);
                self.forget(item);
            }
            covered
        });
        deleted
    }

    /// Counts a snapshot as dead that has left the index.
    fn forget(&self, item: &Item) {
        if let Some(segment) = self.segments.get(item.place.slot) {
            segment.drop_live(FRAME_BYTES + padded(item.place.len.into()));
        }
    }
}

impl Plan {
    /// The last frame from `first` on ends its batch.
    fn close_batch(&mut self, first: usize) {
        if let Some(last) = self.frames.get_mut(first..).and_then(<[_]>::last_mut) {
            last.more = false;
        }
    }

    fn fail(&mut self, error: &Error) {
        for answer in &mut self.answers {
            if answer.is_ok() {
                *answer = Err(error.clone());
            }
        }
    }
}

impl Planned {
    fn total_bytes(&self) -> u64 {
        FRAME_BYTES + padded(self.body.len() as u64)
    }
}

impl Work {
    fn len(&self) -> usize {
        match self {
            Self::Put { items, .. } => items.len(),
            Self::Delete { items } => items.len(),
        }
    }
}

/// Fills `scratch` with everything but the long bodies; returns where each frame begins.
fn encode(active: &Active, frames: &[Planned], mut seq: u64, scratch: &mut Vec<u8>) -> Vec<u64> {
    scratch.clear();
    let mut offset = active.end;
    let mut offsets = Vec::with_capacity(frames.len());
    for planned in frames {
        let frame = Frame {
            kind: planned.kind,
            more: planned.more,
            seq,
            body_bytes: u32::try_from(planned.body.len()).unwrap_or(u32::MAX),
            body_checksum: planned.checksum,
            durable_below: active.synced,
        };
        scratch.extend_from_slice(&frame.to_bytes(active.segment.salt, offset));
        if planned.body.len() <= COPIED {
            scratch.extend_from_slice(&planned.body);
        }
        let padding = padded(planned.body.len() as u64) - planned.body.len() as u64;
        scratch.extend(std::iter::repeat_n(0, usize::try_from(padding).unwrap_or(0)));
        offsets.push(offset);
        offset += frame.total_bytes();
        seq += 1;
    }
    offsets
}

fn write(active: &Active, frames: &[Planned], scratch: &[u8]) -> io::Result<()> {
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
    write_all(&*active.segment.file, active.end, &mut pieces)
}
