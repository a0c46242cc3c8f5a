//! The hash function of a digest: [`Hash`] takes tokens of 128 bits and returns 128 bits.
//!
//! Each token is multiplied by a key that depends on its position, and the products are summed (the
//! NH construction of UMAC), so no step waits for the previous one. The sum is linear, so it is
//! mixed at the end. `docs/format.md` specifies the hash with known answers. It detects accidental
//! changes, not malicious ones.

// Measured: with mere inlining hints, a digest takes twice as long. In unoptimized builds, forced
// inlining would only add code to compile.
#![cfg_attr(not(debug_assertions), expect(clippy::inline_always, reason = "measured"))]

/// Odd constants without structure, which are part of the format.
const K: [u64; 6] = [
    0x9e37_79b9_7f4a_7c15,
    0xd6e8_feb8_6659_fd93,
    0xa076_1d64_78bd_642f,
    0xe703_7ed1_a0b4_28db,
    0x8ebc_6af0_9c88_c6e3,
    0x5899_65cc_7537_4cc3,
];

/// Returns the tag of a kind of token: spreads a small number over 64 bits.
pub(super) const fn tag(number: u64) -> u64 {
    number.wrapping_mul(0x2545_f491_4f6c_dd1d)
}

/// A hash in progress.
#[derive(Clone, Copy)]
pub(super) struct Hash {
    sum: u128,
    /// The keys for the next token.
    keys: (u64, u64),
}

impl Hash {
    pub(super) const NEW: Self = Self { sum: 0, keys: (K[0], K[1]) };

    /// Hashes one token.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn token(&mut self, what: u64, value: u64) {
        let (p, q) = self.keys;
        self.sum = self.sum.wrapping_add(u128::from(what ^ p) * u128::from(value ^ q));
        self.keys = (p.wrapping_add(K[2]), q.wrapping_add(K[3]));
    }

    /// Hashes bytes of any length: one token for up to 16 bytes, then one for each further 16
    /// bytes.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn bytes(&mut self, what: u64, bytes: &[u8]) {
        let what = what.wrapping_add((bytes.len() as u64).wrapping_mul(K[5]));
        match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
            (Some(first), Some(last)) if bytes.len() <= 16 => {
                self.token(what ^ u64::from_le_bytes(*first), u64::from_le_bytes(*last));
            }
            (Some(_), Some(_)) => self.long(what, bytes),
            _ => self.token(what, up_to_7(bytes)),
        }
    }

    #[inline(never)]
    fn long(&mut self, what: u64, bytes: &[u8]) {
        // A copy, so that the loop keeps the state in registers.
        let mut hash = *self;
        let mut what = what;
        let (chunks, rest) = bytes.as_chunks::<16>();
        for chunk in chunks {
            let (first, last) = halves(*chunk);
            hash.token(what ^ first, last);
            what = 0;
        }
        // The last 16 bytes, which overlap the previous chunk.
        if let Some(chunk) = bytes.last_chunk::<16>().filter(|_| !rest.is_empty()) {
            let (first, last) = halves(*chunk);
            hash.token(first, last);
        }
        *self = hash;
    }

    /// Returns the hash of all tokens so far.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn finish(&self) -> (u64, u64) {
        let (low, high) = (low(self.sum) ^ self.keys.0, low(self.sum >> 64));
        let a = fold(low ^ K[4], high ^ K[5]);
        let b = fold(high.rotate_left(32) ^ K[0] ^ a, low ^ K[1]);
        (a ^ b.rotate_left(29), fold(a ^ K[2], b ^ K[3]).wrapping_add(low))
    }
}

/// Returns the hash of a name. The compiler evaluates it for names that are constants.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(super) fn name(name: &str) -> u64 {
    let bytes = name.as_bytes();
    let len = (bytes.len() as u64).wrapping_mul(K[5]);
    match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        (Some(first), Some(last)) if bytes.len() <= 16 => {
            fold(u64::from_le_bytes(*first) ^ K[0] ^ len, u64::from_le_bytes(*last) ^ K[4])
        }
        (Some(_), Some(last)) => {
            let mut hash = len;
            for chunk in bytes.as_chunks::<8>().0 {
                hash = fold(hash ^ u64::from_le_bytes(*chunk), K[4]).wrapping_add(K[0]);
            }
            fold(hash ^ u64::from_le_bytes(*last), K[1])
        }
        _ => fold(up_to_7(bytes) ^ K[0] ^ len, K[4]),
    }
}

/// Reads at most 7 bytes as a number. Inputs that give the same number differ in length.
#[cfg_attr(not(debug_assertions), inline(always))]
fn up_to_7(bytes: &[u8]) -> u64 {
    match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>(), bytes) {
        (Some(first), Some(last), _) => {
            u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32
        }
        (_, _, [a, b, c]) => u64::from(*a) | u64::from(*b) << 8 | u64::from(*c) << 16,
        (_, _, [a, b]) => u64::from(*a) | u64::from(*b) << 8,
        (_, _, [a]) => u64::from(*a),
        _ => 0,
    }
}

#[cfg_attr(not(debug_assertions), inline(always))]
fn halves(chunk: [u8; 16]) -> (u64, u64) {
    let both = u128::from_le_bytes(chunk);
    (low(both), low(both >> 64))
}

#[cfg_attr(not(debug_assertions), inline(always))]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    low(product) ^ low(product >> 64)
}

#[expect(clippy::cast_possible_truncation, reason = "only the low half is needed")]
const fn low(value: u128) -> u64 {
    value as u64
}
