//! [`Disposition`]: what a policy says of one snapshot.

use std::fmt;

/// What is done with a snapshot. The order is that of preference: where two policies differ about a
/// snapshot, the greater action is taken.
///
/// More actions may be added, each between [`Drop`](Self::Drop) and [`Keep`](Self::Keep). Code that
/// meets an action it does not know leaves the snapshot as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Action {
    /// It is deleted.
    Drop,
    /// It stays as it is.
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
    /// Why, for people.
    pub reason: String,
}

impl Disposition {
    /// The snapshot stays, for this reason.
    pub fn keep(reason: impl Into<String>) -> Self {
        Self { action: Action::Keep, reason: reason.into() }
    }

    /// There is no reason to keep the snapshot.
    pub fn drop() -> Self {
        Self { action: Action::Drop, reason: "no policy keeps it".to_owned() }
    }

    /// What is done with a snapshot about which a policy said nothing: it stays.
    pub(super) fn missing() -> Self {
        Self::keep("the policy did not judge it")
    }

    /// The one with the greater action; of two equal ones, this.
    pub(super) fn or(self, other: Self) -> Self {
        if other.action > self.action { other } else { self }
    }
}
