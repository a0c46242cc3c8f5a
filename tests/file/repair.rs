//! `open`, `verify` and `repair` judge the same files, and must not contradict each other. What
//! `verify` reports, `repair` reports; a store without damage comes out of `repair` as it went in; a
//! lost snapshot is never lost without a word.

use std::collections::BTreeSet;
use std::path::Path;

use crate::support::{Files, read, scratch, write};
use snapfold::codec::CodecId;
use snapfold::file::{FileStore, RepairReport};
use snapfold::record::{Generation, Record, RecordBuilder};
use snapfold::store::{DeleteOptions, Lookup, PutOptions, Query, Selection};
use snapfold::{AggregateKey, Error, ErrorKind, Timestamp};

const GENERATION: Generation = Generation { schema_version: 1, fingerprint: 7 };
const VERSIONS: u64 = 20;

fn key(id: &str) -> AggregateKey {
    AggregateKey::new("k", id).unwrap()
}

fn record(id: &str, version: u64) -> Record {
    let payload =
        vec![u8::try_from(version).unwrap(); 150 + 40 * usize::try_from(version).unwrap()];
    RecordBuilder::new(key(id), GENERATION, version, Timestamp::from_seconds(1))
        .codec(CodecId::custom(1))
        .build(&payload)
        .unwrap()
}

fn open(dir: &Path) -> Result<FileStore, Error> {
    FileStore::builder(dir).segment_bytes(4096).reserve_bytes(0).background(false).open()
}

/// Several sealed segments and an active one, with batches, deletes and replacements, after a
/// compaction. Of "a" there are versions 3 to 20, of "b" versions 1 to 20.
fn fill(store: &FileStore) {
    for version in 1..=VERSIONS {
        let batch = vec![record("a", version), record("b", version)];
        store.put_blocking(batch, PutOptions::default()).unwrap();
    }
    store.put_blocking(vec![record("gone", 1)], PutOptions::default()).unwrap();
    store.delete_blocking(&key("gone"), Selection::All, DeleteOptions::default()).unwrap();
    store.delete_blocking(&key("a"), Selection::Below(3), DeleteOptions::default()).unwrap();
    store.compact().unwrap();
    store.put_blocking(vec![record("b", 7)], PutOptions::default().replace(true)).unwrap();
}

fn expected() -> Vec<(&'static str, u64)> {
    let of = |id, first| (first..=VERSIONS).map(move |version| (id, version));
    of("a", 3).chain(of("b", 1)).collect()
}

/// The snapshots of [`expected`] that are there and whole.
fn present(store: &FileStore) -> usize {
    let whole = |(id, version): &(&str, u64)| {
        let key = key(id);
        let query = Query::latest(&key, GENERATION).at_most(*version);
        match store.get_blocking(query).unwrap() {
            Lookup::Found(found) => found.record == record(id, *version),
            _ => false,
        }
    };
    expected().iter().filter(|expected| whole(expected)).count()
}

/// The files of a store that was closed, and of the same one killed instead.
fn originals(dir: &Path) -> [Files; 2] {
    let dir = dir.join("original");
    let store = open(&dir).unwrap();
    fill(&store);
    let killed = read(&dir);
    store.close().unwrap();
    [read(&dir), killed]
}

/// Names of files, without that of the lock, which every call may write to.
fn kept(files: &Files) -> Files {
    let mut files = files.clone();
    files.remove("LOCK");
    files
}

fn segments(files: &Files) -> Vec<String> {
    files
        .keys()
        .filter(|name| Path::new(name).extension() == Some("seg".as_ref()))
        .cloned()
        .collect()
}

/// The segment that was being written, which is filled with zeros ahead.
fn active(killed: &Files) -> String {
    segments(killed).into_iter().max_by_key(|name| killed[name].len()).unwrap()
}

