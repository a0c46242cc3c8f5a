//! [`StoreFactory`] and [`Site`]: give the kit access to the stores under test.

use std::sync::Arc;

use async_trait::async_trait;

use crate::error::BoxError;
use crate::key::AggregateKey;
use crate::snapshot_id::SnapshotId;
use crate::store::SnapshotStore;

/// Creates a fresh site for a store, once per case.
#[async_trait]
pub trait StoreFactory: Send + Sync {
    /// Creates an empty site that shares nothing with other sites.
    async fn site(&self) -> Result<Box<dyn Site>, BoxError>;
}

/// The place that holds the data of one store: a directory, a schema, a map. Dropping it removes
/// the data.
///
/// Only [`open`](Self::open) is required. Every other method that a site supports lets the kit
/// check more. Cases that need an unsupported method are reported as skipped.
#[async_trait]
pub trait Site: Send + Sync {
    /// Opens the store. The kit drops every earlier handle before it calls this again.
    async fn open(&mut self) -> Result<Arc<dyn SnapshotStore>, BoxError>;

    /// Simulates a crash of the machine: data that was not made durable is lost. The kit
    /// drops its handles, calls this, and opens the store again. Return `false` if the site does
    /// not support this. The case is then skipped.
    async fn crash(&mut self) -> Result<bool, BoxError> {
        Ok(false)
    }

    /// Changes at least one byte of a snapshot's stored payload, behind the store's back. The kit
    /// drops its handles first. Return `false` if the site does not support this. The case is then
    /// skipped.
    async fn damage(&mut self, key: &AggregateKey, id: SnapshotId) -> Result<bool, BoxError> {
        let _ = (key, id);
        Ok(false)
    }

    /// Changes at least one byte of a snapshot's stored header behind the store's back, so that the
    /// header no longer parses. The kit drops its handles first. Return `false` if the site does
    /// not support this. The case is then skipped.
    async fn damage_header(
        &mut self,
        key: &AggregateKey,
        id: SnapshotId,
    ) -> Result<bool, BoxError> {
        let _ = (key, id);
        Ok(false)
    }

    /// With `true`, makes the medium refuse some of the open store's further writes (a full disk, a
    /// constraint, a lost server), so that its next `put` of several records fails. With `false`,
    /// repairs the medium. The kit keeps its handles open. Return `false` if the site does not
    /// support this. The case is then skipped.
    async fn fail_writes(&mut self, failing: bool) -> Result<bool, BoxError> {
        let _ = failing;
        Ok(false)
    }
}
