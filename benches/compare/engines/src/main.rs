//! Durable puts of the file store beside four storage engines, each engine behind the same group
//! commit, on one disk in one run.
//!
//! `cargo run --release [-- seconds-per-sample [rounds]]`; `SNAPFOLD_BENCH_DIR` chooses the disk.
//! Every round runs each contestant once, on a store of its own that is removed before the next one
//! begins: all of them use equally much memory of the system, which can cost more than the writes
//! themselves. Each store holds 64 MiB before it is measured. Medians of the rounds are printed, and
//! the spread.

mod engines;
mod group;

use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use snapfold::codec::CodecId;
use snapfold::file::{FileStore, ZeroAhead};
use snapfold::record::{Generation, RecordBuilder};
use snapfold::store::PutOptions;
use snapfold::{AggregateKey, Timestamp};

use engines::{Engine, Fjall, Lmdb, Redb, Sqlite};
use group::Group;

/// What is measured: durable puts of pairs of a key and a value.
trait Contestant: Sync {
    fn put(&self, batch: Vec<(u64, Vec<u8>)>);
}

struct Raw(std::sync::Mutex<std::fs::File>);

impl Contestant for Raw {
    fn put(&self, batch: Vec<(u64, Vec<u8>)>) {
        use std::io::Write;
        let mut file = self.0.lock().unwrap();
        let values: Vec<_> = batch.into_iter().map(|(_, value)| value).collect();
        let bytes = values.concat();
        file.write_all(&bytes).unwrap();
        file.sync_data().unwrap();
    }
}

struct Snapfold(FileStore);

impl Contestant for Snapfold {
    fn put(&self, batch: Vec<(u64, Vec<u8>)>) {
        let generation = Generation { schema_version: 1, fingerprint: 7 };
        let record = |(key, value): (u64, Vec<u8>)| {
            let id = AggregateKey::new("bench", &format!("id{:09}", key % 4096)).unwrap();
            RecordBuilder::new(id, generation, 1 + key / 4096, Timestamp::from_seconds(1))
                .codec(CodecId::custom(1))
                .build(&value)
                .unwrap()
        };
        let records = batch.into_iter().map(record).collect();
        self.0.put_blocking(records, PutOptions::default()).unwrap();
    }
}

impl<E: Engine> Contestant for Group<E> {
    fn put(&self, batch: Vec<(u64, Vec<u8>)>) {
        let named = batch.into_iter().map(|(key, value)| {
            let mut name = format!("bench/id{:09}/", key % 4096).into_bytes();
            name.extend_from_slice(&(1 + key / 4096).to_be_bytes());
            (name, value)
        });
        self.write(named.collect());
    }
}

/// Makes a contestant's store in an empty directory.
type Open = fn(&Path) -> Box<dyn Contestant>;

const CONTESTANTS: [(&str, Open); 7] = [
    ("raw append", |dir| {
        Box::new(Raw(std::sync::Mutex::new(std::fs::File::create(dir.join("raw")).unwrap())))
    }),
    ("snapfold", |dir| Box::new(Snapfold(FileStore::open(dir).unwrap()))),
    ("snapfold zero-ahead", |dir| {
        let builder = FileStore::builder(dir).zero_ahead(ZeroAhead::WholeFiles);
        Box::new(Snapfold(builder.open().unwrap()))
    }),
    ("redb", |dir| Box::new(Group::new(Redb::open(&dir.join("redb"))))),
    ("fjall", |dir| Box::new(Group::new(Fjall::open(dir)))),
    ("SQLite", |dir| Box::new(Group::new(Sqlite::open(&dir.join("sqlite"))))),
    ("LMDB", |dir| Box::new(Group::new(Lmdb::open(&dir.join("lmdb"))))),
];

fn scratch() -> tempfile::TempDir {
    match std::env::var("SNAPFOLD_BENCH_DIR") {
        Ok(dir) => tempfile::tempdir_in(dir).unwrap(),
        Err(_) => tempfile::tempdir().unwrap(),
    }
}

