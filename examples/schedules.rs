//! Snapshots that look after themselves: one schedule snapshots every account that moved on, another
//! one deletes old snapshots. Both run for four seconds.
//!
//! Run it with `cargo run --example schedules`.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use snapfold::engine::{Clock, SystemClock};
use snapfold::ledger::{Ledger, Schedule, ScheduleKey, StoreLedger};
use snapfold::manager::Kinds;
use snapfold::service::{Scheduler, SchedulerEvent};
use snapfold::{Aggregate, AggregateKey, Error, MemoryEvents, MemoryStore, SnapshotEngine};
use tokio::time::sleep;

#[derive(Clone, Serialize, Deserialize)]
struct Account {
    cents: i64,
}

impl Aggregate for Account {
    type Event = i64;
    const KIND: &'static str = "account";
    const SCHEMA_VERSION: u32 = 1;

    fn initial(_: &AggregateKey) -> Self {
        Account { cents: 0 }
    }

    fn apply(&mut self, cents: &i64) {
        self.cents += cents;
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let (events, store, clock) = (MemoryEvents::new(), MemoryStore::new(), SystemClock::new());
    // The schedules are in the same store as the snapshots.
    let ledger = Arc::new(StoreLedger::new(store.clone()));
    let engine = SnapshotEngine::<Account>::builder(events.clone(), store).build()?;
    let accounts: Vec<_> =
        ["alice", "bob", "carol"].into_iter().map(Account::key).collect::<Result<_, _>>()?;
    for account in &accounts {
        events.append(account, clock.now(), 5_000);
        engine.create(account).await?;
    }

    let all = ScheduleKey::kind_wide("", Account::KIND)?;
    let sweep = Schedule::new(all.clone(), "every 1s".parse()?, clock.now())?;
    ledger.put_schedule(&sweep).await?;
    let tidy = Schedule::new(all.named("tidy up")?, "every 3s".parse()?, clock.now())?
        .task("retention last 2".parse()?);
    ledger.put_schedule(&tidy).await?;

    let scheduler = Scheduler::new(ledger, Kinds::new().with(engine.clone())?, "node-1")?
        .on_event(|event: &SchedulerEvent<'_>| println!("{event}"));
    let running = scheduler.clone();
    let running =
        tokio::spawn(async move { running.run(sleep(Duration::from_millis(4_500))).await });

    // Only alice's account moves on, so only hers gets new snapshots.
    for _ in 0..4 {
        sleep(Duration::from_secs(1)).await;
        events.append(&Account::key("alice")?, clock.now(), -100);
    }
    running.await.map_err(|error| {
        Error::new(snapfold::ErrorKind::Unsupported, "run schedules", error.to_string())
    })?;

    for account in &accounts {
        let stats = engine.stats(account).await?;
        println!(
            "{account}: {} snapshots, {:?} events since",
            stats.snapshots,
            stats.events_since()
        );
    }
    println!("{:?}", scheduler.statistics());
    Ok(())
}
