//! Beginning a publication.

use http::StatusCode;
use http::header::LOCATION;
use serde::Deserialize;

use super::asked::{AskedParts, object};
use super::problem::problem_of;
use super::publication_document::{begun, link};
use super::publishing::Publishing;
use crate::publication::PublicationDetails;
use crate::service::http::problem::HttpProblem;
use crate::service::http::write::{IDEMPOTENCY_REPLAYED, WriteAnswer, WriteOutcome};
use crate::service::publish::{PublishRequest, Published};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PublishBody {
    collection: Option<String>,
    title: Option<String>,
    author: Option<String>,
    description: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    repo_owner: Option<String>,
    repo_name: Option<String>,
    commit_sha: Option<String>,
    branch: Option<String>,
    pr_number: Option<u64>,
    run_id: Option<String>,
    run_url: Option<String>,
    #[serde(default)]
    artifacts: AskedParts,
}

/// Reads what the JSON of a request asks for.
pub(super) fn asked(body: &[u8]) -> Result<PublishRequest, HttpProblem> {
    let asked: PublishBody = object(body)?;
    let mut request = PublishRequest::new(PublicationDetails {
        collection: asked.collection,
        title: asked.title,
        author: asked.author,
        description: asked.description,
        tags: asked.tags,
        repo_owner: asked.repo_owner,
        repo_name: asked.repo_name,
        commit_sha: asked.commit_sha,
        branch: asked.branch,
        pull_request: asked.pr_number,
        run_id: asked.run_id,
        run_url: asked.run_url,
    });
    request.parts = asked.artifacts.0;
    Ok(request)
}

/// Begins a publication: 201, or 200 if the same request began it before.
pub(super) async fn begin(
    publishing: &Publishing,
    prefix: &str,
    project: &str,
    body: &[u8],
    (key, by): (Option<String>, &str),
) -> WriteOutcome {
    let mut request = asked(body)?;
    request.key = key;
    let published = publishing.publisher.publish(project, request, by).await.map_err(problem_of)?;
    let document = begun(publishing, prefix, &published)?;
    Ok(created(prefix, &published, document.to_string()))
}

/// The answer to a request that began a publication, or found the one that it began before.
pub(super) fn created(prefix: &str, published: &Published, document: String) -> WriteAnswer {
    let status = if published.is_new { StatusCode::CREATED } else { StatusCode::OK };
    let answer =
        WriteAnswer::new(status, document).with(LOCATION, &link(prefix, &published.publication));
    if published.is_new { answer } else { answer.with(IDEMPOTENCY_REPLAYED, "true") }
}
