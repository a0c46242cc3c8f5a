//! The file store against what the disk can do: every group measures `raw_append` or `raw_pread`
//! (one thread, one write and one sync for the whole wave, or one read) beside the store, in one
//! run on the same disk. Compare within a group, never across.
//!
//! `SNAPFOLD_BENCH_DIR` chooses the disk; the directory for temporary files otherwise.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "bench code"
)]

use std::cell::LazyCell;
use std::fs::{File, OpenOptions};
use std::hint::black_box;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use snapfold::codec::CodecId;
use snapfold::file::{FileStore, ZeroAhead};
use snapfold::record::{DigestKind, Generation, Record, RecordBuilder, StateDigest};
use snapfold::store::{PutOptions, Query};
use snapfold::{AggregateKey, SnapshotStore, Timestamp};
use tempfile::TempDir;

const GENERATION: Generation = Generation { schema_version: 1, fingerprint: 7 };

fn scratch() -> TempDir {
    match std::env::var("SNAPFOLD_BENCH_DIR") {
        Ok(dir) => tempfile::tempdir_in(dir).unwrap(),
        Err(_) => tempfile::tempdir().unwrap(),
    }
}

fn key(id: u64) -> AggregateKey {
    AggregateKey::new("bench", &format!("id{id:09}")).unwrap()
}

/// Payloads that differ and do not compress, made once.
struct Payload(Vec<u8>);

impl Payload {
    fn new(len: usize) -> Self {
        let mut state = 1_u64;
        let bytes = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        });
        Self(bytes.take(len + 256).collect())
    }

    fn record(&self, id: u64, version: u64) -> Record {
        let from = (id % 256) as usize;
        let payload = &self.0[from..from + self.0.len() - 256];
        RecordBuilder::new(key(id), GENERATION, version, Timestamp::from_seconds(1_790_000_000))
            .created_at(Timestamp::from_seconds(1_790_000_005))
            .codec(CodecId::custom(1))
            .digest(StateDigest::new(DigestKind::Ordered, [from as u8; 16]))
            .build(payload)
            .unwrap()
    }
}

/// Records to put, made outside of the measured time.
fn records(payload: &Payload, next: &AtomicU64, count: u64) -> Vec<Record> {
    let first = next.fetch_add(count, Ordering::Relaxed);
    (first..first + count).map(|id| payload.record(id % 4096, 1 + id / 4096)).collect()
}

/// What a function has written is given back when it exceeds this, outside of the measured time:
/// the raw file and the stores then use equally much memory of the system, and new memory can cost
/// more than the writes that are to be compared.
const RENEWED_BYTES: u64 = 1 << 28;

/// A store that is made anew when it has become large.
struct Renewed {
    dir: PathBuf,
    zero_ahead: ZeroAhead,
    store: Option<FileStore>,
}

impl Renewed {
    fn new(dir: &Path, name: &str, zero_ahead: ZeroAhead) -> Self {
        Self { dir: dir.join(name), zero_ahead, store: None }
    }

    fn get(&mut self) -> &FileStore {
        if self.store.as_ref().is_some_and(|store| store.stats().log_bytes > RENEWED_BYTES) {
            self.store = None;
            std::fs::remove_dir_all(&self.dir).unwrap();
        }
        let open = || {
            let store = FileStore::builder(&self.dir).zero_ahead(self.zero_ahead).open().unwrap();
            // The first put makes the first file.
            let first = Payload::new(1).record(u64::MAX, 1);
            store.put_blocking(vec![first], PutOptions::default()).unwrap();
            store
        };
        self.store.get_or_insert_with(open)
    }
}

impl Drop for Renewed {
    fn drop(&mut self) {
        if self.store.take().is_some() {
            std::fs::remove_dir_all(&self.dir).unwrap();
        }
    }
}

fn raw_append(dir: &Path, bytes: usize, waves: u64) -> Duration {
    let path = dir.join("raw");
    let mut file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
    if file.metadata().unwrap().len() > RENEWED_BYTES {
        file.set_len(0).unwrap();
        file.sync_all().unwrap();
    }
    let bytes = vec![0x5a; bytes];
    let began = Instant::now();
    for _ in 0..waves {
        file.write_all(&bytes).unwrap();
        file.sync_data().unwrap();
    }
    began.elapsed()
}

