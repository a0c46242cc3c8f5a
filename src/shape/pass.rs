//! What a pass chose, where it failed, and what is tried in its place.

use super::graph::ShapeSite;

/// Most times that `T::deserialize` is run.
pub(super) const MAX_PASSES: usize = 4_096;
/// Most requests that are answered, over all passes.
pub(super) const MAX_VISITS: usize = 65_536;
/// One choice of this pass.
#[derive(Clone, Copy, Debug)]
pub(super) struct PassStep {
    pub(super) site: ShapeSite,
    /// The candidate, number of elements, or variant.
    pub(super) pick: usize,
    /// Was left empty only to see the empty value.
    pub(super) tried_empty: bool,
}

/// One node that is being visited.
#[derive(Clone, Copy, Debug)]
pub(super) struct PassVisit {
    pub(super) site: ShapeSite,
    pub(super) node: usize,
    /// The number of elements of an option, sequence or map; the variant of an enum.
    pub(super) pick: usize,
    /// The steps from this one on belong to it.
    pub(super) start: usize,
    pub(super) was_closing: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The type did not accept what it was given.
    Refused,
    /// A part is known to refuse everything, so no value of this type can be given.
    Barren,
    /// The enum at this slot knows no variant of this number.
    NoSuchVariant,
    TooDeep,
    OutOfBudget,
}

/// The innermost call that failed in this pass.
#[derive(Debug)]
pub(super) struct PassFailure {
    pub(super) site: ShapeSite,
    /// The steps from this one on were taken inside the call.
    pub(super) start: usize,
    pub(super) levels: Vec<PassVisit>,
    pub(super) cause: Cause,
}

/// The other answers for one failing call.
#[derive(Debug)]
pub(super) struct Repair {
    /// What is left to try, the next one last.
    pub(super) rest: Vec<Vec<PassChange>>,
    /// What the current try replaced.
    pub(super) undo: Vec<PassChange>,
}

/// The answer for one slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct PassChange {
    pub(super) site: ShapeSite,
    pub(super) pick: Option<usize>,
}
