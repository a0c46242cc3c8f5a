//! Finalising a publication, and giving it up.

use super::problem::problem_of;
use super::publication_document::document;
use super::publishing::Publishing;
use crate::publication::PublicationId;
use crate::service::http::write::{WriteAnswer, WriteOutcome};

/// Completes a publication.
pub(super) async fn finalize(
    publishing: &Publishing,
    prefix: &str,
    project: &str,
    id: PublicationId,
    by: &str,
) -> WriteOutcome {
    let completed = publishing.publisher.finalize(project, id, by).await.map_err(problem_of)?;
    Ok(WriteAnswer::ok(&document(prefix, &completed)))
}

/// Gives up a publication.
pub(super) async fn abort(
    publishing: &Publishing,
    prefix: &str,
    project: &str,
    id: PublicationId,
    by: &str,
) -> WriteOutcome {
    let ended = publishing.publisher.abort(project, id, by).await.map_err(problem_of)?;
    Ok(WriteAnswer::ok(&document(prefix, &ended)))
}
