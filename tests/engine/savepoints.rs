//! Savepoints: a snapshot of each aggregate under one name, which nothing deletes.

use std::sync::Arc;

use snapfold::manager::AdminContext;
use snapfold::retention::keep_last;
use snapfold::service::Batch;
use snapfold::trigger::manual;
use snapfold::{AggregateKey, ErrorKind, MemoryEvents, MemoryStore, SnapshotAdmin, SnapshotEngine};

use crate::support::{Account, Event, at, key};

struct Bank {
    events: MemoryEvents<Event>,
    engine: SnapshotEngine<Account>,
    keys: Vec<AggregateKey>,
}

impl Bank {
    fn new() -> Self {
        let events = MemoryEvents::new();
        let builder = SnapshotEngine::builder(events.clone(), MemoryStore::new());
        let engine = builder.trigger(manual()).build().unwrap();
        let keys = (0..300).map(|n| key(&format!("a{n:03}"))).collect();
        let bank = Self { events, engine, keys };
        bank.deposit(1, 5);
        bank
    }

    fn deposit(&self, from: u64, to: u64) {
        for key in &self.keys {
            for version in from..=to {
                self.events.append(key, at(version), Event::Deposited(1));
            }
        }
    }

    fn batch(&self) -> Batch {
        let admin: Arc<dyn SnapshotAdmin> = Arc::new(self.engine.clone());
        Batch::new(admin).context(AdminContext::new("ops"))
    }
}

#[tokio::test]
async fn a_savepoint_keeps_one_snapshot_of_each_aggregate_until_it_is_released() {
    let bank = Bank::new();
    let batch = bank.batch();
    let report = batch.savepoint("before the migration").await;
    assert_eq!((report.counts.changed, report.counts.failed), (300, 0), "{report}");
    bank.deposit(6, 9);
    // The same call again adds nothing, although there are later events.
    let again = batch.savepoint("before the migration").await;
    assert_eq!((again.counts.aggregates, again.counts.changed), (300, 0), "{again}");
    let later = batch.savepoint_of("later", &bank.keys[..2]).await;
    assert_eq!(later.counts.changed, 2);
    let names = batch.savepoints().await.unwrap();
    assert_eq!(names, [("before the migration".to_owned(), 300), ("later".to_owned(), 2)]);

    for key in &bank.keys {
        bank.engine.create(key).await.unwrap();
    }
    let swept = batch.apply_retention(keep_last(1)).await;
    assert_eq!(swept.counts.failed, 0, "{swept}");
    let members = batch.savepoint_members("before the migration").await.unwrap();
    assert_eq!(members.len(), 300);
    for (meta, key) in members.iter().zip(&bank.keys) {
        assert_eq!((&meta.key, meta.version), (key, 5));
        assert_eq!(meta.marks[0].actor, "ops");
        let then = bank.engine.at_version(&meta.key, meta.version).await.unwrap();
        assert_eq!(then.state.balance, 5);
    }

    let released = batch.release_savepoint("before the migration").await;
    assert_eq!((released.counts.changed, released.counts.failed), (300, 0), "{released}");
    assert_eq!(batch.savepoint_members("before the migration").await.unwrap(), []);
    assert_eq!(batch.release_savepoint("before the migration").await.counts.changed, 0);
    let swept = batch.apply_retention(keep_last(1)).await;
    assert_eq!(swept.counts.deleted, 300, "{swept}");
    assert_eq!(batch.savepoint_members("later").await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_savepoint_of_a_moment_is_one_cut_however_long_it_takes() {
    let bank = Bank::new();
    // Half of the aggregates go on, before and while the savepoint is taken.
    for key in bank.keys.iter().step_by(2) {
        for version in 6..=9 {
            bank.events.append(key, at(version), Event::Deposited(1));
        }
    }
    let late = key("late");
    bank.events.append(&late, at(8), Event::Deposited(1));
    let batch = bank.batch().savepoint_time(at(7));
    let first = batch.savepoint_of("cut", &bank.keys[..150]).await;
    assert_eq!((first.counts.changed, first.counts.failed), (150, 0), "{first}");
    bank.deposit(10, 12);
    let rest = batch.savepoint("cut").await;
    assert_eq!((rest.counts.changed, rest.counts.failed), (150, 0), "{rest}");
    let members = batch.savepoint_members("cut").await.unwrap();
    assert_eq!(members.len(), 300);
    for (n, (meta, key)) in members.iter().zip(&bank.keys).enumerate() {
        let expected = if n % 2 == 0 { 7 } else { 5 };
        assert_eq!((&meta.key, meta.version), (key, expected));
        let then = bank.engine.at_time(key, at(7)).await.unwrap();
        assert_eq!((then.version, then.state.balance), (expected, expected.cast_signed()));
    }
}

#[tokio::test]
async fn names_that_cannot_be_are_refused() {
    let bank = Bank::new();
    let batch = bank.batch();
    let longest = "n".repeat(Batch::MAX_SAVEPOINT_BYTES);
    assert_eq!(batch.savepoint_of(&longest, &bank.keys[..1]).await.counts.changed, 1);
    for name in ["", &format!("{longest}n")] {
        for report in [batch.savepoint(name).await, batch.release_savepoint(name).await] {
            let error = report.error.unwrap();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
            assert_eq!(report.counts.aggregates, 0);
        }
        let refused = batch.savepoint_members(name).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    }
}
