//! What publications take and answer.

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::schemas::{
    closed, content, header, header_parameter, idempotency_key, link, list, moved, reference, text,
};
use crate::service::http::media::Media;
use crate::service::http::publish::PublishResource;

/// The body of a request; `None` if it has none.
pub(super) fn request_body(resource: PublishResource) -> Option<Value> {
    let name = match resource {
        PublishResource::Begin => "Publish",
        PublishResource::DocumentBegin => "PublishSnapshot",
        PublishResource::DocumentFinalize => "FinalizeSnapshot",
        PublishResource::Upload => {
            return Some(json!({ "required": true, "content": { "*/*": {} } }));
        }
        _ => return None,
    };
    let schema = json!({ "schema": reference(name) });
    let mut content = Map::from_iter([(Media::Json.name().to_owned(), schema)]);
    if resource.begins() {
        let name =
            if resource.has_project_in_body() { "PublishSnapshotForm" } else { "PublishForm" };
        let schema = json!({ "schema": reference(name) });
        content.insert("multipart/form-data".to_owned(), schema);
    }
    Some(json!({ "required": true, "content": content }))
}

/// The answers that are no problems.
pub(super) fn answers(resource: PublishResource) -> Map<String, Value> {
    let mut answers = Map::new();
    let mut put = |status: StatusCode, description: &str, headers: Value, content: Value| {
        let mut answer = json!({ "description": description, "headers": headers });
        if let (Some(answer), false) = (answer.as_object_mut(), content.is_null()) {
            answer.insert("content".to_owned(), content);
        }
        answers.insert(status.as_str().to_owned(), answer);
    };
    let document = || content(&reference("PublicationDocument"));
    let tag = || json!({ "ETag": header("The entity tag: a hash of the body.") });
    let once = || {
        let replayed = "`true` if this is what the same request led to before.";
        json!({ "Idempotency-Replayed": header(replayed) })
    };
    match resource {
        PublishResource::Begin => {
            put(StatusCode::OK, "The same request began it before.", once(), document());
            let place = json!({ "Location": header("The path of the publication.") });
            let about = "It was begun, or, if the body is a form, it is completed.";
            put(StatusCode::CREATED, about, place, document());
        }
        PublishResource::List => {
            put(StatusCode::OK, "A page of the list.", tag(), content(&list("Publication")));
        }
        PublishResource::One => put(StatusCode::OK, "The publication.", tag(), document()),
        PublishResource::Finalize => put(StatusCode::OK, "It is completed.", once(), document()),
        PublishResource::Abort => put(StatusCode::OK, "It is given up.", once(), document()),
        PublishResource::Artifact => {
            put(StatusCode::OK, "The content.", tag(), json!({ "*/*": {} }));
            let part = json!({ "Content-Range": header("Which bytes these are, of how many.") });
            put(StatusCode::PARTIAL_CONTENT, "With `Range`: a part.", part, json!({ "*/*": {} }));
            let place = json!({ "Location": header("A URL that is valid for a minute.") });
            put(StatusCode::FOUND, "Where the content is.", place, Value::Null);
        }
        PublishResource::Upload => {
            put(StatusCode::CREATED, "It is stored.", json!({}), Value::Null);
        }
        PublishResource::DocumentBegin => {
            let answers = [reference("PublishedSnapshot"), reference("PublishedAtOnce")];
            let content = content(&json!({ "oneOf": answers }));
            let about = "It was begun, or, if the body is a form, it is completed.";
            put(StatusCode::OK, about, once(), content);
        }
        PublishResource::DocumentFinalize => {
            let content = content(&reference("FinalizedSnapshot"));
            put(StatusCode::OK, "It is completed.", once(), content);
        }
    }
    if resource.is_read() {
        let about = "The client has it: its entity tag is in `If-None-Match`.";
        put(StatusCode::NOT_MODIFIED, about, json!({}), Value::Null);
        answers.insert(StatusCode::MOVED_PERMANENTLY.as_str().to_owned(), moved());
    } else if !resource.has_project_in_body() {
        answers.insert(StatusCode::PERMANENT_REDIRECT.as_str().to_owned(), moved());
    }
    answers
}

/// The problems that only publications have.
pub(super) fn problems(resource: PublishResource) -> Vec<StatusCode> {
    let (missing, conflict, gone) = (StatusCode::NOT_FOUND, StatusCode::CONFLICT, StatusCode::GONE);
    let (large, media, wrong) = (
        StatusCode::PAYLOAD_TOO_LARGE,
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        StatusCode::UNPROCESSABLE_ENTITY,
    );
    match resource {
        PublishResource::List => Vec::new(),
        PublishResource::One => vec![missing],
        PublishResource::Artifact => vec![missing, StatusCode::RANGE_NOT_SATISFIABLE],
        PublishResource::Begin | PublishResource::DocumentBegin => {
            vec![StatusCode::REQUEST_TIMEOUT, conflict, large, media, wrong]
        }
        PublishResource::Finalize | PublishResource::DocumentFinalize => {
            vec![missing, StatusCode::REQUEST_TIMEOUT, conflict, gone, large, media, wrong]
        }
        PublishResource::Abort => vec![missing, conflict, wrong],
        PublishResource::Upload => vec![
            StatusCode::FORBIDDEN,
            missing,
            StatusCode::REQUEST_TIMEOUT,
            conflict,
            gone,
            StatusCode::LENGTH_REQUIRED,
            large,
            media,
            wrong,
            StatusCode::SERVICE_UNAVAILABLE,
        ],
    }
}

