//! The parts of a publication as a JSON object.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::artifact::{Artifact, ArtifactId};
use crate::backend::postgres::key_text::{decode, encode};
use crate::publication::PublicationPart;

const SIZE: &str = "size";
const SHA256: &str = "sha256";
const TYPE: &str = "type";
const STORED: &str = "stored";

/// Returns the text of an object from the name of a part to what is known of it.
pub(super) fn to_json(parts: &BTreeMap<String, PublicationPart>) -> String {
    let parts = parts.iter().map(|(name, part)| {
        let content_type = part.content_type.as_deref();
        let mut object = described(part.size, part.sha256, content_type);
        if let Some(artifact) = &part.stored {
            let (size, content_type) = (Some(artifact.size), Some(&*artifact.content_type));
            let stored = described(size, Some(artifact.id), content_type);
            object.insert(STORED.to_owned(), stored.into());
        }
        (name.clone(), Value::from(object))
    });
    Value::from(parts.collect::<Map<_, _>>()).to_string()
}

fn described(
    size: Option<u64>,
    sha256: Option<ArtifactId>,
    content_type: Option<&str>,
) -> Map<String, Value> {
    let fields = [
        (SIZE, size.map(Value::from)),
        (SHA256, sha256.map(|id| Value::from(id.to_string()))),
        // JSON in PostgreSQL has no U+0000.
        (TYPE, content_type.map(|text| Value::from(&*encode(text)))),
    ];
    let given = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    given.collect()
}

/// Reads what [`to_json`] wrote. `None` for anything else.
pub(super) fn from_json(text: &str) -> Option<BTreeMap<String, PublicationPart>> {
    let parts: Map<String, Value> = serde_json::from_str(text).ok()?;
    let part = |(name, value): (String, Value)| {
        let object = value.as_object()?;
        let mut part = PublicationPart::new();
        (part.size, part.sha256, part.content_type) = read(object)?;
        if let Some(stored) = object.get(STORED) {
            let (size, sha256, content_type) = read(stored.as_object()?)?;
            let stored = Artifact::new(sha256?, size?).content_type(content_type?);
            part.stored = Some(stored);
        }
        Some((name, part))
    };
    parts.into_iter().map(part).collect()
}

type Described = (Option<u64>, Option<ArtifactId>, Option<String>);

fn read(object: &Map<String, Value>) -> Option<Described> {
    let size = object.get(SIZE).map(|value| value.as_u64().ok_or(())).transpose().ok()?;
    let text = |name| object.get(name).map(|value| value.as_str().ok_or(())).transpose().ok();
    let sha256 = text(SHA256)?.map(str::parse).transpose().ok()?;
    let content_type = text(TYPE)?.map(|stored| decode(stored).ok_or(())).transpose().ok()?;
    Some((size, sha256, content_type.map(Into::into)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_back() {
        let id = ArtifactId::of(b"plot");
        let odd = Artifact::new(id, u64::MAX).content_type("a\0\u{1}\"\u{e9}");
        let mut stored = PublicationPart::new().size(u64::MAX).sha256(id).content_type("x");
        stored.stored = Some(odd);
        let parts = BTreeMap::from([
            ("nothing".to_owned(), PublicationPart::new()),
            ("size".to_owned(), PublicationPart::new().size(0)),
            ("stored".to_owned(), stored),
        ]);
        for parts in [parts, BTreeMap::new()] {
            let text = to_json(&parts);
            assert!(!text.contains("\\u0000"), "{text}");
            assert_eq!(from_json(&text), Some(parts));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "[]",
            "{\"a\":1}",
            "{\"a\":{\"size\":-1}}",
            "{\"a\":{\"size\":1.5}}",
            "{\"a\":{\"sha256\":\"00\"}}",
            "{\"a\":{\"type\":null}}",
            "{\"a\":{\"type\":\"\\u0001\"}}",
            "{\"a\":{\"stored\":{\"size\":1}}}",
        ] {
            assert_eq!(from_json(text), None, "{text}");
        }
    }
}
