//! [`Item`]: one snapshot in the index, packed into 20 bytes.

use crate::backend::file::format::MAX_OFFSET;
use crate::timeline::{Entry, Key};
use crate::timestamp::Timestamp;

/// The position of a record, and its generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The slot of its segment, below [`Place::MAX_SLOTS`].
    pub(crate) slot: u32,
    /// The offset of its frame: a multiple of 8, below [`MAX_OFFSET`].
    pub(crate) offset: u64,
    /// The length of the record: below 2^31, never 0.
    pub(crate) len: u32,
    /// The number of its generation, below [`Place::MAX_GENERATIONS`].
    pub(crate) generation: u32,
}

impl Place {
    pub(crate) const MAX_SLOTS: u32 = 1 << SLOT_BITS;
    pub(crate) const MAX_GENERATIONS: u32 = 1 << (5 + 12);
}

/// One snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) version: u64,
    pub(crate) place: Place,
}

impl Item {
    /// Returns whether both are the same snapshot of an aggregate, regardless of position.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.version == other.version && self.place.generation == other.place.generation
    }
}

const OFFSET_BITS: u32 = (MAX_OFFSET / 8).ilog2();
const LEN_BITS: u32 = 31;
const SLOT_BITS: u32 = 20;

/// The as-of time of a snapshot for which the index has none. It is before all other times, so that
/// a search never skips a snapshot whose record has to be read to find its time.
pub(crate) const UNKNOWN: Timestamp = Timestamp::MIN;

/// An [`Item`] with its as-of time, or [`UNKNOWN`], in seven words.
#[derive(Clone, Copy)]
pub(super) struct Timed {
    packed: Packed,
    as_of: [u32; 2],
}

impl Timed {
    #[expect(clippy::cast_possible_truncation, reason = "each word takes its half of the bits")]
    pub(super) fn new(item: Item, as_of: Timestamp) -> Self {
        let micros = as_of.as_micros().cast_unsigned();
        Self { packed: Packed::new(item), as_of: [micros as u32, (micros >> 32) as u32] }
    }

    pub(super) fn item(self) -> Item {
        self.packed.item()
    }
}

impl Entry for Timed {
    fn key(&self) -> Key {
        let item = self.packed.item();
        (item.version, item.place.generation)
    }

    fn as_of(&self) -> Timestamp {
        let [low, high] = self.as_of;
        Timestamp::from_micros((u64::from(low) | u64::from(high) << 32).cast_signed())
    }
}

/// An [`Item`] in five words, aligned to four bytes so that tables have no gaps.
#[derive(Clone, Copy, Default)]
pub(super) struct Packed([u32; 5]);

impl Packed {
    pub(super) const EMPTY: Self = Self([0; 5]);

    /// No item is packed into this value, because a record is never empty.
    pub(super) fn is_empty(self) -> bool {
        self.0 == [0; 5]
    }

    pub(super) fn version(self) -> u64 {
        let [low, high, ..] = self.0;
        u64::from(low) | u64::from(high) << 32
    }

    #[expect(clippy::cast_possible_truncation, reason = "each word takes its part of the bits")]
    pub(super) fn new(item: Item) -> Self {
        let Place { slot, offset, len, generation } = item.place;
        let (low, high) = (u64::from(generation & 31), generation >> 5);
        let place =
            (offset / 8) | (u64::from(len) << OFFSET_BITS) | (low << (OFFSET_BITS + LEN_BITS));
        Self([
            item.version as u32,
            (item.version >> 32) as u32,
            place as u32,
            (place >> 32) as u32,
            slot | high << SLOT_BITS,
        ])
    }

    pub(super) fn item(self) -> Item {
        let [_, _, low, high, last] = self.0;
        let place = u64::from(low) | u64::from(high) << 32;
        let generation = (place >> (OFFSET_BITS + LEN_BITS)) as u32 | last >> SLOT_BITS << 5;
        Item {
            version: self.version(),
            place: Place {
                slot: last & ((1 << SLOT_BITS) - 1),
                offset: (place & ((1 << OFFSET_BITS) - 1)) * 8,
                len: (place >> OFFSET_BITS & ((1 << LEN_BITS) - 1)) as u32,
                generation,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_of_each_field_survives_packing() {
        assert_eq!((size_of::<Packed>(), size_of::<Timed>()), (20, 28));
        let largest = Place {
            slot: Place::MAX_SLOTS - 1,
            offset: MAX_OFFSET - 8,
            len: (1 << 31) - 1,
            generation: Place::MAX_GENERATIONS - 1,
        };
        let none = Place { slot: 0, offset: 0, len: 1, generation: 0 };
        for place in [
            largest,
            none,
            Place { slot: largest.slot, ..none },
            Place { offset: largest.offset, ..none },
            Place { len: largest.len, ..none },
            Place { generation: largest.generation, ..none },
        ] {
            for version in [1, u64::MAX, 1 << 33] {
                let item = Item { version, place };
                assert_eq!(Packed::new(item).item(), item);
                assert!(!Packed::new(item).is_empty());
            }
        }
    }
}
