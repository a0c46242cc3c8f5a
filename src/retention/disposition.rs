//! [`Disposition`]: what a policy decides about one snapshot.

use std::fmt;

/// What to do with a snapshot. Actions are ordered: if two policies disagree, the greater action is
/// taken.
///
/// More actions may be added, each between [`Drop`](Self::Drop) and [`Keep`](Self::Keep). Code that
/// does not recognize an action must not change the snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Action {
    /// The snapshot is deleted.
    Drop,
    /// The snapshot is kept.
    Keep,
}

/// Formats the action as `keep` or `drop`.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Drop => "drop",
            Self::Keep => "keep",
        })
    }
}

/// An action and the reason for it, as returned by policies.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Disposition {
    /// The action.
    pub action: Action,
    /// The reason.
    pub reason: String,
}

impl Disposition {
    /// Returns a disposition that keeps the snapshot for this reason.
    pub fn keep(reason: impl Into<String>) -> Self {
        Self { action: Action::Keep, reason: reason.into() }
    }

    /// Returns a disposition that drops the snapshot.
    pub fn drop() -> Self {
        Self::drop_because("no policy keeps it")
    }

    /// Returns a disposition that drops the snapshot for this reason.
    pub fn drop_because(reason: impl Into<String>) -> Self {
        Self { action: Action::Drop, reason: reason.into() }
    }

    /// Returns the disposition of a snapshot for which a policy returned none. It keeps the
    /// snapshot.
    pub(super) fn missing() -> Self {
        Self::keep("the policy returned no disposition for it")
    }

    /// Returns the disposition with the greater action; `self` if both are equal.
    pub(super) fn or(self, other: Self) -> Self {
        if other.action > self.action { other } else { self }
    }
}
