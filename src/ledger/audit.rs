//! [`AuditEntry`]: an entry of the audit trail.

use super::hash::AuditHash;
use crate::error::{Error, ErrorKind};
use crate::key::AggregateKey;
use crate::timestamp::Timestamp;

/// An entry of the audit trail: an action, who performed it, when, why, and its outcome.
///
/// Each tenant has a separate trail. An entry belongs to the trail of its aggregate's tenant, or of
/// [`tenant`](Self::tenant) if it is not about a single aggregate.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditEntry {
    /// When the action was performed.
    pub at: Timestamp,
    /// Who performed the action: a user, a service or a node.
    pub actor: String,
    /// The action in the application's terms: "delete", "rebuild".
    pub action: String,
    /// The aggregate; `None` if the action is not about a single one (a migration, a prune of all).
    pub key: Option<AggregateKey>,
    /// The version; `None` if the action is about all versions or no particular one.
    pub version: Option<u64>,
    /// The reason for the action; may be empty.
    pub reason: String,
    /// Additional data from the caller, by convention a JSON object; may be empty. The ledger does
    /// not interpret it.
    pub meta: String,
    /// The outcome.
    pub outcome: AuditOutcome,
    /// A key that distinguishes a repeated call from a new one; may be empty. The ledger stores it
    /// and does not reject duplicates.
    pub idempotency: String,
    tenant: String,
}

/// The outcome of an audited action.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuditOutcome {
    /// The action succeeded.
    #[default]
    Ok,
    /// The action failed.
    Failed {
        /// The kind of failure, such as the name of an [`ErrorKind`].
        kind: String,
        /// The error message; may be empty.
        message: String,
    },
}

impl AuditOutcome {
    /// Creates the outcome of a failure of this kind.
    pub fn failed(kind: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Failed { kind: kind.into(), message: message.into() }
    }

    /// Creates the outcome of `result`. A long message is truncated.
    pub fn of<T>(result: &Result<T, Error>) -> Self {
        match result {
            Ok(_) => Self::Ok,
            Err(error) => {
                let message = cut(format!("{error:#}"), AuditEntry::MAX_REASON_BYTES);
                Self::failed(format!("{:?}", error.kind()), message)
            }
        }
    }
}

/// Truncates `text` to at most `limit` bytes, at a character boundary.
pub(crate) fn cut(mut text: String, limit: usize) -> String {
    if text.len() > limit
        && let Some(end) = (0..=limit).rev().find(|end| text.is_char_boundary(*end))
    {
        text.truncate(end);
    }
    text
}

impl AuditEntry {
    /// The maximum size of an actor, action, idempotency key or failure kind, in bytes (inclusive).
    pub const MAX_NAME_BYTES: usize = 1_000;
    /// The maximum size of a reason, meta or failure message, in bytes (inclusive).
    pub const MAX_REASON_BYTES: usize = 16_000;

    /// Creates an entry that is not about a single aggregate, in the trail of the default tenant,
    /// with a successful outcome. All other fields are empty.
    pub fn new(at: Timestamp, actor: impl Into<String>, action: impl Into<String>) -> Self {
        Self {
            at,
            actor: actor.into(),
            action: action.into(),
            key: None,
            version: None,
            reason: String::new(),
            meta: String::new(),
            outcome: AuditOutcome::Ok,
            idempotency: String::new(),
            tenant: String::new(),
        }
    }

    /// Sets the aggregate. The entry belongs to the trail of its tenant.
    pub fn about(mut self, key: AggregateKey) -> Self {
        self.tenant.clear();
        self.key = Some(key);
        self
    }

    /// Sets the tenant. Has no effect on an entry about an aggregate, which stays in the trail of
    /// the aggregate's tenant.
    pub fn in_tenant(mut self, tenant: impl Into<String>) -> Self {
        if self.key.is_none() {
            self.tenant = tenant.into();
        }
        self
    }

    /// Sets the version.
    pub fn version(mut self, version: u64) -> Self {
        self.version = Some(version);
        self
    }

