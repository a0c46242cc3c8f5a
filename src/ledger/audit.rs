//! Who did what, when and why: [`AuditLog`].

use std::fmt;

use async_trait::async_trait;

use crate::error::{Error, ErrorKind};
use crate::key::AggregateKey;
use crate::store::Page;
use crate::timestamp::Timestamp;

/// One thing that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// Who: a user, a service, a node.
    pub actor: String,
    /// What, in the application's words: "delete", "repair".
    pub action: String,
    /// To which aggregate.
    pub key: AggregateKey,
    /// To which version; `None` if to all or to none in particular.
    pub version: Option<u64>,
    /// Why; may be empty.
    pub reason: String,
}

impl AuditEntry {
    /// The longest actor or action, in bytes (inclusive).
    pub const MAX_NAME_BYTES: usize = 1_000;
    /// The longest reason, in bytes (inclusive).
    pub const MAX_REASON_BYTES: usize = 16_000;

    /// An entry without version and reason.
    pub fn new(
        at: Timestamp,
        actor: impl Into<String>,
        action: impl Into<String>,
        key: AggregateKey,
    ) -> Self {
        let (actor, action) = (actor.into(), action.into());
        Self { at, actor, action, key, version: None, reason: String::new() }
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

    /// For implementers: whether the texts are within their limits.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if one is not.
    pub fn check(&self) -> Result<(), Error> {
        for (name, text, limit) in [
            ("actor", &self.actor, Self::MAX_NAME_BYTES),
            ("action", &self.action, Self::MAX_NAME_BYTES),
            ("reason", &self.reason, Self::MAX_REASON_BYTES),
        ] {
            if text.len() > limit {
                return Err(Error::new(
                    ErrorKind::InvalidInput,
                    "append to the audit log",
                    format!("the {name} has {} bytes, the limit is {limit}", text.len()),
                ));
            }
        }
        Ok(())
    }
}

/// An entry as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditRecord {
    /// Its place in the log: higher than that of any entry that was appended before. Some may be
    /// left out.
    pub sequence: u64,
    /// What was done.
    pub entry: AuditEntry,
}

impl AuditRecord {
    /// For implementers: an entry at its place.
    pub const fn new(sequence: u64, entry: AuditEntry) -> Self {
        Self { sequence, entry }
    }
}

/// Asks for a page of the log, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditRequest<'a> {
    /// Only entries about this aggregate.
    pub key: Option<&'a AggregateKey>,
    /// Only entries with a sequence above this one (exclusive).
    pub after: u64,
    /// The most entries to return; 0 is taken for 1.
    pub limit: usize,
}

impl<'a> AuditRequest<'a> {
    /// The first 256 entries.
    pub const fn new() -> Self {
        Self { key: None, after: 0, limit: 256 }
    }

    /// Only entries about `key`.
    pub const fn key(mut self, key: &'a AggregateKey) -> Self {
        self.key = Some(key);
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

/// An append-only trail: entries are never changed and never removed. Object-safe.
#[async_trait]
pub trait AuditLog: fmt::Debug + Send + Sync {
    /// Appends `entry`; returns its sequence.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if a text or the key is too long.
    async fn append(&self, entry: &AuditEntry) -> Result<u64, Error>;

    /// A page of entries, by sequence, and the sequence to continue after if more may follow.
    async fn entries(&self, request: AuditRequest<'_>) -> Result<Page<AuditRecord, u64>, Error>;
}