/// Values that differ and that no engine can compress.
struct Values(Vec<u8>);

impl Values {
    fn new(len: usize) -> Self {
        let mut state = 1_u64;
        let bytes = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        });
        Self(bytes.take(len + 256).collect())
    }

    fn get(&self, key: u64) -> Vec<u8> {
        let from = (key % 256) as usize;
        self.0[from..from + self.0.len() - 256].to_vec()
    }
}

/// What a store holds before it is measured: none is empty for long.
const FILLED_BYTES: usize = 64 << 20;

fn fill(on: &dyn Contestant, next: &AtomicU64, values: &Values) {
    let len = values.get(0).len();
    let batch = ((1 << 20) / len) as u64;
    for _ in 0..FILLED_BYTES >> 20 {
        let first = next.fetch_add(batch, Ordering::Relaxed);
        on.put((first..first + batch).map(|key| (key, values.get(key))).collect());
    }
}

/// Puts per second of `writers` threads, each with batches of `batch`.
fn sample(
    on: &dyn Contestant,
    next: &AtomicU64,
    values: &Values,
    writers: usize,
    batch: u64,
    time: Duration,
) -> f64 {
    let (stop, count) = (AtomicBool::new(false), AtomicU64::new(0));
    let barrier = Barrier::new(writers + 1);
    let mut took = Duration::ZERO;
    std::thread::scope(|scope| {
        for _ in 0..writers {
            scope.spawn(|| {
                barrier.wait();
                while !stop.load(Ordering::Relaxed) {
                    let first = next.fetch_add(batch, Ordering::Relaxed);
                    let one = |key: u64| (key, values.get(key));
                    on.put((first..first + batch).map(one).collect());
                    count.fetch_add(batch, Ordering::Relaxed);
                }
            });
        }
        barrier.wait();
        let began = Instant::now();
        std::thread::sleep(time);
        stop.store(true, Ordering::Relaxed);
        took = began.elapsed();
    });
    count.load(Ordering::Relaxed) as f64 / took.as_secs_f64()
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let seconds = arguments.next().map_or(0.5, |text| text.parse().unwrap());
    let rounds = arguments.next().map_or(5, |text| text.parse().unwrap());
    for (value, writers, batch) in [
        (512, 1, 1),
        (512, 64, 1),
        (4096, 1, 1),
        (4096, 64, 1),
        (4096, 1, 100),
        (65536, 64, 1),
        (65536, 1, 100),
    ] {
        let next = AtomicU64::new(0);
        let values = Values::new(value);
        let mut rates = vec![Vec::new(); CONTESTANTS.len()];
        for _ in 0..rounds {
            for ((name, open), rates) in CONTESTANTS.iter().zip(&mut rates) {
                // The limit: one write and one sync for all that may be outstanding.
                let (writers, batch) = if *name == "raw append" {
                    (1, writers as u64 * batch)
                } else {
                    (writers, batch)
                };
                let dir = scratch();
                let contestant = open(dir.path());
                fill(&*contestant, &next, &values);
                let time = Duration::from_secs_f64(seconds);
                rates.push(sample(&*contestant, &next, &values, writers, batch, time));
            }
        }
        println!(
            "\n{value} B, {writers} threads, batches of {batch}: puts/s, median [min..max], to raw"
        );
        let median = |rates: &mut Vec<f64>| {
            rates.sort_by(f64::total_cmp);
            rates[rates.len() / 2]
        };
        let raw = median(&mut rates[0]);
        for ((name, _), rates) in CONTESTANTS.iter().zip(&mut rates) {
            let rate = median(rates);
            let (min, max) = (rates[0], rates[rates.len() - 1]);
            println!("{name:20} {rate:10.0} [{min:.0}..{max:.0}] {:.2}", rate / raw);
        }
    }
}
