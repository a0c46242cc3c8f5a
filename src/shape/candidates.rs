//! The values that a trace offers for each kind, the plainest first.
//!
//! The order determines how many passes a validating type takes, but never the fingerprint. Adding
//! a candidate can complete a trace that was incomplete, which changes the fingerprint of that
//! type.

use std::borrow::Cow;

use super::graph::Leaf;

// Ordered so that the values that fit narrower integers come first.
const UNSIGNED: [u64; 12] =
    [0, 1, 2, 10, 100, 200, 1_000, 2_000, 10_000, 1_000_000, 1_700_000_000, 1_700_000_000_000];
const SIGNED: [i64; 12] =
    [0, 1, -1, 2, 10, 100, 1_000, 2_000, 10_000, 1_000_000, 1_700_000_000, 1_700_000_000_000];
const FLOATS: [f32; 5] = [0.0, 1.0, 0.5, 100.0, -1.0];
const CHARS: [char; 5] = ['a', 'A', '0', ' ', '-'];
const LENGTHS: [usize; 10] = [0, 16, 32, 1, 4, 8, 12, 20, 24, 64];
const ZEROS: [u8; 64] = [0; 64];
/// By default, sequences and maps are tried with fewer elements than this.
const USUAL_LENGTHS: usize = 5;
/// The maximum number of elements that are offered.
const MAX_LENGTH: usize = 256;

const STRINGS: [&str; 34] = [
    "",
    "a",
    "0",
    "2000-01-01T00:00:00Z",
    "00000000-0000-0000-0000-000000000000",
    "a@b.co",
    "1",
    "2000-01-01",
    "00:00:00",
    "2000-01-01T00:00:00",
    "2000-01-01T00:00:00+00:00[UTC]",
    "https://a.co/",
    "127.0.0.1",
    "::1",
    "127.0.0.1:80",
    "127.0.0.0/8",
    "A",
    "EUR",
    "US",
    "en",
    "UTC",
    "PT0S",
    "0s",
    "1.0.0",
    "0.00",
    "+12025550100",
    "/a",
    "a.co",
    "true",
    "aaaaaaaa",
    "Aa1!aaaaaaaa",
    "DE89370400440532013000",
    "00000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000000",
];

/// The maximum number of leaves that are kept from all samples of the application together.
const MAX_HARVEST: usize = 1_024;
/// The maximum length of a kept string or byte string, in bytes (inclusive).
const MAX_TEXT: usize = 1_024;
/// The maximum number of values of one kind, and of lengths, that are offered from the samples.
const MAX_OFFERED: usize = 32;

