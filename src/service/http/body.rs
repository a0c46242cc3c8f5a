//! [`DeliveryBody`]: the body of an answer.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};

/// The body of an answer of [`Delivery`](super::Delivery).
#[derive(Debug, Default)]
pub struct DeliveryBody {
    left: Option<Bytes>,
    /// What the answer to a GET would have, for the answer to a HEAD.
    stated: u64,
}

impl DeliveryBody {
    /// A body of these bytes, or, for a HEAD, only their length.
    pub(super) fn of(bytes: Bytes, with_body: bool) -> Self {
        let stated = bytes.len() as u64;
        Self { left: Some(bytes).filter(|bytes| with_body && !bytes.is_empty()), stated }
    }

    /// An answer without a body.
    pub(super) fn nothing(status: StatusCode) -> Response<Self> {
        let mut response = Response::new(Self::default());
        *response.status_mut() = status;
        response
    }

    /// States the length in `Content-Length`. A server knows that of a body, but not that of the body
    /// that the answer to a HEAD leaves out.
    pub(super) fn state_length(mut response: Response<Self>) -> Response<Self> {
        let has_none = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED];
        if !has_none.contains(&response.status()) {
            let length = response.body().stated.into();
            response.headers_mut().insert(CONTENT_LENGTH, length);
        }
        response
    }
}

impl Body for DeliveryBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.left.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}
