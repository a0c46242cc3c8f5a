//! [`Cart`]: an aggregate whose state is about 1 KB of JSON, or about 64 KB.

use serde::{Deserialize, Serialize};
use snapfold::engine::CacheConfig;
use snapfold::manager::Kinds;
use snapfold::trigger::manual;
use snapfold::{Aggregate, AggregateKey, MemoryEvents, MemoryStore, SnapshotEngine, Timestamp};

/// The ids, and about how long the JSON of each is.
pub const IDS: [(&str, usize); 2] = [("small", 1 << 10), ("large", 64 << 10)];

#[derive(Clone, Serialize, Deserialize)]
pub struct Cart {
    customer: String,
    lines: Vec<Line>,
    total_cents: i64,
    changes: u64,
}

#[derive(Clone, Serialize, Deserialize)]
struct Line {
    sku: String,
    title: String,
    warehouse: String,
    quantity: u32,
    price_cents: i64,
}

#[derive(Clone)]
pub struct Changed {
    line: usize,
    quantity: u32,
}

impl Aggregate for Cart {
    type Event = Changed;
    const KIND: &'static str = "cart";
    const SCHEMA_VERSION: u32 = 1;

    fn initial(key: &AggregateKey) -> Self {
        let lines = if key.id() == "large" { 550 } else { 8 };
        let lines = (0..lines).map(|i: i64| Line {
            sku: format!("SKU-{:06}-{:03}", i * 7_919 % 1_000_000, i * 31 % 1_000),
            title: format!("{} bracket No. {i}", ["Steel", "Copper", "Oak"][i as usize % 3]),
            warehouse: format!("hall-{}/shelf-{}", i % 4, i * 13 % 97),
            quantity: 1,
            price_cents: 1_999 + i * 37,
        });
        Self { customer: "C-100384".into(), lines: lines.collect(), total_cents: 0, changes: 0 }
    }

    fn apply(&mut self, event: &Changed) {
        let at = event.line % self.lines.len();
        let line = &mut self.lines[at];
        let change = i64::from(event.quantity) - i64::from(line.quantity);
        self.total_cents += change * line.price_cents;
        line.quantity = event.quantity;
        self.changes += 1;
    }
}

/// An engine with its hot cache, over events and snapshots in memory.
#[derive(Clone)]
pub struct Shop {
    pub events: MemoryEvents<Changed>,
    pub engine: SnapshotEngine<Cart>,
}

impl Shop {
    pub fn new() -> Self {
        let events = MemoryEvents::new();
        let engine = SnapshotEngine::<Cart>::builder(events.clone(), MemoryStore::new())
            .trigger(manual())
            .cache(CacheConfig::default())
            .build()
            .unwrap();
        let shop = Self { events, engine };
        for (id, _) in IDS {
            (0..20).for_each(|i| shop.commit(&key(id), i));
        }
        shop
    }

    pub fn commit(&self, key: &AggregateKey, i: u64) {
        let event = Changed { line: i as usize, quantity: (i % 9) as u32 };
        self.events.append(key, Timestamp::from_seconds(1_700_000_000 + i as i64), event);
    }

    pub fn kinds(&self) -> Kinds {
        Kinds::new().with(self.engine.clone()).unwrap()
    }
}

pub fn key(id: &str) -> AggregateKey {
    Cart::key(id).unwrap()
}

pub fn path(id: &str) -> String {
    format!("/api/v1/projects/~/entities/cart/{id}")
}
