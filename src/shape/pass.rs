//! The choices of a pass, where it failed, and the alternatives to try.

use super::graph::ShapeSite;

/// The maximum number of times that `T::deserialize` is run.
pub(super) const MAX_PASSES: usize = 4_096;
/// The maximum number of requests that are answered, over all passes.
pub(super) const MAX_VISITS: usize = 65_536;
/// One choice of this pass.
#[derive(Clone, Copy, Debug)]
pub(super) struct PassStep {
    pub(super) site: ShapeSite,
    /// The number of the candidate, of elements, or of the variant.
    pub(super) pick: usize,
    /// Whether it was left empty only to see the empty value.
    pub(super) tried_empty: bool,
}

/// A node that is being visited.
#[derive(Clone, Copy, Debug)]
pub(super) struct PassVisit {
    pub(super) site: ShapeSite,
    pub(super) node: usize,
    /// The number of elements of an option, sequence or map, or the variant of an enum.
    pub(super) pick: usize,
    /// The first step that belongs to the visit.
    pub(super) start: usize,
    pub(super) was_closing: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The type refused the value.
    Refused,
    /// A part is known to refuse everything, so no value of this type can be offered.
    Barren,
    /// The enum at this slot has no variant with this number.
    NoSuchVariant,
    TooDeep,
    OutOfBudget,
}

/// The innermost call that failed in this pass.
#[derive(Debug)]
pub(super) struct PassFailure {
    pub(super) site: ShapeSite,
    /// The first step that was taken inside the call.
    pub(super) start: usize,
    pub(super) levels: Vec<PassVisit>,
    pub(super) cause: Cause,
}

/// The alternatives for a failing call.
#[derive(Debug)]
pub(super) struct Repair {
    /// The alternatives left to try, the next one last.
    pub(super) rest: Vec<Vec<PassChange>>,
    /// What the current alternative replaced.
    pub(super) undo: Vec<PassChange>,
}

/// The choice for one slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct PassChange {
    pub(super) site: ShapeSite,
    pub(super) pick: Option<usize>,
}
