//! Publications as documents of JSON:API.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::publishing::Publishing;
use crate::artifact::SignedUpload;
use crate::error::Error;
use crate::publication::{Publication, PublicationPart, PublicationStatus};
use crate::service::http::segment;
use crate::service::publish::Published;

/// The path of a publication.
pub(super) fn link(prefix: &str, publication: &Publication) -> String {
    let project = segment::encode(&publication.project);
    format!("{prefix}/projects/{project}/publications/{}", publication.id)
}

/// The document of one publication.
pub(crate) fn document(prefix: &str, publication: &Publication) -> Value {
    json!({ "jsonapi": { "version": "1.1" }, "data": resource(prefix, publication) })
}

/// The document of a publication that was begun, with the uploads that it waits for.
pub(super) fn begun(
    publishing: &Publishing,
    prefix: &str,
    published: &Published,
) -> Result<Value, Error> {
    let mut document = document(prefix, &published.publication);
    for (name, signed) in each_upload(publishing, prefix, published)? {
        let headers: Map<String, Value> =
            signed.headers.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        let upload = json!({
            "method": signed.method,
            "href": signed.url,
            "headers": headers,
            "expiresAt": signed.expires_at.to_string(),
        });
        let place = document.pointer_mut("/data/attributes/artifacts");
        let place = place.and_then(|artifacts| artifacts.get_mut(&*name)?.as_object_mut());
        if let Some(artifact) = place {
            artifact.insert("upload".to_owned(), upload);
        }
    }
    Ok(document)
}

/// How each artifact is sent that has to be sent.
pub(super) fn each_upload(
    publishing: &Publishing,
    prefix: &str,
    published: &Published,
) -> Result<BTreeMap<String, SignedUpload>, Error> {
    let publication = &published.publication;
    let rest = publication.expires_at.since(publishing.publisher.now());
    let rest = rest.max(Duration::from_secs(1));
    let mut uploads = BTreeMap::new();
    for (name, upload) in &published.uploads {
        let signed = publishing.signed(prefix, publication, (name, upload), rest)?;
        uploads.extend(signed.map(|signed| (name.clone(), signed)));
    }
    Ok(uploads)
}

/// The resource of a publication.
pub(crate) fn resource(prefix: &str, publication: &Publication) -> Value {
    let details = &publication.details;
    let own = link(prefix, publication);
    let artifacts: Map<String, Value> = publication
        .parts
        .iter()
        .map(|(name, part)| (name.clone(), artifact(&format!("{own}/artifacts/{name}"), part)))
        .collect();
    let failure = match publication.status {
        PublicationStatus::Failed(why) => Some(why.name()),
        _ => None,
    };
    json!({
        "type": "publications",
        "id": publication.id.to_string(),
        "attributes": {
            "status": publication.status.name(),
            "failure": failure,
            "collection": details.collection,
            "title": details.title,
            "author": details.author,
            "description": details.description,
            "tags": details.tags,
            "repoOwner": details.repo_owner,
            "repoName": details.repo_name,
            "commitSha": details.commit_sha,
            "branch": details.branch,
            "prNumber": details.pull_request,
            "runId": details.run_id,
            "runUrl": details.run_url,
            "createdBy": publication.created_by,
            "createdAt": publication.created_at.to_string(),
            "expiresAt": publication.expires_at.to_string(),
            "endedAt": publication.ended_at.map(|at| at.to_string()),
            "artifacts": artifacts,
        },
        "links": { "self": own },
    })
}

/// What is known of an artifact: what is stored, or else what was declared.
fn artifact(link: &str, part: &PublicationPart) -> Value {
    match &part.stored {
        Some(stored) => json!({
            "stored": true,
            "size": stored.size,
            "sha256": stored.id.to_string(),
            "contentType": stored.content_type,
            "href": link,
        }),
        None => json!({
            "stored": false,
            "size": part.size,
            "sha256": part.sha256.map(|sha256| sha256.to_string()),
            "contentType": part.content_type,
        }),
    }
}
