//! What the engine writes into its ledger: one entry for each management call, and what happened to
//! the snapshots of each aggregate and day.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::{Account, World, key, poll_times};
use async_trait::async_trait;
use snapfold::engine::{Observation, Observer};
use snapfold::ledger::{
    AuditEntry, AuditOutcome, AuditRecord, AuditRequest, Cadence, Claim, DailyStatistics, Day,
    Ledger, Schedule, ScheduleKey, StoreLedger,
};
use snapfold::manager::{AdminContext, CreateOptions};
use snapfold::retention::keep_last;
use snapfold::store::{Mark, MarkChange, MarkKind, Page, Selection};
use snapfold::trigger::every_events;
use snapfold::{
    Aggregate, AggregateKey, Error, ErrorKind, MemoryStore, Retry, SnapshotId, Timestamp,
};

const LONG: Duration = Duration::from_secs(3_600);

/// A ledger that fails as often as it is told to.
#[derive(Clone, Debug)]
struct Shaky {
    inner: StoreLedger,
    failures: Arc<AtomicUsize>,
    /// Panics instead of failing.
    panics: Arc<AtomicBool>,
    retry: Retry,
}

impl Shaky {
    fn new(retry: Retry) -> Self {
        let inner = StoreLedger::new(MemoryStore::new());
        Self { inner, failures: Arc::default(), panics: Arc::default(), retry }
    }

    fn fail(&self) -> Result<(), Error> {
        let left = self.failures.load(Ordering::SeqCst);
        if left == 0 {
            return Ok(());
        }
        self.failures.store(left - 1, Ordering::SeqCst);
        assert!(!self.panics.load(Ordering::SeqCst), "the ledger panicked");
        Err(Error::new(ErrorKind::Store, "append", "the disk is away").with_retry(self.retry))
    }

    async fn trail(&self) -> Vec<AuditEntry> {
        let page = self.inner.entries(AuditRequest::new()).await.unwrap();
        page.items.into_iter().map(|record| record.entry).collect()
    }

    async fn today(&self, world: &World, key: &AggregateKey) -> DailyStatistics {
        let today = Day::of(snapfold::engine::Clock::now(&world.clock));
        let days = self.inner.daily(key, today..=today).await.unwrap();
        days.first().map_or_else(DailyStatistics::default, |(_, sum)| *sum)
    }
}

#[async_trait]
impl Ledger for Shaky {
    async fn put_schedule(&self, schedule: &Schedule) -> Result<(), Error> {
        self.inner.put_schedule(schedule).await
    }

    async fn schedule(&self, key: &ScheduleKey) -> Result<Option<Schedule>, Error> {
        self.inner.schedule(key).await
    }

    async fn remove_schedule(&self, key: &ScheduleKey) -> Result<bool, Error> {
        self.inner.remove_schedule(key).await
    }

