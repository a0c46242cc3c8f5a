//! What the store adds to the requests that it cannot do without, against one server in one run:
//!
//!     scripts/with-s3 cargo bench --manifest-path tests/s3/Cargo.toml --target-dir target/s3
//!
//! Each turn measures the store and the same requests by hand, one after the other. A figure is the
//! median of the ratios of all turns, with the lowest and the highest one. An argument is the number
//! of turns, 9 by default.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use snapfold::object_store::{ObjectStoreOptions, ObjectStoreSnapshots};
use snapfold::record::{Generation, Record, RecordBuilder};
use snapfold::store::{
    DeleteOptions, KeysRequest, PutOptions, PutOutcome, Query, Selection, SnapshotStoreExt as _,
};
use snapfold::{AggregateKey, SnapshotStore, Timestamp};
use snapfold_s3::Server;

const GENERATION: Generation = Generation { schema_version: 1, fingerprint: 7 };
/// How many aggregates `keys` lists.
const AGGREGATES: usize = 100_000;
/// The payload of a record, in bytes.
const PAYLOAD: usize = 4_096;

fn key(id: &str) -> AggregateKey {
    AggregateKey::new("account", id).unwrap()
}

fn record(id: &str, version: u64) -> Record {
    let at = Timestamp::from_seconds(i64::try_from(version).unwrap());
    // Like compressed bytes: no two records have the same.
    let mut seed = version ^ 0x9e37_79b9;
    let payload: Vec<u8> = (0..PAYLOAD)
        .map(|_| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) as u8
        })
        .collect();
    RecordBuilder::new(key(id), GENERATION, version, at).build(&payload).unwrap()
}

