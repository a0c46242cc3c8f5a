//! The head, guard and body of a frame protect each other. The defects: a changed bit is not
//! detected; the remains of a crash are refused; data that no crash can leave, such as a record of
//! a newer release, is cut off as if it were the remains of a crash.

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Flaw;
use crate::backend::file::config::FileStoreConfig;
use crate::backend::file::core::Core;
use crate::backend::file::disk::sim::SimDisk;
use crate::backend::file::disk::{Disk, DiskFile};
use crate::backend::file::format::{
    DeleteBody, DeleteScope, FRAME_BYTES, Frame, HEAD_BYTES, Kind, PROVEN_BYTES, SegmentSeal,
    encode_seal, frame_bytes,
};
use crate::backend::file::maintain::repair;
use crate::backend::file::maintain::verify::verify;
use crate::backend::file::read::{Patience, Unread};
use crate::backend::file::recover::open;
use crate::backend::file::recover::scan::{Scanner, Step};
use crate::backend::file::samples::{core, key, put};
use crate::backend::file::write::work::{Answer, PutItem, Work};
use crate::checksum::crc32;
use crate::error::{Error, ErrorKind};
use crate::generation::Generation;
use crate::record::{Record, RecordBuilder};
use crate::store::{DeleteOptions, Lookup, Query, Selection};
use crate::timestamp::Timestamp;

const SALT: u64 = 7;
const GENERATION: Generation = Generation { schema_version: 1, fingerprint: 1 };

fn record(payload: &[u8]) -> Record {
    let builder = RecordBuilder::new(key(), GENERATION, 1, Timestamp::from_seconds(1));
    builder.label("a").build(payload).unwrap()
}

/// Returns bodies of each kind that is followed by padding.
fn bodies() -> Vec<(Kind, Vec<u8>)> {
    let all = [
        (Kind::Put, (0..8).map(|len| record(&vec![5; 20 + len]).as_bytes().to_vec()).collect()),
        (Kind::Delete, vec![DeleteBody::write(&key(), &DeleteScope::Below(9)); 1]),
        (Kind::Seal, vec![SegmentSeal::default().to_bytes()]),
    ];
    let padded = |kind, bodies: Vec<Vec<u8>>| {
        let padded = |body: &Vec<u8>| Frame::of(kind, 1, 48, body).padding() > 0;
        (kind, bodies.into_iter().find(padded).expect("a body that needs padding"))
    };
    all.into_iter().map(|(kind, bodies)| padded(kind, bodies)).collect()
}

fn framed(kind: Kind, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    Frame::of(kind, 1, HEAD_BYTES, body).put(body, SALT, HEAD_BYTES, &mut bytes);
    bytes
}

/// Scans a segment that contains only these bytes after its head. Returns no flaw if they are one
/// valid frame.
fn scan(bytes: &[u8]) -> Option<Flaw> {
    let file = SimDisk::new(1).create(Path::new("/file")).unwrap();
    file.write(HEAD_BYTES, &[IoSlice::new(bytes)]).unwrap();
    let end = HEAD_BYTES + bytes.len() as u64;
    let mut scanner = Scanner::new(&*file, SALT, HEAD_BYTES, end);
    match scanner.step().unwrap() {
        Step::Frame(..) => None,
        Step::Bad(flaw) => Some(flaw),
        Step::End => panic!("there are no bytes"),
    }
}

/// Recomputes the checksum of a frame whose head was changed.
fn signed(mut frame: Vec<u8>, offset: u64) -> Vec<u8> {
    let place = [SALT.to_le_bytes(), offset.to_le_bytes()].concat();
    let sum = crc32(&[&place[..], &frame[4..PROVEN_BYTES]].concat());
    frame[..4].copy_from_slice(&sum.to_le_bytes());
    frame
}

#[test]
fn a_head_that_was_written_so_and_is_none_of_this_release_is_not_torn() {
    let frame = framed(Kind::Put, record(&[5; 30]).as_bytes());
    assert_eq!(signed(frame.clone(), HEAD_BYTES), frame);
    let behind = frame.len();
    for (at, bytes) in [
        (12, &[5][..]),
        (12, &[0]),
        (12, &[0x7f]),
        (4, &[7, 0, 0, 0]),
        (4, &[0, 0, 0, 0x41]),
        // The segment would have been durable up to a negative offset.
        (8, &[7, 0, 0, 0]),
    ] {
        let mut changed = frame.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        assert!(is_torn(scan(&changed).as_ref()), "{at}");
        let changed = signed(changed, HEAD_BYTES);
        for len in [PROVEN_BYTES, behind] {
            let flaw = scan(&changed[..len]);
            assert!(matches!(flaw, Some(Flaw::Written(_))), "{at}, {bytes:?}: {flaw:?}");
        }
    }
}

