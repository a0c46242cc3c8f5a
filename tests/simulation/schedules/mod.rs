//! Schedules that several nodes run: on time, and never lost, however often nodes die.
//!
//! All nodes share one ledger and run on the paused time of tokio, so a seed decides everything.
//! The ledger keeps a log, against which the promises are checked: a run is completed only after
//! its work was done, it is repeated only after its lease has ended, no two nodes ever work on it at
//! the same time, and none is skipped.

mod world;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant as RealInstant};

use snapfold::engine::{Clock, SystemClock};
use snapfold::ledger::{Cadence, Ledger, Schedule, ScheduleKey, StoreLedger};
use snapfold::manager::Kinds;
use snapfold::service::{RunOutcome, RunReport, Scheduler, SchedulerEvent};
use snapfold::{AggregateKey, MemoryStore, Timestamp};
use tokio::time::{Instant, sleep};

use world::{End, KIND, Logged, Logs, START, SimClock, Sleepers};

const LEASE: Duration = Duration::from_secs(10);

fn schedule_key(number: usize) -> ScheduleKey {
    AggregateKey::new(KIND, &number.to_string()).unwrap().into()
}

/// What the nodes of one simulation share.
struct Nodes {
    origin: Instant,
    store: MemoryStore,
    logs: Logs,
    sleepers: Sleepers,
    reports: Arc<Mutex<Vec<RunReport>>>,
}

impl Nodes {
    fn new(seed: u64, takes: std::ops::RangeInclusive<u64>, fails: u8) -> Self {
        let (origin, logs) = (Instant::now(), Logs::default());
        let random = Arc::new(Mutex::new(fastrand::Rng::with_seed(seed)));
        let clock = SimClock::right(origin);
        let sleepers = Sleepers { clock, logs: Arc::clone(&logs), random, takes, fails };
        let (store, reports) = (MemoryStore::new(), Arc::default());
        Self { origin, store, logs, sleepers, reports }
    }

    fn ledger(&self) -> Logged {
        Logged::new(StoreLedger::new(self.store.clone()), Arc::clone(&self.logs))
    }

    fn scheduler(&self, name: &str, ledger: &Logged, ahead_micros: i64) -> Scheduler {
        let kinds = Kinds::new().with(self.sleepers.clone()).unwrap();
        let reports = Arc::clone(&self.reports);
        Scheduler::new(Arc::new(ledger.clone()), kinds, name)
            .unwrap()
            .lease(LEASE)
            .clock(SimClock { origin: self.origin, ahead_micros })
            .on_event(move |event: &SchedulerEvent<'_>| {
                assert!(!event.to_string().contains('\n'));
                if let SchedulerEvent::Ended(report) = event {
                    reports.lock().unwrap().push((*report).clone());
                }
            })
    }
}

/// The share of `reports` that started within a second of their time, and the largest delay.
fn punctuality(reports: &[RunReport]) -> (f64, Duration) {
    let late: Vec<_> = reports.iter().map(RunReport::late_by).collect();
    let punctual = late.iter().filter(|late| **late <= Duration::from_secs(1)).count();
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    let share = punctual as f64 / late.len() as f64;
    (share, late.into_iter().max().unwrap_or_default())
}

/// 10,000 schedules that are due within 100 seconds, each once, on three nodes.
async fn ten_thousand(of: impl Fn(Scheduler) -> Scheduler, start: Timestamp) -> (f64, Duration) {
    let nodes = Nodes::new(1, 10..=200, 0);
    let ledger = nodes.ledger();
    let mut random = fastrand::Rng::with_seed(7);
    let hourly = Cadence::every(Duration::from_secs(3_600)).unwrap();
    for number in 0..10_000 {
        let due = start.saturating_add(Duration::from_millis(random.u64(5_000..105_000)));
        let schedule = Schedule::new(schedule_key(number), hourly.clone(), start).unwrap();
        ledger.put_schedule(&schedule.next_run(Some(due))).await.unwrap();
    }
    let running: Vec<_> = (0..3)
        .map(|node| {
            // One handle, as of one process: else most of the time goes into parsing.
            let scheduler = nodes.scheduler(&format!("node-{node}"), &ledger, 0);
            let scheduler = of(scheduler).runs_at_once(16).aggregates_at_once(16);
            tokio::spawn(async move { scheduler.run(sleep(Duration::from_secs(120))).await })
        })
        .collect();
    for node in running {
        node.await.unwrap();
    }
    let reports = nodes.reports.lock().unwrap();
    assert_eq!(reports.len(), 10_000);
    assert!(reports.iter().all(|report| matches!(report.outcome, RunOutcome::Completed)));
    punctuality(&reports)
}

