//! [`Authenticator`]: finds out who sends a request.

use std::fmt;

use async_trait::async_trait;
use http::request::Parts;

use super::principal::Principal;
use crate::error::BoxError;

/// Finds out who sends a request. Every [`ApiKeyStore`](super::ApiKeyStore) is one; an application
/// that has sessions or tokens implements it itself. [`AnyOf`](super::AnyOf) combines several.
///
/// It is asked before anything about the requested resource is known. What it decides by must be in
/// the request: the same request has the same principal until a credential is revoked.
#[async_trait]
pub trait Authenticator: fmt::Debug + Send + Sync {
    /// Returns who sends the request, or `None` if its credentials are missing, wrong, expired or
    /// revoked. The client is not told which: the answer is a 401.
    ///
    /// The body has not been read. Compare secrets in constant time, and do the same work for
    /// unknown credentials as for wrong ones.
    ///
    /// # Errors
    /// If it cannot be found out now. Nobody is admitted: the answer is a 503 with `Retry-After`,
    /// which does not say why. It has the error as an [extension](http::Response::extensions) of the
    /// type [`Error`](crate::Error), for the logs of the application.
    async fn authenticate(&self, request: &Parts) -> Result<Option<Principal>, BoxError>;

    /// Returns what [`authenticate`](Self::authenticate) would return, if that is known without
    /// waiting, and otherwise `None`. It must not block.
    ///
    /// Each request asks this first, and `authenticate` only after a `None`. So an authenticator that
    /// has all it needs in memory saves each request a future on the heap. `None` by default.
    ///
    /// # Errors
    /// Those of [`authenticate`](Self::authenticate).
    fn authenticate_at_once(&self, request: &Parts) -> Option<Result<Option<Principal>, BoxError>> {
        let _ = request;
        None
    }
}
