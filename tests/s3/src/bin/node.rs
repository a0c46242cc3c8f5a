//! A process of its own that uses a store: `node race|history|loop ROOT NUMBER`. The server is that
//! of the environment. It prints an event for each call, and for `loop` also before each call.

use std::sync::Arc;

use snapfold::object_store::ObjectStoreSnapshots;
use snapfold_s3::history::{Answer, Call, Event, now};
use snapfold_s3::{Server, samples};

/// The clients of one process, each with a connection and a memory of its own.
const HANDLES: u64 = 4;
const TASKS: u64 = 32;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [what, root, number] = &arguments[..] else { panic!("node WHAT ROOT NUMBER") };
    let number: u64 = number.parse().expect("a number");
    let server = Server::of_environment();
    let mut handles = Vec::new();
    let (handles_wanted, tasks) = if what == "loop" { (2, 8) } else { (HANDLES, TASKS) };
    for handle in 0..handles_wanted {
        // One half of them repeats requests.
        let bucket = server.retrying(if handle % 2 == 0 { 0 } else { 5 });
        handles.push(Arc::new(ObjectStoreSnapshots::open(bucket, root).await.expect("a store")));
    }
    println!("ready");
    std::io::stdin().read_line(&mut String::new()).expect("a line");
    let tasks = (0..tasks).map(|task| {
        let store = Arc::clone(&handles[usize::try_from(task % handles_wanted).expect("an index")]);
        let seed = number * TASKS + task;
        match what.as_str() {
            "race" => tokio::spawn(async move { race(&store, seed).await }),
            "history" => tokio::spawn(async move { history(&store, seed).await }),
            _ => tokio::spawn(async move { until_killed(&store, number, task).await }),
        }
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("a task");
    }
    println!("end");
}

/// Puts the same snapshots as all others, each in another order, and some of its own.
async fn race(store: &ObjectStoreSnapshots, seed: u64) {
    let key = samples::key("race");
    let shared = (0..8).map(|at| 1 + (at + seed) % 8);
    let own = (0..2).map(|at| 100 + 2 * seed + at);
    for version in shared.chain(own) {
        println!("{}", Call::Put(seed).make(store, &key, version).await);
    }
}

/// Makes calls of all kinds for the same snapshots as all others.
async fn history(store: &ObjectStoreSnapshots, seed: u64) {
    let key = samples::key("history");
    let mut random = Random(seed);
    let mut seen = [0; 9];
    for step in 0..6 {
        let version = 1 + random.below(8);
        let place = usize::try_from(version).expect("a version");
        let event = random.call(100 * seed + step, seen[place]).make(store, &key, version).await;
        if let Answer::Found(payload) = event.answer {
            seen[place] = payload;
        }
        println!("{event}");
    }
}

/// The same for snapshots that no other task uses, until somebody ends the process.
async fn until_killed(store: &ObjectStoreSnapshots, round: u64, task: u64) {
    let key = samples::key("killed");
    let mut random = Random(round * TASKS + task);
    // New versions in each round, so that each has few calls.
    let version = |at| 1 + (round * TASKS + task) * 4 + at;
    let mut last = [0; 4];
    for step in 0..60 {
        let at = random.below(4);
        let place = usize::try_from(at).expect("an index");
        let call = random.call(1 + step, last[place]);
        if let Call::Put(new) | Call::Replace(new) = call {
            last[place] = new;
        }
        let begun = Event {
            version: version(at),
            start: now(),
            end: u64::MAX,
            call,
            answer: Answer::Unknown,
        };
        println!("{begun}");
        println!("{}", call.make(store, &key, version(at)).await);
    }
}

/// Numbers that look random, by Steele's `SplitMix`.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }

    /// Any call. `new` is a payload that nobody else has, and `last` one that was there.
    fn call(&mut self, new: u64, last: u64) -> Call {
        match self.below(10) {
            0..=2 => Call::Put(new),
            3 => Call::Replace(new),
            4 | 5 => Call::Delete,
            6 => Call::Pin,
            7 => Call::Unpin,
            8 => Call::Rewrite(last, new),
            _ => Call::Get,
        }
    }
}
