//! [`TransferFilter`]: which snapshots are moved.

use crate::key::AggregateKey;
use crate::record::SnapshotMeta;
use crate::store::KeysRequest;
use crate::timestamp::Timestamp;

/// Which snapshots are moved. All conditions must hold; by default there are none.
///
/// The base of a delta is moved with the delta, even if the base does not fulfil the conditions on
/// times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransferFilter {
    /// Only aggregates of this tenant. `Some("")` is the default tenant.
    pub tenant: Option<String>,
    /// Only aggregates of this kind.
    pub kind: Option<String>,
    /// Only the aggregate with this id.
    pub id: Option<String>,
    /// Only snapshots created at this time or later.
    pub created_from: Option<Timestamp>,
    /// Only snapshots created before this time.
    pub created_before: Option<Timestamp>,
    /// Whether to move snapfold's own documents as well, such as a ledger that is kept in the
    /// store. False by default.
    pub reserved: bool,
}

impl TransferFilter {
    /// Selects all snapshots of aggregates.
    pub fn new() -> Self {
        Self::default()
    }

    /// Selects only one aggregate.
    pub fn key(mut self, key: &AggregateKey) -> Self {
        self.tenant = Some(key.tenant().to_owned());
        self.kind = Some(key.kind().to_owned());
        self.id = Some(key.id().to_owned());
        self
    }

    /// Selects only aggregates of this tenant.
    pub fn tenant(mut self, tenant: impl Into<String>) -> Self {
        self.tenant = Some(tenant.into());
        self
    }

    /// Selects only aggregates of this kind.
    pub fn kind(mut self, kind: impl Into<String>) -> Self {
        self.kind = Some(kind.into());
        self
    }

    /// Selects only snapshots created at `time` or later, by the clock of the engine that created
    /// them.
    pub fn created_from(mut self, time: Timestamp) -> Self {
        self.created_from = Some(time);
        self
    }

    /// Selects only snapshots created before `time`.
    pub fn created_before(mut self, time: Timestamp) -> Self {
        self.created_before = Some(time);
        self
    }

    /// Sets [`reserved`](Self::reserved).
    pub fn reserved(mut self, reserved: bool) -> Self {
        self.reserved = reserved;
        self
    }

    pub(super) fn keys(&self) -> KeysRequest<'_> {
        let mut keys = KeysRequest::new().reserved(self.reserved);
        keys.tenant = self.tenant.as_deref();
        keys.kind = self.kind.as_deref();
        keys
    }

    pub(super) fn admits_key(&self, key: &AggregateKey) -> bool {
        self.keys().admits(key) && self.id.as_ref().is_none_or(|id| id == key.id())
    }

    /// Returns whether the filter depends on the single snapshot.
    pub(super) fn is_timed(&self) -> bool {
        self.created_from.is_some() || self.created_before.is_some()
    }

    pub(super) fn admits_time(&self, meta: &SnapshotMeta) -> bool {
        self.created_from.is_none_or(|from| meta.created_at >= from)
            && self.created_before.is_none_or(|before| meta.created_at < before)
    }
}
