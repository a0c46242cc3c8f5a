//! [`ApiKey`]: a key that the server makes, and stores hashed.

use std::fmt;
use std::sync::Arc;

use super::presented_key::{ID_BYTES, SECRET_BYTES, hash, key_text};
use super::principal::Scope;
use super::quota::RequestQuota;
use crate::error::Error;
use crate::hex::hex;
use crate::random::random;
use crate::timestamp::Timestamp;

/// A key as the server keeps it: the hash of its secret, and what it allows.
///
/// A key has 256 random bits, so a plain SHA-256 protects it: there is nothing to guess.
///
/// In JSON, it is `{"id", "sha256", "name", "scopes", "expires_at", "quota"}`: the hash is
/// hexadecimal, the time is RFC 3339, the quota is `{"requests", "seconds"}`, and `expires_at` and
/// `quota` may be missing. Unknown fields are refused.
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
    pub id: Arc<str>,
    /// The SHA-256 of the text that the client sends.
    pub hash: [u8; 32],
    /// For whom the key is.
    pub name: String,
    /// What the key allows.
    pub scopes: Arc<[Scope]>,
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
        let id = hex(id);
        let text = key_text(&id, secret);
        Ok((Self::from_stored(id, hash(&text), name).scopes(scopes), text))
    }

    /// Recreates a key that was stored. The id must be one that [`generate`](Self::generate) made.
    pub fn from_stored(id: impl Into<Arc<str>>, hash: [u8; 32], name: impl Into<String>) -> Self {
        let (id, name) = (id.into(), name.into());
        Self { id, hash, name, scopes: Arc::default(), expires_at: None, quota: None }
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
