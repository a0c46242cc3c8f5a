//! Who did what, when, why, and what came of it: [`AuditEntry`].

use super::hash::AuditHash;
use crate::error::{Error, ErrorKind};
use crate::key::AggregateKey;
use crate::timestamp::Timestamp;

/// One thing that was done.
///
/// Each tenant has a trail of its own: an entry belongs to the trail of its aggregate's tenant, or of
/// [`tenant`](Self::tenant) if it is about no single aggregate.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// Who: a user, a service, a node.
    pub actor: String,
    /// What, in the application's words: "delete", "rebuild".
    pub action: String,
    /// To which aggregate; `None` if to no single one (a migration, a prune of all).
    pub key: Option<AggregateKey>,
    /// To which version; `None` if to all or to none in particular.
    pub version: Option<u64>,
    /// Why; may be empty.
    pub reason: String,
    /// What the caller adds, by convention a JSON object; may be empty. The ledger does not read it.
    pub meta: String,
    /// What came of it.
    pub outcome: AuditOutcome,
    /// What the caller gives to tell a repeated call from a new one; may be empty. The ledger keeps
    /// it and does not refuse an entry that has one already.
    pub idempotency: String,
    tenant: String,
}

/// What came of something that was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuditOutcome {
    /// It was done.
    #[default]
    Ok,
    /// It failed.
    Failed {
        /// The sort of failure, such as the name of an [`ErrorKind`].
        kind: String,
        /// What the error said; may be empty.
        message: String,
    },
}

impl AuditOutcome {
    /// A failure of this sort.
    pub fn failed(kind: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Failed { kind: kind.into(), message: message.into() }
    }

    /// The outcome of `result`. A long message is cut.
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

/// At most the first `limit` bytes of `text`, in whole characters.
pub(crate) fn cut(mut text: String, limit: usize) -> String {
    if let Some(end) = (0..=limit).rev().find(|end| text.is_char_boundary(*end)) {
        text.truncate(end);
    }
    text
}

impl AuditEntry {
    /// The longest actor, action, idempotency key or kind of failure, in bytes (inclusive).
    pub const MAX_NAME_BYTES: usize = 1_000;
    /// The longest reason, meta or message of a failure, in bytes (inclusive).
    pub const MAX_REASON_BYTES: usize = 16_000;

    /// An entry about no single aggregate, in the trail of the default tenant, of something that was
    /// done; all else is empty.
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

    /// The same about `key`, in the trail of its tenant.
    pub fn about(mut self, key: AggregateKey) -> Self {
        self.tenant.clear();
        self.key = Some(key);
        self
    }

    /// The same in the trail of `tenant`. An entry about an aggregate stays in the trail of that one's
    /// tenant.
    pub fn in_tenant(mut self, tenant: impl Into<String>) -> Self {
        if self.key.is_none() {
            self.tenant = tenant.into();
        }
        self
    }

    /// The same with a version.
    pub fn version(mut self, version: u64) -> Self {
        self.version = Some(version);
        self
    }

    /// The same with a reason.
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = reason.into();
        self
    }

    /// The same with what the caller adds.
    pub fn meta(mut self, meta: impl Into<String>) -> Self {
        self.meta = meta.into();
        self
    }

    /// The same with another outcome.
    pub fn outcome(mut self, outcome: AuditOutcome) -> Self {
        self.outcome = outcome;
        self
    }

    /// The same with an idempotency key.
    pub fn idempotency(mut self, key: impl Into<String>) -> Self {
        self.idempotency = key.into();
        self
    }

    /// The tenant to whose trail it belongs.
    pub fn tenant(&self) -> &str {
        self.key.as_ref().map_or(&self.tenant, AggregateKey::tenant)
    }

    /// For ledgers: whether the texts are within their limits.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if one is not.
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
                        "the {name} has {} bytes, the limit is {limit}: shorten it",
                        text.len()
                    ),
                ));
            }
        }
        Ok(())
    }
}

/// An entry as it is kept: a link of its trail's hash chain.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditRecord {
    /// Its place in the trail of its tenant: 1, 2, 3, and so on, without gaps.
    pub sequence: u64,
    /// The hash of the record before it; [`AuditHash::START`] for the first.
    pub previous: AuditHash,
    /// Its own hash: [`AuditHash::of`] its place, the hash before it and its entry.
    pub hash: AuditHash,
    /// What was done.
    pub entry: AuditEntry,
}

impl AuditRecord {
    /// For ledgers: a record as it was stored; whether the hashes are right is not checked.
    pub const fn from_stored(
        sequence: u64,
        previous: AuditHash,
        hash: AuditHash,
        entry: AuditEntry,
    ) -> Self {
        Self { sequence, previous, hash, entry }
    }
}

/// Asks for a page of the trail of one tenant, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditRequest<'a> {
    /// Whose trail; empty for the default tenant.
    pub tenant: &'a str,
    /// Only entries about this aggregate, which is of that tenant.
    pub key: Option<&'a AggregateKey>,
    /// Only entries with a sequence above this one (exclusive).
    pub after: u64,
    /// The most entries to return; 0 is taken for 1.
    pub limit: usize,
}

impl<'a> AuditRequest<'a> {
    /// The first 256 entries of the default tenant.
    pub const fn new() -> Self {
        Self { tenant: "", key: None, after: 0, limit: 256 }
    }

    /// The trail of this tenant; all aggregates.
    pub const fn tenant(mut self, tenant: &'a str) -> Self {
        (self.tenant, self.key) = (tenant, None);
        self
    }

    /// Only entries about `key`, in the trail of its tenant.
    pub fn key(mut self, key: &'a AggregateKey) -> Self {
        (self.tenant, self.key) = (key.tenant(), Some(key));
        self
    }

    /// Continues after this sequence.
    pub const fn after(mut self, sequence: u64) -> Self {
        self.after = sequence;
        self
    }

    /// At most `limit` entries.
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
