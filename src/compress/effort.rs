//! [`Effort`]: how hard Zstandard tries.

/// How hard Zstandard tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Effort {
    pub(super) level: i32,
    pub(super) long_distance: bool,
}

impl Effort {
    pub(super) const DEFAULT: Self = Self { level: 3, long_distance: false };
}
