//! [`DeltaPace`]: whether a delta is worth trying.

/// After so many deltas in a row that were too large, not every save tries one.
const TOO_MANY: u32 = 8;
/// Then only every so many saves.
const EVERY: u32 = 16;

/// Decides which saves try a delta, by what came of the last ones.
#[derive(Debug, Default)]
pub(super) struct DeltaPace {
    /// The deltas in a row that were too large to be stored.
    too_large: u32,
    /// The saves since the last attempt that did not try.
    skipped: u32,
}

impl DeltaPace {
    /// Returns whether this save tries a delta. One that does not counts. One that does counts when
    /// its delta [was made](Self::made): there may be no snapshot that it could be based on.
    pub(super) fn tries(&mut self) -> bool {
        let tries = self.too_large < TOO_MANY || self.skipped >= EVERY - 1;
        self.skipped += u32::from(!tries);
        tries
    }

    /// Counts a delta that was made, and whether it was small enough to be stored.
    pub(super) fn made(&mut self, is_stored: bool) {
        self.skipped = 0;
        self.too_large = if is_stored { 0 } else { self.too_large.saturating_add(1) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of so many saves try, if each delta is stored or none is.
    fn tried(pace: &mut DeltaPace, saves: u32, is_stored: bool) -> Vec<u32> {
        let tried = (0..saves).filter(|_| {
            let tries = pace.tries();
            if tries {
                pace.made(is_stored);
            }
            tries
        });
        tried.collect()
    }

    #[test]
    fn deltas_that_pay_are_tried_at_every_save() {
        let all: Vec<_> = (0..100).collect();
        assert_eq!(tried(&mut DeltaPace::default(), 100, true), all);
    }

    #[test]
    fn after_eight_that_were_too_large_every_sixteenth_save_tries() {
        let pace = &mut DeltaPace::default();
        assert_eq!(tried(pace, 60, false), [0, 1, 2, 3, 4, 5, 6, 7, 23, 39, 55]);
        // One that pays ends it, and the count begins anew.
        assert_eq!(tried(pace, 12, true), [11]);
        assert_eq!(tried(pace, 30, false), [0, 1, 2, 3, 4, 5, 6, 7, 23]);
    }

    #[test]
    fn one_that_pays_among_them_starts_the_count_anew() {
        let pace = &mut DeltaPace::default();
        assert_eq!(tried(pace, 7, false).len(), 7);
        assert_eq!(tried(pace, 1, true), [0]);
        assert_eq!(tried(pace, 9, false), [0, 1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn a_try_without_a_base_leaves_it_to_the_next_save() {
        let pace = &mut DeltaPace::default();
        tried(pace, 8, false);
        let tries: Vec<_> = (0..20).filter(|_| pace.tries()).collect();
        assert_eq!(tries, [15, 16, 17, 18, 19]);
        pace.made(false);
        assert!(!pace.tries());
    }

    #[test]
    fn counts_do_not_overflow() {
        let pace = &mut DeltaPace { too_large: u32::MAX, skipped: EVERY - 1 };
        assert!(pace.tries());
        pace.made(false);
        assert_eq!((pace.too_large, pace.skipped), (u32::MAX, 0));
    }
}
