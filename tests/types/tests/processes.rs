//! A snapshot that another process wrote is found and used: no container whose order is random
//! makes a load miss.
//!
//! Each type has sizes from 0 to 20. This process saves to files; copies of it load. By default
//! 1,000 aggregates a type and codec, and one copy; `SNAPFOLD_TYPES_AGGREGATES` and
//! `SNAPFOLD_TYPES_COPIES` make it more.

use std::collections::{BinaryHeap, HashMap, HashSet};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;

use dashmap::{DashMap, DashSet};
use indexmap::{IndexMap, IndexSet};
use libtest_mimic::{Arguments, Trial};
use serde::{Deserialize, Serialize};
use snapfold::codec::{Bincode, Json, MessagePack, Postcard};
use snapfold::file::Durability;
use snapfold::manager::{CreateOutcome, Origin};
use snapfold::trigger::manual;
use snapfold::{Aggregate as _, AggregateKey, MemoryEvents, SnapshotEngine, Timestamp};
use snapfold_types::{AnyState, Erased, Gen, SharedCodec, Specimen, Value};

const CHILD: &str = "SNAPFOLD_TYPES_CHILD";

#[derive(Clone)]
struct Subject {
    name: &'static str,
    codecs: [SharedCodec; 4],
    make: Arc<dyn Fn(u64) -> Arc<dyn AnyState> + Send + Sync>,
}

const CODECS: [&str; 4] = ["postcard", "bincode", "msgpack", "json"];

/// A state with the container between two fields.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Holding<T> {
    id: u64,
    container: T,
    after: u32,
}

impl<T: Value> Value for Holding<T> {
    fn make(g: &mut Gen) -> Self {
        Self { id: g.any(), container: g.any(), after: g.any() }
    }

    fn same(&self, other: &Self) -> bool {
        self.id == other.id && self.container.same(&other.container) && self.after == other.after
    }
}

/// The same set without a struct or a name around it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
struct Transparent(HashSet<u32>);

impl Value for Transparent {
    fn make(g: &mut Gen) -> Self {
        Self(g.any())
    }

    fn same(&self, other: &Self) -> bool {
        self == other
    }
}

/// A type whose container of the elements `0..size`, spread, is made by `make`.
fn subject<T: Specimen>(name: &'static str, make: fn(Vec<u32>) -> T) -> Subject {
    let codecs = [
        SharedCodec::new::<Holding<T>, _>(Postcard),
        SharedCodec::new::<Holding<T>, _>(Bincode),
        SharedCodec::new::<Holding<T>, _>(MessagePack),
        SharedCodec::new::<Holding<T>, _>(Json),
    ];
    let make = Arc::new(move |id: u64| {
        let size = u32::try_from(id % 21).expect("small");
        let container = make((0..size).map(|n| n.wrapping_mul(2_654_435_761) >> 8).collect());
        Arc::new(Holding { id, container, after: 77 }) as Arc<dyn AnyState>
    });
    Subject { name, codecs, make }
}

/// The types, and how the container is made of its elements.
macro_rules! subjects {
    ($($t:ty, $name:literal, $make:expr;)*) => {
        fn subjects() -> Vec<Subject> {
            vec![$(subject::<$t>($name, $make)),*]
        }
    };
}

