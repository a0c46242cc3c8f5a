//! The files of a ledger. A damaged one must never rewrite the audit trail or a sum, nor lose the end
//! of either without a word: after a close every byte is flipped, every file cut at every length
//! and removed, and each is refused with the name of the file. A process that is killed leaves
//! what was acknowledged. And ledgers written by earlier releases open for ever: the directories
//! under `fixtures/file_ledger` are such ledgers; `SNAPFOLD_MAKE_GOLDEN=dir` writes the one of
//! this release into `dir`, which exists.

#![cfg(feature = "file")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    missing_docs,
    reason = "test code"
)]

mod file_support;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use file_support::{Files, read, scratch, write};
use snapfold::{
    AggregateKey, AuditEntry, AuditLog, AuditRequest, DailyStatistics, Day, Error, ErrorKind,
    FileLedger, Schedule, ScheduleStore, StatisticsStore, Timestamp,
};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn key(id: &str) -> AggregateKey {
    AggregateKey::from_parts("north", "account", id).unwrap()
}

fn entry(n: u64) -> AuditEntry {
    let at = Timestamp::from_seconds(n.cast_signed());
    let entry = AuditEntry::new(at, "ops", "delete", key("a")).reason("r".repeat(n as usize));
    if n.is_multiple_of(2) { entry.version(n) } else { entry }
}

async fn fill(ledger: &FileLedger) -> Result<(), Error> {
    for n in 1..=5 {
        assert_eq!(ledger.append(&entry(n)).await?, n);
    }
    let due = Timestamp::from_seconds(60);
    ledger.put_schedule(&Schedule::new(key("a"), "0 3 * * *")?.next_run(Some(due))).await?;
    ledger.put_schedule(&Schedule::new(key("b"), "@daily")?.enabled(false)).await?;
    ledger.put_schedule(&Schedule::new(key("c"), "@hourly")?).await?;
    assert!(ledger.remove_schedule(&key("c")).await?);
    assert!(ledger.claim(&key("a"), due, Some(Timestamp::from_seconds(120))).await?);
    for n in 1..=3 {
        let created = DailyStatistics::created(100, Duration::from_micros(n));
        ledger.add(&key("a"), Day::new(-1), created).await?;
    }
    ledger.add(&key("a"), Day::new(7), DailyStatistics::deleted(2)).await
}

async fn check(ledger: &FileLedger) {
    let trail = ledger.entries(AuditRequest::new()).await.unwrap().items;
    let found: Vec<_> = trail.iter().map(|record| (record.sequence, &record.entry)).collect();
    let expected: Vec<_> = (1..=5).map(|n| (n, entry(n))).collect();
    assert!(found.into_iter().eq(expected.iter().map(|(n, entry)| (*n, entry))));
    let next = Some(Timestamp::from_seconds(120));
    let schedules = [
        Schedule::new(key("a"), "0 3 * * *").unwrap().next_run(next),
        Schedule::new(key("b"), "@daily").unwrap().enabled(false),
    ];
    assert_eq!(ledger.schedules(None, 9).await.unwrap().items, schedules);
    assert_eq!(ledger.due(Timestamp::MAX, 9).await.unwrap(), schedules[..1]);
    let mut three = DailyStatistics::created(300, Duration::from_micros(6));
    three.created = 3;
    let days = [(Day::new(-1), three), (Day::new(7), DailyStatistics::deleted(2))];
    let found = ledger.daily(&key("a"), Day::new(-9)..=Day::new(9)).await.unwrap();
    assert_eq!(found, days);
}

/// The files of a closed ledger, but for its lock.
fn closed(dir: &Path) -> Files {
    let ledger = FileLedger::open(dir).unwrap();
    block_on(fill(&ledger)).unwrap();
    ledger.close().unwrap();
    let mut files = read(dir);
    assert!(files.remove("ledger.lock").is_some());
    assert_eq!(files.len(), 3);
    files
}

