//! How inputs are changed: [`Mutation`].

use proptest::prelude::*;
use proptest::sample::Index;

/// Where an input is changed.
#[derive(Clone, Debug)]
pub enum Place {
    Anywhere(Index),
    /// At an even offset near the start: there are the headers.
    Early(usize),
}

impl Place {
    /// An offset, at most that of the end.
    fn of(&self, len: usize) -> usize {
        match self {
            Self::Anywhere(index) => index.index(len + 1),
            Self::Early(at) => (*at).min(len),
        }
    }
}

fn place() -> impl Strategy<Value = Place> {
    prop_oneof![
        any::<Index>().prop_map(Place::Anywhere),
        (0..64_usize).prop_map(|half| Place::Early(half * 2)),
    ]
}

/// A change of some bytes.
#[derive(Clone, Debug)]
pub enum Mutation {
    Flip(Place, u8),
    Set(Place, u8),
    Cut(Place),
    Remove(Place, usize),
    Insert(Place, Vec<u8>),
    /// A piece, so many times more.
    Repeat(Place, usize, usize),
    /// So many bytes from another input.
    Splice(Place, Index, Index, usize),
    /// A number of so many bytes becomes one at a limit.
    Number(Place, usize, Edge),
    /// A length as one of the codecs writes it becomes huge.
    Length(Place, &'static [u8]),
}

/// Huge lengths: postcard, bincode, then MessagePack (text, bytes, array, map).
pub const LENGTHS: [&[u8]; 10] = [
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    &[0x80, 0x80, 0x80, 0x40],
    &[0xfc, 0xff, 0xff, 0xff, 0x7f],
    &[0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
    &[0xfc, 0x00, 0x00, 0x00, 0x10],
    &[0xdb, 0xff, 0xff, 0xff, 0xff],
    &[0xc6, 0xff, 0xff, 0xff, 0xff],
    &[0xdd, 0xff, 0xff, 0xff, 0xff],
    &[0xdf, 0xff, 0xff, 0xff, 0xff],
];

/// A value that a length, a count or an offset may have wrongly.
#[derive(Clone, Debug)]
pub enum Edge {
    Is(u64),
    /// The length of all, and some.
    Length(i64),
    /// What it was, and some.
    Plus(i64),
}

impl Edge {
    fn value(&self, was: u64, len: u64) -> u64 {
        match self {
            Self::Is(value) => *value,
            Self::Length(some) => len.wrapping_add_signed(*some),
            Self::Plus(some) => was.wrapping_add_signed(*some),
        }
    }
}

fn edge() -> impl Strategy<Value = Edge> {
    let limits = [
        0,
        1,
        0x7f,
        0x7fff,
        0xffff,
        0x7fff_ffff,
        0xffff_ffff,
        (1 << 56) - 2,
        (1 << 56) - 1,
        1 << 56,
        u64::MAX >> 1,
        u64::MAX - 1,
        u64::MAX,
    ];
    prop_oneof![
        proptest::sample::select(limits.to_vec()).prop_map(Edge::Is),
        (-9..9_i64).prop_map(Edge::Length),
        (-9..9_i64).prop_map(Edge::Plus),
    ]
}

pub fn mutation() -> impl Strategy<Value = Mutation> {
    let (at, other) = (place, any::<Index>);
    let width = || proptest::sample::select(vec![1_usize, 2, 4, 8]);
    prop_oneof![
        1 => (at(), 0..8_u8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        1 => (at(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        1 => at().prop_map(Mutation::Cut),
        1 => (at(), 1..40_usize).prop_map(|(at, len)| Mutation::Remove(at, len)),
        1 => (at(), prop::collection::vec(any::<u8>(), 1..20))
            .prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
        1 => (at(), 1..6_usize, 1..3_000_usize)
            .prop_map(|(at, len, times)| Mutation::Repeat(at, len, times)),
        1 => (at(), other(), other(), 1..200_usize)
            .prop_map(|(to, other, from, len)| Mutation::Splice(to, other, from, len)),
        4 => (at(), width(), edge()).prop_map(|(at, width, to)| Mutation::Number(at, width, to)),
        2 => (at(), proptest::sample::select(LENGTHS.to_vec()))
            .prop_map(|(at, length)| Mutation::Length(at, length)),
    ]
}

impl Mutation {
    /// Changes `bytes`; `others` are what a splice takes from.
    pub fn apply(&self, bytes: &mut Vec<u8>, others: &[Vec<u8>]) {
        let len = bytes.len();
        let place = |at: &Place| at.of(len);
        match self {
            Self::Flip(at, bit) => change(bytes, place(at), |byte| byte ^ (1 << bit)),
            Self::Set(at, value) => change(bytes, place(at), |_| *value),
            Self::Cut(at) => bytes.truncate(place(at)),
            Self::Remove(at, count) => {
                let from = place(at);
                bytes.drain(from..(from + count).min(len));
            }
            Self::Insert(at, new) => {
                let at = place(at);
                bytes.splice(at..at, new.iter().copied());
            }
            Self::Splice(to, other, from, count) => {
                let other = &others[other.index(others.len())];
                let from = from.index(other.len() + 1);
                let piece = &other[from..(from + count).min(other.len())];
                let to = place(to);
                bytes.splice(to..(to + count).min(len), piece.iter().copied());
            }
            Self::Repeat(at, count, times) => {
                let at = place(at);
                let piece = bytes[at..(at + count).min(len)].repeat(*times);
                bytes.splice(at..at, piece);
            }
            Self::Length(at, length) => {
                let at = place(at);
                bytes.splice(at..(at + 1).min(len), length.iter().copied());
            }
            Self::Number(at, width, edge) => {
                let at = place(at);
                let Some(field) = bytes.get_mut(at..at + width) else { return };
                let mut was = [0; 8];
                was[..*width].copy_from_slice(field);
                let value = edge.value(u64::from_le_bytes(was), len as u64).to_le_bytes();
                field.copy_from_slice(&value[..*width]);
            }
        }
    }
}

fn change(bytes: &mut [u8], at: usize, to: impl Fn(u8) -> u8) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte = to(*byte);
    }
}

/// A change of the files of a directory.
#[derive(Clone, Debug)]
pub enum FileMutation {
    Change(Index, Mutation),
    Remove(Index),
    /// Another file of the directory, or none, takes this place.
    Replace(Index, Index),
    /// The file is there under another name too; the number is that of the name.
    Copy(Index, u8),
}

pub fn file_mutation() -> impl Strategy<Value = FileMutation> {
    let at = any::<Index>;
    prop_oneof![
        12 => (at(), mutation()).prop_map(|(file, how)| FileMutation::Change(file, how)),
        1 => at().prop_map(FileMutation::Remove),
        1 => (at(), at()).prop_map(|(file, by)| FileMutation::Replace(file, by)),
        2 => (at(), 0..24_u8).prop_map(|(file, name)| FileMutation::Copy(file, name)),
    ]
}
