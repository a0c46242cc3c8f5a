//! [`KeyLocks`]: one lock per aggregate that is in use.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use crate::key::AggregateKey;

type Locks = HashMap<AggregateKey, Arc<RwLock<()>>>;

/// A lock per aggregate, shared or exclusive. It exists while somebody holds it or waits for it.
///
/// A lock per key, and not one of a fixed number of stripes: calls for different aggregates then
/// never wait for each other, so a caller that does not poll one call cannot block another.
#[derive(Default)]
pub(crate) struct KeyLocks(Arc<Mutex<Locks>>);

/// A use of a key's lock. Dropping the last one removes the lock.
struct Lease {
    locks: Arc<Mutex<Locks>>,
    key: AggregateKey,
    lock: Arc<RwLock<()>>,
}

// The guard is dropped before the lease, because fields are dropped in this order.
pub(crate) struct SharedLock {
    _guard: OwnedRwLockReadGuard<()>,
    _lease: Lease,
}

pub(crate) struct ExclusiveLock {
    _guard: OwnedRwLockWriteGuard<()>,
    _lease: Lease,
}

impl KeyLocks {
    pub(crate) async fn shared(&self, key: &AggregateKey) -> SharedLock {
        let lease = self.lease(key);
        SharedLock { _guard: Arc::clone(&lease.lock).read_owned().await, _lease: lease }
    }

    /// Locks several keys, in ascending order and each once, so that calls cannot wait in a circle.
    pub(crate) async fn shared_all<'k>(
        &self,
        keys: impl Iterator<Item = &'k AggregateKey>,
    ) -> Vec<SharedLock> {
        let mut keys: Vec<_> = keys.collect();
        keys.sort_unstable();
        keys.dedup();
        let mut held = Vec::with_capacity(keys.len());
        for key in keys {
            held.push(self.shared(key).await);
        }
        held
    }

    pub(crate) async fn exclusive(&self, key: &AggregateKey) -> ExclusiveLock {
        let lease = self.lease(key);
        ExclusiveLock { _guard: Arc::clone(&lease.lock).write_owned().await, _lease: lease }
    }

    fn lease(&self, key: &AggregateKey) -> Lease {
        let lock = Arc::clone(lock(&self.0).entry(key.clone()).or_default());
        Lease { locks: Arc::clone(&self.0), key: key.clone(), lock }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut locks = lock(&self.locks);
        // One handle in the map, and this one. New leases are only made under the mutex.
        if Arc::strong_count(&self.lock) <= 2 {
            locks.remove(&self.key);
        }
    }
}

// Each change of the map is one call.
fn lock(locks: &Mutex<Locks>) -> MutexGuard<'_, Locks> {
    locks.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_lock_exists_only_while_it_is_used_also_after_a_dropped_wait() {
        let locks = KeyLocks::default();
        let key = AggregateKey::new("account", "a").unwrap();
        let other = AggregateKey::new("account", "b").unwrap();
        let held = locks.exclusive(&key).await;
        let _free = locks.exclusive(&other).await;
        let mut waits = Box::pin(locks.shared_all([&key, &key].into_iter()));
        assert!(futures_util::poll!(waits.as_mut()).is_pending());
        assert_eq!(lock(&locks.0).len(), 2);
        drop(held);
        let held = waits.await;
        assert_eq!(held.len(), 1);
        let mut waits = Box::pin(locks.exclusive(&key));
        assert!(futures_util::poll!(waits.as_mut()).is_pending());
        drop(held);
        drop(waits);
        assert_eq!(lock(&locks.0).len(), 1);
    }
}
