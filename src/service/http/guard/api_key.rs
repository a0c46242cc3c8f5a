//! [`ApiKey`] and [`ApiKeys`]: keys that the server makes, and stores hashed.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use http::header::AUTHORIZATION;
use http::request::Parts;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::authenticator::{Authenticator, Unauthorized};
use super::principal::{Principal, Scope};
use super::quota::RequestQuota;
use crate::checksum::crc32;
use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::hex::hex;
use crate::service::http::random::random;
use crate::timestamp::Timestamp;

const ID_BYTES: usize = 6;
const SECRET_BYTES: usize = 32;
const PREFIX: &str = "snf_";

/// A key as the server keeps it: the hash of its secret, and what it allows.
///
/// A key has 256 random bits, so a plain SHA-256 protects it: there is nothing to guess.
///
/// ```
/// use snapfold::service::http::{Permission, ApiKey, ApiKeys, Scope};
///
/// let scope = Scope::new([Permission::Read]).tenants(["north"]);
/// let (key, secret) = ApiKey::generate("dashboard", [scope])?;
/// // The client sends `Authorization: Bearer <secret>`. It is not shown again.
/// assert!(secret.starts_with("snf_"));
/// let keys = ApiKeys::new().with(key);
/// # let _ = keys;
/// # Ok::<(), snapfold::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ApiKey {
    /// The public part, 12 hexadecimal digits. It names the key in lists and in the audit trail.
    pub id: String,
    /// The SHA-256 of the text that the client sends.
    pub hash: [u8; 32],
    /// For whom the key is.
    pub name: String,
    /// What the key allows.
    pub scopes: Vec<Scope>,
    /// From when on the key is no longer valid (inclusive); `None` if it does not expire.
    pub expires_at: Option<Timestamp>,
    /// How many requests may be sent with the key; `None` for the quota of the delivery.
    pub quota: Option<RequestQuota>,
}

impl ApiKey {
    /// Makes a key with random bits of the operating system, and returns it with the text that the
    /// client sends. Only the client can keep that text.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) if the operating system has no random bits.
    pub fn generate(
        name: impl Into<String>,
        scopes: impl IntoIterator<Item = Scope>,
    ) -> Result<(Self, String), Error> {
        let bytes: [u8; ID_BYTES + SECRET_BYTES] = random("make an API key")?;
        let (id, secret) = bytes.split_at(ID_BYTES);
        let (id, secret) = (hex(id), hex(secret));
        let mut text = format!("{PREFIX}{id}_{secret}");
        // So that a typing error, and a scanner for secrets, need no look-up.
        let check = crc32(text.as_bytes());
        let _ = write!(text, "{check:08x}");
        let hash = Sha256::digest(&text).into();
        let scopes = scopes.into_iter().collect();
        Ok((Self { id, hash, name: name.into(), scopes, expires_at: None, quota: None }, text))
    }

    /// Recreates a key that was stored.
    pub fn from_stored(id: impl Into<String>, hash: [u8; 32], name: impl Into<String>) -> Self {
        let (id, name) = (id.into(), name.into());
        Self { id, hash, name, scopes: Vec::new(), expires_at: None, quota: None }
    }

    /// Sets what the key allows.
    pub fn scopes(mut self, scopes: impl IntoIterator<Item = Scope>) -> Self {
        self.scopes = scopes.into_iter().collect();
        self
    }

    /// Sets how many requests may be sent with the key.
    pub fn quota(mut self, quota: RequestQuota) -> Self {
        self.quota = Some(quota);
        self
    }

    /// Sets from when on the key is no longer valid (inclusive).
    pub fn expires_at(mut self, time: Timestamp) -> Self {
        self.expires_at = Some(time);
        self
    }
}

/// Prints the id, and no hash.
impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey")
            .field("id", &self.id)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Keys in memory, sent as `Authorization: Bearer <key>`. Clones share the keys.
#[derive(Clone)]
pub struct ApiKeys {
    keys: Arc<RwLock<HashMap<String, ApiKey>>>,
    clock: Arc<dyn Clock>,
}

impl ApiKeys {
    /// Creates an empty set, which nobody passes.
    pub fn new() -> Self {
        Self { keys: Arc::default(), clock: Arc::new(SystemClock::new()) }
    }

    /// Adds a key. One with the same id is replaced.
    pub fn with(self, key: ApiKey) -> Self {
        self.add(key);
        self
    }

    /// Sets the clock by which keys expire. The system's by default.
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Adds a key. One with the same id is replaced.
    pub fn add(&self, key: ApiKey) {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        keys.insert(key.id.clone(), key);
    }

    /// Revokes a key: requests that begin afterwards are refused. Returns whether there was one.
    pub fn revoke(&self, id: &str) -> bool {
        self.keys.write().unwrap_or_else(PoisonError::into_inner).remove(id).is_some()
    }

    fn check(&self, request: &Parts) -> Option<Principal> {
        let text = request.headers.get(AUTHORIZATION)?.to_str().ok()?;
        let (scheme, text) = text.split_once(' ')?;
        let text = text.trim();
        // A valid key has a fixed length, so a long text costs nothing.
        let len = PREFIX.len() + 2 * ID_BYTES + 1 + 2 * SECRET_BYTES + 8;
        if !scheme.eq_ignore_ascii_case("bearer") || text.len() != len {
            return None;
        }
        let id = text.strip_prefix(PREFIX)?.get(..2 * ID_BYTES)?;
        let hash: [u8; 32] = Sha256::digest(text).into();
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let known = keys.get(id);
        // An unknown id is compared as well, so that it takes as long as a wrong secret.
        let stored = known.map_or([0; 32], |key| key.hash);
        let is_right: bool = stored.ct_eq(&hash).into();
        let key = known.filter(|_| is_right)?;
        if key.expires_at.is_some_and(|at| self.clock.now() >= at) {
            return None;
        }
        let principal = Principal::new(key.id.clone(), key.scopes.iter().cloned());
        Some(Principal { quota: key.quota, ..principal })
    }
}

impl Default for ApiKeys {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("ApiKeys").field("keys", &keys.len()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Authenticator for ApiKeys {
    async fn authenticate(&self, request: &Parts) -> Result<Principal, Unauthorized> {
        self.check(request).ok_or(Unauthorized)
    }
}