fn is_torn(flaw: Option<&Flaw>) -> bool {
    matches!(flaw, Some(Flaw::Torn(_)))
}

#[test]
fn a_changed_bit_anywhere_in_a_frame_of_any_kind_is_found() {
    for (kind, body) in bodies() {
        let frame = framed(kind, &body);
        assert_eq!(scan(&frame), None, "{kind:?}");
        for bit in 0..frame.len() * 8 {
            let mut changed = frame.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            // Damage looks like a torn write. Only the frames after it tell the two apart.
            assert!(is_torn(scan(&changed).as_ref()), "{kind:?}, byte {}", bit / 8);
        }
    }
}

#[test]
fn whatever_a_crash_leaves_of_a_frame_can_be_cut_off() {
    for (kind, body) in bodies() {
        let frame = framed(kind, &body);
        let mut random = fastrand::Rng::with_seed(1);
        for len in 1..frame.len() {
            assert!(is_torn(scan(&frame[..len]).as_ref()), "{kind:?} cut to {len}");
            if frame[len..].iter().all(|byte| *byte == 0) {
                continue;
            }
            let mut zeros = frame.clone();
            zeros[len..].fill(0);
            assert!(is_torn(scan(&zeros).as_ref()), "{kind:?}, zeros from {len} on");
            let mut other = frame.clone();
            other[len..].fill_with(|| random.u8(..));
            assert!(is_torn(scan(&other).as_ref()), "{kind:?}, others from {len} on");
            let mut hole = frame.clone();
            hole[..len].fill(0);
            assert!(is_torn(scan(&hole).as_ref()), "{kind:?}, zeros up to {len}");
        }
    }
}

#[test]
fn a_frame_that_no_crash_can_leave_is_none_to_be_cut_off() {
    let [newer, foreign, longer, shorter] =
        [(3, b"\x09"), (0, b"X"), (0, b"S"), (0, b"S")].map(|(at, byte)| {
            let mut bytes = record(&[5; 30]).as_bytes().to_vec();
            bytes[at] = byte[0];
            bytes
        });
    let longer = [&longer[..], b"x"].concat();
    let shorter = &shorter[..shorter.len() - 1];
    let unguarded = framed(Kind::Delete, &[9; 40]);
    let entry = framed(Kind::Seal, record(&[5; 30]).as_bytes());
    for (frame, expected) in [
        (framed(Kind::Put, &newer), Some(Flaw::Newer(9))),
        (framed(Kind::Put, &foreign), None),
        (framed(Kind::Put, &longer), None),
        (framed(Kind::Put, shorter), None),
        (unguarded, None),
        (entry, None),
    ] {
        let flaw = scan(&frame);
        match expected {
            Some(expected) => assert_eq!(flaw, Some(expected)),
            None => assert!(matches!(flaw, Some(Flaw::Written(_))), "{flaw:?}"),
        }
    }
    // The head and the guard are sufficient.
    for len in PROVEN_BYTES..framed(Kind::Put, &newer).len() {
        assert_eq!(scan(&framed(Kind::Put, &newer)[..len]), Some(Flaw::Newer(9)));
    }
}

/// Returns a put as another release, or a faulty one, might write it.
fn forged(core: &Core, version: u64, change: impl Fn(&mut Vec<u8>)) -> Work {
    let Work::Put { mut items, options } = put(core, version) else { panic!("no put") };
    let item = items.remove(0);
    let mut bytes = item.record.as_bytes().to_vec();
    change(&mut bytes);
    let item = PutItem { record: Record::from_bytes(bytes), ..item };
    Work::Put { items: vec![item], options }
}

fn commit(core: &Core, work: Work) -> Answer {
    core.commit(vec![work], || ()).answers.remove(0).unwrap()
}

fn newer(bytes: &mut [u8]) {
    bytes[3] = 9;
}

fn active(core: &Core) -> (u64, u64, Arc<dyn DiskFile>) {
    let log = core.log();
    let active = log.active.as_ref().unwrap();
    (active.end, active.segment.salt, Arc::clone(&active.segment.file))
}

