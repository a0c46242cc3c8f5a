//! The tests of an application that uses snapfold: `cargo test --features conformance --example testing`.

use serde::{Deserialize, Serialize};
use snapfold::{Aggregate, AggregateKey, Error, MemoryEvents, MemoryStore, SnapshotEngine};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Account {
    cents: i64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Moved {
    In(i64),
    Out(i64),
}

impl Aggregate for Account {
    type Event = Moved;
    const KIND: &'static str = "account";
    const SCHEMA_VERSION: u32 = 1;

    fn initial(_: &AggregateKey) -> Self {
        Account { cents: 0 }
    }

    fn apply(&mut self, event: &Moved) {
        match event {
            Moved::In(cents) => self.cents += cents,
            Moved::Out(cents) => self.cents -= cents,
        }
    }
}

/// What is to be tested.
async fn balance(engine: &SnapshotEngine<Account>, id: &str) -> Result<i64, Error> {
    Ok(engine.load(&Account::key(id)?).await?.state.cents)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let engine = SnapshotEngine::builder(MemoryEvents::new(), MemoryStore::new()).build()?;
    println!("{}", balance(&engine, "alice").await?);
    println!("`cargo test --features conformance --example testing` runs the tests in this file");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use snapfold::engine::ManualClock;
    use snapfold::layer::{Fault, Faults, FaultyStore, StoreCall};
    use snapfold::trigger::every_interval;
    use snapfold::{Timestamp, conformance};

    use super::*;

    /// The simplest test double is a real engine in memory.
    #[tokio::test]
    async fn the_balance_is_the_sum_of_what_was_moved() {
        let events = MemoryEvents::new();
        let alice = Account::key("alice").unwrap();
        let engine = SnapshotEngine::builder(events.clone(), MemoryStore::new()).build().unwrap();
        events.append(&alice, Timestamp::from_seconds(1), Moved::In(500));
        events.append(&alice, Timestamp::from_seconds(2), Moved::Out(120));
        assert_eq!(balance(&engine, "alice").await.unwrap(), 380);
        assert_eq!(balance(&engine, "bob").await.unwrap(), 0);
    }

    /// The fold obeys the laws on which snapshots depend. One such test for each aggregate is enough.
    #[test]
    fn a_load_of_an_account_equals_a_full_replay() {
        let report = conformance::aggregate::<Account>(|account, choices| {
            let cents = choices.between(1..=1_000);
            let out = cents < account.cents && choices.chance(40);
            if out { Moved::Out(cents) } else { Moved::In(cents) }
        })
        .compare(|a, b| a == b)
        .debug_events()
        .check()
        .unwrap();
        report.assert().unwrap();
    }

    /// Time moves when the test says so.
    #[tokio::test]
    async fn a_snapshot_is_taken_every_hour() {
        let (events, clock) = (MemoryEvents::new(), ManualClock::at(Timestamp::from_seconds(0)));
        let alice = Account::key("alice").unwrap();
        let engine = SnapshotEngine::<Account>::builder(events.clone(), MemoryStore::new())
            .clock(clock.clone())
            .trigger(every_interval(Duration::from_secs(3_600)))
            .build()
            .unwrap();
        events.append(&alice, Timestamp::from_seconds(1), Moved::In(500));
        engine.create(&alice).await.unwrap();
        events.append(&alice, Timestamp::from_seconds(2), Moved::In(1));
        let loaded = engine.load(&alice).await.unwrap();
        assert!(!engine.committed(&loaded, 2).is_queued());
        clock.advance(Duration::from_secs(3_601));
        assert!(engine.committed(&loaded, 2).is_queued());
        engine.flush(Duration::from_secs(10)).await.unwrap();
        assert_eq!(engine.latest_snapshot(&alice).await.unwrap().usable().unwrap().meta.version, 2);
    }

    /// The store fails: what does the application do then?
    #[tokio::test]
    async fn an_outage_of_the_store_is_an_error_that_can_be_retried() {
        let store = FaultyStore::new(MemoryStore::new(), Faults::new(7));
        let engine = SnapshotEngine::builder(MemoryEvents::new(), store.clone()).build().unwrap();
        store.fail_next(StoreCall::Get, Fault::Refused).unwrap();
        let error = balance(&engine, "alice").await.unwrap_err();
        assert!(error.is_retryable(), "{error}");
        assert_eq!(balance(&engine, "alice").await.unwrap(), 0);
    }
}