/// The headers that a client can send.
pub(super) fn headers(resource: PublishResource) -> Vec<Value> {
    match resource {
        PublishResource::Artifact => {
            let about = "Send this part of the artifact, such as `bytes=0-99`. One range only.";
            vec![header_parameter("Range", about, &text())]
        }
        PublishResource::List | PublishResource::One | PublishResource::Upload => Vec::new(),
        _ => {
            let about = "The same request with the same key is made once.";
            vec![idempotency_key(about)]
        }
    }
}

/// The schemas of the documents.
pub(super) fn schemas() -> Value {
    let mut all = of_requests();
    if let (Some(all), Value::Object(answers)) = (all.as_object_mut(), of_answers()) {
        all.extend(answers);
    }
    all
}

const CAMEL: [&str; 10] = [
    "collection",
    "title",
    "author",
    "description",
    "repoOwner",
    "repoName",
    "commitSha",
    "branch",
    "runId",
    "runUrl",
];
const SNAKE: [&str; 10] = [
    "collection",
    "title",
    "author",
    "description",
    "repo_owner",
    "repo_name",
    "commit_sha",
    "branch",
    "run_id",
    "run_url",
];

/// What is said about a publication: these texts, its tags, and the number of a pull request.
fn details(texts: [&str; 10], number: &str) -> Map<String, Value> {
    let texts = texts.map(|name| (name.to_owned(), json!({ "type": ["string", "null"] })));
    let mut members = Map::from_iter(texts);
    members.insert("tags".to_owned(), json!({ "type": "array", "items": text() }));
    members.insert(number.to_owned(), json!({ "type": ["integer", "null"], "minimum": 0 }));
    members
}

fn form(document: &Value, required: &[&str]) -> Value {
    json!({
        "type": "object",
        "description": "What is said about the publication first, then each artifact as a file.",
        "required": required,
        "properties": { "publication": document },
        "additionalProperties": { "type": "string", "format": "binary" },
    })
}

fn of_requests() -> Value {
    let size = json!({ "type": "integer", "format": "int64", "minimum": 0 });
    let members = json!({ "size": size, "sha256": text(), "contentType": text() });
    let declared = closed(&[], &members);
    let artifacts = json!({
        "type": "object",
        "additionalProperties": { "oneOf": [{ "type": ["boolean", "null"] }, declared] },
    });
    let mut publish = details(CAMEL, "prNumber");
    publish.insert("artifacts".to_owned(), artifacts.clone());
    let mut by_document = details(SNAKE, "pr_number");
    by_document.insert("project_id".to_owned(), text());
    by_document.insert("artifacts".to_owned(), artifacts);
    json!({
        "Publish": closed(&[], &publish.into()),
        "PublishForm": form(&reference("Publish"), &[]),
        "PublishSnapshotForm": form(&reference("PublishSnapshot"), &["publication"]),
        "PublishSnapshot": {
            "type": "object",
            "required": ["project_id"],
            "properties": by_document,
        },
        "FinalizeSnapshot": {
            "type": "object",
            "required": ["project_id", "snapshot_id"],
            "properties": { "project_id": text(), "snapshot_id": text() },
        },
    })
}

fn of_answers() -> Value {
    let time = || json!({ "type": "string", "format": "date-time" });
    let mut attributes = details(CAMEL, "prNumber");
    for (name, schema) in [
        ("status", json!({ "enum": ["generating", "completed", "failed"] })),
        ("failure", json!({ "enum": ["aborted", "expired", "refused", null] })),
        ("createdBy", text()),
        ("createdAt", time()),
        ("expiresAt", time()),
        ("endedAt", json!({ "type": ["string", "null"], "format": "date-time" })),
        (
            "artifacts",
            json!({ "type": "object", "additionalProperties": reference("PublishedArtifact") }),
        ),
    ] {
        attributes.insert(name.to_owned(), schema);
    }
    let upload = closed(
        &["method", "href", "headers", "expiresAt"],
        &json!({
            "method": text(),
            "href": text(),
            "headers": { "type": "object", "additionalProperties": text() },
            "expiresAt": time(),
        }),
    );
    json!({
        "PublishedSnapshot": closed(&["snapshot_id", "upload_urls", "expires_at"], &json!({
            "snapshot_id": text(),
            "upload_urls": { "type": "object", "additionalProperties": text() },
            "expires_at": time(),
        })),
        "PublishedAtOnce": closed(&["snapshot_id", "status"], &json!({
            "snapshot_id": text(),
            "status": { "const": "ok" },
        })),
        "FinalizedSnapshot": closed(&["status"], &json!({ "status": { "const": "ok" } })),
        "PublishedArtifact": {
            "type": "object",
            "required": ["stored", "size", "sha256", "contentType"],
            "properties": {
                "stored": { "type": "boolean" },
                "size": { "type": ["integer", "null"] },
                "sha256": { "type": ["string", "null"] },
                "contentType": { "type": ["string", "null"] },
                "href": link(),
                "upload": upload,
            },
        },
        "Publication": closed(&["type", "id", "attributes", "links"], &json!({
            "type": { "const": "publications" },
            "id": text(),
            "attributes": closed(&["status", "artifacts"], &attributes.into()),
            "links": closed(&["self"], &json!({ "self": link() })),
        })),
        "PublicationDocument": closed(&["jsonapi", "data"], &json!({
            "jsonapi": reference("JsonApi"),
            "data": reference("Publication"),
        })),
    })
}
