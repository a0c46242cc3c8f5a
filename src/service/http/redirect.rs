//! Answers that send the client elsewhere.

use http::header::LOCATION;
use http::{HeaderValue, Response, StatusCode};

use super::body::DeliveryBody;
use super::problem::HttpProblem;

/// An answer that sends the client elsewhere.
pub(super) fn redirect(
    status: StatusCode,
    to: &str,
) -> Result<Response<DeliveryBody>, HttpProblem> {
    let location = HeaderValue::from_str(to)
        .map_err(|_| HttpProblem::bad_request("the query has characters that no URL has"))?;
    let mut response = DeliveryBody::nothing(status);
    response.headers_mut().insert(LOCATION, location);
    Ok(response)
}
