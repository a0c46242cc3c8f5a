//! [`TransferFilter`]: which snapshots are moved.

use crate::key::AggregateKey;
use crate::record::SnapshotMeta;
use crate::store::KeysRequest;
use crate::timestamp::Timestamp;

/// The number of keys on a page if there are bounds on times. A store that finds them by time sorts
/// them for each page again, so pages are few.
const TIMED_PAGE: usize = 4_096;

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

    /// Returns the request for the keys, among which the store may list others.
    pub(super) fn keys(&self) -> KeysRequest<'_> {
        let mut keys = KeysRequest::new().reserved(self.reserved);
        keys.tenant = self.tenant.as_deref();
        keys.kind = self.kind.as_deref();
        keys.created_from = self.created_from;
        keys.created_before = self.created_before;
        if keys.is_timed() { keys.limit(TIMED_PAGE) } else { keys }
    }

    pub(super) fn admits_key(&self, key: &AggregateKey) -> bool {
        self.keys().admits(key) && self.id.as_ref().is_none_or(|id| id == key.id())
    }

    /// Returns whether the filter depends on the single snapshot.
    pub(super) fn is_timed(&self) -> bool {
        self.keys().is_timed()
    }

    pub(super) fn admits_time(&self, meta: &SnapshotMeta) -> bool {
        self.keys().admits_created_at(meta.created_at)
    }
}
