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

    /// Returns what [`find`](Self::find) would return, if that is known without waiting, and otherwise
    /// `None`. It must not block.
    ///
    /// Each request asks this first, as [`Authenticator::authenticate_at_once`] says. `None` by
    /// default. The obligations of `find` apply to it as well.
    ///
    /// # Errors
    /// Those of [`find`](Self::find).
    fn find_at_once(&self, id: &str) -> Option<Result<Option<Arc<ApiKey>>, BoxError>> {
        let _ = id;
        None
    }

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
        Ok(checked(self, presented, known.as_deref()))
    }

    fn authenticate_at_once(&self, request: &Parts) -> Option<Result<Option<Principal>, BoxError>> {
        let Some(presented) = PresentedKey::of(request) else { return Some(Ok(None)) };
        let found = self.find_at_once(presented.id)?;
        Some(found.map(|known| checked(self, presented, known.as_deref())))
    }
}

/// The principal of the key that was found by the id of the presented one, if that is right and valid.
fn checked(
    store: &impl ApiKeyStore,
    presented: PresentedKey<'_>,
    known: Option<&ApiKey>,
) -> Option<Principal> {
    // An unknown id is compared as well, so that it takes as long as a wrong secret.
    let hash = known.map_or([0; 32], |key| key.hash);
    let is_right: bool = hash.ct_eq(&presented.hash()).into();
    let valid = |key: &ApiKey| key.expires_at.is_none_or(|end| store.now() < end);
    known.filter(|key| is_right && valid(key)).map(|key| Principal {
        name: Arc::clone(&key.id),
        scopes: Arc::clone(&key.scopes),
        quota: key.quota,
    })
}
