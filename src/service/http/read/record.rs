//! One stored snapshot as it is stored.

use bytes::Bytes;
use http::header::{ACCEPT_RANGES, CONTENT_RANGE, ETAG};
use http::{HeaderValue, Method, Response, StatusCode};
use sha2::{Digest as _, Sha256};

use super::Admitted;
use crate::service::http::body::DeliveryBody;
use crate::service::http::byte_range::ByteRange;
use crate::service::http::media;
use crate::service::http::problem::HttpProblem;
use crate::service::http::representation::{REPR_DIGEST, repr_digest};

impl Admitted<'_> {
    /// The record of the snapshot of the path, or the range of it that a GET asks for.
    pub(super) async fn record(&self) -> Result<Response<DeliveryBody>, HttpProblem> {
        let none = || HttpProblem::not_found("there is no such snapshot: list the snapshots");
        let (key, admin) = self.aggregate()?;
        let id = self.permit.target().snapshot.ok_or_else(none)?;
        let record = admin.record(key, id).await?.ok_or_else(none)?.into_bytes();
        let hash = Sha256::digest(&record).into();
        let mut response = self.hashed(media::RECORD, record.clone(), hash)?;
        if response.status() != StatusCode::OK {
            return Ok(response);
        }
        let headers = response.headers_mut();
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        // Of the whole record, whatever is sent of it (RFC 9530).
        if let Some(digest) = repr_digest(hash) {
            headers.insert(REPR_DIGEST, digest);
        }
        // No other method has ranges (RFC 9110, section 14.2).
        if self.request.method == Method::GET {
            return self.ranged(&record, response);
        }
        Ok(response)
    }

    /// Makes it the answer with the range of `whole` that is asked for.
    fn ranged(
        &self,
        whole: &Bytes,
        mut response: Response<DeliveryBody>,
    ) -> Result<Response<DeliveryBody>, HttpProblem> {
        let tag = response.headers().get(ETAG);
        let range = match ByteRange::wanted(&self.request.headers, tag, whole.len()) {
            ByteRange::Whole => return Ok(response),
            ByteRange::Unsatisfiable => return Err(HttpProblem::unsatisfiable(whole.len())),
            ByteRange::Part(range) => range,
        };
        let value = format!("bytes {}-{}/{}", range.start(), range.end(), whole.len());
        if let (Some(part), Ok(value)) = (whole.get(range), HeaderValue::try_from(value)) {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            response.headers_mut().insert(CONTENT_RANGE, value);
            *response.body_mut() = DeliveryBody::of(whole.slice_ref(part), true);
        }
        Ok(response)
    }
}
