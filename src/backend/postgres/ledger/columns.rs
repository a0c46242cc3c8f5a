//! [`EntryValues`]: audit entries as one array for each column.

use super::call::encoded;
use crate::backend::postgres::statement::Bound;
use crate::key::AggregateKey;
use crate::ledger::{AuditEntry, AuditOutcome};

/// The parameters of [`EntryValues::bind`], in the order of
/// [`ENTRY_COLUMNS`](crate::backend::postgres::unsealed::ENTRY_COLUMNS).
pub(super) const ENTRY_ARRAYS: &str = "$1::int8[], $2::text[], $3::text[], $4::text[], $5::text[], \
     $6::int8[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[]";

/// The values of [`ENTRY_ARRAYS`].
pub(super) struct EntryValues {
    at: Vec<i64>,
    kind: Vec<Option<String>>,
    id: Vec<Option<String>>,
    actor: Vec<String>,
    action: Vec<String>,
    version: Vec<Option<i64>>,
    reason: Vec<String>,
    meta: Vec<String>,
    idempotency: Vec<String>,
    failed: Vec<Option<String>>,
    failure: Vec<Option<String>>,
}

impl EntryValues {
    pub(super) fn of(entries: &[&AuditEntry]) -> Self {
        let text = |of: fn(&AuditEntry) -> &str| -> Vec<String> {
            entries.iter().map(|entry| encoded(of(entry))).collect()
        };
        let option = |of: fn(&AuditEntry) -> Option<&str>| -> Vec<Option<String>> {
            entries.iter().map(|entry| of(entry).map(encoded)).collect()
        };
        Self {
            at: entries.iter().map(|entry| entry.at.as_micros()).collect(),
            kind: option(|entry| entry.key.as_ref().map(AggregateKey::kind)),
            id: option(|entry| entry.key.as_ref().map(AggregateKey::id)),
            actor: text(|entry| &entry.actor),
            action: text(|entry| &entry.action),
            version: entries.iter().map(|entry| entry.version.map(u64::cast_signed)).collect(),
            reason: text(|entry| &entry.reason),
            meta: text(|entry| &entry.meta),
            idempotency: text(|entry| &entry.idempotency),
            failed: option(|entry| failure_of(entry).map(|(kind, _)| kind)),
            failure: option(|entry| failure_of(entry).map(|(_, message)| message)),
        }
    }

    /// Binds the parameters 1 to 11.
    pub(super) fn bind<'q>(&self, query: Bound<'q>) -> Bound<'q> {
        query
            .bind(self.at.clone())
            .bind(self.kind.clone())
            .bind(self.id.clone())
            .bind(self.actor.clone())
            .bind(self.action.clone())
            .bind(self.version.clone())
            .bind(self.reason.clone())
            .bind(self.meta.clone())
            .bind(self.idempotency.clone())
            .bind(self.failed.clone())
            .bind(self.failure.clone())
    }
}

fn failure_of(entry: &AuditEntry) -> Option<(&str, &str)> {
    match &entry.outcome {
        AuditOutcome::Ok => None,
        AuditOutcome::Failed { kind, message } => Some((kind, message)),
    }
}
