//! The difference of two versions as a JSON Patch (RFC 6902).

use http::Response;
use serde_json::{Value, json};

use super::Admitted;
use crate::error::{Error, ErrorKind};
use crate::manager::{OpaqueState, Point};
use crate::service::http::body::DeliveryBody;
use crate::service::http::problem::HttpProblem;

impl Admitted<'_> {
    /// The patch that makes the state at `from` the state at `to`, in plain JSON. Without `to`, it is
    /// the state now.
    pub(super) async fn diff(&self) -> Result<Response<DeliveryBody>, HttpProblem> {
        let (key, admin) = self.aggregate()?;
        let form = "a version";
        let from = self.query.parsed("from", form)?;
        let from = from.ok_or_else(|| HttpProblem::parameter("from", format!("give {form}")))?;
        let to = self.query.parsed("to", form)?.map_or(Point::Now, Point::Version);
        let earlier = parsed(&admin.load_opaque(key, Point::Version(from)).await?)?;
        let later = parsed(&admin.load_opaque(key, to).await?)?;
        let mut patch = json!(json_patch::diff(&earlier.1, &later.1));
        if patch == json!([]) && earlier.0 != later.0 {
            // Integers that only differ beyond 64 bits are one number in a tree of JSON.
            patch = json!([{ "op": "replace", "path": "", "value": later.1 }]);
        }
        self.other("application/json-patch+json", patch.to_string().into_bytes())
    }
}

/// The bytes of a state, and the tree of JSON that they are.
fn parsed(state: &OpaqueState) -> Result<(Vec<u8>, Value), HttpProblem> {
    let mut bytes = Vec::new();
    state.write_json(&mut bytes)?;
    let value = serde_json::from_slice(&bytes).map_err(|source| {
        let message = "the state is not JSON";
        HttpProblem::from(
            Error::new(ErrorKind::Encode, "show a state", message).with_source(source),
        )
    })?;
    Ok((bytes, value))
}
