//! The cache when the `cache` feature is disabled: it stores nothing.

use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use super::{CacheConfig, Cached};
use crate::clock::Clock;
use crate::error::Error;
use crate::key::AggregateKey;

/// An epoch that never ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Epoch;

/// A cache that holds nothing.
pub(crate) struct HotCache<A> {
    state: PhantomData<fn() -> A>,
}

#[expect(clippy::unused_async, clippy::unused_self, reason = "the shape of the enabled cache")]
impl<A: Send + Sync> HotCache<A> {
    pub(crate) fn new(_: Option<CacheConfig>, _: Arc<dyn Clock>, _: bool) -> Self {
        Self { state: PhantomData }
    }

    pub(crate) fn is_enabled(&self) -> bool {
        false
    }

    pub(crate) fn epoch(&self, _: &AggregateKey) -> Epoch {
        Epoch
    }

    pub(crate) fn is_current(&self, _: &Cached<A>) -> bool {
        true
    }

    pub(crate) fn outdate(&self, _: &AggregateKey) {}

    #[expect(clippy::extra_unused_type_parameters, reason = "as with a cache")]
    pub(crate) async fn get<Caller>(&self, _: &AggregateKey) -> Option<Arc<Cached<A>>> {
        None
    }

    pub(crate) async fn get_or_load(
        &self,
        _: &AggregateKey,
        load: impl Future<Output = Result<Cached<A>, Error>>,
    ) -> Result<Arc<Cached<A>>, Error> {
        load.await.map(Arc::new)
    }

    pub(crate) async fn replace(&self, _: &AggregateKey, _: Cached<A>) {}

    pub(crate) async fn invalidate(&self, _: &AggregateKey) {}
}
