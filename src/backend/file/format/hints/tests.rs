//! Index files are trusted if their checksum matches, so the encoding must be lossless, and a
//! changed bit must be detected.

use super::*;
use crate::mark::Mark;

#[test]
fn hints_come_back_as_pushed_and_no_changed_bit_or_cut_passes() {
    let id = of;
    let tag = Tag { high: 1 << 63, low: 7 };
    let mut hints = Hints::new();
    hints.push_put(500, 100, tag, id(1, 5), (at(7), None));
    let point = hints.point();
    hints.push_put(900, 3, tag, id(9, 9), (at(i64::MIN), Some(8)));
    hints.back_to(point);
    hints.push_delete(7, 64, tag, &DeleteScope::Below(u64::MAX));
    hints.push_delete(8, 64, tag, &DeleteScope::Ids(vec![id(2, 6), id(3, 5)]));
    hints.push_put(9, 0, tag, id(u64::MAX, 6), (at(i64::MAX), Some(1)));
    let marks = Marks::new([Mark::pin("a", at(-1)).note("b")]).unwrap();
    hints.push_marks(10, 64, tag, id(2, 6), &marks);
    hints.push_marks(11, 64, tag, id(3, 7), &Marks::NONE);
    let bytes = hints.to_bytes(3, [1, 2]);
    let read = Hints::parse(&bytes, 3, [1, 2]).unwrap();
    let mut frames = Vec::new();
    read.read(|hint| frames.push(hint)).unwrap();
    assert_eq!(frames.len(), 6);
    assert_eq!(frames[1].offset, HEAD_BYTES + 120);
    assert_eq!(
        frames[3].what,
        What::Put { id: id(u64::MAX, 6), as_of: at(i64::MAX), base: Some(1) }
    );
    assert_eq!((frames[3].seq, frames[3].tag), (9, tag));
    assert_eq!(frames[2].what, What::Delete(DeleteScope::Ids(vec![id(2, 6), id(3, 5)])));
    assert_eq!(frames[4].what, What::Marks { id: id(2, 6), marks });
    assert_eq!(frames[5].what, What::Marks { id: id(3, 7), marks: Marks::NONE });

    assert!(read.is_start_of(&hints) && Hints::new().is_start_of(&hints));
    assert!(!hints.is_start_of(&Hints::new()));

    assert_eq!(Hints::parse(&bytes, 4, [1, 2]), None);
    assert_eq!(Hints::parse(&bytes, 3, [1, 3]), None);
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(Hints::parse(&changed, 3, [1, 2]), None, "bit {bit}");
    }
    for len in 0..bytes.len() {
        assert_eq!(Hints::parse(&bytes[..len], 3, [1, 2]), None, "cut to {len}");
    }
}

fn of(version: u64, fingerprint: u64) -> SnapshotId {
    SnapshotId { generation: Generation { schema_version: 2, fingerprint }, version }
}

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

fn all(hints: &Hints) -> Vec<Hint> {
    let mut frames = Vec::new();
    hints.read(|hint| frames.push(hint)).unwrap();
    frames
}

#[test]
fn a_put_like_the_one_before_takes_fourteen_bytes_and_a_delta_one_or_two_more() {
    let mut hints = Hints::new();
    for version in 1..=100 {
        hints.push_put(1000 + version, 300, Tag::default(), of(version, 5), (at(1 << 50), None));
    }
    let first = 1 + 2 + 2 + Tag::BYTES + 1 + 8;
    assert_eq!(hints.entries.len(), first + 99 * (1 + Tag::BYTES + 1));
    assert!(all(&hints).iter().all(|hint| hint.body_bytes == 300));
    for (version, bytes) in [(101, 1), (300, 2)] {
        let before = hints.entries.len();
        let of_record = (at(1 << 50), Some(100));
        hints.push_put(1000 + version, 300, Tag::default(), of(version, 5), of_record);
        let of_version = if version < 128 { 1 } else { 2 };
        let of_seq = if version == 101 { 0 } else { 2 };
        assert_eq!(hints.entries.len() - before, 1 + of_seq + Tag::BYTES + of_version + bytes);
    }
}

