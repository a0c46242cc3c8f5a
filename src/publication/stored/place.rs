//! [`PublicationPlace`]: where a publication is among those of its project.

use crate::error::Error;
use crate::key::AggregateKey;
use crate::publication::PublicationId;

/// The part of an id that orders it: the time in milliseconds and the first 36 random bits.
///
/// It is a number of 84 bits, and the version of a document has 63. So the upper bits name a
/// bucket, of 18.6 hours. Two publications of one project in one millisecond have one place with a
/// probability of 2^-36. The second one is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PublicationPlace {
    pub(super) bucket: u64,
    pub(super) within: u64,
}

const MILLIS_BITS: u32 = 26;
const RANDOM_BITS: u32 = 36;

impl PublicationPlace {
    pub(super) fn of(id: PublicationId) -> Self {
        let number = u128::from_be_bytes(*id.as_bytes());
        let high = u64::try_from(number >> 64).unwrap_or(u64::MAX);
        let low = u64::try_from(number & u128::from(u64::MAX)).unwrap_or(u64::MAX);
        let millis = high >> 16;
        let random = (high & 0xfff) << 24 | (low << 2) >> 40;
        let millis_within = millis & ((1 << MILLIS_BITS) - 1);
        Self { bucket: millis >> MILLIS_BITS, within: millis_within << RANDOM_BITS | random }
    }

    /// Returns the highest place that an id below `id` can have. Only ids that nobody made differ
    /// from their own place.
    pub(super) fn below(id: PublicationId) -> Self {
        if id.is_made() {
            return Self::of(id);
        }
        let place = Self::of(id);
        Self { within: place.within | ((1 << RANDOM_BITS) - 1), ..place }
    }

    /// Returns the lowest id that has this place.
    pub(super) fn lowest(self) -> PublicationId {
        let millis = self.bucket << MILLIS_BITS | self.within >> RANDOM_BITS;
        let random = self.within & ((1 << RANDOM_BITS) - 1);
        let high = millis << 16 | 0x7000 | random >> 24;
        let low = 1 << 63 | (random & 0x00ff_ffff) << 38;
        PublicationId::from_bytes((u128::from(high) << 64 | u128::from(low)).to_be_bytes())
    }

    /// Returns the key of the publication.
    pub(super) fn key(self, project: &str) -> Result<AggregateKey, Error> {
        let id = format!("{:06x}{:016x}", self.bucket, self.within);
        AggregateKey::reserved(project, "snapfold.publication", &id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timestamp::Timestamp;

    #[test]
    fn places_are_ordered_as_ids_and_lead_back_to_them() {
        let mut ids: Vec<_> = (0..2_000_i64)
            .map(|n| PublicationId::new(Timestamp::from_micros(n.pow(3) * 30_000)).unwrap())
            .collect();
        ids.sort_unstable();
        for pair in ids.windows(2) {
            assert!(PublicationPlace::of(pair[0]) < PublicationPlace::of(pair[1]), "{pair:?}");
        }
        for id in ids {
            let place = PublicationPlace::of(id);
            let lowest = place.lowest();
            assert!(
                lowest.is_made() && lowest <= id && PublicationPlace::of(lowest) == place,
                "{id}"
            );
            assert!(place.within < 1 << 62 && place.bucket < 1 << 22, "{place:?}");
            assert_eq!(PublicationPlace::below(id), place);
        }
    }

    #[test]
    fn nothing_below_an_id_that_nobody_made_has_a_higher_place() {
        let made = PublicationId::new(Timestamp::from_seconds(1_754_654_400)).unwrap();
        for (at, byte) in [(6, 0xff), (8, 0xff), (6, 0x0f), (8, 0)] {
            let mut bytes = *made.as_bytes();
            bytes[at] = byte;
            let odd = PublicationId::from_bytes(bytes);
            assert!(!odd.is_made());
            let most = PublicationPlace::below(odd);
            for n in 0..=255 {
                let mut bytes = *made.as_bytes();
                bytes[7] = n;
                let id = PublicationId::from_bytes(bytes);
                assert!(id >= odd || PublicationPlace::of(id) <= most, "{id} {odd}");
            }
        }
    }
}
