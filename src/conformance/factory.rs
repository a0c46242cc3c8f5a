//! [`StoreFactory`] and [`Site`]: how the kit gets at the stores that it tests.

use std::sync::Arc;

use async_trait::async_trait;

use crate::error::BoxError;
use crate::key::AggregateKey;
use crate::snapshot_id::SnapshotId;
use crate::store::SnapshotStore;

/// Makes a fresh place for a store, once per case.
#[async_trait]
pub trait StoreFactory: Send + Sync {
    /// A new site on which nothing is stored, not shared with any other.
    async fn site(&self) -> Result<Box<dyn Site>, BoxError>;
}

/// The place where one store keeps its snapshots: a directory, a schema, a map. Dropping it
/// removes what is stored there.
///
/// Only [`open`](Self::open) is required. What else a site offers lets the kit prove more; what
/// it does not offer is shown as skipped.
#[async_trait]
pub trait Site: Send + Sync {
    /// Opens the store over what is stored here. Before it is called again, the kit drops every
    /// handle that it got.
    async fn open(&mut self) -> Result<Arc<dyn SnapshotStore>, BoxError>;

    /// Ends the store as a crash of the machine would: what was not made durable is lost. The kit
    /// drops its handles, calls this, and opens again. `false` if the site cannot do it, which the
    /// scorecard shows as skipped.
    async fn crash(&mut self) -> Result<bool, BoxError> {
        Ok(false)
    }

    /// Changes at least one byte of the stored payload of a snapshot, behind the store's back.
    /// The kit has dropped its handles. `false` if the site cannot do it, which the scorecard
    /// shows as skipped.
    async fn damage(&mut self, key: &AggregateKey, id: SnapshotId) -> Result<bool, BoxError> {
        let _ = (key, id);
        Ok(false)
    }

    /// Changes at least one byte of the stored header of a snapshot, so that it no longer parses,
    /// behind the store's back. The kit has dropped its handles. `false` if the site cannot do it,
    /// which the scorecard shows as skipped.
    async fn damage_header(
        &mut self,
        key: &AggregateKey,
        id: SnapshotId,
    ) -> Result<bool, BoxError> {
        let _ = (key, id);
        Ok(false)
    }

    /// With `true`, lets the medium refuse part of what an open store writes from now on (a full
    /// disk, a constraint, a lost server), so that its next `put` of several records fails; with
    /// `false`, heals it. The kit keeps its handles. `false` if the site cannot do it, which the
    /// scorecard shows as skipped.
    async fn fail_writes(&mut self, failing: bool) -> Result<bool, BoxError> {
        let _ = failing;
        Ok(false)
    }
}
