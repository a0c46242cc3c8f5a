//! [`TrainingRequest`]: training a dictionary from the snapshots in the store.

use tokio::runtime::Handle;

use super::SnapshotEngine;
use super::core::{EngineCore, off_the_runtime};
use crate::compress::{Dictionary, Training};
use crate::error::Error;
use crate::key::AggregateKey;
use crate::state::Aggregate;
use crate::store::{KeysRequest, Lookup, Query, SnapshotStoreExt};

/// Zstandard recommends samples of about 100 times the size of the dictionary. More take longer and
/// gain little.
const SAMPLES_TO_DICTIONARY: usize = 128;
/// Aggregates whose snapshots are read together.
const BATCH: usize = 64;

/// What a dictionary is trained from. For
/// [`train_dictionary`](SnapshotEngine::train_dictionary).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TrainingRequest {
    /// Uses only aggregates of this tenant. `Some("")` is the default tenant. `None` by default,
    /// which mixes the tenants: see [`Dictionary`].
    pub tenant: Option<String>,
    /// The maximum number of aggregates that are used. 10,000 by default.
    pub max_samples: usize,
    /// The maximum size of the dictionary in bytes. 64 KiB by default.
    pub max_bytes: usize,
}

impl TrainingRequest {
    /// Requests a dictionary of at most 64 KiB from at most 10,000 aggregates.
    pub fn new() -> Self {
        Self { tenant: None, max_samples: 10_000, max_bytes: 64 << 10 }
    }

    /// Uses only aggregates of this tenant.
    pub fn tenant(mut self, tenant: impl Into<String>) -> Self {
        self.tenant = Some(tenant.into());
        self
    }

    /// Sets the maximum number of aggregates that are used.
    pub fn max_samples(mut self, samples: usize) -> Self {
        self.max_samples = samples;
        self
    }

    /// Sets the maximum size of the dictionary in bytes: 256 bytes to
    /// [`Dictionary::MAX_BYTES`], where others count as the nearest.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }
}

impl Default for TrainingRequest {
    fn default() -> Self {
        Self::new()
    }
}

impl<A: Aggregate> SnapshotEngine<A> {
    /// Trains a dictionary from the newest snapshots in the store: one of each aggregate, in the
    /// order of the store's keys, until there are enough. Only snapshots that this engine has
    /// written (its generation and codec) are used. Nothing is stored, and the engine does not
    /// change.
    ///
    /// Reads at most 128 times the size of the dictionary, and keeps that in memory. The training
    /// takes seconds, on a thread for blocking work if there is a tokio runtime. Every fourth
    /// sample is held out and shows what the dictionary gains; see [`Training::dictionary`].
    ///
    /// ```no_run
    /// use snapfold::engine::TrainingRequest;
    /// # use snapfold::{Aggregate, SnapshotEngine};
    /// # async fn train<A: Aggregate>(engine: &SnapshotEngine<A>) -> Result<(), Box<dyn std::error::Error>> {
    ///
    /// let training = engine.train_dictionary(&TrainingRequest::new()).await?;
    /// println!("{training}");
    /// if let Some(dictionary) = training.dictionary {
    ///     std::fs::write("account.dictionary", dictionary.as_bytes())?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// - Any error returned by the store.
    /// - [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if there are too few snapshots,
    ///   or if they have too little in common: see [`Dictionary::train`].
    ///
    /// # Cancellation
    /// If the future is dropped, a training that has begun still runs to its end, without effect.
    pub async fn train_dictionary(&self, request: &TrainingRequest) -> Result<Training, Error> {
        let samples = self.core.samples(request).await?;
        let max_bytes = request.max_bytes;
        if Handle::try_current().is_err() {
            return Dictionary::train(&samples, max_bytes);
        }
        let shut_down = "the runtime shut down before the dictionary was trained";
        let train = move || Dictionary::train(&samples, max_bytes);
        off_the_runtime("train a dictionary", shut_down, train).await?
    }
}

impl<A: Aggregate> EngineCore<A> {
    /// Returns encoded states.
    async fn samples(&self, request: &TrainingRequest) -> Result<Vec<Vec<u8>>, Error> {
        let most = request.max_bytes.clamp(256, Dictionary::MAX_BYTES) * SAMPLES_TO_DICTIONARY;
        let mut keys = KeysRequest::new().kind(A::KIND);
        if let Some(tenant) = &request.tenant {
            keys = keys.tenant(tenant);
        }
        let (mut samples, mut bytes) = (Vec::new(), 0);
        let mut pages = self.store.key_pages(keys);
        while let Some(page) = pages.next().await? {
            for keys in page.chunks(BATCH) {
                for sample in self.encoded_states(keys).await? {
                    if samples.len() >= request.max_samples || bytes >= most {
                        return Ok(samples);
                    }
                    bytes += sample.len();
                    samples.push(sample);
                }
            }
        }
        Ok(samples)
    }

    /// Returns the encoded states in the newest snapshots of some aggregates. Leaves out those that
    /// cannot be opened.
    async fn encoded_states(&self, keys: &[AggregateKey]) -> Result<Vec<Vec<u8>>, Error> {
        let queries: Vec<_> = keys.iter().map(|key| Query::latest(key, self.generation)).collect();
        let lookups = self.store.get_many(&queries).await?;
        let states = keys.iter().zip(lookups).filter_map(|(key, lookup)| {
            let Lookup::Found(found) = lookup else { return None };
            let header = found.record.header().ok()?;
            let is_own = header.is_of(key)
                && header.generation == self.generation
                && header.codec == self.codec.id();
            let with = self.open_with(&found.bases);
            is_own.then(|| found.record.open(&header, with, |raw| Ok(raw.to_vec())).ok()).flatten()
        });
        Ok(states.collect())
    }
}
