//! One page of the list of snapshots: 50 of an aggregate that has a million, at the beginning, in the
//! middle and at the end, and 50 of an aggregate with small or large payloads. Goal: equal times.

use criterion::{Criterion, SamplingMode};
use snapfold::record::{Generation, Record, RecordBuilder};
use snapfold::store::{ListRequest, PutOptions};
use snapfold::{AggregateKey, SnapshotId, SnapshotStore, Timestamp};
use tokio::runtime::Runtime;

const SNAPSHOTS: u64 = 1_000_000;
const PAGE: usize = 50;
const GENERATION: Generation = Generation { schema_version: 1, fingerprint: 7 };

pub fn pages(c: &mut Criterion, runtime: &Runtime, name: &str, store: &dyn SnapshotStore) {
    let is_listed = std::env::args().any(|argument| argument == "--list");
    let snapshots = if is_listed { 1_000 } else { SNAPSHOTS };
    let mut group = c.benchmark_group(format!("history_page/{name}"));
    group.sample_size(20).sampling_mode(SamplingMode::Flat);
    let mut bench = |what: &str, key: &AggregateKey, below: u64| {
        let after = SnapshotId { generation: GENERATION, version: below };
        let page = || {
            let request = ListRequest::new(key).limit(PAGE).after(after);
            let page = runtime.block_on(store.list(request)).unwrap();
            assert_eq!(page.items[0].version, below - 1);
            assert_eq!(page.items.len(), PAGE);
        };
        group.bench_function(what, |b| b.iter(page));
    };
    let million = filled(runtime, store, "million", snapshots, 100);
    bench("first of a million", &million, snapshots + 1);
    bench("in the middle of a million", &million, snapshots / 2);
    bench("last of a million", &million, 51);
    for (what, bytes) in [("payloads of 64 B", 64), ("payloads of 64 KiB", 1 << 16)] {
        let key = filled(runtime, store, what, 1_000, bytes);
        bench(what, &key, 500);
    }
    group.finish();
}

fn filled(
    runtime: &Runtime,
    store: &dyn SnapshotStore,
    id: &str,
    snapshots: u64,
    payload_bytes: usize,
) -> AggregateKey {
    let key = AggregateKey::new("page", id).unwrap();
    let mut payload = vec![0; payload_bytes];
    fastrand::Rng::with_seed(7).fill(&mut payload);
    let record = |version| -> Record {
        let at = Timestamp::from_seconds(i64::try_from(version).unwrap());
        let builder = RecordBuilder::new(key.clone(), GENERATION, version, at);
        builder.build(&payload).unwrap()
    };
    for from in (1..=snapshots).step_by(1_000) {
        let records = (from..=snapshots.min(from + 999)).map(record).collect();
        runtime.block_on(store.put(records, PutOptions::default())).unwrap();
    }
    key
}
