//! [`DeliveryBuilder`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use moka::sync::Cache;

use super::cache_policy::CachePolicy;
use super::cursor::CursorSeal;
use super::delivery::{Delivery, Served};
use super::guard::{Authenticator, Gate};
use crate::error::{Error, ErrorKind};
use crate::manager::Kinds;

const NAME: &str = "build a delivery";

/// Builds a [`Delivery`].
pub struct DeliveryBuilder {
    kinds: Kinds,
    prefix: String,
    gate: Option<Gate>,
    policy: CachePolicy,
    policies: BTreeMap<String, CachePolicy>,
    cache_bytes: u64,
    cursor_secret: Option<[u8; 32]>,
}

impl DeliveryBuilder {
    pub(super) fn new(kinds: Kinds) -> Self {
        Self {
            kinds,
            prefix: String::new(),
            gate: None,
            policy: CachePolicy::private(),
            policies: BTreeMap::new(),
            cache_bytes: 64 << 20,
            cursor_secret: None,
        }
    }

    /// Sets the path under which clients see the service, such as `/api/v1`. It begins the URLs in
    /// answers, and is removed from the paths of requests where the server has not done so. Empty by
    /// default.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets who finds out who sends a request.
    pub fn authenticator(mut self, authenticator: impl Authenticator + 'static) -> Self {
        self.gate = Some(Gate::Guarded(Arc::new(authenticator)));
        self
    }

    /// Lets everybody read the states of all tenants.
    pub fn open_to_everybody(mut self) -> Self {
        self.gate = Some(Gate::Open);
        self
    }

    /// Sets what caches may do with the states of all tenants that have no
    /// [policy of their own](Self::tenant_cache_policy). [`CachePolicy::private`] by default.
    pub fn cache_policy(mut self, policy: CachePolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Sets what caches may do with the states of one tenant.
    pub fn tenant_cache_policy(mut self, tenant: impl Into<String>, policy: CachePolicy) -> Self {
        self.policies.insert(tenant.into(), policy);
        self
    }

    /// Sets how much memory rendered states may take, in bytes. 64 MiB by default. A rendered state
    /// also keeps the state itself in memory.
    pub fn rendered_bytes(mut self, bytes: u64) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// Sets the secret that signs the cursors of lists. By default it is random, so that a client
    /// that follows a link must reach the same process. Set the same one in all processes.
    pub fn cursor_secret(mut self, secret: [u8; 32]) -> Self {
        self.cursor_secret = Some(secret);
        self
    }

    /// Builds the service.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if neither [`authenticator`](Self::authenticator) nor
    /// [`open_to_everybody`](Self::open_to_everybody) was called, or if the prefix is neither empty
    /// nor a path without a slash at its end; [`ErrorKind::Unsupported`] if the operating system has
    /// no random bits for a secret.
    pub fn build(self) -> Result<Delivery, Error> {
        let invalid = |message: &str| Error::new(ErrorKind::InvalidInput, NAME, message);
        let gate = self.gate.ok_or_else(|| {
            invalid("nobody may read: call authenticator() or open_to_everybody()")
        })?;
        let is_path = self.prefix.starts_with('/') && !self.prefix.ends_with('/');
        let is_plain = self.prefix.bytes().all(|b| b.is_ascii_graphic() && !b"<>\"?#".contains(&b));
        if !(self.prefix.is_empty() || is_path && is_plain) {
            return Err(invalid("the prefix is no path: use one such as /api/v1"));
        }
        let mut secret = self.cursor_secret.unwrap_or_default();
        if self.cursor_secret.is_none() {
            getrandom::fill(&mut secret).map_err(|source| {
                let message = "the operating system has no random bits";
                Error::new(ErrorKind::Unsupported, NAME, message).with_source(source)
            })?;
        }
        let rendered = Cache::builder()
            .max_capacity(self.cache_bytes)
            .weigher(|_, it: &Arc<super::representation::Representation>| {
                u32::try_from(it.weight()).unwrap_or(u32::MAX)
            })
            .build();
        Ok(Delivery::new(Served {
            kinds: self.kinds,
            prefix: self.prefix,
            gate,
            policy: self.policy,
            policies: self.policies,
            rendered,
            cursors: CursorSeal(secret),
        }))
    }
}

impl fmt::Debug for DeliveryBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeliveryBuilder").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}
