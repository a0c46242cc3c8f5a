//! [`Polling`]: finds due runs, and starts as many as there are places for.

use std::collections::{HashMap, HashSet, VecDeque};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::event::SchedulerEvent;
use super::lease::answered;
use super::race::{Winner, first};
use super::report::RunReport;
use super::run::{DueRun, RunEnd};
use super::settings::Settings;
use crate::error::Error;
use crate::ledger::{Schedule, ScheduleKey, Task};
use crate::manager::SnapshotAdmin;
use crate::service::work::panicked;
use crate::timestamp::Timestamp;

/// How many due schedules are asked for at once.
const FEW: usize = 256;
/// The same if none of them can be run here. A ledger returns no more.
const MOST: usize = 10_000;
/// The number of schedules whose report as ignored is remembered.
const MAX_REPORTED: usize = 10_000;

pub(super) struct Polling {
    settings: Arc<Settings>,
    stopped: watch::Receiver<bool>,
    runs: JoinSet<RunEnd>,
    /// The schedules of `runs`.
    running: HashMap<Id, ScheduleKey>,
    /// Due runs that wait for a place.
    queue: VecDeque<DueRun>,
    /// How many due schedules to ask for.
    limit: usize,
    /// Whether the ledger may have more due runs than it returned.
    has_more: bool,
    /// Ignored schedules that were reported, with the time of their last change.
    reported: HashMap<ScheduleKey, Timestamp>,
    polls: u64,
}

enum Woken {
    Shutdown,
    Run(Result<(Id, RunEnd), JoinError>),
    Time,
}

impl Polling {
    pub(super) fn new(settings: Arc<Settings>, stopped: watch::Receiver<bool>) -> Self {
        Self {
            settings,
            stopped,
            runs: JoinSet::new(),
            running: HashMap::new(),
            queue: VecDeque::new(),
            limit: FEW,
            has_more: false,
            reported: HashMap::new(),
            polls: 0,
        }
    }

    /// Polls and runs until `shutdown` completes.
    pub(super) async fn run(&mut self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = pin!(shutdown);
        let mut next_poll = Instant::now();
        loop {
            let has_place = self.runs.len() < self.settings.runs;
            let goes_on = self.queue.is_empty() && self.has_more && has_place;
            if goes_on || Instant::now() >= next_poll {
                match first(shutdown.as_mut(), self.fetch()).await {
                    Winner::Left(()) => break,
                    Winner::Right(Ok(())) => {}
                    Winner::Right(Err(error)) => self.ledger_failed(&error),
                }
                self.polls += 1;
                next_poll = Instant::now() + self.settings.wait(self.polls);
            }
            self.start();
            match self.woken(shutdown.as_mut(), next_poll).await {
                Woken::Shutdown => break,
                Woken::Run(joined) => drop(self.ended(joined)),
                Woken::Time => {}
            }
        }
        self.queue.clear();
    }

    async fn woken(
        &mut self,
        mut shutdown: Pin<&mut impl Future<Output = ()>>,
        next_poll: Instant,
    ) -> Woken {
        let mut time = pin!(sleep_until(next_poll));
        poll_fn(|context| {
            if shutdown.as_mut().poll(context).is_ready() {
                return Poll::Ready(Woken::Shutdown);
            }
            if let Poll::Ready(Some(joined)) = self.runs.poll_join_next_with_id(context) {
                return Poll::Ready(Woken::Run(joined));
            }
            time.as_mut().poll(context).map(|()| Woken::Time)
        })
        .await
    }

    /// Asks for all due runs, once.
    pub(super) async fn fetch_all(&mut self) -> Result<(), Error> {
        self.limit = MOST;
        self.fetch().await
    }

    /// Starts what waits, and waits for all runs.
    pub(super) async fn finish(&mut self) -> Vec<RunReport> {
        let mut reports = Vec::new();
        loop {
            self.start();
            let Some(joined) = self.runs.join_next_with_id().await else { return reports };
            reports.extend(self.ended(joined));
        }
    }

