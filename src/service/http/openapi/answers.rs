//! What each resource answers.

use http::StatusCode;
use serde_json::{Map, Value, json};

#[cfg(feature = "publish")]
use super::publish;
use super::schemas;
use super::writes;
use crate::service::http::download::ArchiveFormat;
use crate::service::http::media::{self, Media};
use crate::service::http::resource::Resource;

/// The answers of a resource that are no problems.
pub(super) fn of(resource: Resource) -> Map<String, Value> {
    if let Resource::Write(action) = resource {
        return writes::answers(action);
    }
    #[cfg(feature = "publish")]
    if let Resource::Publish(resource) = resource {
        return publish::answers(resource);
    }
    let mut responses = Map::new();
    let mut put = |status: StatusCode, response: Value| {
        responses.insert(status.as_str().to_owned(), response);
    };
    let (description, content) = content(resource);
    let mut headers = json!({
        "Cache-Control": schemas::header("How long a cache may keep the answer, and which cache."),
    });
    let mut put_header = |name: &str, about: &str| {
        if let Some(headers) = headers.as_object_mut() {
            headers.insert(name.to_owned(), schemas::header(about));
        }
    };
    if resource == Resource::Download {
        put_header("Content-Disposition", "The name under which to save the file.");
        put_header("Content-Location", "The URL that has this file for ever.");
    } else if resource == Resource::Events {
        put_header("X-Accel-Buffering", "`no`: a proxy passes on each event at once.");
    } else {
        put_header("Content-Length", "How many bytes the body has.");
    }
    if resource.has_conditions() {
        put_header("ETag", "The entity tag: a hash of the body.");
    }
    if resource == Resource::Inspector {
        put_header("Content-Security-Policy", "That nothing runs but the page's own script.");
    }
    if resource == Resource::Snapshot {
        put_header("Accept-Ranges", "`bytes`. Only of a record.");
        put_header("Repr-Digest", "The SHA-256 of the record (RFC 9530). Only of a record.");
    }
    let is_state = matches!(resource, Resource::Entity | Resource::Version | Resource::Immutable);
    if is_state {
        put_header("Link", "The state now, the time map, and the versions next to this one.");
        put_header("Repr-Digest", "The SHA-256 of the body with its coding (RFC 9530).");
        put_header("Memento-Datetime", "When the last event was recorded. Not of the state now.");
        put_header(
            "Snapfold-Source",
            "`snapshots` if the state was captured and may be behind the events. Otherwise missing.",
        );
        if resource != Resource::Immutable {
            put_header(
                "Content-Location",
                "The URL that names exactly this version and its bytes.",
            );
        }
    }
    let links = links(resource);
    let response = json!({
        "description": description,
        "headers": headers,
        "content": content,
        "links": links,
    });
    put(StatusCode::OK, response);
    if resource == Resource::Entity {
        let response = json!({
            "description": "With `Accept-Datetime`: where the state at this date is.",
            "headers": { "Location": schemas::header("The path of the version.") },
        });
        put(StatusCode::FOUND, response);
    }
    if resource == Resource::Snapshot {
        let response = json!({
            "description": "With `Range`: a part of the record.",
            "headers": {
                "Content-Range": schemas::header("Which bytes these are, of how many."),
                "ETag": schemas::header("The entity tag of the whole record."),
                "Repr-Digest": schemas::header("The SHA-256 of the whole record (RFC 9530)."),
            },
            "content": { media::RECORD: {} },
        });
        put(StatusCode::PARTIAL_CONTENT, response);
    }
    if resource.has_conditions() {
        put(
            StatusCode::NOT_MODIFIED,
            json!({ "description": "The client has it: its entity tag is in `If-None-Match`." }),
        );
    }
    let has_texts = !matches!(
        resource,
        Resource::OpenApi | Resource::Health | Resource::Problem | Resource::Inspector
    );
    if has_texts {
        put(StatusCode::MOVED_PERMANENTLY, schemas::moved());
    }
    responses
}