/// `writers` threads, each with one put outstanding at any time.
fn threads(
    store: &FileStore,
    payload: &Payload,
    next: &AtomicU64,
    writers: u64,
    waves: u64,
) -> Duration {
    let barrier = Barrier::new(usize::try_from(writers).unwrap() + 1);
    let mut began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..writers {
            let mine = records(payload, next, waves);
            let barrier = &barrier;
            scope.spawn(move || {
                barrier.wait();
                for record in mine {
                    store.put_blocking(vec![record], PutOptions::default()).unwrap();
                }
            });
        }
        barrier.wait();
        began = Instant::now();
    });
    began.elapsed()
}

/// `writers` tasks, each with one put outstanding at any time.
async fn tasks(
    store: &FileStore,
    payload: &Payload,
    next: &AtomicU64,
    writers: u64,
    waves: u64,
) -> Duration {
    let mut work: Vec<_> = (0..writers).map(|_| records(payload, next, waves)).collect();
    let began = Instant::now();
    let mut set = tokio::task::JoinSet::new();
    for mine in work.drain(..) {
        let store = store.clone();
        set.spawn(async move {
            for record in mine {
                store.put(vec![record], PutOptions::default()).await.unwrap();
            }
        });
    }
    while let Some(joined) = set.join_next().await {
        joined.unwrap();
    }
    began.elapsed()
}

fn quick(group: &mut criterion::BenchmarkGroup<'_, criterion::measurement::WallTime>) {
    group.sample_size(15);
    group.warm_up_time(Duration::from_millis(300));
    group.measurement_time(Duration::from_millis(1500));
    group.sampling_mode(SamplingMode::Flat);
}

fn durable_put(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    for (name, bytes) in [("512B", 512), ("4KiB", 4096), ("64KiB", 65536)] {
        let payload = Payload::new(bytes);
        for writers in [1, 16, 64] {
            let mut group = c.benchmark_group(format!("durable_put/{name}/{writers}"));
            quick(&mut group);
            group.throughput(Throughput::Elements(writers));
            let dir = scratch();
            let next = AtomicU64::new(0);
            let record_bytes =
                payload.record(1, 1).as_bytes().len() * usize::try_from(writers).unwrap();
            group.bench_function("raw_append", |b| {
                b.iter_custom(|waves| raw_append(dir.path(), record_bytes, waves));
            });
            let mut store = Renewed::new(dir.path(), "threads", ZeroAhead::default());
            group.bench_function("snapfold_threads", |b| {
                b.iter_custom(|waves| threads(store.get(), &payload, &next, writers, waves));
            });
            drop(store);
            for (name, zero_ahead) in [
                ("snapfold_async", ZeroAhead::default()),
                ("snapfold_async_zero_ahead", ZeroAhead::WholeFiles),
            ] {
                let mut store = Renewed::new(dir.path(), name, zero_ahead);
                group.bench_function(name, |b| {
                    b.iter_custom(|waves| {
                        runtime.block_on(tasks(store.get(), &payload, &next, writers, waves))
                    });
                });
            }
            group.bench_function("raw_append_again", |b| {
                b.iter_custom(|waves| raw_append(dir.path(), record_bytes, waves));
            });
            group.finish();
        }
        let mut group = c.benchmark_group(format!("durable_put/{name}/batch_of_100"));
        quick(&mut group);
        group.throughput(Throughput::Elements(100));
        let dir = scratch();
        let next = AtomicU64::new(0);
        let record_bytes = payload.record(1, 1).as_bytes().len() * 100;
        group.bench_function("raw_append", |b| {
            b.iter_custom(|waves| raw_append(dir.path(), record_bytes, waves));
        });
        let mut store = Renewed::new(dir.path(), "batch", ZeroAhead::default());
        group.bench_function("snapfold_threads", |b| {
            b.iter_custom(|waves| {
                let store = store.get();
                let mut work = Vec::new();
                for _ in 0..waves {
                    work.push(records(&payload, &next, 100));
                }
                let began = Instant::now();
                for batch in work {
                    store.put_blocking(batch, PutOptions::default()).unwrap();
                }
                began.elapsed()
            });
        });
        group.finish();
    }
}

