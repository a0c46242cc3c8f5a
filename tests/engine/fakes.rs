//! Whatever the library returns can be created by the tests of an application, without internals
//! and without an engine.
//!
//! Guards against: a result type that gets a private field or loses its constructor, so that a fake
//! of a trait cannot be written any more.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use snapfold::engine::{Drained, EngineStatistics, ManualClock, Observation, Observer};
use snapfold::events::EventTime;
use snapfold::ledger::{AuditEntry, AuditOutcome, Claim, Lease, ScheduleKey, Task};
use snapfold::manager::{
    AggregateStats, CreateOutcome, Decision, Fetched, Origin, Proof, Provenance, Rebuilt, Rejected,
    Retained, Snapshot, SnapshotUsed, StateValue, Timings, Verified, View,
};
use snapfold::record::{Generation, RejectReason, SnapshotMeta};
use snapfold::retention::{RetentionContext, RetentionPlan, keep_last};
use snapfold::service::{
    BatchProgress, BatchReport, Coverage, RunCounts, RunOutcome, RunReport, SchedulerEvent,
};
use snapfold::store::{Cursor, Deleted, Mark, Marks, Page};
use snapfold::trigger::{Costs, LastSnapshot, Trigger, TriggerContext, Verdict, every_events};
use snapfold::{
    Error, ErrorKind, Loaded, MemoryEvents, MemoryStore, Retry, SnapshotEngine, SnapshotId,
};

use crate::support::{Account, Event, at, key};

const GENERATION: Generation = Generation { schema_version: 1, fingerprint: 7 };

fn meta(version: u64) -> SnapshotMeta {
    let mut meta = SnapshotMeta::new(key("a"), GENERATION, version, at(version));
    meta.stored_bytes = 120;
    meta.raw_bytes = 400;
    meta.labels = vec!["month-end".to_owned()];
    meta
}

fn provenance() -> Provenance {
    let mut used = SnapshotUsed::new(SnapshotId { generation: GENERATION, version: 5 }, at(9));
    used.proof = Proof::Absent;
    let mut timings = Timings::default();
    timings.fetch = Duration::from_millis(2);
    let mut provenance = Provenance::new(Origin::Snapshot);
    provenance.snapshot = Some(used);
    provenance.rejected = vec![Rejected::new(Some(7), RejectReason::HeaderChecksum)];
    provenance.events_replayed = 4;
    provenance.timings = timings;
    provenance
}

#[test]
fn loads_can_be_faked() {
    let mut loaded = Loaded::new(key("a"), Account::default(), 9, Some(at(9)));
    assert_eq!(loaded.provenance.origin, Origin::Replay);
    loaded.provenance = provenance();
    assert_eq!(
        loaded.provenance.to_string(),
        "from the snapshot at 5 (unverified) and 4 events in 2ms; the snapshot at 7 was not used: \
         the checksum of the header does not match"
    );
    let fetched = Fetched::Usable(Snapshot::new(meta(5), Account::default()));
    assert_eq!(fetched.usable().unwrap().meta, meta(5));
    let _: [Fetched<Account>; 2] =
        [Fetched::Absent, Fetched::Rejected(Rejected::new(None, RejectReason::HeaderChecksum))];
    let view = View::new(key("a"), 9, Some(at(9)), StateValue::Null, provenance());
    assert_eq!(view.version, 9);
    assert_eq!(EventTime::new(3, Some(at(1))).version, 3);
}

#[test]
fn management_can_be_faked() {
    let pinned = meta(7).with_marks(Marks::new([Mark::pin("audit", at(1))]).unwrap());
    assert!(pinned.is_pinned());
    for created in [
        CreateOutcome::Empty,
        CreateOutcome::Stored(meta(5)),
        CreateOutcome::Replaced(meta(5)),
        CreateOutcome::Existing { meta: meta(5), identical: true },
        CreateOutcome::Unchanged { version: 5 },
    ] {
        assert!(created.meta().is_none_or(|stored| *stored == meta(5)), "{created}");
    }
    assert!(Rebuilt::new(meta(5), true).replaced);
    assert!(Decision::Queued { reason: "100 of 100 events".to_owned() }.is_queued());
    let context = RetentionContext::new(at(1_000)).current(GENERATION);
    let plan = RetentionPlan::new(&[pinned, meta(6), meta(5)], &keep_last(1), &context);
    let kept: Vec<_> = plan.judged.iter().map(|judged| judged.id.version).collect();
    assert_eq!(kept, [7, 6, 5]);
    assert_eq!(Retained::new(plan, Deleted::new(1, 120)).deleted.snapshots, 1);
    let mut verified = Verified::default();
    verified.proved = 3;
    verified.rejected.push(Rejected::new(Some(2), RejectReason::HeaderChecksum));
    assert!(!verified.is_clean());
    let mut stats = AggregateStats::default();
    (stats.newest, stats.head) = (Some(meta(5).id()), Some(9));
    assert_eq!(stats.events_since(), Some(4));
    let page: Page<SnapshotMeta, Cursor> = Page::new(vec![meta(5)], Some(Cursor::new(*b"next")));
    assert_eq!(page.items.len(), 1);
    let error = Error::new(ErrorKind::Store, "load", "the store is down").with_retry(Retry::Later);
    assert_eq!(error.retry(), Retry::Later);
}

