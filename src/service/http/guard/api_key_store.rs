//! [`ApiKeyStore`]: where keys are, and how a request is checked against them.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use http::request::Parts;
use subtle::ConstantTimeEq as _;

use super::api_key::ApiKey;
use super::authenticator::Authenticator;
use super::presented_key::PresentedKey;
use super::principal::Principal;
use crate::clock::{Clock as _, SystemClock};
use crate::error::BoxError;
use crate::timestamp::Timestamp;

/// Where keys are stored. [`ApiKeys`](super::ApiKeys) is in memory, and
/// [`ApiKeyFile`](super::ApiKeyFile) in a file; an application implements it over its database.
///
/// Every store is an [`Authenticator`]: it reads `Authorization: Bearer <key>`, and checks the secret
/// and the expiry of the key that [`find`](Self::find) returns. The store itself never sees a secret.
/// [`ApiKey`] implements `Serialize` and `Deserialize`, so that a store can keep it as JSON.
#[async_trait]
pub trait ApiKeyStore: fmt::Debug + Send + Sync {
    /// Returns the key with this id (12 lower-case hexadecimal digits), or `None` if it is unknown or
    /// was revoked.
    ///
    /// It is called for each request, with any id that a client sends. A store that keeps keys for a
    /// while must drop them after a time that it documents, because a revoked key works until then.
    ///
    /// # Errors
    /// If the store cannot be asked. The client gets a 503, as [`Authenticator::authenticate`] says.
    async fn find(&self, id: &str) -> Result<Option<Arc<ApiKey>>, BoxError>;

    /// Returns the time by which keys expire. The system's by default.
    fn now(&self) -> Timestamp {
        SystemClock::new().now()
    }
}

#[async_trait]
impl<S: ApiKeyStore> Authenticator for S {
    async fn authenticate(&self, request: &Parts) -> Result<Option<Principal>, BoxError> {
        let Some(presented) = PresentedKey::of(request) else { return Ok(None) };
        let known = self.find(presented.id).await?;
        // An unknown id is compared as well, so that it takes as long as a wrong secret.
        let hash = known.as_ref().map_or([0; 32], |key| key.hash);
        let is_right: bool = hash.ct_eq(&presented.hash).into();
        let valid = |key: &ApiKey| key.expires_at.is_none_or(|end| self.now() < end);
        Ok(known.filter(|key| is_right && valid(key)).map(|key| {
            let scopes = Arc::clone(&key.scopes);
            Principal { name: key.id.clone(), scopes, quota: key.quota }
        }))
    }
}