fn fill(store: &FileStore, payload: &Payload, aggregates: u64, versions: u64) {
    for version in 1..=versions {
        for first in (0..aggregates).step_by(1000) {
            let records = first..(first + 1000).min(aggregates);
            let records = records.map(|id| payload.record(id, version)).collect();
            store.put_blocking(records, PutOptions::default()).unwrap();
        }
    }
}

fn dice(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

/// The records of the log, to read at random without an index.
struct Raw(Vec<File>, Vec<(usize, u64)>);

impl Raw {
    fn new(dir: &Path, record_bytes: u64) -> Self {
        let mut paths: Vec<PathBuf> =
            std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
        let files: Vec<_> = paths.iter().map(|path| File::open(path).unwrap()).collect();
        let mut places = Vec::new();
        for (number, file) in files.iter().enumerate() {
            let len = file.metadata().unwrap().len();
            places.extend(
                (48..len.saturating_sub(2 * record_bytes)).step_by(1152).map(|at| (number, at)),
            );
        }
        Self(files, places)
    }
}

fn read(c: &mut Criterion) {
    let payload = Payload::new(1024);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    for (name, aggregates) in [("10k", 10_000), ("200k", 200_000)] {
        let record_bytes = payload.record(1, 1).as_bytes().len();
        // Filled by the first function that is measured: none is if they are only listed.
        let filled = LazyCell::new(|| {
            let dir = scratch();
            let store = FileStore::open(dir.path().join("store")).unwrap();
            fill(&store, &payload, aggregates, 5);
            let keys: Vec<_> = (0..aggregates).map(key).collect();
            let raw = Raw::new(&dir.path().join("store"), record_bytes as u64);
            (store, keys, raw, dir)
        });
        for query in ["latest", "at_or_before"] {
            let at_most =
                |state: &mut u64| if query == "latest" { u64::MAX } else { 1 + dice(state) % 5 };
            let mut group = c.benchmark_group(format!("read/{query}/{name}/1"));
            group.sample_size(20);
            group.warm_up_time(Duration::from_millis(500));
            group.measurement_time(Duration::from_secs(2));
            let raw_pread = |b: &mut criterion::Bencher<'_>| {
                let (_, _, raw, _) = &*filled;
                let mut buffer = vec![0; record_bytes];
                let mut state = 1;
                b.iter(|| {
                    let (file, at) = raw.1[dice(&mut state) as usize % raw.1.len()];
                    raw.0[file].read_exact_at(&mut buffer, at).unwrap();
                    black_box(&buffer);
                });
            };
            group.bench_function("raw_pread", raw_pread);
            group.bench_function("snapfold_sync", |b| {
                let (store, keys, ..) = &*filled;
                let mut state = 1;
                b.iter(|| {
                    let key = &keys[dice(&mut state) as usize % keys.len()];
                    let query = Query::latest(key, GENERATION).at_most(at_most(&mut state));
                    let record = store.get_blocking(query).unwrap().into_record().unwrap();
                    record.verify().unwrap();
                    record
                });
            });
            group.bench_function("snapfold_async", |b| {
                let (store, keys, ..) = &*filled;
                b.iter_custom(|times| {
                    runtime.block_on(async {
                        let mut state = 1;
                        let began = Instant::now();
                        for _ in 0..times {
                            let key = &keys[dice(&mut state) as usize % keys.len()];
                            let query = Query::latest(key, GENERATION).at_most(at_most(&mut state));
                            let record = store.get(query).await.unwrap().into_record().unwrap();
                            record.verify().unwrap();
                            black_box(record);
                        }
                        began.elapsed()
                    })
                });
            });
            group.bench_function("raw_pread_again", raw_pread);
            group.finish();
        }
    }
}

