//! `postgres/sweep`: retention for 2,000 aggregates with five snapshots each. `bulk` keeps the newest
//! four, so no snapshot is read; `verified` keeps two, so the newest of each aggregate is read and
//! compared with the events. `one_by_one` makes a call for each aggregate. `prune_chunk` counts
//! snapshots in the server, without a policy or a check.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode};
use snapfold::manager::{AdminContext, CreateOptions};
use snapfold::postgres::{EventTable, PostgresEvents};
use snapfold::retention::keep_last;
use snapfold::service::Batch;
use snapfold::{AggregateKey, SnapshotAdmin, SnapshotEngine};

use super::{Account, Bench, decode, is_wanted};

const AGGREGATES: usize = 2_000;
const VERSIONS: [u64; 5] = [2, 4, 6, 8, 10];

fn fill(bench: &Bench) -> (SnapshotEngine<Account<3>>, Vec<AggregateKey>) {
    bench.run(
        "CREATE TABLE events (kind text COLLATE \"C\", id text COLLATE \"C\", version int8, \
           recorded_at timestamptz, payload bytea, PRIMARY KEY (kind, id, version)); \
         INSERT INTO events SELECT 'account', a::text, n, now(), convert_to('{\"Deposited\": \
           {\"account_id\": \"a\", \"amount\": ' || n || ', \"memo\": \"a deposit\"}}', 'UTF8') \
         FROM generate_series(1, 2000) AS a, generate_series(1, 12) AS n ORDER BY n, a",
    );
    let table = EventTable::new("events").kind("kind");
    let events = PostgresEvents::new(bench.pool.clone(), table, decode).unwrap();
    let engine = SnapshotEngine::<Account<3>>::builder(events, bench.store.clone());
    let engine = engine.build().unwrap();
    let keys: Vec<_> =
        (1..=AGGREGATES).map(|a| AggregateKey::new("account", &a.to_string()).unwrap()).collect();
    bench.rt.block_on(async {
        for version in VERSIONS {
            for key in &keys {
                let options = CreateOptions::new().at_version(version);
                engine.create_with(key, options).await.unwrap();
            }
        }
    });
    bench.run("CREATE TABLE kept AS SELECT * FROM snapfold_snapshots");
    (engine, keys)
}

pub fn sweeps(c: &mut Criterion) {
    if !is_wanted(&["postgres/sweep/"]) {
        return;
    }
    let bench = Bench::new();
    let (engine, keys) = fill(&bench);
    let admin: Arc<dyn SnapshotAdmin> = Arc::new(engine);
    let by = AdminContext::new("bench");
    let mut group = c.benchmark_group("postgres/sweep");
    group.sample_size(20).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(8));
    for (name, keep) in [("bulk", 4_u32), ("verified", 2)] {
        let last = usize::try_from(keep).unwrap();
        let gone = (VERSIONS.len() - last) * AGGREGATES;
        let gone = u64::try_from(gone).unwrap();
        let mut row = |row: String, sweep: &dyn Fn() -> u64| {
            group.bench_function(row, |b| {
                b.iter_custom(|iterations| {
                    let mut spent = Duration::ZERO;
                    for _ in 0..iterations {
                        bench.run(
                            "SET session_replication_role = replica; TRUNCATE snapfold_snapshots; \
                             RESET session_replication_role; \
                             INSERT INTO snapfold_snapshots SELECT * FROM kept; \
                             ANALYZE snapfold_snapshots; CHECKPOINT",
                        );
                        let began = Instant::now();
                        let deleted = black_box(sweep());
                        spent += began.elapsed();
                        assert_eq!(deleted, gone);
                    }
                    spent
                });
            });
        };
        row(format!("prune_chunk_{keep}"), &|| {
            let (mut deleted, mut after) = (0, None);
            loop {
                let chunk = bench.store.prune_chunk(after.as_ref(), keep, 1_000);
                let progress = bench.rt.block_on(chunk).unwrap();
                deleted += progress.deleted.snapshots;
                after = progress.next;
                if after.is_none() {
                    return deleted;
                }
            }
        });
        row(format!("{name}_{keep}"), &|| {
            let batch = Batch::new(Arc::clone(&admin));
            let report = bench.rt.block_on(batch.apply_retention(keep_last(last)));
            assert_eq!(report.counts.failed, 0, "{report}");
            report.counts.deleted
        });
        row(format!("one_by_one_{keep}"), &|| {
            bench.rt.block_on(async {
                let mut deleted = 0;
                for key in &keys {
                    let applied = admin.apply_retention(key, &keep_last(last), &by).await.unwrap();
                    deleted += applied.deleted.snapshots;
                }
                deleted
            })
        });
    }
    group.finish();
}
