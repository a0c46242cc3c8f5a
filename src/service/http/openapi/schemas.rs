//! The schemas of documents.

use serde_json::{Value, json};

use crate::service::http::media::Media;

/// A reference to one of [`all`].
pub(super) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// The content of a document of JSON:API, which clients may also get as plain JSON.
pub(super) fn content(schema: &Value) -> Value {
    json!({ Media::Json.name(): { "schema": schema }, Media::JsonApi.name(): { "schema": schema } })
}

/// A header of an answer.
pub(super) fn header(about: &str) -> Value {
    json!({ "description": about, "schema": text() })
}

/// A header that a client can send.
pub(super) fn header_parameter(name: &str, about: &str, schema: &Value) -> Value {
    json!({ "name": name, "in": "header", "description": about, "schema": schema })
}

/// What is wrong with the artifacts of a publication.
fn wrong_artifacts() -> Value {
    let names = ["missing", "wrong-size", "wrong-hash", "wrong-type", "wrong-record"];
    json!({
        "type": "object",
        "description": "What is wrong with each artifact of a publication.",
        "additionalProperties": { "enum": names },
    })
}

/// The header that tells a repeated request from a new one.
pub(super) fn idempotency_key(about: &str) -> Value {
    let key = json!({ "type": "string", "minLength": 1, "maxLength": 255 });
    header_parameter("Idempotency-Key", about, &key)
}

pub(super) fn text() -> Value {
    json!({ "type": "string" })
}

/// The answer to a path with a segment that is not in its one form.
pub(super) fn moved() -> Value {
    json!({
        "description": "A segment of the path is not in its one form.",
        "headers": { "Location": header("The path with the one form of each segment.") },
    })
}

/// A page of a list of JSON:API.
pub(super) fn list(item: &str) -> Value {
    closed(
        &["jsonapi", "data", "links"],
        &json!({
            "jsonapi": reference("JsonApi"),
            "data": { "type": "array", "items": reference(item) },
            "links": closed(&["self"], &json!({ "self": link(), "next": link() })),
        }),
    )
}

/// A date of a header (RFC 9110, section 5.6.7).
pub(super) fn date() -> Value {
    json!({
        "type": "string",
        "pattern": "^(Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-9]{2} \
                    (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [0-9]{4} \
                    [0-9]{2}:[0-9]{2}:[0-9]{2} GMT$",
        "examples": ["Sun, 22 Nov 2026 12:00:00 GMT"],
    })
}

/// All schemas by name.
pub(super) fn all() -> Value {
    let mut all = of_reads();
    if let (Some(all), Value::Object(written)) = (all.as_object_mut(), of_writes()) {
        all.extend(written);
    }
    all
}

