//! [`DeliveryBody`]: the body of an answer.

use std::fmt;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use http::header::CONTENT_LENGTH;
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};

use crate::error::Error;

/// The body of an answer of [`Delivery`](super::Delivery).
///
/// Its error is what interrupted a stream. A server then closes the connection, so that the client
/// does not take a part for the whole.
#[derive(Default)]
pub struct DeliveryBody {
    left: Left,
    /// The length in `Content-Length`, also where the answer to a HEAD has no body; `None` if it is
    /// not known before the end.
    stated: Option<u64>,
}

type Chunks = Pin<Box<dyn Stream<Item = Result<Bytes, Error>> + Send>>;

#[derive(Default)]
enum Left {
    #[default]
    Nothing,
    Whole(Bytes),
    /// Only ever used through `&mut`, so it is never locked: the mutex makes the body `Sync`.
    Streamed(Mutex<Chunks>),
}

impl DeliveryBody {
    /// A body of these bytes, or, for a HEAD, only their length.
    pub(super) fn of(bytes: Bytes, with_body: bool) -> Self {
        let stated = Some(bytes.len() as u64);
        let left = if with_body && !bytes.is_empty() { Left::Whole(bytes) } else { Left::Nothing };
        Self { left, stated }
    }

    /// A body that is made while it is sent.
    pub(super) fn streamed(
        chunks: impl Stream<Item = Result<Bytes, Error>> + Send + 'static,
    ) -> Self {
        Self { left: Left::Streamed(Mutex::new(Box::pin(chunks))), stated: None }
    }

    /// A body of `length` bytes that is read while it is sent, or, for a HEAD, only their length.
    #[cfg(feature = "publish")]
    pub(super) fn sized(
        chunks: impl Stream<Item = Result<Bytes, Error>> + Send + 'static,
        length: u64,
        with_body: bool,
    ) -> Self {
        let is_sent = with_body && length > 0;
        let left =
            if is_sent { Left::Streamed(Mutex::new(Box::pin(chunks))) } else { Left::Nothing };
        Self { left, stated: Some(length) }
    }

    /// An answer without a body.
    pub(super) fn nothing(status: StatusCode) -> Response<Self> {
        let mut response = Response::new(Self { left: Left::Nothing, stated: Some(0) });
        *response.status_mut() = status;
        response
    }

    /// States the length of a body that is empty or that the answer to a HEAD leaves out. A server
    /// states the others by itself.
    pub(super) fn state_length(response: &mut Response<Self>) {
        let has_none = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED];
        let body = response.body();
        if let (Left::Nothing, Some(length), false) =
            (&body.left, body.stated, has_none.contains(&response.status()))
        {
            response.headers_mut().insert(CONTENT_LENGTH, length.into());
        }
    }
}

impl Body for DeliveryBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Left::Streamed(chunks) = &mut self.left {
            let chunks = chunks.get_mut().unwrap_or_else(PoisonError::into_inner);
            return chunks.as_mut().poll_next(context).map_ok(Frame::data);
        }
        Poll::Ready(match std::mem::take(&mut self.left) {
            Left::Whole(bytes) => Some(Ok(Frame::data(bytes))),
            _ => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.left, Left::Nothing)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.left {
            Left::Nothing => SizeHint::with_exact(0),
            Left::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Left::Streamed(_) => self.stated.map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}

impl fmt::Debug for DeliveryBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeliveryBody").field("length", &self.stated).finish_non_exhaustive()
    }
}
