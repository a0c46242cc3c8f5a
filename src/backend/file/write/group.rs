//! Writes a group: the work of many callers in one write and one sync.

use std::sync::atomic::Ordering;

use super::flight::{Committed, Flight};
use super::plan::{Plan, Planned};
use super::touched::Touched;
use super::work::{Answer, Work};
use crate::backend::file::core::Core;
use crate::backend::file::core::log::Log;
use crate::backend::file::format::SEAL_BYTES;
use crate::error::{Error, ErrorKind, Retry};

type Outcome = Result<Answer, Error>;

/// Groups of at least this size are synced while the next one is written. Smaller groups are better
/// written together, because two syncs take longer than one.
const OVERLAP_BYTES: u64 = 1 << 20;

/// The result of starting a group.
pub(crate) enum Begun<'a> {
    /// There was nothing to write, or the write failed.
    Done(Vec<Outcome>),
    /// The group was written and must be landed.
    Written(Flight<'a>),
    /// The group needs exclusive access to the log: call [`Core::commit_alone`].
    Alone(Alone),
}

/// A group that needs exclusive access to the log.
pub(crate) enum Alone {
    Works(Vec<Work>),
    /// The write failed, and could not be undone while another group was being synced.
    Plan(Plan),
}

impl Core {
    /// Writes `group`. It is durable and visible when this returns. Calls `next` as soon as the
    /// next group can be started, if that is before the end.
    pub(crate) fn commit(&self, group: Vec<Work>, next: impl FnOnce()) -> Committed {
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

    /// Writes `group` to the log if it can share the log with groups that are not yet synced. This
    /// requires that the group contains only puts that do not involve marks, that no unsynced group
    /// puts the same snapshots, and that it fits into the segment.
    pub(crate) fn begin(&self, group: Vec<Work>) -> Begun<'_> {
        let mut log = self.log_with_flights();
        // A new flight can only be added under this lock.
        let sole = self.flights.is_empty();
        if !self.may_share(&log, &group) {
            return Begun::Alone(Alone::Works(group));
        }
        let mut plan = Plan::with_capacity(group.len());
        for work in group {
            if let Work::Put { items, options } = work {
                self.plan_put(&mut plan, items, &options);
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
            if work.concerns_marks()
                || self.flights.any_puts(items.iter().map(super::work::PutItem::identity))
            {
                return false;
            }
        }
        let fits = log.active.as_ref().is_some_and(|active| {
            let unsealed = !active.segment.sealed.load(Ordering::Relaxed);
            unsealed && active.end + bytes + SEAL_BYTES <= self.config.segment_bytes
        });
        fits && self.health.check_writable("write to the log").is_ok()
    }

    /// Commits a group that needs exclusive access to the log.
    pub(crate) fn commit_alone(&self, alone: Alone) -> Vec<Outcome> {
        let mut log = self.log();
        let group = match alone {
            Alone::Works(group) => group,
            Alone::Plan(mut plan) => {
                if let Err(error) = self.health.check_writable("write to the log") {
                    // The remains of the first attempt can no longer be undone.
                    plan.fail(&error.with_retry(Retry::Unknown));
                    return plan.answers;
                }
                return self.write_alone(&mut log, plan);
            }
        };
        let mut answers = Vec::with_capacity(group.len());
        let mut part = Vec::with_capacity(group.len());
        let mut touched = Touched::new(&group);
        for work in group {
            if touched.is_waited_for(&work, &self.index) {
                answers.extend(self.commit_part(&mut log, std::mem::take(&mut part)));
                touched.clear();
            }
            touched.add(&work);
            part.push(work);
        }
        answers.extend(self.commit_part(&mut log, part));
        answers
    }

    fn commit_part(&self, log: &mut Log, group: Vec<Work>) -> Vec<Outcome> {
        let mut plan = Plan::with_capacity(group.len());
        for (number, work) in group.into_iter().enumerate() {
            let operation = work.operation();
            if let Err(error) = self.health.check_writable(operation) {
                plan.answers.push(Err(error));
                continue;
            }
            match work {
                Work::Put { items, options } => self.plan_put(&mut plan, items, &options),
                Work::Delete { items } => self.plan_delete(&mut plan, items, number),
                Work::Mark(item) => self.plan_mark(&mut plan, &item),
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

    /// Writes and publishes the plan. After an error other than [`Retry::Unknown`], none of its
    /// frames remain.
    fn try_alone(&self, log: &mut Log, plan: &mut Plan) -> Result<(), Error> {
        self.health.check_writable("write to the log")?;
        self.make_room(log, plan.bytes())?;
        let written = match self.append(log, plan) {
            Ok(written) => written,
            Err(error) => return Err(self.take_back(log, error)),
        };
        self.sync(&written)?;
        self.publish(plan, &written);
        Ok(())
    }

    /// Writes only the deletes and marks of a group that found the disk full, using the space freed
    /// by the reserve. The error of the last attempt applies to them.
    fn retry_deletes(&self, log: &mut Log, plan: &mut Plan, error: Error) -> Result<(), Error> {
        if !plan.frames.iter().any(Planned::makes_room) || !self.reserve.release() {
            return Err(error);
        }
        for answer in &mut plan.answers {
            if matches!(answer, Ok(Answer::Put(_))) {
                *answer = Err(error.clone());
            }
        }
        plan.frames.retain(Planned::makes_room);
        self.try_alone(log, plan)
    }

    /// Undoes a failed write. Returns the error that describes the outcome.
    fn take_back(&self, log: &mut Log, error: Error) -> Error {
        let Some(active) = &mut log.active else { return error };
        self.roll_back(active, "write to the log").err().unwrap_or(error)
    }
}
