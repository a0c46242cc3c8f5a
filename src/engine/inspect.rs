//! The engine's implementation of [`Inspect`], and the methods that know the state type.

use std::ops::RangeInclusive;
use std::sync::Arc;

use async_trait::async_trait;

use super::SnapshotEngine;
use super::core::check_kind;
use super::reconstructed::{Purpose, Reconstructed};
use crate::codec::Viewer;
use crate::error::Error;
use crate::events::{EventRange, EventTime};
use crate::key::AggregateKey;
use crate::manager::{
    Bisected, Bisection, Explained, FoldComparison, Inspect, Loaded, OpaqueState, Point,
    SafeTruncation, StateDiff, TruncationRequest, Verified, View,
};
use crate::record::Record;
use crate::snapshot_id::SnapshotId;
use crate::state::Aggregate;

/// Time travel and verification. [`Inspect`] documents the methods, for code that does not know the
/// state type.
impl<A: Aggregate> SnapshotEngine<A> {
    /// Returns the state at `point` as a tree of values: see [`Inspect::view`].
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) if there is no
    /// [viewer](crate::engine::EngineBuilder::viewer); [`Encode`](crate::ErrorKind::Encode) if the
    /// viewer fails; the same errors as [`at`](Self::at).
    pub async fn view(&self, key: &AggregateKey, point: Point) -> Result<View, Error> {
        Inspect::view(self, key, point).await
    }

    /// Returns the states at several versions, in the order of `versions`, which must ascend.
    ///
    /// Each event is read at most once. Snapshots are used to skip events between distant versions.
    /// The [`Provenance`](crate::manager::Provenance) of a state counts the events since the
    /// previous one. All states are in memory at the same time.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the versions do not ascend strictly; the
    /// same errors as [`at_version`](Self::at_version).
    pub async fn history(
        &self,
        key: &AggregateKey,
        versions: &[u64],
    ) -> Result<Vec<Loaded<A>>, Error> {
        check_kind::<A>(key)?;
        let history = self.core.history(key, versions).await;
        history.inspect_err(|error| self.core.report_failed(key, error))
    }

    /// Compares the states at two points: see [`Inspect::diff`].
    ///
    /// # Errors
    /// The same errors as [`view`](Self::view), for either point.
    pub async fn diff(
        &self,
        key: &AggregateKey,
        earlier: Point,
        later: Point,
    ) -> Result<StateDiff, Error> {
        Inspect::diff(self, key, earlier, later).await
    }

    /// Finds the first version within `versions` (inclusive) whose state fulfils `condition`.
    ///
    /// The condition must stay fulfilled once it is. Otherwise the result is one of the versions at
    /// which it became fulfilled. A range of `n` versions takes at most `log2(n + 1)`
    /// reconstructions, rounded up: 17 for 100,000. Each starts from the nearest snapshot.
    ///
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// # use snapfold::{Aggregate, AggregateKey, MemoryEvents, MemoryStore, SnapshotEngine, Timestamp};
    /// # #[derive(Clone, Serialize, Deserialize)]
    /// # struct Account(i64);
    /// # impl Aggregate for Account {
    /// #     type Event = i64;
    /// #     const KIND: &'static str = "account";
    /// #     const SCHEMA_VERSION: u32 = 1;
    /// #     fn initial(_: &AggregateKey) -> Self { Account(0) }
    /// #     fn apply(&mut self, cents: &i64) { self.0 += cents; }
    /// # }
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let (events, store) = (MemoryEvents::new(), MemoryStore::new());
    /// # let key = AggregateKey::new("account", "alice")?;
    /// # for at in 0..100 { events.append(&key, Timestamp::from_seconds(at), 5); }
    /// # let engine = SnapshotEngine::<Account>::builder(events, store).build()?;
    /// let found = engine.bisect(&key, 1..=100, |account| account.0 >= 200).await?;
    /// assert_eq!(found.first, Some(40));
    /// # Ok::<(), snapfold::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`BeyondHead`](crate::ErrorKind::BeyondHead) if the range ends beyond the head, and the
    /// search got there; the same errors as [`at_version`](Self::at_version).
    pub async fn bisect(
        &self,
        key: &AggregateKey,
        versions: RangeInclusive<u64>,
        mut condition: impl FnMut(&A) -> bool + Send,
    ) -> Result<Bisected, Error> {
        let mut bisection = Bisection::new(versions);
        while let Some(version) = bisection.next() {
            let loaded = self.at_version(key, version).await?;
            bisection.answer(condition(&loaded.state));
        }
        Ok(bisection.finish())
    }

    /// Explains how a load of the state at `point` works: see [`Inspect::explain`].
    pub async fn explain(&self, key: &AggregateKey, point: Point) -> Result<Explained, Error> {
        Inspect::explain(self, key, point).await
    }

    /// Explains a load that uses no snapshot: see [`Inspect::explain_replay`].
    pub async fn explain_replay(
        &self,
        key: &AggregateKey,
        point: Point,
    ) -> Result<Explained, Error> {
        Inspect::explain_replay(self, key, point).await
    }

    /// Returns the recorded times of the first events of `key` within `versions` (inclusive), in
    /// version order: see [`Inspect::times`].
    pub async fn times(
        &self,
        key: &AggregateKey,
        versions: RangeInclusive<u64>,
        limit: usize,
    ) -> Result<Vec<EventTime>, Error> {
        Inspect::times(self, key, versions, limit).await
    }

    /// Verifies all stored snapshots of an aggregate: see [`Inspect::verify`].
    pub async fn verify(&self, key: &AggregateKey) -> Result<Verified, Error> {
        Inspect::verify(self, key).await
    }

    /// Folds the events again and compares the result with each stored snapshot: see
    /// [`Inspect::compare_with_events`].
    pub async fn compare_with_events(&self, key: &AggregateKey) -> Result<FoldComparison, Error> {
        Inspect::compare_with_events(self, key).await
    }

    /// Returns up to which version the event store may delete events, because snapshots replace
    /// them: see [`Inspect::safe_to_truncate_below`].
    pub async fn safe_to_truncate_below(
        &self,
        key: &AggregateKey,
        request: &TruncationRequest,
    ) -> Result<SafeTruncation, Error> {
        Inspect::safe_to_truncate_below(self, key, request).await
    }
}