#[test]
fn decisions_can_be_tested_without_an_engine() {
    let mut seen = TriggerContext::new(180, at(9)).snapshot(LastSnapshot::new(100, at(1), 400));
    assert_eq!(
        every_events(80).decide(&seen),
        Verdict::new(true, "80 of 80 events since the snapshot at version 100")
    );
    seen.events_replayed = 80;
    seen.replay_time = Duration::from_millis(3);
    let mut costs = Costs::default();
    costs.loads_per_1000 = Some(10);
    seen.costs = costs;
    assert!(!every_events(81).decide(&seen).take);
}

#[test]
fn everything_an_observer_gets_can_be_created() {
    #[derive(Default)]
    struct Lines(Mutex<Vec<String>>);
    impl Observer for Lines {
        fn observe(&self, observation: &Observation<'_>) {
            self.0.lock().unwrap().push(observation.to_string());
        }
    }
    let (key, provenance, took) = (key("a"), provenance(), Duration::from_millis(5));
    let error = Error::new(ErrorKind::Store, "load", "the store is down");
    let (created, retained) = (CreateOutcome::Stored(meta(5)), Retained::default());
    let observer = Arc::new(Lines::default());
    for observation in [
        Observation::Captured { key: &key, version: 5, provenance: &provenance },
        Observation::Committed { key: &key, version: 5 },
        Observation::LedgerFailed { lost: 1, error: &error },
        Observation::Loaded { key: &key, version: 5, provenance: &provenance },
        Observation::Retained { key: &key, retained: &retained },
        Observation::RetentionFailed { key: &key, error: &error },
        Observation::LoadFailed { key: &key, error: &error },
        Observation::Managed {
            action: "create",
            key: Some(&key),
            version: Some(5),
            actor: "ada",
            outcome: &AuditOutcome::Ok,
            took,
        },
        Observation::SaveDropped { key: &key, reason: "the queue is full" },
        Observation::SaveFailed { key: &key, error: &error, backing_off: took },
        Observation::Saved { key: &key, created: &created, took },
    ] {
        observer.observe(&observation);
    }
    assert_eq!(observer.0.lock().unwrap().len(), 11);
}

#[test]
fn reports_of_services_can_be_created() {
    let mut counts = RunCounts::default();
    (counts.aggregates, counts.failed) = (10, 1);
    let cursor = Cursor::new(*b"next");
    assert_eq!(BatchProgress::new(counts, Some(&cursor)).counts, counts);
    let mut report = BatchReport::new(counts, Duration::from_secs(2));
    report.failures.push((key("a"), Error::new(ErrorKind::Store, "load", "it is down")));
    assert!(report.to_string().starts_with("completed after 2.0s: visited 10"), "{report}");
    let mut coverage = Coverage::default();
    (coverage.covered, coverage.uncovered) = (9, 1);
    assert!(!coverage.is_complete());
    let schedule = ScheduleKey::kind_wide("", "account").unwrap();
    let mut run = RunReport::new(schedule.clone(), Task::Verify, at(5), RunOutcome::Completed);
    run.counts = counts;
    assert!(SchedulerEvent::Ended(&run).to_string().contains("account"));
    assert_eq!(Claim::new(schedule, at(5), 1).token, 1);
    assert_eq!(Lease::new("node-7", at(9), 1).holder, "node-7");
    assert_eq!(AuditEntry::new(at(5), "ada", "create").actor, "ada");
    let mut drained = Drained::default();
    drained.saved = 3;
    let mut statistics = EngineStatistics::default();
    statistics.last_error = Some((at(5), "the store is down".to_owned()));
    assert_eq!((drained.saved, statistics.saved), (3, 0));
}

/// The simplest double: a real engine, in memory, with a clock that the test moves.
#[tokio::test]
async fn an_engine_in_memory_with_a_manual_clock_takes_two_lines() {
    let (events, clock) = (MemoryEvents::new(), ManualClock::at(at(1_000)));
    let engine = SnapshotEngine::<Account>::builder(events.clone(), MemoryStore::new())
        .clock(clock.clone())
        .build()
        .unwrap();

    events.append(&key("a"), at(5), Event::Deposited(7));
    clock.advance(Duration::from_secs(60));
    let created = engine.create(&key("a")).await.unwrap();
    assert_eq!(created.meta().unwrap().created_at, at(1_060));
    assert_eq!(engine.load(&key("a")).await.unwrap().state.balance, 7);
}