fn opened(disk: &SimDisk) -> Result<Core, Error> {
    let config = FileStoreConfig::new("/store".into()).reserve_bytes(0).background(false);
    open::open(Arc::new(disk.clone()), config)
}

fn segment() -> PathBuf {
    PathBuf::from("/store/00000001.seg")
}

fn content(disk: &SimDisk) -> Vec<u8> {
    let file = disk.open(&segment(), false).unwrap();
    let len = usize::try_from(file.len().unwrap()).unwrap();
    file.read(0, len).unwrap()
}

/// Checks that opening, verifying and repairing leave the store unchanged.
fn must_be_left_alone(disk: &SimDisk, at: u64, kind: ErrorKind, why: &str) {
    let before = content(disk);
    let check = |error: Error| {
        let text = error.to_string();
        assert_eq!(error.kind(), kind, "{text}");
        for part in ["00000001.seg", why, &format!("offset {at}")] {
            assert!(text.contains(part), "{text}");
        }
    };
    check(opened(disk).expect_err("it is refused"));
    let found = verify(disk, Path::new("/store")).unwrap();
    let problem = found.problems.iter().find(|problem| problem.offset == Some(at)).unwrap();
    assert!(problem.what.contains(why), "{problem}");
    assert_eq!(found.torn_bytes, 0);
    if kind == ErrorKind::Unsupported {
        check(repair::repair(disk, Path::new("/store")).unwrap_err());
    }
    assert!(content(disk) == before);
}

#[test]
fn a_record_of_a_newer_format_at_the_end_of_the_log_is_refused_by_name_and_not_cut_off() {
    let disk = SimDisk::new(1);
    let store = core(&disk);
    commit(&store, put(&store, 1));
    let (at, ..) = active(&store);
    commit(&store, forged(&store, 2, |bytes| newer(bytes)));
    let (end, _, file) = active(&store);
    drop(store);
    // This also applies to an incomplete record: a newer release may know how to handle it.
    for len in [end, end - 9, at + FRAME_BYTES + 8] {
        file.set_len(len).unwrap();
        must_be_left_alone(&disk, at, ErrorKind::Unsupported, "format 9");
    }
    // If the cut is within the bytes that prove the record, it is the remains of a write.
    file.set_len(at + FRAME_BYTES + 7).unwrap();
    let store = opened(&disk).unwrap();
    assert_eq!(active(&store).0, at);
}

#[test]
fn a_record_of_a_newer_format_behind_a_torn_frame_is_not_cut_off_with_it() {
    let disk = SimDisk::new(1);
    let store = core(&disk);
    commit(&store, put(&store, 1));
    let (torn, salt, file) = active(&store);
    // Two frames: the first was lost, and neither was durable.
    let mut bytes = record(&[5; 30]).as_bytes().to_vec();
    newer(&mut bytes);
    let at = torn + 256;
    let mut frame = Vec::new();
    Frame::of(Kind::Put, 99, torn, &bytes).put(&bytes, salt, at, &mut frame);
    file.write(at, &[IoSlice::new(&frame)]).unwrap();
    file.set_len(at + frame.len() as u64).unwrap();
    drop(store);
    must_be_left_alone(&disk, at, ErrorKind::Unsupported, "format 9");
}

/// Returns the record with a header that requires something this release does not have: a mandatory
/// extension, or another checksum of the payload.
fn needing(at: impl Fn(usize) -> usize, byte: u8) -> Vec<u8> {
    let mut bytes = record(&[5; 30]).as_bytes().to_vec();
    let header = Record::from_bytes(bytes.clone()).header().unwrap().header_bytes();
    bytes[at(header)] = byte;
    let sum = crc32(&bytes[8..header]);
    bytes[4..8].copy_from_slice(&sum.to_le_bytes());
    bytes
}

#[test]
fn a_record_that_needs_a_newer_release_is_left_to_it_though_its_format_is_known() {
    let extension = needing(|header| header - 4, 0xfe);
    let checksum = needing(|_| 34, 2);
    for (bytes, why) in [
        (extension, "needs an extension of a newer release"),
        (checksum, "needs a checksum algorithm of a newer release"),
    ] {
        let disk = SimDisk::new(1);
        let store = core(&disk);
        commit(&store, put(&store, 1));
        let (at, ..) = active(&store);
        commit(&store, forged(&store, 2, |record| record.clone_from(&bytes)));
        let (end, _, file) = active(&store);
        file.set_len(end).unwrap();
        drop(store);
        must_be_left_alone(&disk, at, ErrorKind::Unsupported, why);
    }
}