/// The writer and a reader can disagree about the previous entry if entries were removed, or if the
/// first ones come from a file. Later entries would then be decoded wrongly.
#[test]
fn entries_say_the_same_whatever_was_forgotten_or_read_from_a_file_before_them() {
    let tag = Tag { high: 1, low: 7 };
    let scopes = [DeleteScope::All, DeleteScope::Below(3), DeleteScope::Ids(vec![of(2, 6)])];
    let marks = [Marks::NONE, Marks::new([Mark::pin("a", at(1))]).unwrap()];
    let push = |hints: &mut Hints, random: &mut fastrand::Rng| {
        let offset = hints.covered();
        let seq = [hints.last.seq + 1, random.u64(..1 << 56)][random.usize(..2)];
        let body_bytes = [0, 64, 300][random.usize(..3)];
        let id = of(random.u64(..), random.u64(5..8));
        let what = match random.usize(..8) {
            0 => What::Delete(scopes[random.usize(..3)].clone()),
            1 => What::Marks { id, marks: marks[random.usize(..2)].clone() },
            _ => {
                let as_of = [at(0), at(1_790_000_000_000_000), at(random.i64(..))];
                let base = id.version.checked_sub(random.u64(1..300)).filter(|_| random.bool());
                What::Put { id, as_of: as_of[random.usize(..3)], base }
            }
        };
        match &what {
            What::Put { id, as_of, base } => {
                hints.push_put(seq, body_bytes, tag, *id, (*as_of, *base));
            }
            What::Delete(scope) => hints.push_delete(seq, body_bytes, tag, scope),
            What::Marks { id, marks } => hints.push_marks(seq, body_bytes, tag, *id, marks),
        }
        Hint { offset, seq, body_bytes, tag, what }
    };
    for seed in 0..500 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut hints, mut expected) = (Hints::new(), Vec::new());
        for _ in 0..12 {
            expected.push(push(&mut hints, &mut random));
            match random.usize(..4) {
                0 => {
                    let point = hints.point();
                    (0..3).for_each(|_| drop(push(&mut hints, &mut random)));
                    hints.back_to(point);
                }
                1 => hints = Hints::parse(&hints.to_bytes(3, [1, 2]), 3, [1, 2]).unwrap(),
                _ => {}
            }
            assert_eq!(all(&hints), expected, "seed {seed}");
        }
    }
}

#[test]
fn numbers_that_no_frame_has_are_no_entry() {
    let longest = u32::try_from(MAX_BODY_BYTES).unwrap();
    for (seq, body_bytes, fine) in
        [(MAX_SEQ, longest, true), (MAX_SEQ + 1, 100, false), (1, longest + 1, false)]
    {
        let mut hints = Hints::new();
        hints.push_put(seq, body_bytes, Tag::default(), of(1, 5), (at(0), None));
        assert_eq!(hints.read(|_| ()).is_some(), fine, "{seq}, {body_bytes}");
        hints.push_put(1, longest, Tag::default(), of(1, 5), (at(0), None));
        assert_eq!(hints.read(|_| ()).is_some(), fine);
        // The offset does not follow the covered frames.
        hints.push_put(2, 8, Tag::default(), of(1, 5), (at(0), None));
        assert!(hints.read(|_| ()).is_none());
    }
}

/// A base is always below its delta.
#[test]
fn a_distance_that_no_base_has_is_no_entry() {
    for (base, fine) in [(Some(0), true), (Some(4), true), (Some(5), false), (Some(6), false)] {
        let mut hints = Hints::new();
        hints.push_put(1, 100, Tag::default(), of(5, 5), (at(0), base));
        assert_eq!(hints.read(|_| ()).is_some(), fine, "{base:?}");
    }
}

#[test]
fn bits_without_a_meaning_are_no_entry() {
    let tag = Tag::default();
    let mut puts = Hints::new();
    puts.push_put(500, 100, tag, of(1, 5), (at(1), None));
    let mut deletes = Hints::new();
    deletes.push_delete(500, 100, tag, &DeleteScope::All);
    let mut marks = Hints::new();
    marks.push_marks(500, 100, tag, of(1, 5), &Marks::NONE);
    for (hints, meaningless) in
        [(puts, [1 << 7, 4, 6]), (deletes, [1 << 5, 1 << 6, 4]), (marks, [1 << 5, 1 << 6, 1 << 7])]
    {
        assert!(hints.read(|_| ()).is_some());
        for bits in meaningless {
            let mut wrong = hints.clone();
            wrong.entries[0] |= bits;
            assert!(wrong.read(|_| ()).is_none(), "{bits:#b}");
        }
    }
}
