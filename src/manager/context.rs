//! [`AdminContext`]: the actor of a change, and the reason.

use crate::error::{Error, ErrorKind};
use crate::ledger::AuditEntry;

/// The actor of a change, the reason, and further data for the audit trail.
///
/// ```
/// use snapfold::manager::AdminContext;
///
/// let context = AdminContext::new("ops@example.com")
///     .reason("the fold of refunds was wrong until June")
///     .idempotency_key("ticket-4711")
///     .expect_version(1_200);
/// assert_eq!(context.actor, "ops@example.com");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AdminContext {
    /// The actor, such as a user, a service or a node. Empty for the application itself.
    pub actor: String,
    /// The reason for the change. May be empty.
    pub reason: String,
    /// Additional data for the audit trail, by convention a JSON object, for example with the role
    /// of the actor or a ticket number. May be empty.
    pub meta: String,
    /// Identifies a request, so that it can be repeated. If a snapshot of the aggregate was created
    /// with the same key, [`create`](crate::SnapshotAdmin::create) returns it instead of taking
    /// another one, or fails with [`Conflict`](crate::ErrorKind::Conflict) if the options differ.
    /// This costs a listing of the aggregate's snapshots. Two attempts at the same time may both
    /// take one. All other operations have the same result when repeated, and only record the key
    /// in the audit trail.
    pub idempotency_key: Option<String>,
    /// The version that the newest stored snapshot of the aggregate must have, in any generation. 0
    /// requires that no snapshot is stored. The version is checked immediately before the change,
    /// not atomically with it.
    pub expected_version: Option<u64>,
}

impl AdminContext {
    /// The maximum length of the actor and the idempotency key, in bytes (inclusive).
    pub const MAX_NAME_BYTES: usize = AuditEntry::MAX_NAME_BYTES;
    /// The maximum length of the reason and `meta`, in bytes (inclusive).
    pub const MAX_REASON_BYTES: usize = AuditEntry::MAX_REASON_BYTES;

    /// Creates the context for a change made by `actor`.
    pub fn new(actor: impl Into<String>) -> Self {
        Self { actor: actor.into(), ..Self::default() }
    }

    /// Sets the [`reason`](Self::reason).
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = reason.into();
        self
    }

    /// Sets [`meta`](Self::meta).
    pub fn meta(mut self, meta: impl Into<String>) -> Self {
        self.meta = meta.into();
        self
    }

    /// Sets the [`idempotency_key`](Self::idempotency_key).
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }

    /// Sets the [`expected_version`](Self::expected_version).
    pub const fn expect_version(mut self, version: u64) -> Self {
        self.expected_version = Some(version);
        self
    }

    /// Checks that the actor, the idempotency key, the reason and `meta` are within their length
    /// limits. For implementers of [`SnapshotAdmin`](crate::SnapshotAdmin).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if one of them is too long.
    pub fn check(&self) -> Result<(), Error> {
        for (name, text, limit) in [
            ("actor", self.actor.as_str(), Self::MAX_NAME_BYTES),
            (
                "idempotency key",
                self.idempotency_key.as_deref().unwrap_or_default(),
                Self::MAX_NAME_BYTES,
            ),
            ("reason", self.reason.as_str(), Self::MAX_REASON_BYTES),
            ("meta", self.meta.as_str(), Self::MAX_REASON_BYTES),
        ] {
            if text.len() > limit {
                let message = format!(
                    "the {name} is {} bytes long, but the limit is {limit}: shorten it",
                    text.len()
                );
                return Err(Error::new(ErrorKind::InvalidInput, "change snapshots", message));
            }
        }
        Ok(())
    }
}
