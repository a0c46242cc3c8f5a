//! [`audited`]: the entry of a change in the audit trail.

use crate::cli::failure::CliFailure;
use crate::cli::session::{CliSession, OpenStore};
use crate::error::Error;
use crate::key::AggregateKey;
use crate::ledger::{AuditEntry, AuditOutcome};

/// Adds the entry of a change that was made without an engine, as an engine would do for itself.
/// Returns the result of the change.
pub(super) async fn audited<T>(
    session: &CliSession,
    opened: &OpenStore,
    (action, key, version): (&str, &AggregateKey, Option<u64>),
    result: Result<T, Error>,
) -> Result<T, CliFailure> {
    let context = &session.context;
    let mut entry = AuditEntry::new(session.now, context.actor.as_str(), action)
        .about(key.clone())
        .reason(context.reason.as_str())
        .meta(r#"{"by":"snapfold command"}"#)
        .outcome(AuditOutcome::of(&result));
    entry.version = version;
    match (result, opened.ledger.append(&entry).await) {
        (Ok(done), Ok(_)) => Ok(done),
        (Err(error), _) => Err(error.into()),
        (Ok(_), Err(error)) => Err(CliFailure::Failed(format!(
            "the change was made, but its audit entry could not be stored: {error:#}"
        ))),
    }
}
