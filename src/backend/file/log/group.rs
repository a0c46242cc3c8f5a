//! Writing a group: the work of many callers in one write and one sync.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use super::super::core::Core;
use super::super::index::{Item, Place};
use super::super::layout::{Kind, SEAL_BYTES, Scope, frame_bytes};
use super::super::tag::Tag;
use super::append::Written;
use super::flight::Flight;
use super::plan::{Effect, Plan, Planned};
use super::{Answer, Log, Work};
use crate::error::{Error, ErrorKind, Retry};
use crate::store::Deleted;

type Outcome = Result<Answer, Error>;

/// From this size on a group is synced while the next one is written. Smaller ones are better off
/// together: two syncs take longer than one.
const OVERLAP_BYTES: u64 = 1 << 20;

/// What became of a group.
pub(in super::super) struct Committed {
    /// One for each of its works.
    pub(in super::super) answers: Vec<Outcome>,
    /// Freed with this, which had better be after everyone was answered: it takes its time.
    pub(super) _spent: Vec<Planned>,
}

/// What became of a group when it was begun.
pub(in super::super) enum Begun<'a> {
    /// There was nothing to write, or it could not be written.
    Done(Vec<Outcome>),
    /// Written; to be landed.
    Written(Flight<'a>),
    /// It needs the log to itself: for [`Core::commit_alone`].
    Alone(Alone),
}

/// A group that needs the log to itself.
pub(in super::super) enum Alone {
    Works(Vec<Work>),
    /// Its write failed, and could not be taken back while another group was synced.
    Plan(Plan),
}

impl Core {
    /// Writes all of `group`, durable and visible when it returns. Calls `next` when the next group
    /// may be begun, if that is before the end.
    pub(in super::super) fn commit(&self, group: Vec<Work>, next: impl FnOnce()) -> Committed {
        let answers = match self.begin(group) {
            Begun::Done(answers) => answers,
            Begun::Written(flight) => {
                let turn = self.flights.turn();
                if flight.bytes() >= OVERLAP_BYTES {
                    next();
                }
                return flight.land(turn);
            }
            Begun::Alone(alone) => self.commit_alone(alone),
        };
        Committed { answers, _spent: Vec::new() }
    }