/// What is true of any directory, damaged or not. Returns the report of the repair.
///
/// `sure` unless the end of a segment was changed that nobody noted as durable: after a kill, that
/// cannot be told from the rest of a write if nothing behind it is whole.
fn agree(dir: &Path, files: &Files, sure: bool, what: &str) -> Option<RepairReport> {
    write(dir, files);
    let verified = FileStore::verify(dir);
    assert!(kept(&read(dir)) == kept(files), "{what}: verify has changed something");
    // Opening may cut, so it works on a copy.
    let copy = dir.with_extension("copy");
    write(&copy, files);
    let opened = open(&copy).map(|store| present(&store));
    let all = expected().len();
    match (&verified, &opened) {
        (Ok(verified), Ok(there)) if verified.problems.is_empty() => {
            assert!(*there == all || !sure, "{what}: {there} of {all}, and no problem");
        }
        (Ok(verified), Err(error)) => {
            assert_ne!(verified.problems, [], "{what}: {error}");
        }
        (Ok(_), Ok(_)) => {}
        (Err(error), _) => assert_eq!(error.kind(), ErrorKind::Unsupported, "{what}: {error}"),
    }
    let repaired = match FileStore::repair(dir) {
        Ok(repaired) => repaired,
        Err(error) => {
            // For a newer release, or nothing is left.
            let fine = matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::CorruptStore);
            assert!(fine, "{what}: {error}");
            assert!(opened.is_err() || !verified.unwrap().problems.is_empty(), "{what}: {error}");
            return None;
        }
    };
    let verified = verified.unwrap_or_else(|error| panic!("{what}: repaired, and {error}"));
    let named = |problems: &[snapfold::file::Problem]| -> BTreeSet<_> {
        problems.iter().map(|problem| problem.file.clone()).collect()
    };
    let (seen, told) = (named(&verified.problems), named(&repaired.problems));
    assert!(seen.is_subset(&told), "{what}: verify names {seen:?}, repair {told:?}");
    if verified.problems.is_empty() {
        assert_eq!(repaired.problems, [], "{what}");
        assert_eq!(repaired.replaced, [""; 0], "{what}");
        let left_tmp = files.keys().any(|name| name.ends_with(".tmp"));
        assert!(left_tmp || kept(&read(dir)) == kept(files), "{what}: repair has changed files");
    }
    assert_eq!(FileStore::verify(dir).unwrap().problems, [], "{what}: after the repair");
    let again = FileStore::repair(dir).unwrap();
    assert_eq!((again.problems, again.replaced), (vec![], vec![]), "{what}: the second repair");
    let store = open(dir).unwrap_or_else(|error| panic!("{what}: {error}"));
    let there = present(&store);
    let silent = repaired.problems.is_empty() && sure;
    assert!(there == all || !silent, "{what}: {there} of {all}, silently");
    Some(repaired)
}

#[test]
fn a_store_that_was_closed_or_killed_comes_out_of_repair_as_it_went_in() {
    let dir = scratch();
    for (files, what) in originals(dir.path()).iter().zip(["closed", "killed"]) {
        let repaired = agree(&dir.path().join("store"), files, true, what).unwrap();
        assert_eq!(repaired.problems, []);
        assert_eq!(repaired.kept, FileStore::verify(dir.path().join("store")).unwrap().records);
    }
}

/// The defect: a sealed segment that was cut where a frame ends lost all behind it, and the repair
/// reported no problem.
#[test]
fn a_segment_cut_at_any_frame_is_reported_by_repair() {
    let dir = scratch();
    let [closed, _] = originals(dir.path());
    for name in segments(&closed) {
        for len in ends(&closed[&name]) {
            let mut files = closed.clone();
            files.get_mut(&name).unwrap().truncate(len);
            let what = format!("{name} cut to {len}");
            let repaired = agree(&dir.path().join("store"), &files, true, &what).unwrap();
            assert_ne!(repaired.problems, [], "{what}");
        }
    }
}

/// Where the frames of a sealed segment begin, which is where those before them end.
fn ends(segment: &[u8]) -> Vec<usize> {
    let mut ends = vec![48];
    loop {
        let at = ends[ends.len() - 1];
        let Some(head) = segment.get(at..at + 20) else { break };
        let body = u32::from_le_bytes(head[4..8].try_into().unwrap());
        ends.push((at + 20 + usize::try_from(body).unwrap()).next_multiple_of(8));
    }
    // The last one is the end of the file.
    assert_eq!(ends.pop(), Some(segment.len()));
    ends
}

/// What a kill leaves of the last write is no damage.
#[test]
fn a_write_that_was_cut_short_is_no_problem_for_repair() {
    let dir = scratch();
    let [_, killed] = originals(dir.path());
    let active = active(&killed);
    let end = killed[&active].iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let end = end.next_multiple_of(8);
    for tail in [vec![1; 5], vec![1; 400], vec![0; 3], vec![]] {
        let mut files = killed.clone();
        let bytes = files.get_mut(&active).unwrap();
        bytes.truncate(end);
        bytes.extend(&tail);
        let what = format!("a tail of {} bytes", tail.len());
        let repaired = agree(&dir.path().join("store"), &files, true, &what).unwrap();
        assert_eq!(repaired.problems, [], "{what}");
    }
}