#[test]
fn nothing_that_was_durable_is_cut_off_because_it_follows_a_seal() {
    for (durable, refused) in [(false, false), (true, true)] {
        let disk = SimDisk::new(1);
        let store = core(&disk);
        commit(&store, put(&store, 1));
        let (at, salt, file) = active(&store);
        let seal = SegmentSeal { puts: 1, others: 0, min_seq: 1, max_seq: 1 };
        let mut bytes = encode_seal(seal, 2, salt, at, at);
        let next = at + bytes.len() as u64;
        let body = record(&[5; 30]);
        // Two frames follow. The second one may prove that the first was synced.
        for seq in 3..5 {
            let offset = at + bytes.len() as u64;
            let durable_below = if durable { offset } else { at };
            let frame = Frame::of(Kind::Put, seq, durable_below, body.as_bytes());
            frame.put(body.as_bytes(), salt, offset, &mut bytes);
        }
        let last = at + bytes.len() as u64 - frame_bytes(body.as_bytes().len() as u64);
        file.write(at, &[IoSlice::new(&bytes)]).unwrap();
        drop(store);
        match opened(&disk) {
            Ok(_) => assert!(!refused && content(&disk).len() as u64 == next),
            Err(error) => {
                assert!(refused, "{error}");
                let why = format!("the frame at offset {last} follows the seal at offset {at}");
                assert!(error.to_string().contains(&why), "{error}");
            }
        }
    }
}

#[test]
fn a_record_that_nobody_can_have_written_is_refused_and_not_cut_off() {
    for change in [|bytes: &mut Vec<u8>| bytes[0] = b'X', |bytes: &mut Vec<u8>| bytes.push(0)] {
        let disk = SimDisk::new(1);
        let store = core(&disk);
        commit(&store, put(&store, 1));
        let (at, ..) = active(&store);
        commit(&store, forged(&store, 2, change));
        let (end, _, file) = active(&store);
        file.set_len(end).unwrap();
        drop(store);
        must_be_left_alone(&disk, at, ErrorKind::CorruptStore, "the record is invalid");
        // The snapshot is lost, and the repair reports it.
        let repaired = repair::repair(&disk, Path::new("/store")).unwrap();
        assert_eq!((repaired.kept, repaired.problems[0].offset), (1, Some(at)));
        let store = opened(&disk).unwrap();
        assert_eq!(store.snapshots.load(std::sync::atomic::Ordering::Relaxed), 1);
    }
}

fn found(core: &Core, version: u64) -> Record {
    let key = key();
    let query = Query::latest(&key, GENERATION).at_most(version);
    match core.get(Patience::Unlimited, &query) {
        Ok(Lookup::Found(found)) if found.version == version => found.record,
        Ok(other) => panic!("{other:?}"),
        Err(Unread::Failed(error)) => panic!("{error}"),
        Err(Unread::WouldWait) => panic!("would wait"),
    }
}

#[test]
fn compaction_copies_neither_what_is_damaged_nor_what_it_cannot_check() {
    for kind in [ErrorKind::Unsupported, ErrorKind::CorruptStore] {
        let change = |bytes: &mut Vec<u8>| match kind {
            ErrorKind::Unsupported => newer(bytes),
            _ => *bytes.last_mut().unwrap() ^= 1,
        };
        let config = FileStoreConfig::new("/store".into()).segment_bytes(4096);
        let config = config.reserve_bytes(0).background(false);
        let store = open::open(Arc::new(SimDisk::new(1)), config).unwrap();
        for version in 1..=100 {
            let odd = version == 5;
            let work = if odd { forged(&store, version, change) } else { put(&store, version) };
            commit(&store, work);
        }
        let ids = |versions: std::ops::RangeInclusive<u64>| {
            let id = |version| crate::snapshot_id::SnapshotId { generation: GENERATION, version };
            versions.map(id).collect::<Vec<_>>()
        };
        let most = ids(6..=99);
        commit(
            &store,
            store
                .delete_work(&key(), Selection::Ids(&most), DeleteOptions::default())
                .unwrap()
                .unwrap(),
        );
        let before = found(&store, 5);
        assert!(before.verify().is_err());
        let mut refusals = 0;
        while let Err(error) = store.compact(&mut |_| true) {
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains("00000001.seg"), "{error}");
            refusals += 1;
        }
        // It is not retried again and again.
        assert_eq!(refusals, 1);
        assert!(found(&store, 5) == before && found(&store, 100).verify().is_ok());
    }
}
