//! Publishing in the form of `POST /snapshots/publish` and `/snapshots/finalize`: names with
//! underscores, and the project in the body.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use super::asked::{AskedParts, object};
use super::problem::{known, problem_of};
use super::publication_document::each_upload;
use super::publishing::Publishing;
use crate::publication::PublicationDetails;
use crate::service::http::problem::HttpProblem;
use crate::service::http::write::{IDEMPOTENCY_REPLAYED, WriteAnswer, WriteOutcome};
use crate::service::publish::{PartUpload, PublishRequest, Published};
use crate::timestamp::Timestamp;

/// Other members are ignored, because clients of this form send what they know.
#[derive(Deserialize)]
struct DocumentBody {
    collection: Option<String>,
    title: Option<String>,
    author: Option<String>,
    description: Option<String>,
    tags: Option<Vec<String>>,
    repo_owner: Option<String>,
    repo_name: Option<String>,
    commit_sha: Option<String>,
    branch: Option<String>,
    pr_number: Option<u64>,
    run_id: Option<String>,
    run_url: Option<String>,
    artifacts: Option<AskedParts>,
}

#[derive(Deserialize)]
struct DocumentProject {
    project_id: String,
}

#[derive(Deserialize)]
struct DocumentId {
    snapshot_id: String,
}

/// The project that a body names.
pub(crate) fn project_of(body: &[u8]) -> Result<String, HttpProblem> {
    object::<DocumentProject>(body).map(|named| named.project_id)
}

/// Reads what the JSON of a request asks for.
pub(super) fn asked(body: &[u8]) -> Result<PublishRequest, HttpProblem> {
    let asked: DocumentBody = object(body)?;
    let mut request = PublishRequest::new(PublicationDetails {
        collection: asked.collection,
        title: asked.title,
        author: asked.author,
        description: asked.description,
        tags: asked.tags.unwrap_or_default(),
        repo_owner: asked.repo_owner,
        repo_name: asked.repo_name,
        commit_sha: asked.commit_sha,
        branch: asked.branch,
        pull_request: asked.pr_number,
        run_id: asked.run_id,
        run_url: asked.run_url,
    });
    request.parts = asked.artifacts.unwrap_or_default().0;
    Ok(request)
}

/// The answer to a form, which is completed already.
pub(super) fn at_once(published: &Published) -> WriteAnswer {
    let id = published.publication.id.to_string();
    let answer = WriteAnswer::ok(&json!({ "snapshot_id": id, "status": "ok" }));
    if published.is_new { answer } else { answer.with(IDEMPOTENCY_REPLAYED, "true") }
}

/// Begins a publication.
pub(super) async fn begin(
    publishing: &Publishing,
    prefix: &str,
    project: &str,
    body: &[u8],
    (key, by): (Option<String>, &str),
) -> WriteOutcome {
    let mut request = asked(body)?;
    request.key = key;
    let mut published =
        publishing.publisher.publish(project, request, by).await.map_err(problem_of)?;
    // A client of this form gets URLs alone, and sends the type and nothing else: the headers that a
    // storage wants are not told.
    for upload in published.uploads.values_mut() {
        if matches!(upload, PartUpload::Signed(_)) {
            *upload = PartUpload::Direct;
        }
    }
    let uploads = each_upload(publishing, prefix, &published)?;
    let urls: BTreeMap<_, _> = uploads.iter().map(|(name, signed)| (name, &signed.url)).collect();
    // In whole seconds, as the URLs expire.
    let seconds = published.publication.expires_at.as_micros().div_euclid(1_000_000);
    let answer = WriteAnswer::ok(&json!({
        "snapshot_id": published.publication.id.to_string(),
        "upload_urls": urls,
        "expires_at": Timestamp::from_seconds(seconds).to_string(),
    }));
    Ok(if published.is_new { answer } else { answer.with(IDEMPOTENCY_REPLAYED, "true") })
}

/// Completes a publication.
pub(super) async fn finalize(
    publishing: &Publishing,
    project: &str,
    body: &[u8],
    by: &str,
) -> WriteOutcome {
    let DocumentId { snapshot_id } = object(body)?;
    let id = known(snapshot_id.parse().ok())?;
    publishing.publisher.finalize(project, id, by).await.map_err(problem_of)?;
    Ok(WriteAnswer::ok(&json!({ "status": "ok" })))
}