/// One of many kinds of damage; its description.
fn damage(files: &mut Files, others: &Files, dice: &mut fastrand::Rng) -> String {
    let names: Vec<_> = files.keys().filter(|name| *name != "LOCK").cloned().collect();
    let name = dice.choice(&names).unwrap().clone();
    let len = files[&name].len();
    let at = dice.usize(..len.max(1));
    let bytes = files.get_mut(&name).unwrap();
    match dice.usize(..12) {
        0 if len > 0 => {
            bytes[at] ^= 1 << dice.usize(..8);
            format!("{name}: bit flipped in {at}")
        }
        1 => {
            bytes.truncate(at);
            format!("{name}: cut to {at}")
        }
        2 => {
            bytes.truncate(at / 8 * 8);
            format!("{name}: cut to {}", at / 8 * 8)
        }
        3 => {
            let more = dice.usize(1..600);
            bytes.extend(std::iter::repeat_with(|| dice.u8(..)).take(more));
            format!("{name}: {more} bytes of noise behind it")
        }
        4 => {
            let more = dice.usize(1..600);
            bytes.extend(vec![0; more]);
            format!("{name}: {more} zeros behind it")
        }
        5 => {
            let end = (at + dice.usize(1..600)).min(len);
            bytes[at..end].fill(0);
            format!("{name}: zeros from {at} to {end}")
        }
        6 => {
            files.remove(&name);
            format!("{name}: removed")
        }
        7 => {
            let other = dice.choice(&names).unwrap();
            let copy = files[other].clone();
            files.insert(name.clone(), copy);
            format!("{name}: holds what {other} holds")
        }
        8 => {
            let number = dice.u32(1..40);
            let copy = files[&name].clone();
            files.insert(format!("{number:08}.seg"), copy);
            format!("{name}: copied to segment {number}")
        }
        9 => {
            let bytes = files.remove(&name).unwrap();
            files.insert(format!("{name}.tmp"), bytes);
            format!("{name}: under its temporary name")
        }
        10 => match others.get(&name) {
            Some(other) => {
                files.insert(name.clone(), other.clone());
                format!("{name}: of another time")
            }
            None => "nothing".into(),
        },
        _ => {
            let from = dice.usize(..len.max(1)) / 8 * 8;
            let part = bytes[from..(from + dice.usize(1..800)).min(len)].to_vec();
            bytes.splice(at / 8 * 8..at / 8 * 8, part);
            format!("{name}: a part of {from} again at {}", at / 8 * 8)
        }
    }
}

#[test]
fn open_verify_and_repair_agree_over_any_damage() {
    let dir = scratch();
    let [closed, killed] = originals(dir.path());
    let active = active(&killed);
    // The same store, later.
    let later = {
        let dir = dir.path().join("later");
        write(&dir, &closed);
        let store = open(&dir).unwrap();
        store.put_blocking(vec![record("later", 1)], PutOptions::default()).unwrap();
        store.delete_blocking(&key("later"), Selection::All, DeleteOptions::default()).unwrap();
        store.close().unwrap();
        read(&dir)
    };
    let rounds = std::env::var("SNAPFOLD_REPAIR_ROUNDS").ok();
    let rounds = rounds.and_then(|rounds| rounds.parse().ok()).unwrap_or(250);
    let (mut repaired, mut reported) = (0, 0);
    for seed in 0..rounds {
        let mut dice = fastrand::Rng::with_seed(seed);
        let original = [&closed, &killed][dice.usize(..2)];
        let mut files = original.clone();
        let what: Vec<_> =
            (0..dice.usize(1..4)).map(|_| damage(&mut files, &later, &mut dice)).collect();
        let what = format!("seed {seed}: {}", what.join("; "));
        let sure = original == &closed || files.get(&active) == killed.get(&active);
        if let Some(report) = agree(&dir.path().join("store"), &files, sure, &what) {
            repaired += 1;
            reported += usize::from(!report.problems.is_empty());
        }
    }
    println!("{rounds} directories, {repaired} repaired, {reported} with problems");
    assert!(repaired * 2 > rounds && reported * 2 > usize::try_from(rounds).unwrap());
}
