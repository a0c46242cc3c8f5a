//! A stored snapshot as a resource: its id in URLs, its document and its entity tag.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::links::Links;
use crate::error::Error;
use crate::generation::Generation;
use crate::hex::hex;
use crate::key::AggregateKey;
use crate::manager::SnapshotAdmin;
use crate::record::SnapshotMeta;
use crate::snapshot_id::SnapshotId;

/// The id of a snapshot: its version, schema version and shape, such as `41-1-0123456789abcdef`. It
/// stands in a path as it is.
pub(super) fn id_text(id: SnapshotId) -> String {
    let Generation { schema_version, fingerprint } = id.generation;
    format!("{}-{schema_version}-{fingerprint:016x}", id.version)
}

/// Reverses [`id_text`]. Each snapshot has one id.
pub(super) fn parse_id(text: &str) -> Option<SnapshotId> {
    let mut parts = text.splitn(3, '-');
    let version = parts.next()?.parse().ok()?;
    let schema_version = parts.next()?.parse().ok()?;
    let fingerprint = u64::from_str_radix(parts.next()?, 16).ok()?;
    let id = SnapshotId { generation: Generation { schema_version, fingerprint }, version };
    (id_text(id) == text).then_some(id)
}

/// Finds a stored snapshot, as the list shows it.
pub(super) async fn find(
    admin: &dyn SnapshotAdmin,
    key: &AggregateKey,
    id: SnapshotId,
) -> Result<Option<SnapshotMeta>, Error> {
    let listed = admin.snapshots(key, id.version..=id.version).await?;
    Ok(listed.into_iter().find(|meta| meta.id() == id))
}

/// A snapshot in a list, without its payload.
pub(super) fn resource(meta: &SnapshotMeta, links: &Links) -> Value {
    let id = id_text(meta.id());
    json!({
        "type": "snapshots",
        "links": { "self": links.snapshot(&id) },
        "id": id,
        "attributes": {
            "version": meta.version,
            "generation": meta.generation.to_string(),
            "asOf": meta.as_of.to_string(),
            "createdAt": meta.created_at.to_string(),
            "storedBytes": meta.stored_bytes,
            "rawBytes": meta.raw_bytes,
            "codec": meta.codec.to_string(),
            "compression": meta.compression.to_string(),
            "labels": meta.labels,
            "pinned": meta.is_pinned(),
            "retired": meta.is_retired(),
        },
    })
}

/// The document of one snapshot. A function of what is stored.
pub(super) fn document(meta: &SnapshotMeta, links: &Links) -> Vec<u8> {
    json!({ "jsonapi": { "version": "1.1" }, "data": resource(meta, links) })
        .to_string()
        .into_bytes()
}

/// The entity tag of a document that is not a state.
pub(super) fn tag_of(document: &[u8]) -> String {
    tag_of_hash(Sha256::digest(document).into())
}

/// The same for the SHA-256 of the document.
pub(super) fn tag_of_hash(hash: [u8; 32]) -> String {
    let (short, _) = hash.split_at(16);
    format!("\"{}\"", hex(short))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_leads_back_to_its_snapshot_in_one_form() {
        for (version, schema_version, fingerprint) in
            [(1, 1, 0), (41, 7, 0x0123_4567_89ab_cdef), (u64::MAX, u32::MAX, u64::MAX)]
        {
            let generation = Generation { schema_version, fingerprint };
            let id = SnapshotId { generation, version };
            assert_eq!(parse_id(&id_text(id)), Some(id));
        }
        for text in [
            "",
            "41",
            "41-1",
            "041-1-0123456789abcdef",
            "41-01-0123456789abcdef",
            "41-1-123456789abcdef",
            "41-1-0123456789ABCDEF",
            "41-1-00123456789abcdef",
            "+41-1-0123456789abcdef",
            "41-1--123456789abcdef",
            "41-1-0123456789abcdef-",
        ] {
            assert_eq!(parse_id(text), None, "{text}");
        }
    }
}
