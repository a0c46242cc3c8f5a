//! Which opaque part is tried in a pass, and what came of it: [`Trials`].

use std::collections::{BTreeSet, HashMap};

use super::graph::ShapeSite;
use super::opening::Opening;

/// The opaque parts. In each pass at most one tree is tried, at one of them; the others show what
/// was accepted before.
#[derive(Debug, Default)]
pub(super) struct Trials {
    pub(super) openings: HashMap<ShapeSite, Opening>,
    /// Hashes of the names that opaque parts asked for.
    pub(super) told: BTreeSet<u64>,
    /// The last pass gave a value.
    pub(super) is_settled: bool,
    /// Of this pass.
    pub(super) trial: Trial,
    /// A part had to show a tree that nothing accepts, as another one was being tried.
    pub(super) waits: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Trial {
    #[default]
    None,
    /// Where, and the number of calls that are running.
    Running(ShapeSite, usize),
    Accepted(ShapeSite),
    Refused(ShapeSite),
}

impl Trial {
    pub(super) const fn site(self) -> Option<ShapeSite> {
        match self {
            Self::None => None,
            Self::Running(site, _) | Self::Accepted(site) | Self::Refused(site) => Some(site),
        }
    }
}

impl Trials {
    pub(super) const fn begin_pass(&mut self) {
        self.trial = Trial::None;
        self.waits = false;
    }
}