#[test]
fn after_a_close_every_flipped_byte_every_cut_and_every_lost_file_is_refused() {
    let scratch = scratch();
    let dir = scratch.path().join("damaged");
    let files = closed(&scratch.path().join("original"));
    write(&dir, &files);
    block_on(check(&FileLedger::open(&dir).unwrap()));
    let mut tried = 0;
    let mut refused = |name: &str, bytes: Option<&[u8]>, what: &str| {
        write(&dir, &files);
        match bytes {
            Some(bytes) => fs::write(dir.join(name), bytes).unwrap(),
            None => fs::remove_file(dir.join(name)).unwrap(),
        }
        let error = FileLedger::open(&dir).expect_err(what);
        let fine = matches!(error.kind(), ErrorKind::CorruptStore | ErrorKind::Unsupported);
        assert!(fine && error.to_string().contains(name), "{what}: {error}");
        // Nothing was cut off or made anew.
        let left = fs::read(dir.join(name)).ok();
        assert_eq!(left.as_deref(), bytes, "{what}");
        tried += 1;
    };
    for (name, bytes) in &files {
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            refused(name, Some(&changed), &format!("{name}, byte {at}"));
            refused(name, Some(&bytes[..at]), &format!("{name}, cut to {at}"));
        }
        refused(name, None, &format!("{name} is gone"));
    }
    println!("{tried} kinds of damage, all refused");
}

#[test]
fn what_was_torn_off_behind_the_last_close_is_cut_and_damage_before_is_refused() {
    let scratch = scratch();
    let dir = scratch.path().join("damaged");
    let before = closed(&dir);
    let ledger = FileLedger::open(&dir).unwrap();
    block_on(async {
        for n in 6..=8 {
            assert_eq!(ledger.append(&entry(n)).await.unwrap(), n);
        }
    });
    // As a crash leaves it: with the manifest of before.
    let mut crashed = read(&dir);
    drop(ledger);
    crashed.insert("ledger.manifest".into(), before["ledger.manifest"].clone());
    let (old, new) = (before["ledger.audit"].len(), crashed["ledger.audit"].clone());
    // Where the last of the three frames begins.
    let third = (0..2).fold(old, |at, _| {
        let body = u32::from_le_bytes(new[at + 4..at + 8].try_into().unwrap());
        at + (20 + body as usize).next_multiple_of(8)
    });
    for len in old..=new.len() {
        crashed.insert("ledger.audit".into(), new[..len].to_vec());
        write(&dir, &crashed);
        let ledger = FileLedger::open(&dir).unwrap();
        let found = block_on(ledger.entries(AuditRequest::new())).unwrap().items;
        assert!((5..=8).contains(&found.len()), "cut to {len}");
        assert_eq!(found.len() == 8, len == new.len(), "cut to {len}");
        assert!(found.iter().all(|record| record.entry == entry(record.sequence)));
        let sequence = block_on(ledger.append(&entry(99))).unwrap();
        assert_eq!(sequence, found.len() as u64 + 1);
    }
    for at in old..third {
        let mut changed = new.clone();
        changed[at] ^= 1 << (at % 8);
        crashed.insert("ledger.audit".into(), changed);
        write(&dir, &crashed);
        // The last entry shows that the ones before it had been whole.
        let error = FileLedger::open(&dir).expect_err(&format!("byte {at}"));
        assert_eq!(error.kind(), ErrorKind::CorruptStore, "byte {at}: {error}");
    }
}

#[test]
fn damage_that_comes_while_a_ledger_is_open_is_an_error_of_the_page_that_meets_it() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = FileLedger::open(dir.path()).unwrap();
    block_on(fill(&ledger)).unwrap();
    let path = dir.path().join("ledger.audit");
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 9;
    bytes[last] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert_eq!(block_on(ledger.entries(AuditRequest::new().limit(4))).unwrap().items.len(), 4);
    let error = block_on(ledger.entries(AuditRequest::new().after(4))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CorruptStore);
    let text = error.to_string();
    assert!(text.contains("ledger.audit") && text.contains("offset"), "{text}");
}

