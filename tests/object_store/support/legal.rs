//! Whether a history can have happened: a search for an order of its operations in which each one
//! takes effect at one moment between its start and its end, and answers as it did.
//!
//! An operation whose outcome is unknown may take effect at any moment after its start, or never.

use std::collections::HashSet;

/// The snapshots that a history is about: two versions of each of two generations.
pub(crate) const SLOTS: usize = 4;

const PIN: u8 = 1;
const RETIREMENT: u8 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Slot {
    /// Which record. Each is put under a number of its own.
    pub(crate) value: u16,
    pub(crate) marks: u8,
}

pub(crate) type Slots = [Option<Slot>; SLOTS];

#[derive(Clone, Debug)]
#[expect(dead_code, reason = "what failed is for those who read a history")]
pub(crate) enum Op {
    Put {
        records: Vec<(usize, u16)>,
        replace: bool,
        spare: bool,
        pin: bool,
    },
    Rewrite {
        slot: usize,
        expected: u16,
        value: u16,
    },
    Delete {
        slots: Vec<usize>,
        overrule: bool,
    },
    Mark {
        slots: Vec<usize>,
        retirement: bool,
        set: bool,
    },
    /// The newest of these slots, in this order.
    Get {
        slots: Vec<usize>,
        retired: bool,
    },
    List,
    /// One that said that it had no effect.
    Failed(Box<Op>, String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Put(Vec<Put>),
    Rewritten(bool),
    Deleted {
        deleted: u64,
        pinned: u64,
    },
    Marked(u64),
    Got(Option<u16>),
    /// The marks of each.
    Listed([Option<u8>; SLOTS]),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    Stored,
    Replaced,
    /// If it is known to be the same.
    Existing(bool),
}

#[derive(Clone, Debug)]
pub(crate) struct Done {
    pub(crate) op: Op,
    pub(crate) from: u64,
    /// Its end and its answer, if its outcome is known.
    pub(crate) answer: Option<(u64, Answer)>,
}

/// Returns the answer of an operation, and what there is after it.
fn apply(op: &Op, slots: &Slots) -> (Answer, Slots) {
    let mut after = *slots;
    let answer = match op {
        Op::Put { records, replace, spare, pin } => {
            let marks = if *pin { PIN } else { 0 };
            let put = |(slot, value): &(usize, u16)| match &mut after[*slot] {
                None => {
                    after[*slot] = Some(Slot { value: *value, marks });
                    Put::Stored
                }
                Some(there) if *replace && !(*spare && there.marks & PIN > 0) => {
                    *there = Slot { value: *value, marks: there.marks | marks };
                    Put::Replaced
                }
                Some(there) => Put::Existing(there.value == *value),
            };
            Answer::Put(records.iter().map(put).collect())
        }
        Op::Rewrite { slot, expected, value } => {
            let there = after[*slot].as_mut().filter(|there| there.value == *expected);
            let is_there = there.is_some();
            if let Some(there) = there {
                there.value = *value;
            }
            Answer::Rewritten(is_there)
        }
        Op::Delete { slots, overrule } => {
            let (mut deleted, mut pinned) = (0, 0);
            for slot in slots {
                let Some(there) = after[*slot] else { continue };
                if there.marks & PIN > 0 && !overrule {
                    pinned += 1;
                } else {
                    after[*slot] = None;
                    deleted += 1;
                }
            }
            Answer::Deleted { deleted, pinned }
        }
        Op::Mark { slots, retirement, set } => {
            let mark = if *retirement { RETIREMENT } else { PIN };
            let mut changed = 0;
            for slot in slots {
                let Some(there) = &mut after[*slot] else { continue };
                let to = if *set { there.marks | mark } else { there.marks & !mark };
                changed += u64::from(to != there.marks);
                there.marks = to;
            }
            Answer::Marked(changed)
        }
        Op::Get { slots: asked, retired } => {
            let there = asked.iter().filter_map(|slot| slots[*slot]);
            let mut there = there.filter(|there| *retired || there.marks & RETIREMENT == 0);
            Answer::Got(there.next().map(|there| there.value))
        }
        Op::Failed(..) => Answer::Got(None),
        Op::List => Answer::Listed(slots.map(|slot| slot.map(|there| there.marks))),
    };
    (answer, after)
}

/// Whether an answer is the right one. What was put may be gone before it is compared.
fn agrees(said: &Answer, right: &Answer) -> bool {
    let (Answer::Put(said), Answer::Put(right)) = (said, right) else { return said == right };
    said.len() == right.len()
        && said.iter().zip(right).all(|(said, right)| {
            said == right || (*said, *right) == (Put::Existing(false), Put::Existing(true))
        })
}

/// Returns whether the history of one aggregate, which begins empty, can have happened.
pub(crate) fn is_legal(history: &[Done]) -> bool {
    let certain = history.iter().enumerate().filter(|(_, done)| done.answer.is_some());
    let certain = certain.fold(0_u128, |all, (at, _)| all | 1 << at);
    assert!(history.len() <= 128, "a history of {} operations is too long", history.len());
    let mut seen = HashSet::new();
    let mut open: Vec<(u128, Slots)> = vec![(0, [None; SLOTS])];
    while let Some((taken, slots)) = open.pop() {
        if taken & certain == certain {
            return true;
        }
        if !seen.insert((taken, slots)) {
            continue;
        }
        let left = || history.iter().enumerate().filter(|(at, _)| taken & (1 << at) == 0);
        let ends = left().filter_map(|(_, done)| done.answer.as_ref().map(|(end, _)| *end));
        let first_end = ends.min().unwrap_or(u64::MAX);
        for (at, done) in left().filter(|(_, done)| done.from <= first_end) {
            let (right, after) = apply(&done.op, &slots);
            let fits = match &done.answer {
                Some((_, said)) => agrees(said, &right),
                // Without an effect it need not be taken.
                None => after != slots,
            };
            if fits {
                open.push((taken | 1 << at, after));
            }
        }
    }
    false
}

#[test]
fn what_cannot_have_happened_is_found() {
    let put =
        |value| Op::Put { records: vec![(0, value)], replace: false, spare: false, pin: false };
    let stored = Answer::Put(vec![Put::Stored]);
    let get = Op::Get { slots: vec![0], retired: true };
    let delete = Op::Delete { slots: vec![0], overrule: false };
    let deleted = |deleted| Answer::Deleted { deleted, pinned: 0 };
    let done = |op: &Op, from, end, answer: &Answer| Done {
        op: op.clone(),
        from,
        answer: Some((end, answer.clone())),
    };
    let unknown = |op: &Op, from| Done { op: op.clone(), from, answer: None };
    let got = |value| Answer::Got(value);
    let legal: [&[Done]; 4] = [
        &[done(&put(1), 0, 1, &stored), done(&get, 2, 3, &got(Some(1)))],
        // At the same time, in either order.
        &[
            done(&put(1), 0, 5, &stored),
            done(&get, 1, 2, &got(None)),
            done(&get, 3, 4, &got(Some(1))),
        ],
        // It arrives late.
        &[unknown(&put(1), 0), done(&get, 1, 2, &got(None)), done(&get, 3, 4, &got(Some(1)))],
        &[done(&put(1), 0, 1, &stored), unknown(&delete, 2), done(&put(2), 3, 4, &stored)],
    ];
    for history in legal {
        assert!(is_legal(history), "{history:?}");
    }
    let illegal: [&[Done]; 5] = [
        // Acknowledged and not found.
        &[done(&put(1), 0, 1, &stored), done(&get, 2, 3, &got(None))],
        // Stored twice.
        &[done(&put(1), 0, 1, &stored), done(&put(2), 0, 4, &stored)],
        // Deleted, and there again.
        &[
            done(&put(1), 0, 1, &stored),
            done(&delete, 2, 3, &deleted(1)),
            done(&get, 4, 5, &got(Some(1))),
        ],
        // An unknown put has one effect.
        &[unknown(&put(1), 0), done(&delete, 2, 3, &deleted(1)), done(&get, 4, 5, &got(Some(1)))],
        // Seen, and then not seen.
        &[
            done(&put(1), 0, 9, &stored),
            done(&get, 1, 2, &got(Some(1))),
            done(&get, 3, 4, &got(None)),
        ],
    ];
    for history in illegal {
        assert!(!is_legal(history), "{history:?}");
    }
}