#[tokio::test(start_paused = true)]
async fn of_10_000_schedules_99_percent_start_within_a_second() {
    let began = RealInstant::now();
    let (share, latest) = ten_thousand(|scheduler| scheduler, START).await;
    println!("schedules: {share:.4} within a second, the latest {latest:?}, {:?}", began.elapsed());
    assert!(share >= 0.99, "{share}");
}

/// The same in two minutes of real time, on request only.
#[test]
fn of_10_000_schedules_99_percent_start_within_a_second_of_real_time() {
    if std::env::var_os("SCHEDULES_REAL").is_none() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build().unwrap();
    let (share, latest) = runtime.block_on(async {
        let clock = SystemClock::new();
        let start = clock.now();
        ten_thousand(move |scheduler| scheduler.clock(clock.clone()), start).await
    });
    println!("schedules: {share:.4} within a second of real time, the latest {latest:?}");
    assert!(share >= 0.99, "{share}");
}

/// What nodes that die are to prove.
struct Killing {
    seed: u64,
    /// How many nodes die with a run in progress.
    deaths: usize,
    /// By how much each clock may be wrong, either way.
    skew: Duration,
    /// Whether ledgers hang for a minute now and then.
    hangs: bool,
}

/// What became of it.
struct Outcome {
    completed: usize,
    /// Runs that failed, and were left to the next one, which was due.
    left: usize,
    repeated: u64,
    failed: usize,
    /// The longest time for which two nodes worked on one run.
    overlap: Duration,
    lines: Vec<String>,
}

const SCHEDULES: usize = 100;

/// A node that is up, and when it dies.
struct Node {
    scheduler: Scheduler,
    ledger: Logged,
    task: tokio::task::JoinHandle<()>,
    dies: Instant,
}

impl Killing {
    fn spawn(&self, nodes: &Nodes, random: &mut fastrand::Rng, name: usize) -> Node {
        let skew = i64::try_from(self.skew.as_micros()).unwrap();
        let ledger = nodes.ledger();
        let scheduler = nodes
            .scheduler(&format!("node-{name}"), &ledger, random.i64(-skew..=skew))
            .poll_interval(Duration::from_secs(1))
            .seed(random.u64(..));
        let own = scheduler.clone();
        let task = tokio::spawn(async move { own.run(std::future::pending()).await });
        let dies = Instant::now() + Duration::from_millis(random.u64(1_000..20_000));
        Node { scheduler, ledger, task, dies }
    }

    async fn run(&self) -> Outcome {
        let nodes = Nodes::new(self.seed, 100..=12_000, 5);
        let mut random = fastrand::Rng::with_seed(self.seed);
        let ledger = nodes.ledger();
        for number in 0..SCHEDULES {
            let cadence = Cadence::every(Duration::from_secs(random.u64(60..300))).unwrap();
            let schedule = Schedule::new(schedule_key(number), cadence, START).unwrap();
            ledger.put_schedule(&schedule).await.unwrap();
        }
        let mut names = 5;
        let mut up: Vec<_> = (0..names).map(|name| self.spawn(&nodes, &mut random, name)).collect();
        let mut deaths = 0;
        while deaths < self.deaths {
            let (next, _) = up.iter().enumerate().min_by_key(|(_, node)| node.dies).unwrap();
            let node = up.swap_remove(next);
            tokio::time::sleep_until(node.dies).await;
            if self.hangs && random.u8(..10) == 0 {
                // It goes on, but its ledger does not answer.
                let minute = Instant::now() + Duration::from_secs(60);
                *node.ledger.hangs_until.lock().unwrap() = Some(minute);
                up.push(Node { dies: minute + Duration::from_secs(1), ..node });
                continue;
            }
            deaths += usize::from(node.scheduler.statistics().running > 0);
            node.task.abort();
            assert!(node.task.await.unwrap_err().is_cancelled());
            up.push(self.spawn(&nodes, &mut random, names));
            names += 1;
        }
        // Nobody dies any more: everything that is due gets done.
        sleep(Duration::from_secs(400)).await;
        for node in up {
            node.task.abort();
        }
        tokio::task::yield_now().await;
        self.judge(&nodes, &ledger).await
    }