#[async_trait]
impl<A: Aggregate> Inspect for SnapshotEngine<A> {
    async fn view(&self, key: &AggregateKey, point: Point) -> Result<View, Error> {
        Inspect::load_opaque(self, key, point).await?.show()
    }

    async fn load_opaque(&self, key: &AggregateKey, point: Point) -> Result<OpaqueState, Error> {
        let viewer = self.core.viewer()?;
        // Each further layer would allocate a future of its own.
        let loaded = match point {
            Point::Now => self.load(key).await?,
            _ => self.at(key, point).await?,
        };
        Ok(hidden(viewer, loaded))
    }

    async fn history(&self, key: &AggregateKey, versions: &[u64]) -> Result<Vec<View>, Error> {
        let viewer = self.core.viewer()?;
        let history = self.history(key, versions).await?;
        history.into_iter().map(|loaded| hidden(viewer, loaded).show()).collect()
    }

    async fn explain(&self, key: &AggregateKey, point: Point) -> Result<Explained, Error> {
        let loaded: Reconstructed<A> = self.core.reconstruct(key, point, Purpose::Answer).await?;
        let (version, provenance) = (loaded.version(), loaded.provenance);
        let metas = self.core.list(key, 0..=SnapshotId::MAX_VERSION).await?;
        Ok(Explained::new(key.clone(), point, version, provenance, metas))
    }

    async fn explain_replay(&self, key: &AggregateKey, point: Point) -> Result<Explained, Error> {
        check_kind::<A>(key)?;
        if point == Point::Version(0) {
            // There is nothing to read.
            return Inspect::explain(self, key, point).await;
        }
        let replayed = self.core.replayed(key, point).await?;
        let (version, provenance) = (replayed.version(), replayed.provenance);
        let metas = self.core.list(key, 0..=SnapshotId::MAX_VERSION).await?;
        Ok(Explained::new(key.clone(), point, version, provenance, metas))
    }

    async fn times(
        &self,
        key: &AggregateKey,
        versions: RangeInclusive<u64>,
        limit: usize,
    ) -> Result<Vec<EventTime>, Error> {
        check_kind::<A>(key)?;
        let range = EventRange::new(versions.start().saturating_sub(1), *versions.end());
        if range.after >= range.until {
            return Ok(Vec::new());
        }
        let times = self.core.source.times(key, range, limit).await;
        times.map_err(|source| Error::event_source("read the times of events", source))
    }

    async fn record(&self, key: &AggregateKey, id: SnapshotId) -> Result<Option<Record>, Error> {
        self.core.stored_record(key, id).await
    }

    async fn verify(&self, key: &AggregateKey) -> Result<Verified, Error> {
        self.core.verify(key).await
    }

    async fn compare_with_events(&self, key: &AggregateKey) -> Result<FoldComparison, Error> {
        self.core.compare_with_events(key).await
    }

    async fn safe_to_truncate_below(
        &self,
        key: &AggregateKey,
        request: &TruncationRequest,
    ) -> Result<SafeTruncation, Error> {
        self.core.safe_to_truncate_below(key, request).await
    }
}

/// Hides the type of a state. It is shown with `viewer`.
pub(super) fn hidden<A: Aggregate>(viewer: &Arc<dyn Viewer<A>>, loaded: Loaded<A>) -> OpaqueState {
    let Loaded { key, state, version, as_of, provenance, .. } = loaded;
    OpaqueState::new((key, version, as_of), provenance, state, Arc::clone(viewer))
}
