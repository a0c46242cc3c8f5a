//! [`Tag`]: what stands for an aggregate in the index, 96 bits of a keyed hash.

use crate::key::AggregateKey;

/// 96 bits of SipHash-1-3 over an aggregate's key, under a secret of the store.
///
/// Ids are often chosen by users; the secret keeps them from choosing ones that collide. Among a
/// billion aggregates two share a tag with a probability below 1 in 10^11.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Tag {
    pub(crate) high: u64,
    pub(crate) low: u32,
}

impl Tag {
    pub(super) const BYTES: usize = 12;

    pub(crate) fn of(secret: [u64; 2], key: &AggregateKey) -> Self {
        Self::of_parts(secret, key.tenant(), key.kind(), key.id())
    }

    pub(crate) fn of_parts(secret: [u64; 2], tenant: &str, kind: &str, id: &str) -> Self {
        let mut hash = Sip::new(secret);
        // The lengths lead, so that no two keys feed the same bytes.
        hash.word(tenant.len() as u64 | (kind.len() as u64) << 32);
        for part in [tenant, kind, id] {
            hash.bytes(part.as_bytes());
        }
        let (high, low) = hash.finish();
        #[expect(clippy::cast_possible_truncation, reason = "the low half is wanted")]
        let low = low as u32;
        Self { high, low }
    }

    pub(crate) fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let (high, low) = bytes.split_at_mut(8);
        high.copy_from_slice(&self.high.to_be_bytes());
        low.copy_from_slice(&self.low.to_be_bytes());
        bytes
    }

    pub(crate) fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        let (mut high, mut low) = ([0; 8], [0; 4]);
        let (first, second) = bytes.split_at(8);
        high.copy_from_slice(first);
        low.copy_from_slice(second);
        Self { high: u64::from_be_bytes(high), low: u32::from_be_bytes(low) }
    }
}

/// `SipHash` with 128 bits of output, one round per word and three at the end. Each run of bytes is
/// padded to whole words of its own; its length is part of what is hashed elsewhere.
struct Sip {
    v: [u64; 4],
    words: u64,
}

impl Sip {
    fn new([k0, k1]: [u64; 2]) -> Self {
        let v = [
            k0 ^ 0x736f_6d65_7073_6575,
            k1 ^ 0x646f_7261_6e64_6f6d ^ 0xee,
            k0 ^ 0x6c79_6765_6e65_7261,
            k1 ^ 0x7465_6462_7974_6573,
        ];
        Self { v, words: 0 }
    }

    fn round(&mut self) {
        let [mut a, mut b, mut c, mut d] = self.v;
        a = a.wrapping_add(b);
        b = b.rotate_left(13) ^ a;
        a = a.rotate_left(32);
        c = c.wrapping_add(d);
        d = d.rotate_left(16) ^ c;
        a = a.wrapping_add(d);
        d = d.rotate_left(21) ^ a;
        c = c.wrapping_add(b);
        b = b.rotate_left(17) ^ c;
        c = c.rotate_left(32);
        self.v = [a, b, c, d];
    }

    fn word(&mut self, word: u64) {
        self.words = self.words.wrapping_add(1);
        let [_, _, _, d] = &mut self.v;
        *d ^= word;
        self.round();
        let [a, ..] = &mut self.v;
        *a ^= word;
    }

    fn bytes(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        self.word(short_word(rest) | (rest.len() as u64) << 56);
    }

    fn finish(mut self) -> (u64, u64) {
        self.word(self.words << 56);
        let [_, _, c, _] = &mut self.v;
        *c ^= 0xee;
        for _ in 0..3 {
            self.round();
        }
        let first = self.v.iter().fold(0, |sum, v| sum ^ v);
        let [_, b, _, _] = &mut self.v;
        *b ^= 0xdd;
        for _ in 0..3 {
            self.round();
        }
        (first, self.v.iter().fold(0, |sum, v| sum ^ v))
    }
}

/// Up to seven bytes as a little-endian word.
fn short_word(mut bytes: &[u8]) -> u64 {
    let (mut word, mut shift) = (0, 0);
    if let Some((four, rest)) = bytes.split_first_chunk() {
        word = u64::from(u32::from_le_bytes(*four));
        (bytes, shift) = (rest, 32);
    }
    if let Some((two, rest)) = bytes.split_first_chunk() {
        word |= u64::from(u16::from_le_bytes(*two)) << shift;
        (bytes, shift) = (rest, shift + 16);
    }
    if let Some(one) = bytes.first() {
        word |= u64::from(*one) << shift;
    }
    word
}

#[cfg(test)]
mod tests {
    //! Two keys under one tag would hide each other's snapshots.

    use std::collections::HashSet;

    use super::*;

    #[test]
    fn keys_that_differ_only_in_where_their_parts_end_have_different_tags() {
        let parts =
            [("", "ab", "c"), ("", "a", "bc"), ("ab", "", "c"), ("abc", "", ""), ("", "", "abc")];
        let tags: HashSet<_> =
            parts.iter().map(|(t, k, i)| Tag::of_parts([1, 2], t, k, i)).collect();
        assert_eq!(tags.len(), parts.len());
        assert_ne!(Tag::of_parts([1, 2], "", "", "a"), Tag::of_parts([1, 2], "", "", "a\0"));
        assert_ne!(Tag::of_parts([1, 2], "", "", "a"), Tag::of_parts([1, 3], "", "", "a"));
    }

    #[test]
    fn tags_spread_over_all_their_bits_and_keep_their_order_as_bytes() {
        let tags: Vec<_> =
            (0..10_000).map(|i| Tag::of_parts([7, 9], "", "k", &format!("{i}"))).collect();
        assert_eq!(tags.iter().collect::<HashSet<_>>().len(), tags.len());
        for bit in 0..64 {
            let set = tags.iter().filter(|tag| tag.high >> bit & 1 == 1).count();
            assert!((4_700..5_300).contains(&set), "bit {bit} is set {set} times");
        }
        for pair in tags.windows(2) {
            assert_eq!(pair[0] < pair[1], pair[0].to_bytes() < pair[1].to_bytes());
            assert_eq!(Tag::from_bytes(pair[0].to_bytes()), pair[0]);
        }
    }
}
