//! Two releases side by side: the new one has another state type, and takes its snapshots before it
//! takes traffic.
//!
//! Run it with `cargo run --example rolling_deploy`.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use snapfold::codec::Postcard;
use snapfold::ledger::Task;
use snapfold::service::Batch;
use snapfold::{
    Aggregate, AggregateKey, BoxError, Error, MemoryEvents, MemoryStore, SnapshotEngine, Timestamp,
};

/// What was deposited or withdrawn.
type Cents = i64;

/// The state of release 1.
#[derive(Clone, Serialize, Deserialize)]
struct OldAccount {
    cents: Cents,
}

impl Aggregate for OldAccount {
    type Event = Cents;
    const KIND: &'static str = "account";
    const SCHEMA_VERSION: u32 = 1;

    fn initial(_: &AggregateKey) -> Self {
        OldAccount { cents: 0 }
    }

    fn apply(&mut self, cents: &Cents) {
        self.cents += cents;
    }
}

/// The state of release 2: it also knows the lowest balance ever.
#[derive(Clone, Serialize, Deserialize)]
struct Account {
    cents: Cents,
    lowest: Cents,
}

impl Aggregate for Account {
    type Event = Cents;
    const KIND: &'static str = "account";
    const SCHEMA_VERSION: u32 = 2;

    fn initial(_: &AggregateKey) -> Self {
        Account { cents: 0, lowest: 0 }
    }

    fn apply(&mut self, cents: &Cents) {
        self.cents += cents;
        self.lowest = self.lowest.min(self.cents);
    }
}

/// An old snapshot cannot say what the lowest balance was, so it is of no use: an error makes it a
/// miss. If all that is new could be computed from what is old, this would return it.
fn upcast(_: OldAccount) -> Result<Account, BoxError> {
    Err("it does not say what the lowest balance was".into())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let (events, store) = (MemoryEvents::new(), MemoryStore::new());
    let (alice, bob) = (Account::key("a0")?, Account::key("a1")?);
    for account in 0..200 {
        let key = Account::key(&format!("a{account}"))?;
        for second in 0..500 {
            events.append(&key, Timestamp::from_seconds(second), second % 7 - 3);
        }
    }

    // Release 1 has run for years, and each account has a snapshot.
    let old = SnapshotEngine::<OldAccount>::builder(events.clone(), store.clone()).build()?;
    Batch::new(Arc::new(old.clone())).run(Task::SnapshotAll).await;
    println!("release 1: {}", old.load(&alice).await?.provenance);

    // Release 2 is started. Without preparation, each first load replays everything.
    let new = SnapshotEngine::<Account>::builder(events.clone(), store.clone())
        .upcasts(1, Postcard, upcast)
        .build()?;
    println!("release 2: {}", new.load(&alice).await?.provenance);

    // So it takes its snapshots first. The old release does not see them.
    let batch = Batch::new(Arc::new(new.clone())).parallel(8);
    println!("before:    {}", batch.coverage().await);
    println!("taken:     {}", batch.run(Task::SnapshotAll).await);
    println!("after:     {}", batch.coverage().await);
    assert!(batch.coverage().await.is_complete());
    println!("release 2: {}", new.load(&alice).await?.provenance);

    // Both serve the same accounts now.
    events.append(&alice, Timestamp::from_seconds(500), 10);
    let (one, two) = (old.load(&alice).await?, new.load(&alice).await?);
    assert_eq!(one.state.cents, two.state.cents);
    println!("both:      {} cents, the lowest ever were {}", two.state.cents, two.state.lowest);

    // A rollback finds its snapshots for a week.
    println!("rollback:  {}", old.load(&bob).await?.provenance);
    new.flush(Duration::from_secs(10)).await
}
