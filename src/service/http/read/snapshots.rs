//! The stored snapshots of an aggregate.

use http::Response;
use serde_json::{Value, json};

use super::Admitted;
use super::versions::number;
use crate::record::{Generation, SnapshotMeta};
use crate::service::http::body::DeliveryBody;
use crate::service::http::problem::HttpProblem;
use crate::snapshot_id::SnapshotId;
use crate::store::ListRequest;

impl Admitted<'_> {
    /// A page of the stored snapshots of all generations, newest first, without their payloads.
    pub(super) async fn snapshots(&self) -> Result<Response<DeliveryBody>, HttpProblem> {
        let (key, admin) = self.aggregate()?;
        let list = format!("snapshots of {key:?}");
        let (size, after) = self.page(&list)?;
        let mut request = ListRequest::new(key).limit(size);
        if let Some(id) = after.map(position).transpose()? {
            request = request.after(id);
        }
        let page = admin.snapshot_page(request).await?;
        let data: Vec<Value> = page.items.iter().map(resource).collect();
        let next = page.next.map(|id| {
            let Generation { schema_version, fingerprint } = id.generation;
            let mut bytes = id.version.to_le_bytes().to_vec();
            bytes.extend_from_slice(&schema_version.to_le_bytes());
            bytes.extend_from_slice(&fingerprint.to_le_bytes());
            self.served.cursors.seal(&list, &bytes)
        });
        let path = format!("{}/snapshots", self.served.links(key).entity());
        self.list(&path, &data, None, size, next)
    }
}

fn position(bytes: Vec<u8>) -> Result<SnapshotId, HttpProblem> {
    let generation = |bytes: &[u8]| {
        let (schema, rest) = bytes.get(8..)?.split_first_chunk::<4>()?;
        Some(Generation {
            schema_version: u32::from_le_bytes(*schema),
            fingerprint: u64::from_le_bytes(*rest.first_chunk::<8>()?),
        })
    };
    let generation = generation(&bytes).ok_or_else(HttpProblem::foreign_cursor)?;
    Ok(SnapshotId { generation, version: number(Some(bytes))? })
}

fn resource(meta: &SnapshotMeta) -> Value {
    json!({
        "type": "snapshots",
        "id": format!("{}@{}", meta.version, meta.generation),
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
