//! Which opaque part is tried in a pass, and the result: [`Trials`].

use std::collections::{BTreeSet, HashMap};

use super::graph::ShapeSite;
use super::opening::Opening;

/// The opaque parts. In each pass at most one tree is tried, at one of them. The others are offered
/// what they accepted before.
#[derive(Debug, Default)]
pub(super) struct Trials {
    pub(super) openings: HashMap<ShapeSite, Opening>,
    /// Hashes of the names that opaque parts requested.
    pub(super) told: BTreeSet<u64>,
    /// Whether the last pass returned a value.
    pub(super) is_settled: bool,
    /// The trial of this pass.
    pub(super) trial: Trial,
    /// Whether a part was offered a tree that no type accepts, because another part was being
    /// tried.
    pub(super) waits: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Trial {
    #[default]
    None,
    /// The site, and the number of calls that are running.
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