subjects! {
        HashSet<u32>, "HashSet", |all| all.into_iter().collect();
        HashSet<u32>, "HashSet of 2", |all| all.into_iter().take(2).collect();
        Transparent, "transparent HashSet", |all| {
            Transparent(all.into_iter().collect())
        };
        Vec<HashSet<u32>>, "Vec of HashSet", |all| {
            vec![all.iter().copied().collect(), all.into_iter().take(3).collect()]
        };
        HashMap<u32, HashSet<u32>>, "HashMap of HashSet", |all| {
            all.iter().map(|n| (*n, all.iter().copied().take(4).collect())).collect()
        };
        HashMap<String, u32>, "HashMap", |all| {
            all.into_iter().map(|n| (n.to_string(), n)).collect()
        };
        HashSet<(u32, String)>, "HashSet of pairs", |all| {
            all.into_iter().map(|n| (n, n.to_string())).collect()
        };
        DashMap<String, u32>, "DashMap", |all| {
            all.into_iter().map(|n| (n.to_string(), n)).collect()
        };
        DashSet<u32>, "DashSet", |all| all.into_iter().collect();
        HashSet<u32, rustc_hash::FxBuildHasher>, "FxHashSet", |all| {
            all.into_iter().collect()
        };
        HashSet<u32, ahash::RandomState>, "AHashSet", |all| all.into_iter().collect();
        imbl::HashMap<u32, u32>, "imbl::HashMap", |all| {
            all.into_iter().map(|n| (n, n)).collect()
        };
        BinaryHeap<u32>, "BinaryHeap", |all| all.into_iter().collect();
        IndexMap<String, u32>, "IndexMap", |all| {
            all.into_iter().map(|n| (n.to_string(), n)).collect()
        };
        IndexSet<u32>, "IndexSet", |all| all.into_iter().collect();
        Vec<u32>, "Vec", |all| all;
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

fn aggregates() -> u64 {
    number("SNAPFOLD_TYPES_AGGREGATES", 1_000)
}

fn key(id: u64) -> AggregateKey {
    Erased::key(&id.to_string()).expect("a key")
}

/// An engine over the files in `dir`, and the histories of all aggregates.
fn engine(subject: &Subject, codec: usize, dir: &Path) -> SnapshotEngine<Erased> {
    let events = MemoryEvents::new();
    for id in 0..aggregates() {
        events.append(&key(id), Timestamp::from_seconds(1), (subject.make)(id));
    }
    let store = snapfold::file::FileStore::builder(dir).durability(Durability::Os).open();
    let codec = subject.codecs[codec];
    let engine = SnapshotEngine::builder_with_codec(events, store.expect("a store"), codec);
    engine.trigger(manual()).build().expect("no codec refuses these types")
}

fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(future)
}

/// How many are stored.
fn save(subject: &Subject, codec: usize, dir: &Path) -> usize {
    let engine = engine(subject, codec, dir);
    let keys: Vec<AggregateKey> = (0..aggregates()).map(key).collect();
    let mut stored = 0;
    for keys in keys.chunks(500) {
        for created in block_on(engine.create_many(keys)) {
            match created {
                Ok(CreateOutcome::Stored(_)) => stored += 1,
                other => eprintln!("{}: {other:?}", subject.name),
            }
        }
    }
    stored
}

/// How many loads are not from the snapshot, or not what is folded.
fn misses(subject: &Subject, codec: usize, dir: &Path) -> u64 {
    let engine = engine(subject, codec, dir);
    let mut misses = 0;
    for id in 0..aggregates() {
        let loaded = block_on(engine.load(&key(id))).expect("a load");
        let state = loaded.state.0.as_deref().expect("an event was folded");
        let folded = (subject.make)(id);
        if loaded.provenance.origin != Origin::Snapshot || !state.same_as(&*folded) {
            if misses == 0 {
                eprintln!("{} {id}: {}", subject.name, loaded.provenance);
            }
            misses += 1;
        }
    }
    misses
}

/// Saves here, loads in copies of this process.
fn run(index: usize, codec: usize) -> Result<(), libtest_mimic::Failed> {
    let dir = tempfile::tempdir()?;
    let subject = &subjects()[index];
    let stored = save(subject, codec, dir.path());
    if stored as u64 != aggregates() {
        return Err(format!("{stored} of {} are stored", aggregates()).into());
    }
    for _ in 0..number("SNAPFOLD_TYPES_COPIES", 1) {
        let child = Command::new(std::env::current_exe()?)
            .env(CHILD, format!("{index} {codec} {}", dir.path().display()))
            .output()?;
        let text = String::from_utf8_lossy(&child.stdout).into_owned();
        if !child.status.success() || text.trim() != "0 misses" {
            let why = String::from_utf8_lossy(&child.stderr).into_owned();
            return Err(format!("{text} of {}: {why}", aggregates()).into());
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    if let Ok(task) = std::env::var(CHILD) {
        let mut parts = task.splitn(3, ' ');
        let mut next = || parts.next().expect("three parts");
        let index: usize = next().parse().expect("a number");
        let codec = next().parse().expect("a number");
        println!("{} misses", misses(&subjects()[index], codec, Path::new(next())));
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::from_args();
    let trials = subjects().into_iter().enumerate().flat_map(|(index, subject)| {
        CODECS.into_iter().enumerate().map(move |(codec, codec_name)| {
            Trial::test(format!("{} {codec_name}", subject.name), move || run(index, codec))
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
