//! [`BySize`]: one quantity, for things of different sizes.

use super::window::Window;

/// The moving averages of a quantity that depends on a size, one for each power of two.
pub(super) struct BySize([Window; CLASSES]);

const CLASSES: usize = 65;

impl Default for BySize {
    fn default() -> Self {
        Self([Window::default(); CLASSES])
    }
}

impl BySize {
    pub(super) fn add(&mut self, size: u64, sample: u64) {
        if let Some(window) = self.0.get_mut(class(size)) {
            window.add(sample);
        }
    }

    /// The average for this size or, with fewer samples than `at_least`, for the nearest size that
    /// has as many; of two that are as near, the smaller one.
    pub(super) fn near(&self, size: u64, at_least: usize) -> Option<u64> {
        let class = class(size);
        (0..CLASSES).find_map(|away| {
            let below = class.checked_sub(away).and_then(|below| self.0.get(below));
            let above = class.checked_add(away).and_then(|above| self.0.get(above));
            [below, above].into_iter().flatten().find_map(|window| window.mean(at_least))
        })
    }

    /// The last sample for about this size.
    pub(super) fn newest(&self, size: u64) -> Option<u64> {
        self.0.get(class(size))?.newest()
    }
}

/// 0 for 0, 1 for 1, 2 up to 3, 3 up to 7, 64 from 2^63 on.
fn class(size: u64) -> usize {
    (u64::BITS - size.leading_zeros()) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_size_with_enough_samples_counts() {
        let mut costs = BySize::default();
        assert_eq!(costs.near(0, 1), None);
        costs.add(100, 7);
        assert_eq!(costs.near(0, 1), Some(7));
        assert_eq!(costs.near(u64::MAX, 1), Some(7));
        assert_eq!(costs.near(100, 3), None);
        for _ in 0..3 {
            costs.add(u64::MAX, 1_000);
            costs.add(0, 1);
        }
        let near = |size| costs.near(size, 3).unwrap();
        assert_eq!([0, 100, u64::MAX].map(near), [1, 1, 1_000]);
        assert_eq!([1 << 31, 1 << 32].map(near), [1, 1_000]);
        assert_eq!(costs.near(127, 1), Some(7));
        assert_eq!(costs.near(128, 1), Some(7));
    }
}
