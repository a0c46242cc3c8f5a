//! [`Window`]: the newest samples of one quantity.

/// How many samples are kept: enough to average, few enough to follow a change soon.
const KEPT: u8 = 8;
/// How many of the lowest and of the highest samples are ignored, where there are enough.
const TRIMMED: usize = 2;

/// A moving average that ignores outliers: the mean of the middle half of the newest samples.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Window {
    samples: [u64; KEPT as usize],
    len: u8,
    next: u8,
}

impl Window {
    pub(super) fn add(&mut self, sample: u64) {
        if let Some(place) = self.samples.get_mut(usize::from(self.next)) {
            *place = sample;
        }
        self.next = (self.next + 1) % KEPT;
        self.len = (self.len + 1).min(KEPT);
    }

    pub(super) fn newest(&self) -> Option<u64> {
        let newest = (self.next + KEPT - 1) % KEPT;
        self.samples.get(usize::from(newest)).copied().filter(|_| self.len > 0)
    }

    /// The average, if there are at least so many samples (and one). Of two, the lower one.
    pub(super) fn mean(&self, at_least: usize) -> Option<u64> {
        let len = usize::from(self.len);
        if len < at_least.max(1) {
            return None;
        }
        let mut sorted = self.samples;
        let sorted = sorted.get_mut(..len)?;
        sorted.sort_unstable();
        let lowest = ((len - 1) / 2).min(TRIMMED);
        let middle = sorted.get(lowest..len - (len / 2).min(TRIMMED))?;
        let sum: u128 = middle.iter().copied().map(u128::from).sum();
        u64::try_from(sum.checked_div(middle.len() as u128)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(samples: &[u64], at_least: usize) -> Option<u64> {
        let mut window = Window::default();
        for sample in samples {
            window.add(*sample);
        }
        window.mean(at_least)
    }

    #[test]
    fn one_outlier_among_three_does_not_count() {
        assert_eq!(mean(&[], 0), None);
        assert_eq!(mean(&[7], 1), Some(7));
        assert_eq!(mean(&[7, 8], 3), None);
        assert_eq!(mean(&[u64::MAX, 8], 1), Some(8));
        for samples in [[u64::MAX, 8, 10], [8, 10, u64::MAX], [0, 10, 10], [10, 0, 10]] {
            assert_eq!(mean(&samples, 3), Some(10), "{samples:?}");
        }
        assert_eq!(mean(&[u64::MAX, 9, 8, u64::MAX], 3), Some(9));
        assert_eq!(mean(&[u64::MAX, 9, 0, u64::MAX, 0], 3), Some(9));
        assert_eq!(mean(&[u64::MAX; 8], 3), Some(u64::MAX));
    }

    #[test]
    fn a_change_counts_fully_after_six_samples() {
        let change = |new: usize| mean(&[&[10; 20][..], &[50; 8][..new]].concat(), 3);
        let after: Vec<_> = (0..=8).map(|new| change(new).unwrap()).collect();
        assert_eq!(after, [10, 10, 10, 20, 30, 40, 50, 50, 50]);
    }

    #[test]
    fn the_newest_is_the_last_one() {
        let mut window = Window::default();
        assert_eq!(window.newest(), None);
        for sample in 0..20 {
            window.add(sample);
            assert_eq!(window.newest(), Some(sample));
        }
    }
}
