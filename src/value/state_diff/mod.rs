//! [`StateDiff`]: what differs between two states.

mod align;
mod find;
mod path;
mod show;
#[cfg(test)]
mod tests;

use super::StateValue;

pub use path::{StatePath, StateStep};

/// What differs between two states: the parts that were added, changed and removed, each with its
/// path and its values.
///
/// Structs are compared by field and maps by key, so the order of map entries makes no difference.
/// Lists are aligned: an element that is inserted is one addition, and the elements after it are
/// unchanged. If more than 4,096 elements of two lists differ, they are compared by position.
/// Elements of hash sets are compared without regard to their order. A part that becomes `None`, or
/// another enum variant, is changed as a whole. Floats are equal if their bits are equal.
///
/// `Display` writes a line for each change (`+` added, `~` changed, `-` removed), and then the
/// counts. For machines, `StateDiff` implements `Serialize`.
///
/// ```
/// use snapfold::manager::{StateDiff, StateValue};
///
/// #[derive(serde::Serialize)]
/// struct Cart { lines: Vec<(&'static str, u32)>, paid: bool }
///
/// let before = StateValue::of(&Cart { lines: vec![("apples", 3), ("pears", 1)], paid: false })?;
/// let after = StateValue::of(&Cart { lines: vec![("apples", 4), ("pears", 1)], paid: true })?;
/// let diff = StateDiff::between(&before, &after);
/// assert_eq!(
///     diff.to_string(),
///     "~ lines[0][1]: 3 -> 4\n~ paid: false -> true\n0 added, 2 changed, 0 removed",
/// );
/// # Ok::<(), snapfold::BoxError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StateDiff {
    /// The changes, in the order of the parts: at most [`StateDiff::MAX_CHANGES`].
    pub changes: Vec<StateChange>,
    /// The number of parts that only the later state has, including those that are not listed.
    pub added: u64,
    /// The number of parts that differ, including those that are not listed.
    pub changed: u64,
    /// The number of parts that only the earlier state has, including those that are not listed.
    pub removed: u64,
}

/// One difference between two states.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StateChange {
    /// Only the later state has this part.
    Added {
        /// Where it is in the later state.
        path: StatePath,
        /// Its value.
        value: StateValue,
    },
    /// Both states have this part, with different values.
    Changed {
        /// Where it is in the later state.
        path: StatePath,
        /// Its value in the earlier state.
        from: StateValue,
        /// Its value in the later state.
        to: StateValue,
    },
    /// Only the earlier state has this part.
    Removed {
        /// Where it is in the earlier state.
        path: StatePath,
        /// Its value.
        value: StateValue,
    },
}

impl StateDiff {
    /// The maximum number of changes that are listed (inclusive).
    pub const MAX_CHANGES: usize = 10_000;

    /// Returns whether the states are the same.
    pub const fn is_empty(&self) -> bool {
        self.added == 0 && self.changed == 0 && self.removed == 0
    }

    /// Returns whether [`changes`](Self::changes) lists all changes.
    pub fn is_complete(&self) -> bool {
        let all = self.added.saturating_add(self.changed).saturating_add(self.removed);
        self.changes.len() as u64 == all
    }
}

impl StateChange {
    /// Returns where the change is: in the later state, or in the earlier one for a removed part.
    pub const fn path(&self) -> &StatePath {
        match self {
            Self::Added { path, .. } | Self::Changed { path, .. } | Self::Removed { path, .. } => {
                path
            }
        }
    }
}