fn of_reads() -> Value {
    let number = || json!({ "type": "integer", "format": "int64", "minimum": 0 });
    let time = || json!({ "type": "string", "format": "date-time" });
    let own_link = || closed(&["self"], &json!({ "self": link() }));
    json!({
        "State": { "description": "The state as the application writes it: any JSON." },
        "StateDocument": closed(&["jsonapi", "data", "meta", "links"], &json!({
            "jsonapi": reference("JsonApi"),
            "data": closed(&["type", "id", "attributes", "links"], &json!({
                "type": text(),
                "id": text(),
                "attributes": closed(&["state"], &json!({ "state": reference("State") })),
                "links": own_link(),
            })),
            "meta": closed(&["version"], &json!({ "version": number(), "asOf": time() })),
            "links": closed(&["self", "versions"], &json!({ "self": link(), "versions": link() })),
        })),
        "Entity": closed(&["type", "id", "links"], &json!({
            "type": text(),
            "id": text(),
            "links": own_link(),
        })),
        "Version": closed(&["type", "id", "attributes", "links"], &json!({
            "type": { "const": "versions" },
            "id": text(),
            "attributes": closed(&["version", "recordedAt"], &json!({
                "version": number(),
                "recordedAt": { "type": ["string", "null"], "format": "date-time" },
            })),
            "links": own_link(),
        })),
        "Snapshot": closed(&["type", "id", "attributes", "links"], &json!({
            "type": { "const": "snapshots" },
            "id": text(),
            "links": own_link(),
            "attributes": closed(SNAPSHOT, &json!({
                "version": number(),
                "generation": text(),
                "asOf": time(),
                "createdAt": time(),
                "storedBytes": number(),
                "rawBytes": number(),
                "codec": text(),
                "compression": text(),
                "labels": { "type": "array", "items": text() },
                "pinned": { "type": "boolean" },
                "retired": { "type": "boolean" },
            })),
        })),
        "SnapshotDocument": closed(&["jsonapi", "data"], &json!({
            "jsonapi": reference("JsonApi"),
            "data": reference("Snapshot"),
        })),
        "Patch": { "type": "array", "items": {
            "type": "object",
            "required": ["op", "path"],
            "properties": { "op": { "enum": ["add", "remove", "replace"] }, "path": text(), "value": {} },
        } },
        "JsonApi": closed(&["version"], &json!({ "version": { "const": "1.1" } })),
        "Health": closed(&["status"], &json!({ "status": { "const": "ok" } })),
        "Problem": closed(&["type", "status", "title"], &json!({
            "type": { "type": "string", "format": "uri-reference" },
            "status": { "type": "integer", "minimum": 400, "maximum": 599 },
            "title": text(),
            "detail": text(),
            "parameter": { "type": "string", "description": "The parameter that is wrong." },
            "artifacts": wrong_artifacts(),
        })),
        "ProblemDescription": closed(&["type", "status", "title", "meaning", "remedy"], &json!({
            "type": { "type": "string", "format": "uri-reference" },
            "status": { "type": "integer", "minimum": 400, "maximum": 599 },
            "title": text(),
            "meaning": text(),
            "remedy": text(),
        })),
        "Errors": closed(&["errors"], &json!({
            "errors": { "type": "array", "minItems": 1, "items": closed(
                &["status", "code", "title", "links"],
                &json!({
                    "status": text(),
                    "code": text(),
                    "title": text(),
                    "detail": text(),
                    "links": closed(&["type"], &json!({ "type": link() })),
                    "source": closed(&["parameter"], &json!({ "parameter": text() })),
                    "meta": closed(&["artifacts"], &json!({ "artifacts": wrong_artifacts() })),
                }),
            ) },
        })),
    })
}

fn of_writes() -> Value {
    let number = || json!({ "type": "integer", "format": "int64", "minimum": 0 });
    let own_link = || closed(&["self"], &json!({ "self": link() }));
    json!({
        "JobDocument": closed(&["jsonapi", "data"], &json!({
            "jsonapi": reference("JsonApi"),
            "data": closed(&["type", "id", "attributes", "links"], &json!({
                "type": { "const": "jobs" },
                "id": text(),
                "attributes": { "type": "object", "required": ["action", "state", "startedAt"] },
                "links": own_link(),
            })),
        })),
        "Written": {
            "description": "What was done.",
            "type": "object",
            "required": ["jsonapi"],
            "properties": { "jsonapi": reference("JsonApi"), "data": {}, "meta": {} },
        },
        "TakeSnapshot": closed(&[], &json!({
            "version": number(),
            "labels": { "type": "array", "items": text() },
            "fields": { "type": "object", "additionalProperties": text() },
            "reason": text(),
        })),
        "Rebuild": closed(&[], &json!({ "version": number(), "reason": text() })),
        "RebuildProject": closed(&[], &json!({ "reason": text() })),
        "Prune": closed(&["policy"], &json!({
            "policy": policy(),
            "dryRun": { "type": "boolean", "default": true },
            "plan": { "type": ["string", "null"] },
            "reason": text(),
        })),
        "PruneProject": closed(&["policy"], &json!({
            "policy": policy(),
            "dryRun": { "type": "boolean", "default": true },
            "reason": text(),
        })),
    })
}

const SNAPSHOT: &[&str] = &[
    "version",
    "generation",
    "asOf",
    "createdAt",
    "storedBytes",
    "rawBytes",
    "codec",
    "compression",
    "labels",
    "pinned",
    "retired",
];

/// A retention policy.
fn policy() -> Value {
    json!({ "type": "string", "examples": ["last 4, daily 7"] })
}

/// An object of these members and no others.
pub(super) fn closed(required: &[&str], properties: &Value) -> Value {
    json!({
        "type": "object",
        "required": required,
        "properties": properties,
        "additionalProperties": false,
    })
}

/// A path, which a client resolves against the URL that it asked.
pub(super) fn link() -> Value {
    json!({ "type": "string", "format": "uri-reference" })
}