    /// Sets the reason.
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = reason.into();
        self
    }

    /// Sets the additional data.
    pub fn meta(mut self, meta: impl Into<String>) -> Self {
        self.meta = meta.into();
        self
    }

    /// Sets the outcome.
    pub fn outcome(mut self, outcome: AuditOutcome) -> Self {
        self.outcome = outcome;
        self
    }

    /// Sets the idempotency key.
    pub fn idempotency(mut self, key: impl Into<String>) -> Self {
        self.idempotency = key.into();
        self
    }

    /// Returns the tenant of the trail that the entry belongs to.
    pub fn tenant(&self) -> &str {
        self.key.as_ref().map_or(&self.tenant, AggregateKey::tenant)
    }

    /// Checks that all strings are within their length limits. For implementers of
    /// [`Ledger`](super::Ledger).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if a string is too long. The message names it.
    pub fn check(&self) -> Result<(), Error> {
        let (kind, message) = match &self.outcome {
            AuditOutcome::Ok => ("", ""),
            AuditOutcome::Failed { kind, message } => (kind.as_str(), message.as_str()),
        };
        for (name, text, limit) in [
            ("actor", self.actor.as_str(), Self::MAX_NAME_BYTES),
            ("action", &self.action, Self::MAX_NAME_BYTES),
            ("idempotency key", &self.idempotency, Self::MAX_NAME_BYTES),
            ("kind of failure", kind, Self::MAX_NAME_BYTES),
            ("reason", &self.reason, Self::MAX_REASON_BYTES),
            ("meta", &self.meta, Self::MAX_REASON_BYTES),
            ("message of the failure", message, Self::MAX_REASON_BYTES),
            ("tenant", self.tenant(), AggregateKey::MAX_PART_BYTES),
        ] {
            if text.len() > limit {
                return Err(Error::new(
                    ErrorKind::InvalidInput,
                    "append to the audit trail",
                    format!(
                        "the {name} is {} bytes long, but the limit is {limit}: shorten it",
                        text.len()
                    ),
                ));
            }
        }
        Ok(())
    }
}

/// A stored entry: a link in the hash chain of its trail.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditRecord {
    /// The position in the trail of its tenant: 1, 2, 3, and so on, without gaps.
    pub sequence: u64,
    /// The hash of the previous record; [`AuditHash::START`] for the first.
    pub previous: AuditHash,
    /// The hash of this record: [`AuditHash::of`] the position, the previous hash and the entry.
    pub hash: AuditHash,
    /// The entry.
    pub entry: AuditEntry,
}

impl AuditRecord {
    /// Creates a record from its stored parts without checking the hashes. For implementers of
    /// [`Ledger`](super::Ledger).
    pub const fn from_stored(
        sequence: u64,
        previous: AuditHash,
        hash: AuditHash,
        entry: AuditEntry,
    ) -> Self {
        Self { sequence, previous, hash, entry }
    }
}

/// A request for a page of the trail of one tenant, oldest entries first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditRequest<'a> {
    /// The tenant; empty for the default tenant.
    pub tenant: &'a str,
    /// Only entries about this aggregate, which must belong to that tenant.
    pub key: Option<&'a AggregateKey>,
    /// Only entries with a sequence above this one (exclusive).
    pub after: u64,
    /// The maximum number of entries to return; 0 is treated as 1.
    pub limit: usize,
}

impl<'a> AuditRequest<'a> {
    /// Requests the first 256 entries of the default tenant.
    pub const fn new() -> Self {
        Self { tenant: "", key: None, after: 0, limit: 256 }
    }

    /// Requests the trail of this tenant, for all aggregates.
    pub const fn tenant(mut self, tenant: &'a str) -> Self {
        (self.tenant, self.key) = (tenant, None);
        self
    }

    /// Requests only entries about `key`, in the trail of its tenant.
    pub fn key(mut self, key: &'a AggregateKey) -> Self {
        (self.tenant, self.key) = (key.tenant(), Some(key));
        self
    }

    /// Continues after this sequence (exclusive).
    pub const fn after(mut self, sequence: u64) -> Self {
        self.after = sequence;
        self
    }

    /// Sets the maximum number of entries.
    pub const fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }
}

impl Default for AuditRequest<'_> {
    fn default() -> Self {
        Self::new()
    }
}
