//! [`Authenticator`]: finds out who sends a request.

use std::fmt;

use async_trait::async_trait;
use http::request::Parts;

use super::principal::Principal;

/// Finds out who sends a request. [`ApiKeys`](super::ApiKeys) is one; an application that has
/// sessions or tokens implements it itself.
///
/// It is asked before anything about the requested resource is known. What it decides by must be in
/// the request: the same request has the same principal until a credential is revoked.
#[async_trait]
pub trait Authenticator: fmt::Debug + Send + Sync {
    /// Returns who sends the request.
    ///
    /// The body has not been read. Compare secrets in constant time, and do the same work for
    /// unknown credentials as for wrong ones.
    ///
    /// # Errors
    /// [`Unauthorized`] if the credentials are missing, wrong, expired or revoked. The client is not
    /// told which: the answer is a 401.
    async fn authenticate(&self, request: &Parts) -> Result<Principal, Unauthorized>;
}

/// The request has no valid credentials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unauthorized;

impl Unauthorized {
    /// Creates the error.
    pub const fn new() -> Self {
        Self
    }
}

impl fmt::Display for Unauthorized {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request has no valid credentials")
    }
}

impl std::error::Error for Unauthorized {}