#[test]
fn files_that_a_newer_release_wrote_or_another_ledger_are_refused() {
    let scratch = scratch();
    let dir = scratch.path().join("changed");
    let files = closed(&scratch.path().join("one"));
    let other = closed(&scratch.path().join("other"));
    for name in files.keys() {
        let mut changed = files.clone();
        changed.get_mut(name).unwrap()[6] = 2;
        write(&dir, &changed);
        let error = FileLedger::open(&dir).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{name}: {error}");
        let mut changed = files.clone();
        changed.insert(name.clone(), other[name].clone());
        write(&dir, &changed);
        let error = FileLedger::open(&dir).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::CorruptStore, "{name}: {error}");
    }
    // The two logs of one ledger, exchanged.
    let mut changed = files.clone();
    changed.insert("ledger.audit".into(), files["ledger.state"].clone());
    changed.insert("ledger.state".into(), files["ledger.audit"].clone());
    write(&dir, &changed);
    assert_eq!(FileLedger::open(&dir).unwrap_err().kind(), ErrorKind::CorruptStore);
}

#[test]
fn a_directory_from_a_crash_in_the_middle_of_creation_becomes_a_ledger() {
    let scratch = scratch();
    let dir = scratch.path().join("half");
    let ledger = FileLedger::open(scratch.path().join("whole")).unwrap();
    ledger.close().unwrap();
    let empty = read(&scratch.path().join("whole"));
    for audit in [None, Some(0), Some(20), Some(48)] {
        for state in [None, Some(0), Some(48)] {
            let mut files = Files::new();
            let head = |name: &str, len: usize| empty[name][..len].to_vec();
            files.extend(audit.map(|len| ("ledger.audit".into(), head("ledger.audit", len))));
            files.extend(state.map(|len| ("ledger.state".into(), head("ledger.state", len))));
            files.insert("ledger.manifest.tmp".into(), vec![1; 9]);
            write(&dir, &files);
            let ledger = FileLedger::open(&dir).unwrap();
            block_on(fill(&ledger)).unwrap();
            drop(ledger);
            block_on(check(&FileLedger::open(&dir).unwrap()));
            assert!(!dir.join("ledger.manifest.tmp").exists());
        }
    }
}

/// A closed ledger, and one that looks as if the power had failed while a first entry too many was
/// written to each log.
fn make_golden(dir: &Path) {
    write(&dir.join("v1"), &closed(&dir.join("v1")));
    let crashed = dir.join("v1_crashed");
    drop(FileLedger::open(&crashed).unwrap());
    let created = read(&crashed);
    let mut files = closed(&crashed);
    files.insert("ledger.manifest".into(), created["ledger.manifest"].clone());
    for name in ["ledger.audit", "ledger.state"] {
        let file = files.get_mut(name).unwrap();
        let torn = file[48..48 + 40].to_vec();
        file.extend(torn);
    }
    write(&crashed, &files);
}

#[test]
fn ledgers_of_earlier_releases_open_and_hold_what_they_held() {
    if let Ok(dir) = std::env::var("SNAPFOLD_MAKE_GOLDEN") {
        make_golden(Path::new(&dir));
    }
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/file_ledger");
    for name in ["v1", "v1_crashed"] {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join(name);
        write(&dir, &read(&fixtures.join(name)));
        let ledger = FileLedger::open(&dir).unwrap();
        block_on(check(&ledger));
        // And is written to as any other.
        assert_eq!(block_on(ledger.append(&entry(6))).unwrap(), 6);
        drop(ledger);
        let ledger = FileLedger::open(&dir).unwrap();
        assert_eq!(block_on(ledger.entries(AuditRequest::new())).unwrap().items.len(), 6);
    }
}

