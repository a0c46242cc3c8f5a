//! What the body of a request to publish asks for.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error as _, MapAccess, Visitor};

use crate::error::Error;
use crate::publication::PublicationPart;
use crate::service::http::problem::HttpProblem;

/// The artifacts of a request by name. A name that stands twice is refused.
#[derive(Default)]
pub(super) struct AskedParts(pub(super) BTreeMap<String, PublicationPart>);

/// What is declared about an artifact.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DeclaredPart {
    size: Option<u64>,
    sha256: Option<String>,
    #[serde(alias = "content_type")]
    content_type: Option<String>,
}

/// Reads a JSON object.
pub(super) fn object<T: DeserializeOwned>(body: &[u8]) -> Result<T, HttpProblem> {
    // serde would take the members from an array as well.
    if body.trim_ascii().first() != Some(&b'{') {
        return Err(HttpProblem::bad_request("the body is no JSON object"));
    }
    serde_json::from_slice(body)
        .map_err(|error| HttpProblem::bad_request(format!("the body is not usable: {error}")))
}

impl<'de> Deserialize<'de> for AskedParts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(AskedPartsVisitor)
    }
}

struct AskedPartsVisitor;

impl<'de> Visitor<'de> for AskedPartsVisitor {
    type Value = AskedParts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of artifacts")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<AskedParts, M::Error> {
        let mut seen = std::collections::BTreeSet::new();
        let mut parts = BTreeMap::new();
        while let Some((name, value)) = map.next_entry::<String, serde_json::Value>()? {
            let part = match value {
                // It will not be sent.
                serde_json::Value::Bool(false) | serde_json::Value::Null => None,
                serde_json::Value::Bool(true) => Some(PublicationPart::new()),
                declared => Some(declared_part(declared).map_err(M::Error::custom)?),
            };
            if !seen.insert(name.clone()) {
                return Err(M::Error::custom(format_args!("the name {name:?} stands twice")));
            }
            parts.extend(part.map(|part| (name, part)));
        }
        Ok(AskedParts(parts))
    }
}

fn declared_part(value: serde_json::Value) -> Result<PublicationPart, String> {
    if !value.is_object() {
        return Err("an artifact is true, false, or an object of what is declared".to_owned());
    }
    let declared: DeclaredPart = serde_json::from_value(value).map_err(|it| it.to_string())?;
    let mut part = PublicationPart::new();
    part.size = declared.size;
    part.sha256 = declared
        .sha256
        .map(|text| text.parse())
        .transpose()
        .map_err(|error: Error| format!("sha256: {error}"))?;
    part.content_type = declared.content_type;
    Ok(part)
}
