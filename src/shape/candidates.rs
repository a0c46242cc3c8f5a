//! The values that a trace offers, kind by kind, the plainest first.
//!
//! The order decides how many passes a validating type costs, never what the fingerprint says.
//! Adding a candidate can turn an incomplete trace into a complete one, which changes the
//! fingerprint of that type.

use super::graph::Leaf;

// Ordered so that the values that fit a narrower integer come first.
const UNSIGNED: [u64; 12] =
    [0, 1, 2, 10, 100, 200, 1_000, 2_000, 10_000, 1_000_000, 1_700_000_000, 1_700_000_000_000];
const SIGNED: [i64; 12] =
    [0, 1, -1, 2, 10, 100, 1_000, 2_000, 10_000, 1_000_000, 1_700_000_000, 1_700_000_000_000];
const FLOATS: [f32; 5] = [0.0, 1.0, 0.5, 100.0, -1.0];
const CHARS: [char; 5] = ['a', 'A', '0', ' ', '-'];
const LENGTHS: [usize; 10] = [0, 16, 32, 1, 4, 8, 12, 20, 24, 64];
const ZEROS: [u8; 64] = [0; 64];

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

/// What a request that leaves the kind open is answered with, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Open {
    Unit,
    Number,
    Text,
    Bool,
    Seq,
    Map,
}

const OPEN: [Open; 6] = [Open::Unit, Open::Number, Open::Text, Open::Bool, Open::Seq, Open::Map];

/// How many candidates there are for a leaf; they are numbered from 0.
pub(super) const fn count(leaf: Leaf) -> usize {
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
        Leaf::Any => OPEN.len(),
        Leaf::Unit | Leaf::UnitStruct | Leaf::Identifier | Leaf::Ignored => 1,
    }
}

pub(super) fn unsigned(pick: usize) -> u64 {
    UNSIGNED.get(pick).copied().unwrap_or_default()
}

pub(super) fn signed(pick: usize) -> i64 {
    SIGNED.get(pick).copied().unwrap_or_default()
}

pub(super) fn float(pick: usize) -> f32 {
    FLOATS.get(pick).copied().unwrap_or_default()
}

pub(super) fn char(pick: usize) -> char {
    CHARS.get(pick).copied().unwrap_or('a')
}

pub(super) fn string(pick: usize) -> &'static str {
    STRINGS.get(pick).copied().unwrap_or_default()
}

pub(super) fn bytes(pick: usize) -> &'static [u8] {
    LENGTHS.get(pick).and_then(|&length| ZEROS.get(..length)).unwrap_or_default()
}

pub(super) fn open(pick: usize) -> Open {
    OPEN.get(pick).copied().unwrap_or(Open::Unit)
}