    async fn judge(&self, nodes: &Nodes, ledger: &Logged) -> Outcome {
        let reports = std::mem::take(&mut *nodes.reports.lock().unwrap());
        let failed = |report: &&RunReport| matches!(report.outcome, RunOutcome::Failed { .. });
        let mut outcome = Outcome {
            completed: 0,
            left: 0,
            repeated: 0,
            failed: reports.iter().filter(failed).count(),
            overlap: Duration::ZERO,
            lines: reports.iter().map(|report| format!("{report} ({})", report.token)).collect(),
        };
        let logs = std::mem::take(&mut *nodes.logs.lock().unwrap());
        assert_eq!(logs.len(), SCHEDULES);
        for (key, log) in logs {
            let stored = ledger.schedule(&key).await.unwrap().unwrap();
            let (mut due, cadence) = (stored.created_at, stored.cadence);
            due = cadence.next_after(due).unwrap().unwrap();
            for (completed, token, next) in &log.completed {
                assert_eq!(*completed, due, "{key}: no run is skipped or made again");
                let end = log.work[token].end;
                assert_ne!(end, End::Dropped, "{key}: completed without its work at {due}");
                outcome.completed += usize::from(end == End::Done);
                outcome.left += usize::from(end == End::Failed);
                due = next.unwrap();
            }
            assert_eq!(stored.next_run, Some(due), "{key}");
            let now = nodes.sleepers.clock.now();
            // It is due soon, in progress, or waits to be tried again.
            let goes_on = now.since(due) < Duration::from_secs(20)
                || stored.lease.is_some_and(|lease| lease.until > now);
            assert!(goes_on, "seed {}, {key}: the run due at {due} was lost at {now}", self.seed);
            let work: Vec<_> = log.work.values().collect();
            for pair in work.windows(2) {
                let overlap = pair[0].ended.unwrap().since(pair[1].began);
                outcome.overlap = outcome.overlap.max(overlap);
            }
            outcome.repeated += log.repeated;
        }
        outcome
    }
}

/// The seeds of a test: `count` of them, or those that the environment asks for.
fn seeds(first: u64, count: u64) -> std::ops::Range<u64> {
    let first = crate::from_environment("SCHEDULES_FROM").unwrap_or(first);
    first..first + crate::from_environment("SCHEDULES_SEEDS").unwrap_or(count)
}

#[tokio::test(start_paused = true)]
async fn over_1_000_deaths_each_run_completes_and_is_repeated_only_after_its_lease() {
    let skew = Duration::from_secs(1);
    for seed in seeds(3, 1) {
        let deaths = Killing { seed, deaths: 1_000, skew, hangs: false };
        let (began, outcome) = (RealInstant::now(), deaths.run().await);
        let Outcome { completed, left, repeated, failed, overlap, .. } = outcome;
        println!(
            "schedules: seed {seed}, 1000 deaths, {completed} runs completed, {repeated} repeated, \
             {failed} failed, {left} left to the next, {overlap:?} of overlap, {:?}",
            began.elapsed()
        );
        assert!(completed > 500 && repeated > 500 && failed > 10);
        // A lease is renewed long before the clocks could disagree about its end.
        assert_eq!(overlap, Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn a_ledger_that_hangs_for_a_minute_overlaps_runs_by_no_more_than_the_clocks_differ() {
    let skew = Duration::from_secs(1);
    for seed in seeds(10, 3) {
        let outcome = Killing { seed, deaths: 60, skew, hangs: true }.run().await;
        assert!(outcome.completed > 50 && outcome.repeated > 10, "seed {seed}");
        assert!(outcome.overlap <= 2 * skew, "seed {seed}: {:?}", outcome.overlap);
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_runs() {
    let deaths = Killing { seed: 5, deaths: 30, skew: Duration::from_secs(1), hangs: true };
    let (once, again) = (deaths.run().await.lines, deaths.run().await.lines);
    assert!(once.len() > 50, "{}", once.len());
    assert_eq!(once, again);
}
