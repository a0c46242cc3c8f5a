//! [`Permission`].

/// What a request needs. A [`Scope`](super::Scope) gives some of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Permission {
    /// To read states, their history, and lists.
    Read,
    /// To see how a state was loaded, in the header `Server-Timing`.
    Diagnose,
}

impl Permission {
    /// All permissions.
    pub const ALL: &[Self] = &[Self::Read, Self::Diagnose];
}