/// What the items of a list lead to.
fn links(resource: Resource) -> Value {
    let item = |pointer: &str| format!("$response.body#/data/0/{pointer}");
    match resource {
        Resource::Entities => json!({ "state": {
            "operationId": "getState",
            "description": "The state of an aggregate of the page.",
            "parameters": {
                "path.project": "$request.path.project",
                "path.kind": item("type"),
                "path.id": item("id"),
            },
        } }),
        Resource::Versions => json!({ "version": {
            "operationId": "getVersion",
            "description": "The state at a version of the page.",
            "parameters": {
                "path.project": "$request.path.project",
                "path.kind": "$request.path.kind",
                "path.id": "$request.path.id",
                "path.version": item("attributes/version"),
            },
        } }),
        _ => json!({}),
    }
}

/// What the body is, and its schema by media type.
fn content(resource: Resource) -> (&'static str, Value) {
    let of = |media: &str, schema: Value| json!({ media: { "schema": schema } });
    let list = |item: &str| schemas::content(&schemas::list(item));
    let document = |name: &str| schemas::content(&schemas::reference(name));
    let state = || {
        json!({
            Media::Json.name(): { "schema": schemas::reference("State") },
            Media::JsonApi.name(): { "schema": schemas::reference("StateDocument") },
        })
    };
    match resource {
        Resource::OpenApi => {
            ("The OpenAPI document.", of("application/json", json!({ "type": "object" })))
        }
        Resource::Health => {
            ("The service answers.", of("application/json", schemas::reference("Health")))
        }
        Resource::Problem => {
            let schema = schemas::reference("ProblemDescription");
            ("What the problem means.", of("application/json", schema))
        }
        Resource::Inspector => ("The page.", of("text/html", json!({ "type": "string" }))),
        Resource::Entities => ("A page of the list.", list("Entity")),
        Resource::Entity | Resource::Version | Resource::Immutable => ("The state.", state()),
        Resource::Versions => ("A page of the list.", list("Version")),
        Resource::TimeMap => {
            ("The time map.", of("application/link-format", json!({ "type": "string" })))
        }
        Resource::Diff => {
            ("The patch.", of("application/json-patch+json", schemas::reference("Patch")))
        }
        Resource::Snapshots => ("A page of the list.", list("Snapshot")),
        Resource::Snapshot => {
            let mut content = document("SnapshotDocument");
            if let Some(content) = content.as_object_mut() {
                content.insert(media::RECORD.to_owned(), json!({}));
            }
            ("The snapshot, without its state, or its record.", content)
        }
        Resource::Job => ("The job.", document("JobDocument")),
        // What writes answer is described elsewhere, and records with the snapshot.
        Resource::Record | Resource::Write(_) => ("", json!({})),
        // As tools read it that know such streams: the schema of each event.
        Resource::Events => ("The events.", of("text/event-stream", json!({ "type": "object" }))),
        #[cfg(feature = "publish")]
        Resource::Publish(_) => ("", json!({})),
        Resource::Download => {
            let [ndjson, zip] =
                [ArchiveFormat::Ndjson, ArchiveFormat::Zip].map(ArchiveFormat::media_type);
            ("The file.", json!({ ndjson: {}, zip: {} }))
        }
    }
}

/// The answer for all problems of a status. Its description is empty.
pub(super) fn problem(status: StatusCode) -> Value {
    let mut headers = json!({ "Cache-Control": schemas::header("`no-store`.") });
    let more = match status {
        StatusCode::UNAUTHORIZED => Some(("WWW-Authenticate", "How to send credentials.")),
        StatusCode::METHOD_NOT_ALLOWED => Some(("Allow", "The methods of the resource.")),
        StatusCode::RANGE_NOT_SATISFIABLE => {
            Some(("Content-Range", "How many bytes the body has: `bytes */99`."))
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            Some(("Retry-After", "In how many seconds to send the next request."))
        }
        _ => None,
    };
    if let (Some((name, about)), Some(headers)) = (more, headers.as_object_mut()) {
        headers.insert(name.to_owned(), schemas::header(about));
    }
    json!({
        "description": "",
        "headers": headers,
        "content": {
            "application/problem+json": { "schema": schemas::reference("Problem") },
            Media::JsonApi.name(): { "schema": schemas::reference("Errors") },
        },
    })
}