/// A value for a leaf.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// Also a bool, and the bits of a `u128`.
    Int(i128),
    Float(f64),
    Char(char),
    Text(Cow<'static, str>),
    Bytes(Cow<'static, [u8]>),
}

/// The leaves of the application's own states, in the order in which they are written, and the
/// lengths of their sequences and maps.
#[derive(Debug, Default)]
pub(super) struct Harvest {
    leaves: Vec<(Leaf, Value)>,
    lengths: Vec<usize>,
    accepted: Vec<(Leaf, usize)>,
}

impl Harvest {
    pub(super) fn add(&mut self, leaf: Leaf, value: Value) {
        let bytes = match &value {
            Value::Text(text) => text.len(),
            Value::Bytes(bytes) => bytes.len(),
            _ => 0,
        };
        if bytes <= MAX_TEXT && self.leaves.len() < MAX_HARVEST {
            self.leaves.push((leaf, value));
        }
    }

    pub(super) fn add_length(&mut self, len: usize) {
        let usual = 0..USUAL_LENGTHS;
        if self.lengths.len() < MAX_OFFERED && !usual.contains(&len) && !self.lengths.contains(&len)
        {
            self.lengths.push(len);
        }
    }

    /// Notes that a value was accepted, so that it is tried early at other sites.
    pub(super) fn accepted(&mut self, leaf: Leaf, pick: usize) {
        if !self.accepted.contains(&(leaf, pick)) {
            self.accepted.push((leaf, pick));
        }
    }

    /// Returns the numbers of the candidates for a leaf in the order in which they are tried:
    /// accepted candidates first, then those of the application.
    pub(super) fn picks(&self, leaf: Leaf) -> Vec<usize> {
        let mut given: Vec<(usize, &Value)> = Vec::new();
        for (at, (of, value)) in self.leaves.iter().enumerate() {
            let is_new = *of == leaf && !given.iter().any(|(_, known)| *known == value);
            if is_new && given.len() < MAX_OFFERED {
                given.push((count(leaf) + at, value));
            }
        }
        let accepted = self.accepted.iter().filter(|(of, _)| *of == leaf).map(|&(_, pick)| pick);
        let mut picks: Vec<usize> = accepted.collect();
        for pick in given.into_iter().map(|(pick, _)| pick).chain(0..count(leaf)) {
            if !picks.contains(&pick) {
                picks.push(pick);
            }
        }
        picks
    }

    /// Returns the lengths that a sequence or map is tried with.
    pub(super) fn lengths(&self) -> impl Iterator<Item = usize> {
        (1..USUAL_LENGTHS).chain(self.lengths.iter().copied().filter(|&len| len <= MAX_LENGTH))
    }

    /// Returns the strings that are offered, in order.
    pub(super) fn texts(&self) -> Vec<Cow<'static, str>> {
        self.picks(Leaf::Str).into_iter().map(|pick| self.get(Leaf::Str, pick).text()).collect()
    }

    /// Returns candidates for leaves that are read one after the other: the places where the
    /// application's states contain a run of leaves of these kinds.
    pub(super) fn runs(&self, kinds: &[Leaf]) -> Vec<Vec<usize>> {
        let windows = self.leaves.windows(kinds.len().max(1)).enumerate();
        let fitting = windows.filter(|(_, run)| run.iter().map(|(leaf, _)| leaf).eq(kinds));
        let picks = |at| kinds.iter().enumerate().map(move |(i, &leaf)| count(leaf) + at + i);
        fitting.take(MAX_OFFERED).map(|(at, _)| picks(at).collect()).collect()
    }

    /// Returns the candidate with this number.
    pub(super) fn get(&self, leaf: Leaf, pick: usize) -> Value {
        if let Some(at) = pick.checked_sub(count(leaf)) {
            let value = self.leaves.get(at).map(|(_, value)| value.clone());
            return value.unwrap_or(Value::Int(0));
        }
        match leaf {
            Leaf::I8 | Leaf::I16 | Leaf::I32 | Leaf::I64 | Leaf::I128 => {
                Value::Int(at(&SIGNED, pick).into())
            }
            Leaf::F32 | Leaf::F64 => Value::Float(at(&FLOATS, pick).into()),
            Leaf::Char => Value::Char(at(&CHARS, pick)),
            Leaf::Str => Value::Text(at(&STRINGS, pick).into()),
            Leaf::Bytes => Value::Bytes(ZEROS.get(..at(&LENGTHS, pick)).unwrap_or_default().into()),
            Leaf::Bool => Value::Int(i128::try_from(pick).unwrap_or_default()),
            _ => Value::Int(at(&UNSIGNED, pick).into()),
        }
    }
}

impl Value {
    pub(super) fn int(self) -> i128 {
        if let Self::Int(int) = self { int } else { 0 }
    }

    pub(super) fn float(self) -> f64 {
        if let Self::Float(float) = self { float } else { 0.0 }
    }

    pub(super) fn char(self) -> char {
        if let Self::Char(char) = self { char } else { 'a' }
    }

    pub(super) fn text(self) -> Cow<'static, str> {
        if let Self::Text(text) = self { text } else { Cow::Borrowed("") }
    }

    pub(super) fn bytes(self) -> Cow<'static, [u8]> {
        if let Self::Bytes(bytes) = self { bytes } else { Cow::Borrowed(&[]) }
    }
}

fn at<T: Copy + Default>(values: &[T], pick: usize) -> T {
    values.get(pick).copied().unwrap_or_default()
}

/// Returns the number of built-in candidates for a leaf. They are numbered from 0.
const fn count(leaf: Leaf) -> usize {
    match leaf {
        Leaf::Bool => 2,
        Leaf::I8 | Leaf::U8 => 6,
        Leaf::I16 | Leaf::U16 => 9,
        Leaf::I32 | Leaf::U32 => 11,
        Leaf::I64 | Leaf::I128 | Leaf::U64 | Leaf::U128 => UNSIGNED.len(),
        Leaf::F32 | Leaf::F64 => FLOATS.len(),
        Leaf::Char => CHARS.len(),
        Leaf::Str => STRINGS.len(),
        Leaf::Bytes => LENGTHS.len(),
        Leaf::Unit | Leaf::UnitStruct | Leaf::Identifier | Leaf::Ignored => 1,
        // The values for these are not in a list: see `opening`.
        Leaf::Any => 0,
    }
}
