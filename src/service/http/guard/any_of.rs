//! [`AnyOf`]: several authenticators.

use std::sync::Arc;

use async_trait::async_trait;
use http::request::Parts;

use super::authenticator::Authenticator;
use super::principal::Principal;
use crate::error::BoxError;

/// Asks several authenticators, in the order in which they were added. The first that knows the
/// request decides.
///
/// Quotas are counted by the name of the principal, so two authenticators should not give the same
/// name to different principals.
///
/// ```
/// use snapfold::service::http::{AnyOf, ApiKeys};
///
/// # let (machines, people) = (ApiKeys::new(), ApiKeys::new());
/// let authenticator = AnyOf::new().or(machines).or(people);
/// # let _ = authenticator;
/// ```
#[derive(Clone, Debug, Default)]
pub struct AnyOf(Vec<Arc<dyn Authenticator>>);

impl AnyOf {
    /// Creates one that nobody passes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an authenticator, which is asked after those that were added before.
    pub fn or(mut self, authenticator: impl Authenticator + 'static) -> Self {
        self.0.push(Arc::new(authenticator));
        self
    }
}

#[async_trait]
impl Authenticator for AnyOf {
    /// # Errors
    /// The first error, if no authenticator knows the request.
    async fn authenticate(&self, request: &Parts) -> Result<Option<Principal>, BoxError> {
        let mut failed = None;
        for authenticator in &self.0 {
            match authenticator.authenticate(request).await {
                Ok(Some(principal)) => return Ok(Some(principal)),
                Ok(None) => {}
                // One that fails does not lock out those whom another one knows.
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(None), Err)
    }

    fn authenticate_at_once(&self, request: &Parts) -> Option<Result<Option<Principal>, BoxError>> {
        let mut failed = None;
        for authenticator in &self.0 {
            match authenticator.authenticate_at_once(request)? {
                Ok(Some(principal)) => return Some(Ok(Some(principal))),
                Ok(None) => {}
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        Some(failed.map_or(Ok(None), Err))
    }
}
