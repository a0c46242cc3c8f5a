//! [`WriteAction`]: what a write does.

use serde::Serialize;

/// What a write does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum WriteAction {
    /// Takes a snapshot.
    Take,
    /// Deletes one snapshot.
    Delete,
    /// Deletes the snapshots below a version.
    DeleteBefore,
    /// Refolds one aggregate.
    Rebuild,
    /// Refolds the aggregates of a project.
    RebuildAll,
    /// Applies a retention policy to one aggregate, or shows what it would do.
    Prune,
    /// The same for the aggregates of a project.
    PruneAll,
}

impl WriteAction {
    /// Whether it concerns the aggregates of a project instead of one.
    pub(crate) const fn is_of_project(self) -> bool {
        matches!(self, Self::RebuildAll | Self::PruneAll)
    }

    /// Whether a client may ask for it to be done later.
    pub(crate) const fn can_wait(self) -> bool {
        !matches!(self, Self::Delete | Self::DeleteBefore)
    }
}
