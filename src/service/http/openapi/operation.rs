//! What one route does.

use http::StatusCode;
use serde_json::{Value, json};

use super::answers;
#[cfg(feature = "publish")]
use super::publish;
use super::schemas;
use super::writes;
use crate::service::http::problem_kind::ProblemKind;
use crate::service::http::query_parameter::{ParameterForm, QueryParameter};
use crate::service::http::resource::{Resource, Route};
use crate::snapshot_id::SnapshotId;

/// Describes a route.
pub(super) fn describe(route: &Route, is_open: bool) -> Value {
    let segments =
        route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let mut parameters: Vec<Value> = segments.map(path_parameter).collect();
    parameters.extend(route.query.iter().map(query_parameter));
    parameters.extend(header_parameters(route.resource));
    let mut responses = answers::of(route.resource);
    for status in problems(route, is_open) {
        let status = status.as_str();
        let reference = json!({ "$ref": format!("#/components/responses/{status}") });
        responses.insert(status.to_owned(), reference);
    }
    let security =
        if is_open || route.permission.is_none() { json!([]) } else { json!([{ "key": [] }]) };
    let mut operation = json!({
        "operationId": route.operation,
        "summary": route.summary,
        "security": security,
        "parameters": parameters,
        "responses": responses,
    });
    if let (Resource::Write(action), Some(operation)) = (route.resource, operation.as_object_mut())
        && let Some(body) = writes::request_body(action)
    {
        operation.insert("requestBody".to_owned(), body);
    }
    #[cfg(feature = "publish")]
    if let (Resource::Publish(resource), Some(operation)) =
        (route.resource, operation.as_object_mut())
        && let Some(body) = publish::request_body(resource)
    {
        operation.insert("requestBody".to_owned(), body);
    }
    operation
}

/// The problems that a route may answer with.
fn problems(route: &Route, is_open: bool) -> Vec<StatusCode> {
    let mut statuses = vec![StatusCode::BAD_REQUEST];
    if route.resource.has_conditions() {
        statuses.push(StatusCode::PRECONDITION_FAILED);
    }
    if matches!(route.resource, Resource::Problem | Resource::Download | Resource::Events) {
        statuses.push(StatusCode::NOT_FOUND);
    }
    #[cfg(feature = "publish")]
    if let Resource::Publish(resource) = route.resource {
        statuses.extend(publish::problems(resource));
    }
    if route.permission.is_none() {
        return statuses;
    }
    if !is_open {
        statuses.extend([
            StatusCode::UNAUTHORIZED,
            StatusCode::FORBIDDEN,
            StatusCode::TOO_MANY_REQUESTS,
        ]);
    }
    if matches!(route.resource, Resource::Write(_)) {
        statuses.extend(writes::PROBLEMS);
        // A service that is open to everybody refuses all writes.
        statuses.push(StatusCode::FORBIDDEN);
    }
    if route.resource == Resource::Snapshot {
        // A service that is open to everybody sends no records.
        statuses.extend([StatusCode::FORBIDDEN, StatusCode::RANGE_NOT_SATISFIABLE]);
    }
    if route.path.contains("{job}") {
        statuses.push(StatusCode::NOT_FOUND);
    }
    if route.path.contains("{id}") {
        statuses.extend([StatusCode::NOT_FOUND, StatusCode::GONE]);
    }
    if !route.resource.has_one_media() {
        statuses.push(StatusCode::NOT_ACCEPTABLE);
    }
    statuses.extend([
        StatusCode::INTERNAL_SERVER_ERROR,
        StatusCode::NOT_IMPLEMENTED,
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::GATEWAY_TIMEOUT,
    ]);
    statuses
}

fn path_parameter(name: &str) -> Value {
    let text = json!({ "type": "string", "minLength": 1 });
    let (schema, about) = match name {
        "project" => (text, "The tenant, in the form of a segment: `~` is the default one."),
        "kind" => (text, "The kind of the aggregate, in the form of a segment."),
        "id" => (text, "The id of the aggregate, in the form of a segment."),
        "version" => (version(), "How many events the state has, in decimal."),
        "snapshot" => (text, "The id of the snapshot, as the list shows it."),
        "publication" => (text, "The id of the publication."),
        "artifact" => (text, "The name of the artifact."),
        "job" => (text, "The id of the job, as its `Location` has it."),
        "digest" => (text, "The SHA-256 of the bytes of the state, in URL-safe base64."),
        _ => {
            let codes: Vec<_> = ProblemKind::ALL.iter().map(|kind| kind.code).collect();
            let schema = json!({ "type": "string", "enum": codes });
            (schema, "The code of the problem: the end of its type.")
        }
    };
    json!({ "name": name, "in": "path", "required": true, "description": about, "schema": schema })
}

fn query_parameter(parameter: &QueryParameter) -> Value {
    let schema = match parameter.form {
        ParameterForm::Version => version(),
        ParameterForm::Bound => json!({ "type": "integer", "minimum": 0, "maximum": u64::MAX }),
        ParameterForm::Time => json!({ "type": "string", "format": "date-time" }),
        ParameterForm::OneOf(texts) => json!({ "type": "string", "enum": texts }),
        ParameterForm::Text => json!({ "type": "string" }),
        ParameterForm::PageSize => json!({ "type": "integer", "minimum": 1, "maximum": 1_000 }),
    };
    json!({
        "name": parameter.name,
        "in": "query",
        "required": parameter.is_required,
        "description": parameter.about,
        "schema": schema,
    })
}

fn version() -> Value {
    json!({ "type": "integer", "format": "int64", "minimum": 0, "maximum": SnapshotId::MAX_VERSION })
}

/// The headers that a client can send, except for those that OpenAPI describes elsewhere.
fn header_parameters(resource: Resource) -> Vec<Value> {
    let mut headers = Vec::new();
    if resource.has_conditions() {
        let about = "Answer 304 if the entity tag is one of these.";
        headers.push(schemas::header_parameter("If-None-Match", about, &schemas::text()));
        let about = "Answer 412 unless the entity tag is one of these.";
        headers.push(schemas::header_parameter("If-Match", about, &schemas::text()));
    }
    if resource == Resource::Snapshot {
        let about = "Send this part of the record, such as `bytes=0-99`. One range only.";
        headers.push(schemas::header_parameter("Range", about, &schemas::text()));
        let about = "Use `Range` only if this is the entity tag. Otherwise send all.";
        headers.push(schemas::header_parameter("If-Range", about, &schemas::text()));
    }
    if let Resource::Write(action) = resource {
        headers.extend(writes::headers(action));
    }
    if resource == Resource::Events {
        let about = "Begin after the event with this id. If that is not possible, the first event \
                     is `gap`.";
        headers.push(schemas::header_parameter("Last-Event-ID", about, &schemas::text()));
    }
    #[cfg(feature = "publish")]
    if let Resource::Publish(resource) = resource {
        headers.extend(publish::headers(resource));
    }
    if resource == Resource::Entity {
        let about = "Answer 302 to the state at this date (RFC 7089). Not used together with `at` or \
                     `version`.";
        headers.push(schemas::header_parameter("Accept-Datetime", about, &schemas::date()));
    }
    headers
}
