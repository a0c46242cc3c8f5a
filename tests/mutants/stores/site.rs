//! [`Sites`]: the factory of mutants, and the disk behind each.

use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use snapfold::conformance::{Site, StoreFactory};
use snapfold::{AggregateKey, BoxError, SnapshotId, SnapshotStore};

use super::disk::Disk;
use super::mutant::{Mutant, Store};
use super::truth::Truth;

/// Makes sites whose stores are all mutants of one sort.
pub(crate) struct Sites<M>(PhantomData<fn() -> M>);

impl<M> Sites<M> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

#[async_trait]
impl<M: Mutant> StoreFactory for Sites<M> {
    async fn site(&self) -> Result<Box<dyn Site>, BoxError> {
        let disk = Arc::default();
        Ok(Box::new(MapSite::<M> { disk, mutant: PhantomData }))
    }
}

/// A disk that crashes and is damaged on demand.
struct MapSite<M> {
    disk: Arc<Mutex<Disk>>,
    mutant: PhantomData<fn() -> M>,
}

impl<M> MapSite<M> {
    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl<M: Mutant> Site for MapSite<M> {
    async fn open(&mut self) -> Result<Arc<dyn SnapshotStore>, BoxError> {
        M::opened(&mut self.disk());
        let truth = Truth::new(Arc::clone(&self.disk), M::place);
        Ok(Arc::new(Store { mutant: M::default(), truth }))
    }

    async fn crash(&mut self) -> Result<bool, BoxError> {
        self.disk().crash();
        Ok(true)
    }

    async fn damage(&mut self, key: &AggregateKey, id: SnapshotId) -> Result<bool, BoxError> {
        Ok(self.disk().damage(&M::place(key), id, <[u8]>::last_mut))
    }

    async fn damage_header(
        &mut self,
        key: &AggregateKey,
        id: SnapshotId,
    ) -> Result<bool, BoxError> {
        // The fingerprint stands there, under the header's checksum.
        Ok(self.disk().damage(&M::place(key), id, |record| record.get_mut(18)))
    }

    async fn fail_writes(&mut self, failing: bool) -> Result<bool, BoxError> {
        self.disk().failing = failing;
        Ok(true)
    }
}