fn open(c: &mut Criterion) {
    let payload = Payload::new(1024);
    for (name, aggregates, versions) in [("1Mx1", 1_000_000, 1), ("200kx5", 200_000, 5)] {
        let filled = LazyCell::new(|| {
            let dir = scratch();
            let path = dir.path().join("store");
            let store = FileStore::open(&path).unwrap();
            fill(&store, &payload, aggregates, versions);
            let stats = store.stats();
            store.close().unwrap();
            let disk: u64 = std::fs::read_dir(&path)
                .unwrap()
                .map(|e| e.unwrap().metadata().unwrap().len())
                .sum();
            let records = aggregates * versions;
            let record_bytes = payload.record(1, 1).as_bytes().len() as u64;
            println!(
                "{name}: index {} B per aggregate, {} B per record; disk {:.3} of the records' bytes, {:.3} of payload and key",
                stats.index_memory_bytes / aggregates,
                stats.index_memory_bytes / records,
                disk as f64 / (records * record_bytes) as f64,
                disk as f64 / (records * (1024 + 16)) as f64,
            );
            (path, dir)
        });
        let mut group = c.benchmark_group("open");
        group.sample_size(10);
        group.warm_up_time(Duration::from_millis(300));
        group.measurement_time(Duration::from_secs(4));
        group.sampling_mode(SamplingMode::Flat);
        group.bench_function(BenchmarkId::new("with_indexes", name), |b| {
            let (path, _) = &*filled;
            b.iter_custom(|times| {
                (0..times)
                    .map(|_| {
                        let began = Instant::now();
                        let store = FileStore::open(path).unwrap();
                        let took = began.elapsed();
                        drop(store);
                        took
                    })
                    .sum()
            });
        });
        group.bench_function(BenchmarkId::new("without_indexes", name), |b| {
            let (path, _) = &*filled;
            b.iter_custom(|times| {
                (0..times)
                    .map(|_| {
                        for entry in std::fs::read_dir(path).unwrap() {
                            let path = entry.unwrap().path();
                            if path.extension().is_some_and(|extension| extension == "idx") {
                                std::fs::remove_file(path).unwrap();
                            }
                        }
                        let began = Instant::now();
                        let store = FileStore::open(path).unwrap();
                        let took = began.elapsed();
                        drop(store);
                        took
                    })
                    .sum()
            });
        });
        group.finish();
    }
}

fn retention(c: &mut Criterion) {
    let payload = Payload::new(1024);
    let mut group = c.benchmark_group("retention");
    group.sample_size(10);
    group.sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_millis(1));
    group.measurement_time(Duration::from_millis(10));
    let deletes: Vec<_> = (0..200_000).map(|id| (key(id), 4)).collect();
    let mut reclaim = Vec::new();
    group.bench_function("keep_newest_2_of_200kx5", |b| {
        b.iter_custom(|times| {
            (0..times)
                .map(|_| {
                    let dir = scratch();
                    let store = FileStore::builder(dir.path()).background(false).open().unwrap();
                    fill(&store, &payload, 200_000, 5);
                    let began = Instant::now();
                    let gone = store.delete_below_blocking(&deletes).unwrap();
                    let took = began.elapsed();
                    assert_eq!(gone.snapshots, 600_000);
                    let began = Instant::now();
                    store.compact().unwrap();
                    let space = store.stats();
                    reclaim
                        .push((began.elapsed(), space.log_bytes as f64 / space.live_bytes as f64));
                    took
                })
                .sum()
        });
    });
    group.finish();
    if reclaim.is_empty() {
        return;
    }
    reclaim.sort_by_key(|a| a.0);
    let (took, space) = reclaim[reclaim.len() / 2];
    println!("retention: space back in {took:?} (median), then {space:.3} of the live bytes");
    let mut raw: Vec<_> = (0..3).map(|_| raw_remove(10)).collect();
    raw.sort();
    println!("retention: to remove ten plain files of that size takes {:?} (median)", raw[1]);
}

/// Removes files of 64 MiB, about as many as retention leaves with nothing in them.
fn raw_remove(files: u32) -> Duration {
    let dir = scratch();
    let path = |number: u32| dir.path().join(number.to_string());
    let bytes = vec![0x5a; 64 << 20];
    for number in 0..files {
        let mut file = File::create(path(number)).unwrap();
        file.write_all(&bytes).unwrap();
        file.sync_all().unwrap();
    }
    let began = Instant::now();
    for number in 0..files {
        std::fs::remove_file(path(number)).unwrap();
    }
    began.elapsed()
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    durable_put(&mut criterion);
    read(&mut criterion);
    open(&mut criterion);
    retention(&mut criterion);
    criterion.final_summary();
}
