//! The OpenAPI document, from the table of routes and the table of problems.

mod answers;
mod operation;
#[cfg(feature = "publish")]
mod publish;
mod schemas;
mod writes;

use serde_json::{Map, Value, json};

use super::problem_kind::ProblemKind;
use super::resource::{Resource, Route};
use super::route::all_routes;

/// Describes the service below `prefix`. `publishes` says whether there are publications, and
/// `has_inspector` whether there is the inspector.
pub(super) fn document(prefix: &str, is_open: bool, publishes: bool, has_inspector: bool) -> Value {
    let mut paths: Map<String, Value> = Map::new();
    let is_served = |route: &&Route| has_inspector || route.resource != Resource::Inspector;
    for route in all_routes(publishes).filter(is_served) {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        for method in route.methods {
            // The answer to a HEAD is that to a GET, without its body.
            if let (Some(path), "GET" | "POST" | "PUT" | "PATCH" | "DELETE") =
                (path.as_object_mut(), method.as_str())
            {
                let described = operation::describe(route, is_open);
                path.insert(method.as_str().to_ascii_lowercase(), described);
            }
        }
    }
    let mut components = json!({ "schemas": schemas(publishes), "responses": problems() });
    if let (Some(components), false) = (components.as_object_mut(), is_open) {
        let scheme = json!({
            "type": "http",
            "scheme": "bearer",
            "description": "A key that the operator gave. The application may accept other \
                            credentials as well.",
        });
        components.insert("securitySchemes".to_owned(), json!({ "key": scheme }));
    }
    json!({
        "openapi": "3.1.1",
        "info": {
            "title": "States over HTTP",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The states of an application, now and in the past. Each GET can also be \
                            a HEAD. In paths, a segment is the text itself if it consists of \
                            `A-Z a-z 0-9 . _ -`, and otherwise `~` followed by the URL-safe base64 \
                            of its UTF-8 bytes, without padding. The default project is `~`.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": if prefix.is_empty() { "/" } else { prefix } }],
        "paths": paths,
        "components": components,
    })
}

/// The schemas of documents, by name.
fn schemas(publishes: bool) -> Value {
    let mut all = schemas::all();
    #[cfg(feature = "publish")]
    if let (Some(all), Value::Object(more), true) =
        (all.as_object_mut(), publish::schemas(), publishes)
    {
        all.extend(more);
    }
    let _ = (&mut all, publishes);
    all
}

/// The answers that are problems, by status.
fn problems() -> Map<String, Value> {
    let mut responses: Map<String, Value> = Map::new();
    for kind in ProblemKind::ALL {
        let text = format!("`{}`: {}. {}", kind.code, kind.title, kind.meaning);
        let status = kind.status.as_str();
        let response = responses.entry(status).or_insert_with(|| answers::problem(kind.status));
        if let Some(Value::String(description)) = response.get_mut("description") {
            if !description.is_empty() {
                description.push_str("\n\n");
            }
            description.push_str(&text);
        }
    }
    responses
}