    /// Replaces the queue by the runs that are due now.
    async fn fetch(&mut self) -> Result<(), Error> {
        self.queue.clear();
        self.has_more = false;
        loop {
            let now = self.settings.clock.now();
            let (ledger, limit) = (Arc::clone(&self.settings.ledger), self.limit);
            // In a task, so that a panic of the ledger is an error.
            let mut asking = JoinSet::new();
            asking.spawn(async move { ledger.due(now, limit).await });
            let asked = async {
                let joined = asking.join_next().await;
                joined.map_or(Ok(Vec::new()), |it| it.unwrap_or_else(|join| Err(panicked(join))))
            };
            let found = answered(self.settings.lease, asked).await?;
            let is_full = found.len() >= self.limit;
            let ignored = self.queue_up(found, now);
            self.settings.counters.polled(now, ignored);
            self.has_more = is_full && !self.queue.is_empty();
            // Runs of other nodes must not hide those of this one.
            if !is_full || !self.queue.is_empty() || self.limit >= MOST {
                if !is_full {
                    self.limit = FEW;
                }
                return Ok(());
            }
            self.limit = (self.limit * 4).min(MOST);
        }
    }

    /// Puts those runs into the queue that can be made here and now; returns how many schedules are
    /// ignored.
    fn queue_up(&mut self, found: Vec<Schedule>, now: Timestamp) -> usize {
        let mut ignored = 0;
        let running: HashSet<ScheduleKey> = self.running.values().cloned().collect();
        let mut runs = Vec::new();
        for schedule in found {
            let Some(due) = schedule.due_at(now) else { continue };
            if running.contains(&schedule.key) {
                continue;
            }
            match self.runnable(&schedule, due, now) {
                Ok(admin) => {
                    let delay = self.settings.delay(&schedule, due);
                    if due.saturating_add(delay) <= now {
                        runs.push(DueRun { schedule, due, admin });
                    }
                }
                Err(reason) => {
                    ignored += 1;
                    self.ignore(&schedule, &reason);
                }
            }
        }
        // By whole seconds, and in an order of this node within one.
        runs.sort_by_cached_key(|run| {
            let second = run.due.as_micros().div_euclid(1_000_000);
            (second, self.settings.order(&run.schedule.key))
        });
        self.queue.extend(runs);
        ignored
    }

    /// The admin that runs `schedule`, or why it cannot be run here.
    fn runnable(
        &self,
        schedule: &Schedule,
        due: Timestamp,
        now: Timestamp,
    ) -> Result<Arc<dyn SnapshotAdmin>, String> {
        if let Task::Unknown(task) = &schedule.task {
            return Err(task.why());
        }
        if let Err(error) = schedule.cadence.following(due, now) {
            return Err(format!("{error:#}"));
        }
        let admin = self.settings.kinds.get(schedule.key.kind());
        admin.map(Arc::clone).ok_or_else(|| "its kind is not registered here".to_owned())
    }

    fn ignore(&mut self, schedule: &Schedule, reason: &str) {
        if self.reported.get(&schedule.key) == Some(&schedule.updated_at) {
            return;
        }
        if self.reported.len() >= MAX_REPORTED {
            self.reported.clear();
        }
        self.reported.insert(schedule.key.clone(), schedule.updated_at);
        self.settings.report(&SchedulerEvent::Ignored { schedule, reason });
    }

    /// Starts waiting runs while there are places.
    fn start(&mut self) {
        while self.runs.len() < self.settings.runs
            && let Some(run) = self.queue.pop_front()
        {
            let key = run.schedule.key.clone();
            let run = run.make(Arc::clone(&self.settings), self.stopped.clone());
            self.running.insert(self.runs.spawn(run).id(), key);
        }
        self.settings.counters.running(self.runs.len());
    }

    fn ended(&mut self, joined: Result<(Id, RunEnd), JoinError>) -> Option<RunReport> {
        let (id, end) = match joined {
            Ok(ended) => ended,
            Err(join) => (join.id(), RunEnd::ClaimFailed(panicked(join))),
        };
        self.running.remove(&id);
        self.settings.counters.running(self.runs.len());
        match end {
            RunEnd::NotClaimed => None,
            RunEnd::ClaimFailed(error) => {
                self.ledger_failed(&error);
                None
            }
            RunEnd::Ended(report) => {
                self.settings.report(&SchedulerEvent::Ended(&report));
                Some(*report)
            }
        }
    }

    /// Reports the failure, and asks for nothing before the next poll.
    fn ledger_failed(&mut self, error: &Error) {
        self.queue.clear();
        self.has_more = false;
        self.settings.report(&SchedulerEvent::LedgerFailed { error });
    }
}

impl Drop for Polling {
    fn drop(&mut self) {
        self.settings.counters.running(0);
    }
}
