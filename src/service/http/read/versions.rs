//! The versions of an aggregate, and when they were recorded.

use http::Response;
use serde_json::{Value, json};

use super::Admitted;
use crate::service::http::body::DeliveryBody;
use crate::service::http::problem::HttpProblem;
use crate::snapshot_id::SnapshotId;

impl Admitted<'_> {
    /// A page of versions, oldest first.
    pub(super) async fn versions(&self) -> Result<Response<DeliveryBody>, HttpProblem> {
        let (key, admin) = self.aggregate()?;
        let list = format!("versions of {key:?}");
        let (size, after) = self.page(&list)?;
        let after = number(after)?;
        let first = after.saturating_add(1);
        let times = admin.times(key, first..=SnapshotId::MAX_VERSION, size).await?;
        if times.is_empty() && after == 0 {
            return Err(HttpProblem::not_found("no event was recorded"));
        }
        let links = self.served.links(key);
        let newest = times.last().map_or(after, |time| time.version);
        let more = admin.times(key, newest.saturating_add(1)..=SnapshotId::MAX_VERSION, 1).await?;
        let data = times.iter().map(|time| -> Value {
            json!({
                "type": "versions",
                "id": time.version.to_string(),
                "attributes": {
                    "version": time.version,
                    "recordedAt": time.recorded_at.map(|at| at.to_string()),
                },
                "links": { "self": links.version(time.version) },
            })
        });
        let next =
            (!more.is_empty()).then(|| self.served.cursors.seal(&list, &newest.to_le_bytes()));
        self.list(&links.versions(), &data.collect::<Vec<_>>(), Vec::new(), size, next)
    }
}

/// Reads the version after which a list continues.
pub(super) fn number(bytes: Option<Vec<u8>>) -> Result<u64, HttpProblem> {
    let Some(bytes) = bytes else { return Ok(0) };
    let bytes = bytes.first_chunk().copied();
    bytes.map(u64::from_le_bytes).ok_or_else(HttpProblem::foreign_cursor)
}