    async fn schedules(
        &self,
        after: Option<&ScheduleKey>,
        limit: usize,
    ) -> Result<Page<Schedule, ScheduleKey>, Error> {
        self.inner.schedules(after, limit).await
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Schedule>, Error> {
        self.inner.due(now, limit).await
    }

    async fn claim(
        &self,
        key: &ScheduleKey,
        due: Timestamp,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Claim>, Error> {
        self.inner.claim(key, due, holder, now, until).await
    }

    async fn renew(&self, claim: &Claim, until: Timestamp) -> Result<bool, Error> {
        self.inner.renew(claim, until).await
    }

    async fn release(&self, claim: &Claim) -> Result<bool, Error> {
        self.inner.release(claim).await
    }

    async fn complete(&self, claim: &Claim, next: Option<Timestamp>) -> Result<bool, Error> {
        self.inner.complete(claim, next).await
    }

    async fn add_statistics(
        &self,
        batch: &[(AggregateKey, Day, DailyStatistics)],
    ) -> Result<(), Error> {
        self.fail()?;
        self.inner.add_statistics(batch).await
    }

    async fn daily(
        &self,
        key: &AggregateKey,
        days: RangeInclusive<Day>,
    ) -> Result<Vec<(Day, DailyStatistics)>, Error> {
        self.inner.daily(key, days).await
    }

    async fn append_all(&self, entries: &[AuditEntry]) -> Result<Vec<u64>, Error> {
        self.fail()?;
        self.inner.append_all(entries).await
    }

    async fn entries(&self, request: AuditRequest<'_>) -> Result<Page<AuditRecord, u64>, Error> {
        self.inner.entries(request).await
    }
}

/// Writes down what the engine reports about its ledger.
#[derive(Clone, Default)]
struct Losses(Arc<Mutex<Vec<usize>>>);

impl Observer for Losses {
    fn observe(&self, report: &Observation<'_>) {
        if let Observation::LedgerFailed { lost, .. } = report {
            self.0.lock().unwrap().push(*lost);
        }
    }
}

fn world(ledger: &Shaky) -> (World, Losses) {
    let losses = Losses::default();
    let (observer, ledger) = (losses.clone(), ledger.clone());
    let world =
        World::with(|builder| builder.ledger(ledger).observer(observer).trigger(every_events(5)));
    (world, losses)
}

#[tokio::test]
async fn each_management_call_leaves_one_entry_with_its_outcome() {
    let ledger = Shaky::new(Retry::Later);
    let (world, losses) = world(&ledger);
    let key = key("a");
    world.grow(&key, 20);
    let admin = world.engine.admin();
    let by =
        |reason: &str| AdminContext::new("ada").reason(reason).idempotency_key("r-1").meta("{}");
    // Each is a request of its own.
    let create = |reason: &str, n: u64| by(reason).idempotency_key(format!("r-{n}"));
    for (n, version) in [5, 10, 15].into_iter().enumerate() {
        let options = CreateOptions::new().at_version(version);
        admin.create(&key, options, &create("month-end", n as u64 + 1)).await.unwrap();
    }
    let too_far = CreateOptions::new().at_version(99);
    admin.create(&key, too_far, &create("too far", 4)).await.unwrap_err();
    admin.create_many(&[(&key).into()], &create("all", 5)).await.remove(0).unwrap();
    admin.rebuild(&key, 10, &by("a wrong fold")).await.unwrap();
    admin.delete(&key, 5, &by("legal")).await.unwrap();
    admin.delete(&key, 10, &by("stale").expect_version(7)).await.unwrap_err();
    admin.delete_before(&key, 11, &by("old")).await.unwrap();
    admin.apply_retention(&key, &keep_last(1), &by("sweep")).await.unwrap();
    world.engine.create(&key).await.unwrap();
    world.engine.flush(LONG).await.unwrap();

    let trail = ledger.trail().await;
    let told: Vec<_> = trail
        .iter()
        .map(|entry| {
            let outcome = match &entry.outcome {
                AuditOutcome::Failed { kind, .. } => kind.as_str(),
                _ => "ok",
            };
            (entry.action.as_str(), entry.version, entry.reason.as_str(), outcome)
        })
        .collect();
    assert_eq!(
        told,
        [
            ("create", Some(5), "month-end", "ok"),
            ("create", Some(10), "month-end", "ok"),
            ("create", Some(15), "month-end", "ok"),
            ("create", Some(99), "too far", "BeyondHead"),
            ("create", Some(20), "all", "ok"),
            ("rebuild", Some(10), "a wrong fold", "ok"),
            ("delete", Some(5), "legal", "ok"),
            ("delete", Some(10), "stale", "Conflict"),
            ("delete_before", Some(11), "old", "ok"),
            ("apply_retention", None, "sweep", "ok"),
            ("create", Some(20), "", "ok"),
        ]
    );
    let first = &trail[0];
    assert_eq!(
        (first.actor.as_str(), first.idempotency.as_str(), first.meta.as_str()),
        ("ada", "r-1", "{}")
    );
    assert_eq!(
        (first.key.as_ref(), first.at),
        (Some(&key), snapfold::engine::Clock::now(&world.clock))
    );
    assert_eq!(trail.last().unwrap().actor, "");
    let today = ledger.today(&world, &key).await;
    assert_eq!((today.created, today.deleted), (5, 3));
    assert!(today.bytes > 0);
    assert_eq!(losses.0.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn marks_refolds_and_schedules_leave_entries_that_say_which() {
    let ledger = Shaky::new(Retry::Later);
    let (world, losses) = world(&ledger);
    let key = key("a");
    world.grow(&key, 20);
    let admin = world.engine.admin();
    let by = AdminContext::new("ada");
    admin.refold(&key, Some(5), &by).await.unwrap();
    admin.refold(&key, None, &by).await.unwrap();
    let id = SnapshotId { generation: world.engine.generation(), version: 5 };
    let pin = Mark::pin("audit \0 2026", Timestamp::MIN);
    admin.mark(&key, Selection::Ids(&[id]), MarkChange::Set(&pin), &by).await.unwrap();
    let clear = MarkChange::Clear { kind: MarkKind::Retirement, name: "x" };
    admin.mark(&key, Selection::All, clear, &by.clone().expect_version(7)).await.unwrap_err();
    // No entry could hold its name, and nothing was attempted.
    let long = Mark::pin("x".repeat(2_000), Timestamp::MIN);
    admin.mark(&key, Selection::All, MarkChange::Set(&long), &by).await.unwrap_err();

    let daily = Cadence::every(Duration::from_secs(86_400)).unwrap();
    let one = Schedule::new(key.clone(), daily.clone(), Timestamp::MIN).unwrap();
    let of_kind = ScheduleKey::kind_wide("acme", Account::KIND).unwrap();
    let all = Schedule::new(of_kind.clone(), daily, Timestamp::MIN).unwrap();
    admin.put_schedule(&one, &by).await.unwrap();
    admin.put_schedule(&all, &by).await.unwrap();
    admin.put_schedule(&all, &by.clone().expect_version(0)).await.unwrap_err();
    assert!(admin.remove_schedule(&of_kind, &by).await.unwrap());
    assert!(!admin.remove_schedule(&of_kind, &by).await.unwrap());
    world.engine.flush(LONG).await.unwrap();

    let told = |trail: Vec<AuditEntry>| -> Vec<_> {
        let told = |entry: AuditEntry| {
            let is_ok = entry.outcome == AuditOutcome::Ok;
            (entry.action, entry.key.is_some(), entry.version, is_ok)
        };
        trail.into_iter().map(told).collect()
    };
    let action = |action: &str, one, version, ok| (action.to_owned(), one, version, ok);
    assert_eq!(
        told(ledger.trail().await),
        [
            action("refold", true, Some(5), true),
            action("refold", true, Some(20), true),
            action("set_pin audit \0 2026", true, Some(5), true),
            action("clear_retirement x", true, None, false),
            action("put_schedule", true, None, true),
        ]
    );
    // Those of a whole kind are in the trail of their tenant.
    let page = ledger.inner.entries(AuditRequest::new().tenant("acme")).await.unwrap();
    assert_eq!(
        told(page.items.into_iter().map(|record| record.entry).collect()),
        [
            action("put_schedule account", false, None, true),
            action("put_schedule account", false, None, false),
            action("remove_schedule account", false, None, true),
            action("remove_schedule account", false, None, true),
        ]
    );
    assert_eq!(ledger.today(&world, &key).await.created, 2);
    assert_eq!(losses.0.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn a_refused_context_leaves_no_entry_and_a_dropped_call_does() {
    let ledger = Shaky::new(Retry::Later);
    let (world, _) = world(&ledger);
    let key = key("a");
    world.grow(&key, 3);
    let long = AdminContext::new("x".repeat(AdminContext::MAX_NAME_BYTES + 1));
    world.engine.admin().delete(&key, 1, &long).await.unwrap_err();
    world.store.put_gate.close();
    let by = AdminContext::new("ada");
    assert!(poll_times(world.engine.admin().create(&key, CreateOptions::new(), &by), 5).is_none());
    world.store.put_gate.open();
    world.engine.flush(LONG).await.unwrap();
    let trail = ledger.trail().await;
    assert_eq!(trail.len(), 1);
    let AuditOutcome::Failed { kind, message } = &trail[0].outcome else { panic!("{trail:?}") };
    assert_eq!(kind, "Cancelled");
    assert!(message.contains("call was dropped"), "{message}");
}

#[tokio::test]
async fn background_snapshots_are_counted_and_are_no_management_calls() {
    let ledger = Shaky::new(Retry::Later);
    let (world, _) = world(&ledger);
    let key = key("a");
    let loaded = world.engine.load(&key).await.unwrap();
    world.grow(&key, 6);
    assert!(world.engine.committed(&loaded, 6).is_queued());
    world.engine.flush(LONG).await.unwrap();
    assert_eq!(ledger.today(&world, &key).await.created, 1);
    assert_eq!(ledger.trail().await, []);
}

#[tokio::test]
async fn what_a_ledger_cannot_take_for_now_comes_later() {
    let ledger = Shaky::new(Retry::Later);
    let (world, losses) = world(&ledger);
    let key = key("a");
    world.grow(&key, 3);
    ledger.failures.store(2, Ordering::SeqCst);
    world.engine.create(&key).await.unwrap();
    let error = world.engine.flush(LONG).await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    assert_eq!(*losses.0.lock().unwrap(), [0, 0]);
    let statistics = world.engine.statistics();
    assert_eq!(statistics.ledger_failures, 2);
    assert!(statistics.last_error.unwrap().1.contains("the disk is away"));
    world.engine.flush(LONG).await.unwrap();
    assert_eq!(ledger.trail().await.len(), 1);
    assert_eq!(ledger.today(&world, &key).await.created, 1);
}

#[tokio::test]
async fn what_a_ledger_panics_over_is_reported_as_lost() {
    let ledger = Shaky::new(Retry::Later);
    let (world, losses) = world(&ledger);
    let key = key("a");
    world.grow(&key, 3);
    ledger.panics.store(true, Ordering::SeqCst);
    ledger.failures.store(1, Ordering::SeqCst);
    world.engine.create(&key).await.unwrap();
    world.engine.flush(LONG).await.unwrap();
    // The statistics of a day, and the audit entry that was to follow them.
    assert_eq!(*losses.0.lock().unwrap(), [2]);
    let statistics = world.engine.statistics();
    assert_eq!(statistics.ledger_failures, 1);
    assert!(statistics.last_error.unwrap().1.contains("the ledger panicked"));

    // It goes on with what comes next.
    world.engine.create(&key).await.unwrap();
    world.engine.flush(LONG).await.unwrap();
    assert_eq!(ledger.trail().await.len(), 1);
    assert_eq!(losses.0.lock().unwrap().len(), 1);
}

/// What may have been written already is not written twice: it is reported as lost.
#[tokio::test]
async fn what_may_have_been_written_is_reported_and_not_repeated() {
    let ledger = Shaky::new(Retry::Unknown);
    let (world, losses) = world(&ledger);
    let key = key("a");
    world.grow(&key, 3);
    ledger.failures.store(2, Ordering::SeqCst);
    world.engine.create(&key).await.unwrap();
    world.engine.flush(LONG).await.unwrap();
    assert_eq!(*losses.0.lock().unwrap(), [1, 1]);
    assert_eq!(ledger.trail().await, []);
    world.engine.delete(&key, 3).await.unwrap();
    world.engine.flush(LONG).await.unwrap();
    assert_eq!(ledger.trail().await.len(), 1);
}

/// Without a runtime nothing is written, and the queue has a bound.
#[test]
fn what_waits_is_bounded() {
    let ledger = Shaky::new(Retry::Later);
    let (world, losses) = world(&ledger);
    let key = key("a");
    for _ in 0..4_100 {
        // Nothing is stored, so no call waits for anything.
        poll_times(world.engine.delete(&key, 1), 100).unwrap().unwrap();
    }
    assert_eq!(losses.0.lock().unwrap().len(), 4);
    assert_eq!(world.engine.statistics().ledger_failures, 4);
}
