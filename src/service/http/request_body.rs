//! The body of a request.

use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use super::problem::HttpProblem;
use super::problem_kind::ProblemKind;
use crate::error::BoxError;

/// The largest body of most requests, in bytes.
pub(super) const MAX_REQUEST: usize = 64 << 10;
/// How long a request's body may take.
const REQUEST_WITHIN: Duration = Duration::from_secs(10);

/// Reads the body of a request, within `most` bytes and a limit of time.
pub(super) async fn read_request<B>(body: B, most: usize) -> Result<Bytes, HttpProblem>
where
    B: Body<Error: Into<BoxError>>,
{
    let read = Limited::new(body, most).collect();
    match tokio::time::timeout(REQUEST_WITHIN, read).await {
        Ok(Ok(read)) => Ok(read.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let detail = format!("send at most {most} bytes");
            Err(HttpProblem::new(ProblemKind::LARGE_BODY).detail(detail))
        }
        Ok(Err(_)) => Err(HttpProblem::new(ProblemKind::BROKEN_BODY)),
        Err(_) => {
            let detail = format!("send the body within {} s", REQUEST_WITHIN.as_secs());
            Err(HttpProblem::new(ProblemKind::SLOW_BODY).detail(detail))
        }
    }
}