#[test]
fn the_bytes_lie_where_the_format_document_says() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/file_ledger");
    let files = read(&fixtures.join("v1"));
    let u32_at =
        |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let u64_at =
        |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let manifest = &files["ledger.manifest"];
    assert_eq!(manifest.len(), 64);
    assert_eq!(manifest[..8], *b"snflgm\x01\x00");
    assert_eq!(u32_at(manifest, 8), crc32fast::hash(&manifest[12..]));
    let logs = [("ledger.audit", 1, 32), ("ledger.state", 2, 48)];
    for (name, number, known) in logs {
        let log = &files[name];
        assert_eq!(log[..8], *b"snflgr\x01\x00");
        assert_eq!(log[8..24], manifest[16..32]);
        assert_eq!(u32_at(log, 24), number);
        assert_eq!(u64_at(log, 32), u64_at(manifest, known));
        assert_eq!(log.len() as u64, u64_at(manifest, known + 8));
        let (mut at, mut kinds, mut seq) = (48, Vec::new(), 1);
        while at < log.len() {
            let body = &log[at + 20..at + 20 + u32_at(log, at + 4) as usize];
            assert_eq!((u32_at(body, 0), u32_at(body, 4)), (0, crc32fast::hash(&body[8..])));
            assert_eq!((log[at + 12], u64_at(log, at + 12) >> 8), (4, seq));
            at += (20 + body.len()).next_multiple_of(8);
            let body = &body[8..];
            kinds.push(body[0]);
            if body[0] == 1 {
                // The first entry: at 1 s, no version, key, texts.
                assert_eq!(u64_at(body, 2), seq * 1_000_000);
                assert_eq!(
                    (u64::from(body[1]), u64_at(body, 10)),
                    ((seq + 1) % 2, seq * ((seq + 1) % 2))
                );
                assert_eq!(body[18..24], [5, 0, 7, 0, 1, 0]);
                assert_eq!(body[24..37], *b"northaccounta");
                assert_eq!(body[37..43], [3, 0, 6, 0, seq as u8, 0]);
                assert_eq!(body[43..52], *b"opsdelete");
                assert_eq!(body.len() as u64, 52 + seq);
            }
            seq += 1;
        }
        assert_eq!(at, log.len());
        if number == 1 {
            assert_eq!(kinds, [1; 5]);
        } else {
            assert_eq!(kinds, [2, 2, 2, 3, 2, 4, 4, 4, 4]);
        }
    }
}

const KILLED: &str = "SNAPFOLD_LEDGER_KILL_DIR";

/// Writes until it is killed; prints what is durable.
fn write_for_ever(dir: &str) {
    let ledger = FileLedger::open(dir).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                block_on(async {
                    loop {
                        let sequence = ledger.append(&entry(7)).await.unwrap();
                        ledger
                            .add(&key("a"), Day::new(0), DailyStatistics::deleted(1))
                            .await
                            .unwrap();
                        let line = format!("done {sequence}\n");
                        std::io::stdout().write_all(line.as_bytes()).unwrap();
                    }
                });
            });
        }
    });
}

#[test]
fn a_killed_process_leaves_everything_that_was_durable() {
    if let Ok(dir) = std::env::var(KILLED) {
        write_for_ever(&dir);
    }
    let dir = tempfile::tempdir().unwrap();
    let (mut done, mut last) = (0, 0);
    for round in 1..=6 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["a_killed_process_leaves_everything_that_was_durable", "--exact", "--nocapture"])
            .env(KILLED, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut left = 30 * round;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            let sequence = line.strip_prefix("done ").and_then(|text| text.parse().ok());
            if let Some(sequence) = sequence {
                last = u64::max(last, sequence);
                done += 1;
                left -= 1;
                // What it has said until it is dead counts as well.
                if left == 0 {
                    child.kill().unwrap();
                }
            }
        }
        child.wait().unwrap();
        let ledger = FileLedger::open(dir.path()).unwrap();
        let page = block_on(ledger.entries(AuditRequest::new().limit(10_000))).unwrap();
        assert!(page.items.len() as u64 >= last, "round {round}");
        assert!(page.items.iter().all(|record| record.entry == entry(7)));
        let days = block_on(ledger.daily(&key("a"), Day::new(0)..=Day::new(0))).unwrap();
        assert!(days[0].1.deleted >= done && days[0].1.deleted <= page.items.len() as u64);
    }
    assert!(done >= 630, "{done} writes");
}