/// The median of `calls` calls.
async fn median<F: Future>(calls: usize, mut call: impl FnMut(usize) -> F) -> Duration {
    let mut times = Vec::with_capacity(calls);
    for at in 0..calls {
        let start = Instant::now();
        call(at).await;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    times[calls / 2]
}

async fn timed<F: Future>(call: F) -> Duration {
    let start = Instant::now();
    call.await;
    start.elapsed()
}

/// A figure: what was measured in each turn, by hand and by the store.
struct Figure {
    name: &'static str,
    goal: &'static str,
    turns: Vec<(Duration, Duration)>,
    /// Whether the ratio is the time by hand over that of the store.
    is_speed: bool,
}

impl Figure {
    const fn new(name: &'static str, goal: &'static str, is_speed: bool) -> Self {
        Self { name, goal, turns: Vec::new(), is_speed }
    }

    fn print(&self) {
        let middle = |mut times: Vec<Duration>| {
            times.sort_unstable();
            times[times.len() / 2].as_secs_f64() * 1e3
        };
        let hand = middle(self.turns.iter().map(|(hand, _)| *hand).collect());
        let store = middle(self.turns.iter().map(|(_, store)| *store).collect());
        let ratio = |(hand, store): &(Duration, Duration)| {
            let ratio = store.as_secs_f64() / hand.as_secs_f64();
            if self.is_speed { 1.0 / ratio } else { ratio }
        };
        let mut ratios: Vec<f64> = self.turns.iter().map(ratio).collect();
        ratios.sort_unstable_by(f64::total_cmp);
        let (low, high) = (ratios[0], ratios[ratios.len() - 1]);
        let ratio = ratios[ratios.len() / 2];
        println!(
            "{:36} {hand:9.2} {store:9.2}  {ratio:5.2}x ({low:.2} to {high:.2})  {}",
            self.name, self.goal
        );
    }
}

struct Bench {
    objects: Arc<dyn ObjectStore>,
    root: Path,
    store: ObjectStoreSnapshots,
    /// Has nothing in memory.
    cold: ObjectStoreSnapshots,
}

impl Bench {
    fn path(&self, name: &str) -> Path {
        Path::parse(format!("{}/{name}", self.root)).unwrap()
    }

    async fn load(&self, store: &ObjectStoreSnapshots, id: &str) {
        let key = key(id);
        let found = store.get(Query::latest(&key, GENERATION)).await.unwrap();
        assert!(found.into_record().is_some());
    }

    async fn put(&self, id: &str, version: u64) {
        let outcome = self.store.put(vec![record(id, version)], PutOptions::default()).await;
        assert_eq!(outcome.unwrap(), [PutOutcome::Stored]);
    }

    async fn bare_put(&self, name: &str, bytes: usize) {
        self.objects.put(&self.path(name), vec![7; bytes].into()).await.unwrap();
    }

    async fn bare_get(&self, path: &Path) {
        self.objects.get(path).await.unwrap().bytes().await.unwrap();
    }

    /// The layout that needs a list to find the newest object.
    async fn list_and_get(&self, folder: &Path) {
        let first = self.objects.list(Some(folder)).next().await.unwrap().unwrap();
        self.bare_get(&first.location).await;
    }
}

#[tokio::main]
async fn main() {
    let turns = std::env::args().skip(1).find_map(|it| it.parse().ok()).unwrap_or(9);
    let server = Server::ceph();
    let objects = server.store();
    let root = server.prefix();
    let options = ObjectStoreOptions::new().timeout(Duration::from_secs(120));
    let open = |options| ObjectStoreSnapshots::open_with(objects.clone(), root.as_ref(), options);
    let store = open(options.clone()).await.unwrap();
    let cold = open(options.cache_bytes(0)).await.unwrap();
    let bench = Bench { objects: objects.clone(), root: root.clone(), store, cold };

    // Ten snapshots, as a retention policy would keep.
    for version in 1..=10 {
        bench.put("one", version).await;
    }
    let index = bench.path("x/~/account/one");
    let index_bytes = objects.head(&index).await.unwrap().size as usize;
    let record_bytes = record("one", 1).as_bytes().len();
    let newest = bench.path("newest/1");
    bench.bare_put("newest/1", record_bytes).await;
    println!("index of 10 snapshots: {index_bytes} bytes; a record: {record_bytes} bytes");

    let mut load = Figure::new("load, against a bare GET", "<= 1.10x", false);
    let mut again = Figure::new("load, index in memory, against GET", "", false);
    let mut listed = Figure::new("load, against LIST and GET", ">= 2x", true);
    let mut put = Figure::new("put, against two bare PUTs", "<= 1.15x", false);
    let mut many = Figure::new("64 puts to 64 aggregates, 16 at once", ">= 0.85x", true);
    let mut unread = Figure::new("the same, without a load before", "", true);
    let mut versions = 10;
    for turn in 0..turns {
        let calls = 200;
        let bare = median(calls, |_| bench.bare_get(&index)).await;
        let loaded = median(calls, |_| bench.load(&bench.cold, "one")).await;
        load.turns.push((bare, loaded));
        again.turns.push((bare, median(calls, |_| bench.load(&bench.store, "one")).await));
        let folder = bench.path("newest");
        listed.turns.push((median(calls, |_| bench.list_and_get(&folder)).await, loaded));
        assert_eq!(folder.as_ref(), newest.as_ref().trim_end_matches("/1"));

        // The same bytes: a record, and then an index.
        let hand = median(60, |at| {
            let (record, index) = (format!("hand/r{turn}-{at}"), format!("hand/x{turn}"));
            let bench = &bench;
            async move {
                bench.bare_put(&record, record_bytes).await;
                bench.bare_put(&index, index_bytes).await;
            }
        });
        let hand = hand.await;
        let ours = median(60, |_| {
            versions += 1;
            let (bench, version) = (&bench, versions);
            async move { bench.put("one", version).await }
        });
        put.turns.push((hand, ours.await));
        // Keep the index as long as it was.
        let old = Selection::Below(versions - 9);
        bench.store.delete(&key("one"), old, DeleteOptions::default()).await.unwrap();

        let new_index = 2_068 + 69 + record_bytes + 1;
        let hand = timed(stream::iter(0..64).for_each_concurrent(16, |at| {
            let bench = &bench;
            async move {
                bench.bare_put(&format!("many/r{turn}-{at}"), record_bytes).await;
                bench.bare_put(&format!("many/x{turn}-{at}"), new_index).await;
            }
        }));
        let hand = hand.await;
        let ids: Vec<_> = (0..64).map(|at| format!("many-{turn}-{at}")).collect();
        let records: Vec<_> = ids.iter().map(|id| record(id, 1)).collect();
        // As after the load of each, which found nothing.
        let keys: Vec<_> = ids.iter().map(|id| key(id)).collect();
        let queries: Vec<_> = keys.iter().map(|key| Query::latest(key, GENERATION)).collect();
        bench.store.get_many(&queries).await.unwrap();
        let puts = bench.store.put(records.clone(), PutOptions::default());
        many.turns.push((hand, timed(async { puts.await.unwrap() }).await));
        let ids = ids.iter().map(|id| format!("{id}-unread"));
        let records = ids.map(|id| record(&id, 1)).collect();
        let puts = bench.store.put(records, PutOptions::default());
        unread.turns.push((hand, timed(async { puts.await.unwrap() }).await));
    }
    let keys = keys(&objects, server.prefix(), turns.min(5)).await;
    println!("{:36} {:>9} {:>9}  ratio, {turns} turns", "milliseconds", "by hand", "snapfold");
    for figure in [&load, &again, &listed, &put, &many, &unread, &keys] {
        figure.print();
    }
}

/// Lists many aggregates, against a bare list of the same objects.
async fn keys(objects: &Arc<dyn ObjectStore>, root: Path, turns: usize) -> Figure {
    let store = ObjectStoreSnapshots::open(objects.clone(), root.as_ref()).await.unwrap();
    // Any object that is not an empty index counts, and is not read.
    stream::iter(0..AGGREGATES)
        .for_each_concurrent(32, |at| {
            let path = Path::parse(format!("{root}/x/~/account/{at:06}")).unwrap();
            async move { drop(objects.put(&path, "index".into()).await.unwrap()) }
        })
        .await;
    let mut figure = Figure::new("keys of 100,000 aggregates", "<= 1.10x", false);
    let folder = Path::parse(format!("{root}/x")).unwrap();
    for _ in 0..turns {
        let hand = timed(async {
            let count =
                objects.list(Some(&folder)).try_fold(0, |count, _| async move { Ok(count + 1) });
            assert_eq!(count.await.unwrap(), AGGREGATES);
        });
        let hand = hand.await;
        let ours = timed(async {
            let request = KeysRequest::new().limit(1_000);
            let (mut count, mut pages) = (0, store.key_pages(request));
            while let Some(page) = pages.next().await.unwrap() {
                count += page.len();
            }
            assert_eq!(count, AGGREGATES);
        });
        figure.turns.push((hand, ours.await));
    }
    figure
}
