//! JSON for machines: the metadata of snapshots, and texts that a terminal may print.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::hex::hex;
use crate::key::AggregateKey;
use crate::record::{Generation, SnapshotDetails, SnapshotMeta};
use crate::store::{Mark, MarkKind};

/// Returns a document in one line. Characters that terminals interpret are escaped.
pub(crate) fn one_line(document: &Value) -> String {
    clean(&document.to_string())
}

/// Escapes the characters of a JSON text that terminals interpret and JSON allows in strings.
pub(crate) fn clean(json: &str) -> String {
    let is_harmless = |c: char| c.is_ascii() && !c.is_ascii_control() || c == '\n';
    let mut clean = String::with_capacity(json.len());
    for c in json.chars() {
        // What is escaped for people has no shape of its own.
        if is_harmless(c) || c.escape_debug().len() == 1 {
            clean.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(clean, "\\u{unit:04x}");
            }
        }
    }
    clean
}

/// Returns the parts of a key.
pub(crate) fn key_json(key: &AggregateKey) -> Value {
    json!({ "tenant": key.tenant(), "kind": key.kind(), "id": key.id() })
}

/// Returns a generation. The fingerprint is in hexadecimal digits, as in all messages.
pub(crate) fn generation_json(generation: Generation) -> Value {
    json!({
        "schema_version": generation.schema_version,
        "fingerprint": format!("{:016x}", generation.fingerprint),
    })
}

/// Returns everything about a snapshot except its key.
pub(crate) fn meta_json(meta: &SnapshotMeta) -> Value {
    json!({
        "version": meta.version,
        "generation": generation_json(meta.generation),
        "as_of": meta.as_of.to_string(),
        "last_recorded_at": meta.last_recorded_at.to_string(),
        "created_at": meta.created_at.to_string(),
        "codec": meta.codec.to_string(),
        "compression": meta.compression.to_string(),
        "stored_bytes": meta.stored_bytes,
        "raw_bytes": meta.raw_bytes,
        "payload_checksum": format!("{:08x}", meta.payload_checksum),
        "digest": meta.digest.map(|digest| digest.to_string()),
        "anchor": meta.anchor.as_deref().map(hex),
        "labels": meta.labels,
        "origin": meta.origin,
        "base": meta.base.map(|base| base.version),
        "dictionary": meta.dictionary.map(|id| format!("{id:016x}")),
        "seal_key": meta.seal_key,
        "details": details_json(meta.details()),
        "marks": meta.marks.iter().map(mark_json).collect::<Vec<_>>(),
    })
}

fn details_json(details: &SnapshotDetails) -> Value {
    let fields: Vec<_> = details
        .fields
        .iter()
        .map(|(name, value)| json!({ "name": name, "value": value }))
        .collect();
    json!({
        "source": details.source.to_string(),
        "predecessor": details.predecessor.map(|id| id.version),
        "producer": details.producer,
        "created_by": details.created_by,
        "idempotency_key": details.idempotency_key,
        "fields": fields,
        "warnings": details.warnings,
        "changes": details.changes.as_ref().map(|changes| json!({
            "added": changes.added,
            "changed": changes.changed,
            "removed": changes.removed,
            "paths": changes.paths,
        })),
    })
}

fn mark_json(mark: &Mark) -> Value {
    let kind = match mark.kind {
        MarkKind::Pin => "pin",
        MarkKind::Retirement => "retirement",
    };
    json!({
        "kind": kind,
        "name": mark.name,
        "at": mark.at.to_string(),
        "actor": mark.actor,
        "note": mark.note,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cleaned_document_is_the_same_document() {
        let document = json!({ "id": "a\u{1b}\u{7f}\u{9b}\u{202e}\u{e0001}\u{e4}\\\"" });
        let line = one_line(&document);
        assert!(!line.contains(['\u{1b}', '\u{7f}', '\u{9b}', '\u{202e}', '\u{e0001}']), "{line}");
        assert!(line.contains('\u{e4}'), "{line}");
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), document);
    }
}
