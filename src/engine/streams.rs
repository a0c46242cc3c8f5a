//! Streams of loads and snapshots, for more aggregates than fit into one list.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::stream::{Stream, StreamExt as _};

use super::SnapshotEngine;
use super::create_many::{CHUNK, ExpectedSize};
use super::in_flight::InFlight;
use super::load_many::BATCH;
use super::reconstructed::Purpose;
use crate::error::Error;
use crate::key::AggregateKey;
use crate::manager::{AdminContext, CreateOutcome, CreateRequest, Loaded};
use crate::state::Aggregate;

/// Streams, for any number of aggregates in bounded memory.
///
/// # Cancellation
/// The streams do nothing unless they are polled. If one is dropped, the aggregates in flight are
/// cancelled: loads have no effect, and snapshots that were already stored remain stored. An item
/// taken from the input whose result was not yielded is lost, so resume after the last result
/// (with an [ordered](InFlight::ordered) stream) or repeat the whole input, which is idempotent.
impl<A: Aggregate> SnapshotEngine<A> {
    /// Loads the current states of a stream of aggregates. Yields each key with its result.
    ///
    /// Keys that are ready at the same time are loaded together, as
    /// [`load_many`](Self::load_many) does. At most [`InFlight::aggregates`] states are held by the
    /// stream at any time. If one load fails, or the application's code panics in it, the others
    /// are not affected.
    ///
    /// ```
    /// use futures_util::stream::{self, StreamExt};
    /// use snapfold::engine::InFlight;
    /// # use snapfold::{Aggregate, AggregateKey, SnapshotEngine};
    /// # async fn load<A: Aggregate>(engine: &SnapshotEngine<A>, keys: Vec<AggregateKey>) {
    ///
    /// let mut loads = engine.load_stream(stream::iter(keys), InFlight::new(1_000));
    /// while let Some((key, loaded)) = loads.next().await {
    ///     match loaded {
    ///         Ok(loaded) => println!("{key} is at version {}", loaded.version),
    ///         Err(error) => eprintln!("{key}: {error:#}"),
    ///     }
    /// }
    /// # }
    /// ```
    pub fn load_stream<K>(
        &self,
        keys: K,
        in_flight: InFlight,
    ) -> impl Stream<Item = (AggregateKey, Result<Loaded<A>, Error>)> + Send + Unpin + use<A, K>
    where
        K: Stream<Item = AggregateKey> + Send,
    {
        let core = Arc::clone(&self.core);
        let size = in_flight.batch(BATCH);
        let batches = keys.ready_chunks(size).map(move |keys| -> BoxFuture<'static, Vec<_>> {
            let core = Arc::clone(&core);
            Box::pin(async move {
                let loaded = core.load_many(&keys, Purpose::Answer).await;
                keys.into_iter().zip(loaded).collect()
            })
        });
        Box::pin(in_flight.run(size, batches))
    }

    /// Takes snapshots for a stream of requests. Yields each request with its result.
    ///
    /// Requests are handled in batches, as [`create_many`](Self::create_many) does. Requests for
    /// the same aggregate may be handled in any order while they are in flight together; if they
    /// are for the same version, one snapshot is stored and the others are
    /// [`Existing`](CreateOutcome::Existing). If one request fails, or the code of the application
    /// panics, the others are not affected.
    pub fn create_stream<R>(
        &self,
        requests: R,
        in_flight: InFlight,
    ) -> impl Stream<Item = (CreateRequest, Result<CreateOutcome, Error>)> + Send + Unpin + use<A, R>
    where
        R: Stream<Item: Into<CreateRequest> + Send> + Send,
    {
        let (engine, expected) = (self.clone(), Arc::new(ExpectedSize::default()));
        let size = in_flight.batch(CHUNK);
        let requests = requests.map(Into::into).ready_chunks(size);
        let batches = requests.map(move |requests| -> BoxFuture<'static, Vec<_>> {
            let (engine, expected) = (engine.clone(), Arc::clone(&expected));
            Box::pin(async move {
                let context = AdminContext::default();
                let created = engine.create_requests(&requests, &context, &expected).await;
                requests.into_iter().zip(created).collect()
            })
        });
        Box::pin(in_flight.run(size, batches))
    }
}
