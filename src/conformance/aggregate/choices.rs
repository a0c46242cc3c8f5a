//! [`Choices`]: random values for event generators.

use std::fmt;
use std::ops::RangeInclusive;

/// A seeded source of random values for event generators. Its methods do not panic.
///
/// The same seed gives the same values in every process, within one release of snapfold. Use golden
/// samples for data that must outlast a release.
pub struct Choices(fastrand::Rng);

impl Choices {
    /// Creates a source with this seed.
    pub fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    /// Returns a random number.
    pub fn any(&mut self) -> u64 {
        self.0.u64(..)
    }

    /// Returns a number from 0 to `end` (exclusive), or 0 if `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        if end == 0 { 0 } else { self.0.u64(..end) }
    }

    /// Returns a number within the range (both ends inclusive), or its start if the range is empty.
    pub fn between(&mut self, range: RangeInclusive<i64>) -> i64 {
        if range.is_empty() { *range.start() } else { self.0.i64(range) }
    }

    /// Returns `true` with a probability of `percent` %. Values above 100 are treated as 100.
    pub fn chance(&mut self, percent: u8) -> bool {
        self.0.u8(..100) < percent
    }

    /// Returns a number from 0 (inclusive) to 1 (exclusive).
    pub fn fraction(&mut self) -> f64 {
        self.0.f64()
    }

    /// Returns one of the items, or `None` if there are none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.index(items.len()))
    }

    /// Returns an index into a list of `len` items, or 0 if `len` is 0.
    pub fn index(&mut self, len: usize) -> usize {
        if len == 0 { 0 } else { self.0.usize(..len) }
    }

    /// Returns a string of 0 to `longest` characters (inclusive): mostly ASCII letters, with a few
    /// control, quote and multi-byte characters that expose escaping errors and code that confuses
    /// bytes with characters.
    pub fn text(&mut self, longest: usize) -> String {
        const UNUSUAL: [char; 8] =
            ['\0', '"', '\\', '\n', '\u{e9}', '\u{202e}', '\u{4e16}', '\u{1f600}'];
        let len = self.0.usize(..=longest);
        (0..len)
            .map(|_| {
                let unusual = if self.chance(10) { self.pick(&UNUSUAL).copied() } else { None };
                unusual.unwrap_or_else(|| self.0.lowercase())
            })
            .collect()
    }

    /// Returns 0 to `longest` (inclusive) random bytes.
    pub fn bytes(&mut self, longest: usize) -> Vec<u8> {
        let len = self.0.usize(..=longest);
        (0..len).map(|_| self.0.u8(..)).collect()
    }
}

impl fmt::Debug for Choices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Choices").finish()
    }
}

#[cfg(test)]
mod tests {
    use super::Choices;

    #[test]
    fn a_seed_gives_the_same_values_again_and_another_seed_others() {
        let values = |seed| {
            let mut choices = Choices::new(seed);
            (choices.any(), choices.below(1_000), choices.between(-5..=5), choices.text(40))
        };
        assert_eq!(values(7), values(7));
        assert_ne!(values(7), values(8));
    }

    #[test]
    fn empty_ranges_and_lists_have_an_answer() {
        let mut choices = Choices::new(1);
        assert_eq!(choices.below(0), 0);
        #[expect(clippy::reversed_empty_ranges, reason = "the empty range is the point")]
        let empty = 9..=3;
        assert_eq!(choices.between(empty), 9);
        assert_eq!(choices.pick::<u8>(&[]), None);
        assert_eq!((choices.text(0), choices.bytes(0)), (String::new(), Vec::new()));
        assert_eq!((choices.chance(0), choices.chance(100)), (false, true));
        choices.between(i64::MIN..=i64::MAX);
    }
}
