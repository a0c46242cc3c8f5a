//! [`Disposition`]: what a policy decides about one snapshot.

use std::fmt;

/// What is done with a snapshot. Actions are ordered: where two policies differ, the greater action
/// is taken.
///
/// More actions may be added, each between [`Drop`](Self::Drop) and [`Keep`](Self::Keep). Code that
/// does not know an action must not change the snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Action {
    /// It is deleted.
    Drop,
    /// It is kept.
    Keep,
}

/// As one word: `keep` or `drop`.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Drop => "drop",
            Self::Keep => "keep",
        })
    }
}

/// An action and the reason for it. Made by policies.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Disposition {
    /// What is done.
    pub action: Action,
    /// The reason, in words.
    pub reason: String,
}

impl Disposition {
    /// Keeps the snapshot, for this reason.
    pub fn keep(reason: impl Into<String>) -> Self {
        Self { action: Action::Keep, reason: reason.into() }
    }

    /// Drops the snapshot.
    pub fn drop() -> Self {
        Self { action: Action::Drop, reason: "no policy keeps it".to_owned() }
    }

    /// The disposition of a snapshot that a policy does not mention: it is kept.
    pub(super) fn missing() -> Self {
        Self::keep("the policy returned no disposition for it")
    }

    /// Returns the disposition with the greater action; `self` if both are equal.
    pub(super) fn or(self, other: Self) -> Self {
        if other.action > self.action { other } else { self }
    }
}
