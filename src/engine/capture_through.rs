//! [`SnapshotEngine::capture_through`]: a record for the caller to store.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::SnapshotEngine;
use super::annotations::Annotations;
use super::core::{EngineCore, check_kind, off_the_runtime};
use super::load::{from_start, resume};
use super::reconstructed::{Purpose, Reconstructed};
use super::search::Search;
use super::stopwatch::Stopwatch;
use crate::error::{Error, ErrorKind};
use crate::events::EventSource;
use crate::key::AggregateKey;
use crate::manager::{AdminContext, CreateOptions, Origin, Point, Provenance, SnapshotUsed};
use crate::record::Record;
use crate::state::Aggregate;

impl<A: Aggregate> SnapshotEngine<A> {
    /// Folds the events of `source` up to the newest one, and returns the snapshot of that state as
    /// a record. Stores nothing. Returns `None` for an aggregate without events.
    ///
    /// This is for an application that stores a snapshot in the transaction that appends the
    /// events. `source` then reads through that transaction, including events that are not
    /// committed yet (such as `PostgresEvents::within`), and the application stores the record in
    /// it (`PostgresStore::put_in`).
    ///
    /// **Store the record only together with the events.** If the record is stored and the events
    /// are not, the snapshot holds events that never happened. Loads reject it as far as the event
    /// source has other events, or anchors or times that differ.
    ///
    /// The fold starts from the newest usable snapshot in the store of this engine, which is read
    /// outside of the transaction and takes a connection of its own. The state is encoded and
    /// verified as for every snapshot, and never as a delta. Caches, triggers and statistics do not
    /// learn of the record: call [`committed`](Self::committed) after the commit as usual.
    ///
    /// # Errors
    /// The same errors as a load, and [`ErrorKind::Encode`] if the state cannot be stored.
    ///
    /// # Cancellation
    /// Dropping the future has no effect on the engine. `source` may be in the middle of a call.
    pub async fn capture_through(
        &self,
        key: &AggregateKey,
        source: &dyn EventSource<A>,
    ) -> Result<Option<Record>, Error> {
        check_kind::<A>(key)?;
        let core = &self.core;
        let annotations = Annotations::of(&CreateOptions::new(), &AdminContext::default());
        let loaded = core.reconstruct_through(key, source).await?;
        if loaded.version() == 0 {
            return Ok(None);
        }
        core.report_loaded(&loaded, Purpose::Capture);
        if core.encode_in_place == u64::MAX || Handle::try_current().is_err() {
            return core.record(&loaded, &annotations, None).map(Some);
        }
        let core = Arc::clone(core);
        let shut_down = "the runtime shut down before the state was encoded";
        let encode = move || core.record(&loaded, &annotations, None);
        off_the_runtime("capture a state", shut_down, encode).await?.map(Some)
    }
}

impl<A: Aggregate> EngineCore<A> {
    /// Loads the current state with events from `source`. Never uses the cache, which holds
    /// committed states only.
    ///
    /// A full replay takes no permit: the caller has a transaction open, and should not wait for
    /// the loads of others.
    async fn reconstruct_through(
        &self,
        key: &AggregateKey,
        source: &dyn EventSource<A>,
    ) -> Result<Reconstructed<A>, Error> {
        let limits = Point::Now.into();
        let mut watch = Stopwatch::start(&*self.clock);
        let mut search = Search::new(self, key, limits);
        loop {
            search.next(&mut watch).await?;
            // Events that came with the snapshot were not read through `source`.
            search.ahead = None;
            let Some(mut candidate) = search.candidate.take() else {
                let rejected = search.rejected.as_slice();
                match from_start(source, key, None, limits, &mut watch, rejected).await {
                    Err(error) if error.kind() == ErrorKind::Unrecoverable => {
                        // The store's error is returned, because its snapshots may be usable.
                        if let Some(store_error) = search.store_error.take() {
                            return Err(store_error);
                        }
                        if !search.go_on() {
                            return Err(error);
                        }
                        continue;
                    }
                    replayed => return replayed,
                }
            };
            let version = candidate.progress.position.version;
            let progress = &mut candidate.progress;
            match resume(source, key, None, progress, limits, &mut watch).await? {
                Ok(done) => {
                    let mut provenance = Provenance::new(Origin::Snapshot);
                    let is_compared = done.is_compared;
                    provenance.snapshot = Some(SnapshotUsed { is_compared, ..candidate.used });
                    provenance.rejected = search.rejected;
                    provenance.events_replayed = done.applied;
                    provenance.timings = watch.timings;
                    let progress = candidate.progress;
                    return Ok(Reconstructed {
                        key: key.clone(),
                        progress,
                        provenance,
                        weight: None,
                    });
                }
                Err(reject) => search.reject(version, reject),
            }
        }
    }
}
