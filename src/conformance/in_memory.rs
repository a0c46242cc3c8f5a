//! [`in_memory`]: a factory for stores in memory.

use std::sync::Arc;

use async_trait::async_trait;

use super::factory::{Site, StoreFactory};
use crate::error::BoxError;
use crate::store::SnapshotStore;

/// Returns a factory that creates each store with `make`. Suitable for stores that hold everything
/// in memory, and for a first test of other stores. Opening a site again returns the same store.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use std::sync::Arc;
/// use snapfold::MemoryStore;
/// use snapfold::conformance::{self, Conformance, Level};
///
/// let factory = conformance::in_memory(|| Arc::new(MemoryStore::new()));
/// let card = Conformance::of(&factory).only(Level::Core).run().await;
/// assert!(card.is_conformant(), "{card}");
/// # });
/// ```
pub fn in_memory<S, F>(make: F) -> impl StoreFactory
where
    S: SnapshotStore + 'static,
    F: Fn() -> Arc<S> + Send + Sync,
{
    InMemory(make)
}

struct InMemory<F>(F);

#[async_trait]
impl<S, F> StoreFactory for InMemory<F>
where
    S: SnapshotStore + 'static,
    F: Fn() -> Arc<S> + Send + Sync,
{
    async fn site(&self) -> Result<Box<dyn Site>, BoxError> {
        let store: Arc<dyn SnapshotStore> = (self.0)();
        Ok(Box::new(InMemorySite(store)))
    }
}

struct InMemorySite(Arc<dyn SnapshotStore>);

#[async_trait]
impl Site for InMemorySite {
    async fn open(&mut self) -> Result<Arc<dyn SnapshotStore>, BoxError> {
        Ok(Arc::clone(&self.0))
    }
}
