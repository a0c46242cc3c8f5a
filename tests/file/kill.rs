//! A process that is killed in the middle of its work must leave every snapshot that it was told
//! is durable. A real process, killed by a real signal, again and again on the same directory. Some
//! of its writers put snapshots so large that groups overlap: one is written while the one before
//! is synced.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use snapfold::codec::CodecId;
use snapfold::file::FileStore;
use snapfold::record::{Generation, Record, RecordBuilder, SnapshotMeta};
use snapfold::store::{
    DeleteOptions, ListRequest, Mark, MarkChange, Marks, PutOptions, Query, Selection,
};
use snapfold::{AggregateKey, SnapshotId, SnapshotStore, Timestamp};

const DIR: &str = "SNAPFOLD_KILL_DIR";
const ROUND: &str = "SNAPFOLD_KILL_ROUND";
const GENERATION: Generation = Generation { schema_version: 1, fingerprint: 7 };

/// Four that put small snapshots, and two that put large ones.
const WRITERS: usize = 6;

fn is_large(thread: u64) -> bool {
    thread >= 4
}

fn key(thread: u64) -> AggregateKey {
    AggregateKey::new("k", &thread.to_string()).unwrap()
}

fn record(thread: u64, version: u64) -> Record {
    let spread = version * 7919 + thread;
    // From 1 MiB on, a group is synced while the next one is written.
    let len = if is_large(thread) { (200 << 10) + spread * 997 % (1 << 20) } else { spread % 3000 };
    let len = usize::try_from(len).unwrap();
    let payload = vec![u8::try_from(version % 256).unwrap(); len];
    RecordBuilder::new(key(thread), GENERATION, version, Timestamp::from_seconds(1))
        .codec(CodecId::custom(1))
        .build(&payload)
        .unwrap()
}

/// Every other round has large snapshots, and large files, within which groups can overlap.
fn has_large(round: usize) -> bool {
    !round.is_multiple_of(2)
}

fn open(dir: &str, round: usize) -> FileStore {
    let segment_bytes = if has_large(round) { 16 << 20 } else { 64 << 10 };
    FileStore::builder(dir).segment_bytes(segment_bytes).reserve_bytes(0).open().unwrap()
}

fn marks() -> Marks {
    let at = Timestamp::from_seconds(2);
    Marks::new([Mark::pin("kept", at), Mark::retirement("unused", at)]).unwrap()
}

fn listed(store: &FileStore, key: &AggregateKey) -> Vec<SnapshotMeta> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let request = ListRequest::new(key).limit(usize::MAX);
    runtime.block_on(store.list(request)).unwrap().items
}

/// Writes until it is killed; prints what is durable, and what will be deleted.
fn write_for_ever(dir: &str, round: usize) {
    let store = open(dir, round);
    std::thread::scope(|scope| {
        for thread in (0..WRITERS as u64).filter(|thread| has_large(round) || !is_large(*thread)) {
            let store = &store;
            scope.spawn(move || {
                let key = key(thread);
                let latest = store.get_blocking(Query::latest(&key, GENERATION)).unwrap();
                // One that is retired is not found: the next put meets it.
                let mut version = latest.into_record().map_or(0, |r| r.header().unwrap().version);
                let say = |line: String| std::io::stdout().write_all(line.as_bytes()).unwrap();
                loop {
                    version += 1;
                    store
                        .put_blocking(vec![record(thread, version)], PutOptions::default())
                        .unwrap();
                    say(format!("put {thread} {version}\n"));
                    // Some are pinned, so that no delete removes them, and retired.
                    if version.is_multiple_of(7) {
                        let ids = [SnapshotId { generation: GENERATION, version }];
                        let selection = Selection::Ids(&ids);
                        for mark in marks().iter() {
                            let change = MarkChange::Set(mark);
                            store.mark_blocking(&key, selection, change).unwrap();
                        }
                        say(format!("mark {thread} {version}\n"));
                    }
                    if version.is_multiple_of(if is_large(thread) { 4 } else { 50 }) {
                        say(format!("delete {thread} {}\n", version - 3));
                        store
                            .delete_blocking(
                                &key,
                                Selection::Below(version - 3),
                                DeleteOptions::default(),
                            )
                            .unwrap();
                    }
                }
            });
        }
    });
}

#[test]
fn a_killed_process_leaves_everything_that_was_durable() {
    if let Ok(dir) = std::env::var(DIR) {
        let round = std::env::var(ROUND).unwrap().parse().unwrap();
        write_for_ever(&dir, round);
    }
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().to_str().unwrap();
    let name = "kill::a_killed_process_leaves_everything_that_was_durable";
    let mut durable = [0_u64; WRITERS];
    let mut deleted_below = [0_u64; WRITERS];
    let mut marked = [const { Vec::new() }; WRITERS];
    let (mut lines, mut large) = (0, 0);
    for round in 0..10_usize {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([name, "--exact", "--nocapture"])
            .env(DIR, dir)
            .env(ROUND, round.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut reader = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        let mut left = 20 + round * round * 3;
        while reader.read_line(&mut line).unwrap() > 0 {
            let words: Vec<_> = line.split_whitespace().collect();
            if let [what @ ("put" | "delete" | "mark"), thread, version] = words[..] {
                let thread: usize = thread.parse().unwrap();
                let version = version.parse().unwrap();
                match what {
                    "put" => durable[thread] = version,
                    "delete" => deleted_below[thread] = version,
                    _ => marked[thread].push(version),
                }
                lines += 1;
                large += usize::from(is_large(thread as u64));
                left = left.saturating_sub(1);
                // What it has said until it is dead counts as well.
                if left == 0 {
                    child.kill().unwrap();
                }
            }
            line.clear();
        }
        child.wait().unwrap();
        assert_eq!(FileStore::verify(dir).unwrap().problems, []);
        let store = open(dir, round);
        for (thread, (deleted, durable)) in (0..).zip(deleted_below.into_iter().zip(durable)) {
            let key = key(thread);
            for version in deleted.max(1)..=durable {
                let id = SnapshotId { generation: GENERATION, version };
                let query = Query::exact(&key, id);
                let found = store.get_blocking(query).unwrap().into_record();
                assert!(found == Some(record(thread, version)), "round {round}: {version}");
            }
            let listed = listed(&store, &key);
            for version in &marked[usize::try_from(thread).unwrap()] {
                let there = listed.iter().find(|meta| meta.version == *version);
                let marks_of = there.map(|meta| meta.marks.clone());
                assert_eq!(marks_of, Some(marks()), "round {round}: {version}");
            }
        }
    }
    assert!(lines > 500 && large > 50, "{lines} writes, {large} large");
    let marked: usize = marked.iter().map(Vec::len).sum();
    assert!(marked > 20, "{marked} marked");
    println!(
        "10 kills, {lines} writes, {large} of them large, {marked} marked, that were reported durable, none lost"
    );
}
