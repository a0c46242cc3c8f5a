//! [`Sizes`]: the known encoded sizes of a state, and an estimate of the current size.

/// The encoded size of a state in bytes, before compression, and the version of the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Weight {
    pub(super) bytes: u64,
    pub(super) at_version: u64,
}

/// The two newest known sizes of one aggregate, at different versions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sizes {
    newest: Option<Weight>,
    before: Option<Weight>,
}

impl Weight {
    /// Returns whether the size should be measured again at `version`. This is the case after at
    /// least 100 further events that amount to at least a quarter of `at_version`.
    pub(super) fn is_outdated(self, version: u64) -> bool {
        version.saturating_sub(self.at_version) >= (self.at_version / 4).max(100)
    }
}

impl Sizes {
    /// Adds a size. If a size at the same version is already known, the known size is kept.
    pub(super) fn with(self, size: impl Into<Option<Weight>>) -> Self {
        let Some(size) = size.into() else { return self };
        let is_at = |known: Option<Weight>| known.is_some_and(|k| k.at_version == size.at_version);
        let is_above = |known: Option<Weight>| known.is_none_or(|k| k.at_version < size.at_version);
        if is_at(self.newest) || is_at(self.before) {
            self
        } else if is_above(self.newest) {
            Self { newest: Some(size), before: self.newest }
        } else if is_above(self.before) {
            Self { before: Some(size), ..self }
        } else {
            self
        }
    }

    /// Adds all sizes of `other`.
    pub(super) fn and(self, other: Self) -> Self {
        self.with(other.newest).with(other.before)
    }

    /// Removes the sizes above `version`, which belong to a history that was rewound.
    pub(super) fn up_to(self, version: u64) -> Self {
        let within = |size: &Weight| size.at_version <= version;
        Self::default().with(self.newest.filter(within)).with(self.before.filter(within))
    }

    /// Returns whether a size is known at or above `version`.
    pub(super) fn reach(&self, version: u64) -> bool {
        self.newest.is_some_and(|newest| newest.at_version >= version)
    }

    /// Estimates the size at `version`, or returns `None` if no size is known. Extrapolates the
    /// growth between the two known sizes, for at most as many events as lie between them.
    pub(super) fn estimate(&self, version: u64) -> Option<u64> {
        let newest = self.newest?;
        let Some(before) = self.before else { return Some(newest.bytes) };
        let seen = newest.at_version.saturating_sub(before.at_version).max(1);
        let since = version.saturating_sub(newest.at_version).min(seen);
        let growth = newest.bytes.saturating_sub(before.bytes);
        let growth = u128::from(growth) * u128::from(since) / u128::from(seen);
        Some(newest.bytes.saturating_add(u64::try_from(growth).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(known: &[(u64, u64)]) -> Sizes {
        known.iter().fold(Sizes::default(), |all, (at_version, bytes)| {
            all.with(Weight { bytes: *bytes, at_version: *at_version })
        })
    }

    #[test]
    fn the_two_newest_sizes_are_kept_in_whatever_order_they_come() {
        let expected = sizes(&[(10, 100), (20, 300)]);
        for order in [
            &[(20, 300), (10, 100)][..],
            &[(5, 9), (20, 300), (10, 100)],
            &[(20, 300), (5, 9), (10, 100), (1, 1)],
            &[(10, 100), (20, 300), (20, 999), (10, 999)],
        ] {
            assert_eq!(sizes(order), expected, "{order:?}");
        }
        assert_eq!(sizes(&[(20, 300)]).and(sizes(&[(10, 100), (5, 9)])), expected);
        assert_eq!(expected.up_to(20), expected);
        assert_eq!(expected.up_to(19), sizes(&[(10, 100)]));
        assert_eq!(expected.up_to(9), Sizes::default());
        assert!(expected.reach(20) && !expected.reach(21) && !Sizes::default().reach(0));
    }

    #[test]
    fn growth_goes_on_for_as_long_as_it_was_seen() {
        assert_eq!(Sizes::default().estimate(9), None);
        assert_eq!(sizes(&[(10, 100)]).estimate(1_000), Some(100));
        let grows = sizes(&[(10, 100), (20, 300)]);
        let at = [0, 20, 21, 25, 30, 31, u64::MAX].map(|version| grows.estimate(version).unwrap());
        assert_eq!(at, [300, 300, 320, 400, 500, 500, 500]);
        // A size that has not grown is assumed to stay the same.
        assert_eq!(sizes(&[(10, 300), (20, 100)]).estimate(30), Some(100));
        let huge = sizes(&[(0, 0), (u64::MAX / 2, u64::MAX)]);
        assert_eq!(huge.estimate(u64::MAX), Some(u64::MAX));
    }
}
