//! [`Tag`]: identifies an aggregate in the index by 96 bits of a keyed hash.

use std::hash::Hasher;

use siphasher::sip128::{Hash128, Hasher128, SipHasher13};

use crate::key::AggregateKey;

/// 96 bits of SipHash-1-3 of an aggregate key, with a secret of the store.
///
/// Users often choose ids. The secret prevents them from choosing ids that collide. Among a billion
/// aggregates, the probability that any two share a tag is below 1 in 10^11.
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
        let [k0, k1] = secret;
        let mut hasher = SipHasher13::new_with_keys(k0, k1);
        // The lengths come first, so that no two keys give the same input.
        let lengths = tenant.len() as u64 | (kind.len() as u64) << 32;
        hasher.write(&lengths.to_le_bytes());
        for part in [tenant, kind, id] {
            hasher.write(part.as_bytes());
        }
        let Hash128 { h1: high, h2: low } = hasher.finish128();
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

#[cfg(test)]
mod tests {
    //! Two keys with the same tag would hide each other's snapshots.

    use std::collections::HashSet;

    use super::*;

    /// Computed by another implementation of SipHash-1-3 with 128 bits, in Python.
    #[test]
    fn tags_are_what_the_format_says() {
        let secret = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
        for (tenant, kind, id, expected) in [
            (
                "",
                "order",
                "6f1c2f0e-5d43-4d5b-9a3e-0d7f4e4b2a11",
                (0x295d_63c2_7952_ab5c, 0x5114_1698),
            ),
            ("north", "account", "alice", (0x5569_1f0e_d568_85c1, 0x3cd6_85b4)),
            ("", "", "", (0xe2b3_f81d_9780_e3df, 0x3e8f_f111)),
        ] {
            let tag = Tag::of_parts(secret, tenant, kind, id);
            assert_eq!((tag.high, tag.low), expected, "{tenant}/{kind}/{id}");
        }
    }

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
