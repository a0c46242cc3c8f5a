//! [`BodyPieces`]: the body of a request, piece by piece.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use http_body::Body;
use http_body_util::BodyDataStream;

use crate::error::{BoxError, Error, ErrorKind};
use crate::service::http::problem_kind::ProblemKind;

/// How long a client may take to send the next piece of a body.
const PIECE_WITHIN: Duration = Duration::from_secs(30);

/// Why the body of a request ended early, as its client sees it.
pub(super) type EarlyEnd = Arc<OnceLock<&'static ProblemKind>>;

/// The body of a request, piece by piece, within a limit of time for each.
pub(super) struct BodyPieces(BoxStream<'static, Option<Bytes>>);

impl BodyPieces {
    pub(super) fn of<B>(body: B) -> Self
    where
        B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
    {
        let pieces = BodyDataStream::new(body)
            .map(|piece| piece.ok().map(|mut piece| piece.copy_to_bytes(piece.remaining())));
        Self(pieces.boxed())
    }

    /// The next piece; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, &'static ProblemKind> {
        match tokio::time::timeout(PIECE_WITHIN, self.0.next()).await {
            Err(_) => Err(ProblemKind::SLOW_BODY),
            Ok(Some(None)) => Err(ProblemKind::BROKEN_BODY),
            Ok(Some(Some(piece))) => Ok(Some(piece)),
            Ok(None) => Ok(None),
        }
    }
}

/// The error of a content whose body ended early.
pub(super) fn ended_early() -> Error {
    let message = "the body of the request ended too early";
    Error::new(ErrorKind::InvalidInput, "receive an artifact", message)
}
