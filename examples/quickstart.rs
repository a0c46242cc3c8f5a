//! A bank account: fold its events, take a snapshot, load it, travel in time.
//!
//! Run it with `cargo run --example quickstart`.

use serde::{Deserialize, Serialize};
use snapfold::{
    Aggregate, AggregateKey, Error, MemoryEvents, MemoryStore, SnapshotEngine, Timestamp,
};

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Account {
    owner: String,
    cents: i64,
}

#[derive(Clone)]
enum Event {
    Opened { owner: String },
    Deposited { cents: i64 },
    Withdrawn { cents: i64 },
}

impl Aggregate for Account {
    type Event = Event;
    const KIND: &'static str = "account";
    const SCHEMA_VERSION: u32 = 1;

    fn initial(_: &AggregateKey) -> Self {
        Account { owner: String::new(), cents: 0 }
    }

    fn apply(&mut self, event: &Event) {
        match event {
            Event::Opened { owner } => self.owner.clone_from(owner),
            Event::Deposited { cents } => self.cents += cents,
            Event::Withdrawn { cents } => self.cents -= cents,
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    // Your event store, behind `EventSource`; here, one in memory.
    let events = MemoryEvents::new();
    let alice = Account::key("alice")?;
    let noon: Timestamp = "2026-01-01T12:00:00Z".parse()?;
    let second = |i: u32| noon.saturating_add(std::time::Duration::from_secs(i.into()));
    events.append(&alice, second(0), Event::Opened { owner: "Alice".into() });
    for i in 1..=1_000 {
        events.append(&alice, second(i), Event::Deposited { cents: 500 });
    }

    let engine = SnapshotEngine::<Account>::builder(events.clone(), MemoryStore::new()).build()?;
    engine.create(&alice).await?;
    events.append(&alice, second(1_001), Event::Withdrawn { cents: 120_000 });

    let now = engine.load(&alice).await?;
    println!("now:              {} cents, {}", now.state.cents, now.provenance);
    let then = engine.at_version(&alice, 11).await?;
    println!("after 11 events:  {} cents, {}", then.state.cents, then.provenance);
    let at_noon = engine.at_time(&alice, second(59)).await?;
    println!("at 12:00:59:      {} cents of {}", at_noon.state.cents, at_noon.state.owner);

    // Call this after a command has committed events: the trigger decides, and a snapshot follows
    // in the background.
    println!("next snapshot:    {}", engine.committed(&now, now.version));
    Ok(())
}
