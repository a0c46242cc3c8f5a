//! What retained history takes: snapshots as deltas, in JSON, with a dictionary, and in an archive.
//! Sizes are exact. Times are medians of turns, within one run.

use std::fs::File;
use std::io::{self, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use snapfold::codec::{Compression, Dictionary};
use snapfold::engine::{EngineBuilder, Incremental, TrainingRequest};
use snapfold::file::FileStore;
use snapfold::manager::CreateOptions;
use snapfold::record::{Generation, RecordBuilder};
use snapfold::retention::keep_last;
use snapfold::service::transfer::{ExportOptions, TransferOptions, export, import};
use snapfold::store::{ListRequest, SnapshotStoreExt};
use snapfold::trigger::manual;
use snapfold::{Aggregate, AggregateKey, MemoryEvents, MemoryStore, SnapshotEngine, Timestamp};
use tokio::io::AsyncWrite;
use tokio::runtime::Runtime;

use super::states::{Ledger, Order};

/// Records of about 125 bytes, of which each event changes some.
#[derive(Clone, Serialize, Deserialize, PartialEq, Debug)]
struct Register {
    records: Vec<Entry>,
    events: u64,
}

#[derive(Clone, Serialize, Deserialize, PartialEq, Debug)]
struct Entry {
    id: u64,
    owner: String,
    address: String,
    iban: String,
    balance: i64,
    changed: u64,
}

/// Changes this share of the records, in percent, evenly spread.
#[derive(Clone)]
struct Changed(u64);

fn random(seed: u64) -> u64 {
    let mut x = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn entry(id: u64) -> Entry {
    let of = |field: u64| id << 3 | field;
    let word = |of: u64| {
        let syllables =
            ["ka", "ro", "mi", "ten", "sul", "ver", "no", "gra", "pel", "dis", "ho", "an"];
        let syllable = |at: u64| syllables[(random(id ^ of << 40 ^ at << 50) % 12) as usize];
        format!("{}{}{}", syllable(1), syllable(2), syllable(3))
    };
    Entry {
        id: random(of(1)),
        owner: format!("{} {} van {}", word(1), word(2), word(3)),
        address: format!(
            "{} Street {}, {:05} {}",
            word(4),
            id % 200,
            random(id) % 100_000,
            word(5)
        ),
        iban: format!("DE{:020}", random(of(2))),
        balance: (random(of(3)) % 1_000_000) as i64,
        changed: random(of(4)),
    }
}

/// A record as an application has it: much of it is the same in the next one.
fn customer(n: u64) -> serde_json::Value {
    let of = entry(n);
    let plans = ["basic/monthly", "premium/monthly", "premium/yearly"];
    serde_json::json!({
        "customer_id": 100_000 + n,
        "name": of.owner,
        "email": format!("{}@example.org", of.owner.replace(' ', ".")),
        "address": { "line": of.address, "country": "NL" },
        "plan": plans[(of.id % 3) as usize],
        "consents": ["newsletter", "profiling"],
        "balance_cents": of.balance,
        "currency": "EUR",
        "status": if of.id.is_multiple_of(10) { "suspended" } else { "active" },
        "created_at": format!("2026-{:02}-{:02}T08:00:00Z", of.id % 12 + 1, of.id % 28 + 1),
        "orders": (0..n % 4).map(|order| serde_json::json!({
            "order_id": n * 10 + order, "total_cents": random(n ^ order << 30) % 50_000,
            "status": "delivered", "warehouse": "hall-2",
        })).collect::<Vec<_>>(),
    })
}

impl Aggregate for Register {
    type Event = Changed;
    const KIND: &'static str = "register";
    const SCHEMA_VERSION: u32 = 1;

    /// The id is the number of records, and optionally another number, which makes them differ from
    /// those of other aggregates.
    fn initial(key: &AggregateKey) -> Self {
        let mut parts = key.id().split('-').map(|part| part.parse::<u64>().unwrap());
        let (count, first) = (parts.next().unwrap(), parts.next().unwrap_or(0) * 1_000_000);
        Self { records: (first..first + count).map(entry).collect(), events: 0 }
    }

    fn apply(&mut self, Changed(percent): &Changed) {
        self.events += 1;
        let count = self.records.len() as u64;
        for nth in 0..count * percent / 100 {
            let at = random(self.events << 32 | nth) % count;
            let record = &mut self.records[at as usize];
            record.balance = (random(self.events ^ at) % 1_000_000) as i64;
            record.changed = random(self.events << 20 ^ at);
        }
    }
}

/// The records of a state of about 120 KB, and of about 6 MB.
const COUNTS: [(&str, u64); 2] = [("120 KB", 1_200), ("6 MB", 60_000)];
const SNAPSHOTS: u64 = 16;

type Builder = EngineBuilder<Register>;

fn engine(
    events: &MemoryEvents<Changed>,
    store: &MemoryStore,
    change: impl FnOnce(Builder) -> Builder,
) -> SnapshotEngine<Register> {
    let builder = SnapshotEngine::builder(events.clone(), store.clone())
        .retention(keep_last(1_000))
        .trigger(manual());
    change(builder).build().unwrap()
}

fn incremental(builder: Builder) -> Builder {
    builder.compression(Compression::zstd()).incremental(Incremental::zstd())
}

/// Takes a snapshot of each version, and returns how many bytes they take.
async fn retained(
    events: &MemoryEvents<Changed>,
    key: &AggregateKey,
    change: impl FnOnce(Builder) -> Builder,
) -> u64 {
    let store = MemoryStore::new();
    let engine = engine(events, &store, change);
    for version in 1..=SNAPSHOTS {
        engine.create_with(key, CreateOptions::new().at_version(version)).await.unwrap();
    }
    let metas = store.list_all(ListRequest::new(key)).await.unwrap();
    assert_eq!(metas.len() as u64, SNAPSHOTS);
    metas.iter().map(|meta| meta.stored_bytes).sum()
}

fn histories(runtime: &Runtime) {
    for (size, count) in COUNTS {
        for (percent, goal) in [(1, 15.0), (5, 32.0)] {
            let (events, key) = grown(count, percent, SNAPSHOTS);
            let sizes = runtime.block_on(async {
                let full =
                    retained(&events, &key, |b| b.compression(Compression::zstd().level(1))).await;
                (full, retained(&events, &key, incremental).await)
            });
            let share = sizes.1 as f64 * 100.0 / sizes.0 as f64;
            println!(
                "history of {size}, {percent}% changed a step: {} instead of {} bytes, {share:.1}% \
                 (goal {goal}%)",
                sizes.1, sizes.0
            );
        }
    }
}

fn grown(count: u64, percent: u64, versions: u64) -> (MemoryEvents<Changed>, AggregateKey) {
    let (events, key) = (MemoryEvents::new(), Register::key(&count.to_string()).unwrap());
    for version in 1..=versions {
        events.append(&key, Timestamp::from_seconds(version as i64), Changed(percent));
    }
    (events, key)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Loads and saves of a delta, against those of a whole snapshot at the same version.
fn times(runtime: &Runtime) {
    for (size, count) in COUNTS {
        let turns = if count > 10_000 { 15 } else { 101 };
        let (events, key) = grown(count, 1, 2 + turns);
        let stores = [MemoryStore::new(), MemoryStore::new()];
        let whole = engine(&events, &stores[0], |b| b.compression(Compression::zstd()));
        // Each delta is based on the snapshot at version 1.
        let delta = engine(&events, &stores[1], |b| {
            b.compression(Compression::zstd())
                .incremental(Incremental::zstd().max_deltas(u32::MAX).max_percent(255))
        });
        let engines = [&whole, &delta];
        let (mut saves, mut loads) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
        runtime.block_on(async {
            for engine in engines {
                engine.create_with(&key, CreateOptions::new().at_version(1)).await.unwrap();
            }
            for turn in 0..turns {
                // A save of version 2 and a load of it, each time anew.
                for (way, engine) in engines.iter().enumerate() {
                    let began = Instant::now();
                    engine.create_with(&key, CreateOptions::new().at_version(2)).await.unwrap();
                    saves[way].push(began.elapsed().as_secs_f64());
                    let began = Instant::now();
                    let loaded = engine.at_version(&key, 2).await.unwrap();
                    loads[way].push(began.elapsed().as_secs_f64());
                    assert_eq!(loaded.provenance.events_replayed, 0);
                    let used = loaded.provenance.snapshot.unwrap();
                    assert_eq!(way == 1, used.stored_bytes < used.raw_bytes / 10);
                    if turn + 1 < turns {
                        let ids = [used.id];
                        let select = snapfold::store::Selection::Ids(&ids);
                        let options = snapfold::store::DeleteOptions::default();
                        let store: &dyn snapfold::SnapshotStore = &stores[way];
                        store.delete(&key, select, options).await.unwrap();
                    }
                }
            }
        });
        for (name, [whole, delta], goal) in [("load", loads, 1.25), ("save", saves, 1.6)] {
            let (whole, delta) = (median(whole) * 1e3, median(delta) * 1e3);
            println!(
                "{name} of {size}: whole {whole:.2} ms, delta {delta:.2} ms, {:.2}x (goal {goal}x)",
                delta / whole
            );
        }
    }
}

fn json() {
    in_json::<Order<false>>("1");
    in_json::<Ledger<false>>("1");
    // Half of it are random numbers.
    in_json::<Register>("30");
    in_json::<Register>("1200");
}

fn in_json<A>(id: &str)
where
    A: Aggregate + Serialize,
{
    for (name, compression, goal) in
        [("default", Compression::default(), 70), ("zstd", Compression::zstd(), 80)]
    {
        let state = A::initial(&A::key(id).unwrap());
        let json = serde_json::to_vec(&state).unwrap().len();
        let raw = postcard::to_stdvec(&state).unwrap();
        let key = A::key(id).unwrap();
        let generation = Generation { schema_version: 1, fingerprint: 0 };
        let record = RecordBuilder::new(key, generation, 1, Timestamp::from_seconds(1))
            .compression(compression);
        let stored = record.build(&raw).unwrap().as_bytes().len();
        let saved = 100.0 - stored as f64 * 100.0 / json as f64;
        println!(
            "{} of {json} bytes in JSON, {name}: {stored} bytes, {saved:.0}% smaller (goal {goal}%)",
            A::KIND
        );
    }
}

fn dictionaries(runtime: &Runtime) {
    let customers: Vec<_> = (0..2_000).map(|n| serde_json::to_vec(&customer(n)).unwrap()).collect();
    let training = Dictionary::train(&customers, 64 << 10).unwrap();
    println!("customers in JSON (goal 50%): {training}");
    for records in [4, 8, 30] {
        let (events, store) = (MemoryEvents::new(), MemoryStore::new());
        let training = runtime.block_on(async {
            let engine = engine(&events, &store, |b| b);
            for n in 0..2_000 {
                let key = Register::key(&format!("{records}-{n}")).unwrap();
                events.append(&key, Timestamp::from_seconds(1), Changed(100));
                engine.create(&key).await.unwrap();
            }
            engine.train_dictionary(&TrainingRequest::new()).await.unwrap()
        });
        let saved = |bytes: u64| 100.0 - bytes as f64 * 100.0 / training.raw_bytes as f64;
        println!(
            "states of {} bytes: {:.0}% smaller alone, {:.0}% with a dictionary (goal 50%); {training}",
            training.raw_bytes / training.held_out as u64,
            saved(training.alone_bytes),
            saved(training.with_bytes),
        );
    }
}

/// Writes to a file, in the thread that polls.
struct Blocking(File);

impl AsyncWrite for Blocking {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(self.0.write(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.sync_all())
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn archives(runtime: &Runtime) {
    const AGGREGATES: u64 = 300;
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    runtime.block_on(async {
        let events = MemoryEvents::new();
        let store = FileStore::open(path("store")).unwrap();
        let engine = SnapshotEngine::<Register>::builder(events.clone(), store.clone())
            .compression(Compression::none())
            .trigger(manual())
            .build()
            .unwrap();
        for n in 0..AGGREGATES {
            let key = Register::key(&format!("9000-{n}")).unwrap();
            events.append(&key, Timestamp::from_seconds(1), Changed(1));
            engine.create(&key).await.unwrap();
        }
        let (mut exports, mut imports, mut plain) = (Vec::new(), Vec::new(), Vec::new());
        let mut bytes = 0;
        for turn in 0..5 {
            let began = Instant::now();
            let file = Blocking(File::create(path("archive")).unwrap());
            bytes = export(&store, file, &ExportOptions::new()).await.unwrap().bytes;
            exports.push(began.elapsed().as_secs_f64());

            let archive = std::fs::read(path("archive")).unwrap();
            let began = Instant::now();
            let mut file = File::create(path("plain")).unwrap();
            file.write_all(&archive).unwrap();
            file.sync_all().unwrap();
            plain.push(began.elapsed().as_secs_f64());

            let target = FileStore::open(path(&format!("target-{turn}"))).unwrap();
            let began = Instant::now();
            let imported = import(archive.as_slice(), &target, &TransferOptions::new()).await;
            assert_eq!(imported.unwrap().report.stored, AGGREGATES);
            imports.push(began.elapsed().as_secs_f64());
            target.close().unwrap();
            std::fs::remove_dir_all(path(&format!("target-{turn}"))).unwrap();
        }
        let rate = |times: Vec<f64>| bytes as f64 / 1e6 / median(times);
        let (plain, exports, imports) = (rate(plain), rate(exports), rate(imports));
        println!(
            "archive of {} MB: export {exports:.0} MB/s, import {imports:.0} MB/s, the disk \
             {plain:.0} MB/s (goal {:.0} MB/s)",
            bytes / 1_000_000,
            (plain * 0.6).min(200.0),
        );
    });
}

pub fn print() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    histories(&runtime);
    json();
    dictionaries(&runtime);
    times(&runtime);
    archives(&runtime);
}
