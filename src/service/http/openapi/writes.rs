//! What the writes take and answer.

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::schemas;
use crate::service::http::media::Media;
use crate::service::http::write::WriteAction;

/// The body of a write; `None` if it has none.
pub(super) fn request_body(action: WriteAction) -> Option<Value> {
    let (name, is_required) = match action {
        WriteAction::Take => ("TakeSnapshot", false),
        WriteAction::Rebuild => ("Rebuild", false),
        WriteAction::RebuildAll => ("RebuildProject", false),
        WriteAction::Prune => ("Prune", true),
        WriteAction::PruneAll => ("PruneProject", true),
        WriteAction::Delete | WriteAction::DeleteBefore => return None,
    };
    Some(json!({
        "required": is_required,
        "content": { Media::Json.name(): { "schema": schemas::reference(name) } },
    }))
}

/// The answers of a write that are no problems.
pub(super) fn answers(action: WriteAction) -> Map<String, Value> {
    let mut answers = Map::new();
    let mut put = |status: StatusCode, description: &str, schema: &str, headers: Value| {
        let content = schemas::content(&schemas::reference(schema));
        let answer = json!({ "description": description, "headers": headers, "content": content });
        answers.insert(status.as_str().to_owned(), answer);
    };
    let replayed = schemas::header("`true` if this is the first answer to the same request again.");
    let once = json!({ "Idempotency-Replayed": replayed });
    put(StatusCode::OK, "It was done, or there was nothing to do.", "Written", once.clone());
    if matches!(action, WriteAction::Take | WriteAction::Rebuild) {
        let mut headers = once;
        if let Some(headers) = headers.as_object_mut() {
            headers.insert("Location".to_owned(), schemas::header("The path of the snapshot."));
            headers.insert("ETag".to_owned(), schemas::header("The entity tag for `If-Match`."));
        }
        put(StatusCode::CREATED, "The snapshot is stored.", "Written", headers);
    }
    if action.can_wait() {
        let headers = json!({
            "Location": schemas::header("The path of the job."),
            "Preference-Applied": schemas::header("`respond-async`, if the client asked for it."),
        });
        put(StatusCode::ACCEPTED, "A job does it.", "JobDocument", headers);
    }
    answers.insert(StatusCode::PERMANENT_REDIRECT.as_str().to_owned(), schemas::moved());
    answers
}

/// The headers that a client can send with a write.
pub(super) fn headers(action: WriteAction) -> Vec<Value> {
    let parameter = |name, about| schemas::header_parameter(name, about, &schemas::text());
    let once =
        "Makes the request once: the same one with the same key gets the first answer again.";
    let mut headers = vec![schemas::idempotency_key(once)];
    if action.can_wait() {
        headers.push(parameter("Prefer", "`respond-async` lets a job do it (RFC 7240)."));
    }
    if action == WriteAction::Delete {
        headers.push(parameter("If-Match", "Answer 412 unless the entity tag is one of these."));
    }
    headers
}

/// The problems of writes.
pub(super) const PROBLEMS: &[StatusCode] = &[
    StatusCode::NOT_FOUND,
    StatusCode::REQUEST_TIMEOUT,
    StatusCode::CONFLICT,
    StatusCode::PRECONDITION_FAILED,
    StatusCode::PAYLOAD_TOO_LARGE,
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
    StatusCode::UNPROCESSABLE_ENTITY,
    StatusCode::INSUFFICIENT_STORAGE,
];
