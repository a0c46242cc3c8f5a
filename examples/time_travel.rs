//! What was it then, what has changed, and since when? Questions about the past of an order.
//!
//! Run it with `cargo run --example time_travel`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use snapfold::manager::Point;
use snapfold::{
    Aggregate, AggregateKey, Error, MemoryEvents, MemoryStore, SnapshotEngine, Timestamp,
};

#[derive(Clone)]
enum OrderEvent {
    Added { article: String, count: u32 },
    Removed { article: String },
    Shipped { to: String },
}

#[derive(Clone, Serialize, Deserialize)]
struct Order {
    lines: BTreeMap<String, u32>,
    shipped_to: Option<String>,
}

impl Aggregate for Order {
    type Event = OrderEvent;
    const KIND: &'static str = "order";
    const SCHEMA_VERSION: u32 = 1;

    fn initial(_: &AggregateKey) -> Self {
        Order { lines: BTreeMap::new(), shipped_to: None }
    }

    fn apply(&mut self, event: &OrderEvent) {
        match event {
            OrderEvent::Added { article, count } => {
                *self.lines.entry(article.clone()).or_default() += count;
            }
            OrderEvent::Removed { article } => drop(self.lines.remove(article)),
            OrderEvent::Shipped { to } => self.shipped_to = Some(to.clone()),
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let events = MemoryEvents::new();
    let order = Order::key("4711")?;
    let add = |article: &str, count| OrderEvent::Added { article: article.to_owned(), count };
    for (time, event) in [
        ("2026-03-01T09:00:00Z", add("tea", 2)),
        ("2026-03-01T09:05:00Z", add("cup", 4)),
        ("2026-03-02T18:30:00Z", add("tea", 1)),
        ("2026-03-03T08:00:00Z", OrderEvent::Removed { article: "cup".to_owned() }),
        ("2026-03-03T08:01:00Z", add("pot", 1)),
        ("2026-03-04T12:00:00Z", OrderEvent::Shipped { to: "Bremen".to_owned() }),
    ] {
        events.append(&order, time.parse()?, event);
    }
    let engine = SnapshotEngine::<Order>::builder(events, MemoryStore::new()).build()?;

    let evening: Timestamp = "2026-03-02T23:59:59Z".parse()?;
    let then = engine.at_time(&order, evening).await?;
    println!("on the evening of 2 March, after {} events: {:?}", then.version, then.state.lines);

    println!("\nwhat has changed since then:");
    println!("{}", engine.diff(&order, Point::Time(evening), Point::Now).await?);

    let shipped = engine.bisect(&order, 1..=6, |order| order.shipped_to.is_some()).await?;
    if let Some(version) = shipped.first {
        let times = engine.times(&order, version..=version, 1).await?;
        let at = times.first().and_then(|event| event.recorded_at);
        let at = at.map_or_else(|| "nobody knows when".to_owned(), |at| at.to_string());
        println!("\nshipped with event {version}, {at}");
    }

    println!("\nthe states after each event:");
    for state in engine.history(&order, &[1, 2, 3, 4, 5, 6]).await? {
        println!("{}: {:?}", state.version, state.state.lines);
    }

    engine.create(&order).await?;
    println!("\n{}", engine.explain(&order, Point::Now).await?);
    Ok(())
}
