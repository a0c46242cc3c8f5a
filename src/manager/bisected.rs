//! [`Bisected`]: where in a history something became true.

use std::fmt;
use std::ops::RangeInclusive;

/// Where in a history something became true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bisected {
    /// The first version at which it is true; `None` if it is true at none of them.
    pub first: Option<u64>,
    /// The number of states that were reconstructed.
    pub reconstructions: u32,
}

/// A search in progress. The first true version is one of `low..=high`, where a `high` above the
/// range means that there is none.
#[derive(Debug)]
pub(crate) struct Bisection {
    low: u128,
    high: u128,
    /// Above the last version.
    none: u128,
    asked: u32,
}

impl Bisection {
    pub(crate) fn new(versions: RangeInclusive<u64>) -> Self {
        let low = u128::from(*versions.start());
        let none = low.max(u128::from(*versions.end()) + 1);
        Self { low, high: none, none, asked: 0 }
    }

    /// Returns the next version to ask about, or `None` if the search is over.
    pub(crate) fn next(&self) -> Option<u64> {
        (self.low < self.high).then(|| u64::try_from(self.middle()).unwrap_or(u64::MAX))
    }

    /// Takes the answer for the version that [`next`](Self::next) returned.
    pub(crate) fn answer(&mut self, is_true: bool) {
        let middle = self.middle();
        if is_true {
            self.high = middle;
        } else {
            self.low = middle + 1;
        }
        self.asked += 1;
    }

    pub(crate) fn finish(self) -> Bisected {
        let found = (self.low < self.none).then_some(self.low);
        let first = found.and_then(|version| u64::try_from(version).ok());
        Bisected { first, reconstructions: self.asked }
    }

    fn middle(&self) -> u128 {
        self.low + (self.high - self.low) / 2
    }
}

/// Formats the result as one line, for logs.
impl fmt::Display for Bisected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first {
            Some(version) => write!(f, "first at version {version}")?,
            None => f.write_str("at no version")?,
        }
        write!(f, " ({} states reconstructed)", self.reconstructions)
    }
}

#[cfg(test)]
mod tests {
    use super::{Bisected, Bisection};

    fn search(versions: std::ops::RangeInclusive<u64>, first: u64) -> Bisected {
        let mut bisection = Bisection::new(versions.clone());
        while let Some(version) = bisection.next() {
            assert!(versions.contains(&version));
            bisection.answer(version >= first);
        }
        bisection.finish()
    }

    #[test]
    fn every_first_version_of_every_short_range_is_found() {
        for start in 0_u64..4 {
            for end in start..start + 20 {
                let most = u64::from((end - start + 2).next_power_of_two().ilog2());
                for first in start..=end + 3 {
                    let found = search(start..=end, first);
                    assert_eq!(found.first, Some(first).filter(|first| *first <= end));
                    assert!(u64::from(found.reconstructions) <= most);
                }
            }
        }
    }

    #[test]
    fn long_empty_and_widest_ranges_end() {
        for first in [0, 1, 50_000, 99_999, 100_000, 200_000] {
            assert!(search(1..=100_000, first).reconstructions <= 17);
        }
        assert_eq!(search(1..=100_000, 0).first, Some(1));
        #[expect(clippy::reversed_empty_ranges, reason = "callers may compute such a range")]
        let empty = search(5..=4, 0);
        assert_eq!(empty, Bisected { first: None, reconstructions: 0 });
        assert_eq!(search(0..=u64::MAX, u64::MAX).first, Some(u64::MAX));
        assert_eq!(search(u64::MAX..=u64::MAX, 0).first, Some(u64::MAX));
    }
}
