//! The stored snapshots of an aggregate.

use http::Response;
use serde_json::Value;

use super::Admitted;
use super::versions::number;
use crate::record::Generation;
use crate::service::http::body::DeliveryBody;
use crate::service::http::problem::HttpProblem;
use crate::service::http::snapshot_document::resource;
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
        let links = self.served.links(key);
        let data: Vec<Value> = page.items.iter().map(|meta| resource(meta, &links)).collect();
        let next = page.next.map(|id| {
            let Generation { schema_version, fingerprint } = id.generation;
            let mut bytes = id.version.to_le_bytes().to_vec();
            bytes.extend_from_slice(&schema_version.to_le_bytes());
            bytes.extend_from_slice(&fingerprint.to_le_bytes());
            self.served.cursors.seal(&list, &bytes)
        });
        let path = links.snapshots();
        self.list(&path, &data, Vec::new(), size, next)
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