    /// Writes `group` to the log, if it can share it with those that are not yet synced: it has
    /// only puts, none of a snapshot that one of those puts, and fits into the segment.
    pub(in super::super) fn begin(&self, group: Vec<Work>) -> Begun<'_> {
        let mut log = self.log_with_flights();
        // Groups take off only under the lock that is held here.
        let sole = self.flights.is_empty();
        if !self.may_share(&log, &group) {
            return Begun::Alone(Alone::Works(group));
        }
        let mut plan = Plan::with_capacity(group.len());
        for work in group {
            if let Work::Put { items, replace } = work {
                self.plan_put(&mut plan, items, replace);
            }
        }
        if plan.frames.is_empty() {
            return Begun::Done(plan.answers);
        }
        match self.append(&mut log, &plan) {
            Ok(written) => Begun::Written(Flight::new(self, plan, written)),
            Err(error) if sole => {
                plan.fail(&self.take_back(&mut log, error));
                Begun::Done(plan.answers)
            }
            Err(_) => Begun::Alone(Alone::Plan(plan)),
        }
    }

    fn may_share(&self, log: &Log, group: &[Work]) -> bool {
        let mut bytes = 0;
        for work in group {
            let Work::Put { items, .. } = work else { return false };
            bytes += work.bytes();
            if self.flights.any_puts(items.iter().map(super::PutItem::identity)) {
                return false;
            }
        }
        let fits = log.active.as_ref().is_some_and(|active| {
            let unsealed = !active.segment.sealed.load(Ordering::Relaxed);
            unsealed && active.end + bytes + SEAL_BYTES <= self.config.segment_bytes
        });
        fits && self.check_writable("write to the log").is_ok()
    }

    /// [`commit`](Self::commit) for a group that needs the log to itself.
    pub(in super::super) fn commit_alone(&self, alone: Alone) -> Vec<Outcome> {
        let mut log = self.log();
        let group = match alone {
            Alone::Works(group) => group,
            Alone::Plan(mut plan) => {
                if let Err(error) = self.check_writable("write to the log") {
                    // What the first attempt has left cannot be taken back any more.
                    plan.fail(&error.with_retry(Retry::Unknown));
                    return plan.answers;
                }
                return self.write_alone(&mut log, plan);
            }
        };
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

    fn commit_part(&self, log: &mut Log, group: Vec<Work>) -> Vec<Outcome> {
        let mut plan = Plan::with_capacity(group.len());
        for (number, work) in group.into_iter().enumerate() {
            let operation = work.operation();
            if let Err(error) = self.check_writable(operation) {
                plan.answers.push(Err(error));
                continue;
            }
            match work {
                Work::Put { items, replace } => self.plan_put(&mut plan, items, replace),
                Work::Delete { items } => self.plan_delete(&mut plan, items, number),
            }
        }
        self.write_alone(log, plan)
    }

    fn write_alone(&self, log: &mut Log, mut plan: Plan) -> Vec<Outcome> {
        if plan.frames.is_empty() {
            return plan.answers;
        }
        if let Err(error) = self.try_alone(log, &mut plan) {
            let makes_room =
                error.kind() == ErrorKind::OutOfSpace && error.retry() != Retry::Unknown;
            let retried =
                if makes_room { self.retry_deletes(log, &mut plan, error) } else { Err(error) };
            if let Err(error) = retried {
                plan.fail(&error);
            }
        }
        plan.answers
    }

    /// An error that is not [`Retry::Unknown`] leaves nothing of the frames behind.
    fn try_alone(&self, log: &mut Log, plan: &mut Plan) -> Result<(), Error> {
        self.check_writable("write to the log")?;
        self.make_room(log, plan.bytes())?;
        let written = match self.append(log, plan) {
            Ok(written) => written,
            Err(error) => return Err(self.take_back(log, error)),
        };
        self.sync(&written)?;
        self.publish(plan, &written);
        Ok(())
    }

    /// Writes just the deletes of a group that found the disk full, into the space that the
    /// reserve gives up. What became of them is told by the error of the last attempt.
    fn retry_deletes(&self, log: &mut Log, plan: &mut Plan, error: Error) -> Result<(), Error> {
        if !plan.frames.iter().any(|frame| frame.kind == Kind::Delete) || !self.release_reserve() {
            return Err(error);
        }
        for answer in &mut plan.answers {
            if matches!(answer, Ok(Answer::Put(_))) {
                *answer = Err(error.clone());
            }
        }
        plan.frames.retain(|frame| frame.kind == Kind::Delete);
        self.try_alone(log, plan)
    }

    /// Takes back what a failed write has left; the error that says what became of it.
    fn take_back(&self, log: &mut Log, error: Error) -> Error {
        let Some(active) = &mut log.active else { return error };
        self.roll_back(active, "write to the log").err().unwrap_or(error)
    }

    /// Makes frames visible that are durable.
    pub(super) fn publish(&self, plan: &mut Plan, written: &Written) {
        let segment = &written.segment;
        let (mut added, mut removed) = (0, 0);
        let Plan { frames, answers, .. } = plan;
        for (frame, offset) in frames.iter().zip(&written.offsets) {
            match &frame.effect {
                Effect::Put { id, generation, as_of } => {
                    segment.add_live(frame.total_bytes());
                    added += 1;
                    let len = u32::try_from(frame.body.len()).unwrap_or(u32::MAX);
                    let place =
                        Place { slot: segment.slot, offset: *offset, len, generation: *generation };
                    let item = Item { version: id.version, place };
                    if let Some(old) = self.index.insert(frame.tag, item, *as_of) {
                        self.forget(&old);
                        removed += 1;
                    }
                }
                Effect::Delete { scope, work } => {
                    let deleted = self.remove(frame.tag, scope);
                    removed += deleted.snapshots;
                    if let Some(Ok(Answer::Delete(sum))) = answers.get_mut(*work) {
                        *sum = [*sum, deleted].into_iter().sum();
                    }
                }
            }
        }
        self.snapshots.fetch_add(added, Ordering::Relaxed);
        self.snapshots.fetch_sub(removed, Ordering::Relaxed);
        if removed > 0 {
            self.chores.note();
        }
    }

    /// Takes snapshots out of the index.
    fn remove(&self, tag: Tag, scope: &Scope) -> Deleted {
        let covers = self.covers(scope);
        let mut deleted = Deleted::default();
        self.index.remove(tag, |item| {
            let covered = covers(item.place.generation, item.version);
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
            segment.drop_live(frame_bytes(item.place.len.into()));
        }
    }
}
