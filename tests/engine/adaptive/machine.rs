//! A simulated machine: each step of the engine's work costs a stated time, and nothing else does.
//! So the clock shows the total work.

use std::cell::Cell;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use snapfold::codec::{Codec, CodecId, Compression, DecodeLimits, Digester, Postcard, TypeInfo};
use snapfold::engine::Clock;
use snapfold::record::{Record, SnapshotMeta};
use snapfold::store::{
    Capabilities, Cursor, DeleteOptions, Deleted, KeysRequest, ListRequest, Lookup, MarkChange,
    Page, PutOptions, PutOutcome, Query, Selection,
};
use snapfold::trigger::Trigger;
use snapfold::{
    Aggregate, AggregateKey, BoxError, Error, MemoryEvents, MemoryStore, SnapshotEngine,
    SnapshotId, SnapshotStore, Timestamp,
};

pub const LONG: Duration = Duration::from_secs(3_600);

/// Nanoseconds: a fixed part, and one for each KiB of state.
#[derive(Clone, Copy, Debug, Default)]
pub struct Price(pub u64, pub u64);

impl Price {
    pub fn of(self, bytes: u64) -> u64 {
        self.0 + self.1 * bytes / 1_024
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Prices {
    /// Applying an event, in nanoseconds.
    pub event: u64,
    pub get: Price,
    pub decode: Price,
    pub encode: Price,
    pub put: Price,
    /// A call of put, however many records it has.
    pub put_call: u64,
    /// Prices vary by so many percent, evenly.
    pub noise: u64,
}

thread_local! {
    static NOW: Cell<u64> = const { Cell::new(0) };
    static WALL: Cell<i64> = const { Cell::new(0) };
    static PRICES: Cell<Prices> = Cell::default();
    static RANDOM: Cell<u64> = const { Cell::new(1) };
}

/// Everything on this thread: the engine's tasks run on it too.
pub struct Machine;

impl Machine {
    pub fn start() {
        NOW.set(0);
        WALL.set(0);
        RANDOM.set(1);
    }

    pub fn set(prices: Prices) {
        PRICES.set(prices);
    }

    /// All work so far, in nanoseconds.
    pub fn spent() -> u64 {
        NOW.get()
    }

    /// Changes a price.
    pub fn change(change: impl FnOnce(&mut Prices)) {
        let mut prices = PRICES.get();
        change(&mut prices);
        PRICES.set(prices);
    }

    /// Sets the monotonic clock, which no clock may do.
    pub fn set_monotonic(nanos: u64) {
        NOW.set(nanos);
    }

    /// Sets the wall clock.
    pub fn set_wall(seconds: i64) {
        WALL.set(seconds);
    }

    pub fn spend(nanos: u64) {
        let noise = PRICES.get().noise;
        let nanos = if noise == 0 {
            nanos
        } else {
            // xorshift64
            let mut x = RANDOM.get();
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            RANDOM.set(x);
            nanos * (100 - noise + x % (2 * noise + 1)) / 100
        };
        NOW.set(NOW.get().saturating_add(nanos));
    }
}

pub fn engine(trigger: impl Trigger) -> (SnapshotEngine<Document>, MemoryEvents<u64>) {
    let events = MemoryEvents::new();
    let store = PricedStore::default();
    let engine = SnapshotEngine::builder_with_codec(events.clone(), store, PricedCodec)
        .clock(MachineClock)
        .compression(Compression::none())
        .encode_in_place(u64::MAX)
        .parallel_saves(64)
        .retention(snapfold::retention::keep_last(1_000_000))
        // The oracle knows nothing of them.
        .without_spot_checks()
        .trigger(trigger)
        .build()
        .unwrap();
    (engine, events)
}

#[derive(Debug)]
pub struct MachineClock;

impl Clock for MachineClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(WALL.get())
    }

    fn monotonic(&self) -> Duration {
        Duration::from_nanos(NOW.get())
    }
}

/// As large as its id says, and as its events make it: `name:bytes`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Document {
    text: String,
}

impl Document {
    pub const OVERHEAD: u64 = 2;
}

impl Aggregate for Document {
    /// How many bytes it grows by.
    type Event = u64;
    const KIND: &'static str = "document";
    const SCHEMA_VERSION: u32 = 1;

    fn initial(key: &AggregateKey) -> Self {
        let bytes = key.id().split_once(':').map_or(0, |(_, bytes)| bytes.parse().unwrap());
        Self { text: "x".repeat(bytes) }
    }

    fn apply(&mut self, bytes: &u64) {
        Machine::spend(PRICES.get().event);
        self.text.extend((0..*bytes).map(|_| 'x'));
    }
}

#[derive(Debug)]
pub struct PricedCodec;

impl Codec<Document> for PricedCodec {
    fn id(&self) -> CodecId {
        Codec::<Document>::id(&Postcard)
    }

    fn is_self_describing(&self) -> bool {
        false
    }

    fn inspect(&self, samples: &[Document]) -> Result<TypeInfo, Error> {
        Postcard.inspect(samples)
    }

    fn digester(&self) -> Digester<Document> {
        Postcard.digester()
    }

    fn encode(&self, state: &Document, out: &mut Vec<u8>) -> Result<(), BoxError> {
        Machine::spend(PRICES.get().encode.of(state.text.len() as u64));
        Postcard.encode(state, out)
    }

    fn decode(&self, bytes: &[u8], limits: DecodeLimits) -> Result<Document, BoxError> {
        Machine::spend(PRICES.get().decode.of(bytes.len() as u64));
        Postcard.decode(bytes, limits)
    }
}

#[derive(Clone, Debug, Default)]
pub struct PricedStore(MemoryStore);

#[async_trait]
impl SnapshotStore for PricedStore {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    async fn put(
        &self,
        records: Vec<Record>,
        options: PutOptions,
    ) -> Result<Vec<PutOutcome>, Error> {
        for record in &records {
            let bytes = record.header().unwrap().raw_bytes;
            Machine::spend(PRICES.get().put.of(u64::from(bytes)));
        }
        Machine::spend(PRICES.get().put_call);
        self.0.put(records, options).await
    }

    async fn get(&self, query: Query<'_>) -> Result<Lookup, Error> {
        let found = self.0.get(query).await?;
        let bytes = match &found {
            Lookup::Found(found) => found.record.header().unwrap().raw_bytes,
            _ => 0,
        };
        Machine::spend(PRICES.get().get.of(u64::from(bytes)));
        Ok(found)
    }

    async fn list(
        &self,
        request: ListRequest<'_>,
    ) -> Result<Page<SnapshotMeta, SnapshotId>, Error> {
        self.0.list(request).await
    }

    async fn keys(&self, request: KeysRequest<'_>) -> Result<Page<AggregateKey, Cursor>, Error> {
        self.0.keys(request).await
    }

    async fn delete(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        options: DeleteOptions,
    ) -> Result<Deleted, Error> {
        self.0.delete(key, selection, options).await
    }

    async fn mark(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        change: MarkChange<'_>,
    ) -> Result<u64, Error> {
        self.0.mark(key, selection, change).await
    }
}
