//! [`Action`].

/// What a request does. A [`Scope`](super::Scope) allows some actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Reads states, their history, and lists.
    Read,
    /// Sees how a state was loaded, in the header `Server-Timing`.
    Diagnose,
}

impl Action {
    /// All actions.
    pub const ALL: [Self; 2] = [Self::Read, Self::Diagnose];
}
