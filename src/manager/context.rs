//! Who changes something, and why: [`AdminContext`].

use crate::error::{Error, ErrorKind};
use crate::ledger::AuditEntry;

/// Who asks for a change, and why. Goes into the audit trail.
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
    /// Who asks: a user, a service, a node. Empty for the application itself.
    pub actor: String,
    /// Why, in words; may be empty.
    pub reason: String,
    /// What the caller adds for the audit trail, by convention a JSON object (the role of the
    /// actor, the number of a ticket); may be empty.
    pub meta: String,
    /// Ties the tries of one request together in the audit trail. Nothing else depends on it: every
    /// operation is idempotent, so the same call sent twice has the effect of one.
    pub idempotency_key: Option<String>,
    /// The version that the newest stored snapshot of the aggregate, of any generation, must have;
    /// 0 if none must be stored. It is looked up right before the change, not together with it.
    pub expected_version: Option<u64>,
}

impl AdminContext {
    /// The longest actor and idempotency key, in bytes (inclusive).
    pub const MAX_NAME_BYTES: usize = AuditEntry::MAX_NAME_BYTES;
    /// The longest reason and meta, in bytes (inclusive).
    pub const MAX_REASON_BYTES: usize = AuditEntry::MAX_REASON_BYTES;

    /// A change by `actor`.
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

    /// Whether the texts are within their limits. For implementers of
    /// [`SnapshotAdmin`](crate::SnapshotAdmin).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if one is longer.
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
                let message = format!("the {name} has {} bytes, the limit is {limit}", text.len());
                return Err(Error::new(ErrorKind::InvalidInput, "change snapshots", message));
            }
        }
        Ok(())
    }
}
