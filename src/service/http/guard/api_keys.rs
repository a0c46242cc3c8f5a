//! [`ApiKeys`]: keys in memory.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;

use super::api_key::ApiKey;
use super::api_key_store::ApiKeyStore;
use crate::clock::{Clock, SystemClock};
use crate::error::BoxError;
use crate::timestamp::Timestamp;

/// Keys in memory. Clones share the keys.
#[derive(Clone)]
pub struct ApiKeys {
    keys: Arc<RwLock<HashMap<Arc<str>, Arc<ApiKey>>>>,
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

    fn get(&self, id: &str) -> Option<Arc<ApiKey>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// Adds a key. One with the same id is replaced.
    pub fn add(&self, key: ApiKey) {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        keys.insert(Arc::clone(&key.id), Arc::new(key));
    }

    /// Revokes a key: requests that begin afterwards are refused. Returns whether there was one.
    pub fn revoke(&self, id: &str) -> bool {
        self.keys.write().unwrap_or_else(PoisonError::into_inner).remove(id).is_some()
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
impl ApiKeyStore for ApiKeys {
    async fn find(&self, id: &str) -> Result<Option<Arc<ApiKey>>, BoxError> {
        Ok(self.get(id))
    }

    fn find_at_once(&self, id: &str) -> Option<Result<Option<Arc<ApiKey>>, BoxError>> {
        Some(Ok(self.get(id)))
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}
