//! What a query for a time costs, by how many snapshots of the aggregate are newer than the one that
//! is found. It must not grow with them but for a logarithm. `latest` is the same store's newest, to
//! compare with.

#![allow(clippy::unwrap_used, missing_docs, reason = "bench code")]

use std::cell::LazyCell;
use std::hint::black_box;

use criterion::Criterion;
use snapfold::codec::CodecId;
use snapfold::file::FileStore;
use snapfold::record::{Generation, Record, RecordBuilder};
use snapfold::store::{PutOptions, Query};
use snapfold::{AggregateKey, MemoryStore, SnapshotStore, Timestamp};

const GENERATION: Generation = Generation { schema_version: 1, fingerprint: 7 };
/// How many snapshots are at or before the time that is asked for.
const OLDER: i64 = 100;

fn key() -> AggregateKey {
    AggregateKey::new("bench", "history").unwrap()
}

fn record(version: i64) -> Record {
    RecordBuilder::new(key(), GENERATION, version.cast_unsigned(), Timestamp::from_seconds(version))
        .codec(CodecId::custom(1))
        .build(&[7; 256])
        .unwrap()
}

fn fill(runtime: &tokio::runtime::Runtime, store: &dyn SnapshotStore, snapshots: i64) {
    let all: Vec<_> = (1..=snapshots).map(record).collect();
    for batch in all.chunks(1000) {
        runtime.block_on(store.put(batch.to_vec(), PutOptions::default())).unwrap();
    }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    for store in ["memory", "file"] {
        let mut group = criterion.benchmark_group(format!("at_time/{store}"));
        for (newer, older) in [(10, 5), (1_000, OLDER), (100_000, OLDER)] {
            // Filled when it is measured: none is if they are only listed.
            let filled = LazyCell::new(|| {
                let dir = tempfile::tempdir().unwrap();
                let store: Box<dyn SnapshotStore> = match store {
                    "memory" => Box::new(MemoryStore::new()),
                    _ => Box::new(FileStore::open(dir.path().join("store")).unwrap()),
                };
                fill(&runtime, &*store, older + newer);
                (store, dir)
            });
            let time = Timestamp::from_seconds(older);
            for (name, as_of) in [("as_of", Some(time)), ("latest", None)] {
                group.bench_function(format!("{name}/{newer}"), |b| {
                    let (store, _) = &*filled;
                    let key = key();
                    let mut query = Query::latest(&key, GENERATION);
                    query.as_of = as_of;
                    let expected = as_of.map_or(older + newer, |_| older);
                    b.iter_custom(|times| {
                        runtime.block_on(async {
                            let began = std::time::Instant::now();
                            for _ in 0..times {
                                let found = store.get(black_box(query)).await.unwrap();
                                let found = found.into_record().unwrap();
                                assert_eq!(
                                    found.header().unwrap().version,
                                    expected.cast_unsigned()
                                );
                            }
                            began.elapsed()
                        })
                    });
                });
            }
        }
        group.finish();
    }
    criterion.final_summary();
}
