//! [`SnapshotReader`]: serves the states that were captured, without an event source.

use std::fmt;

use async_trait::async_trait;

use super::SnapshotEngine;
use super::builder::EngineBuilder;
use crate::codec::Codec;
use crate::error::{BoxError, Error, ErrorKind};
use crate::events::{EventRange, EventSource, Replay};
use crate::key::AggregateKey;
use crate::manager::{Fetched, Loaded, Origin, Point, Proof, Provenance, SnapshotUsed};
use crate::record::SnapshotMeta;
use crate::state::Aggregate;
use crate::store::{ListRequest, SnapshotStore};

const NAME: &str = "read a captured state";
/// The number of snapshots that are listed at once.
const PAGE: usize = 64;

/// Serves the states that were captured, from a store and a codec alone. For front ends, reports and
/// deliveries that have no access to the events.
///
/// It never folds events, so what it calls the state now is the newest captured one. That may be
/// behind the events, by as many as were committed since: its version says which state it is.
///
/// | point | state |
/// |---|---|
/// | [`Point::Now`] | the newest snapshot that is not retired |
/// | [`Point::Version`] | the snapshot at exactly this version |
/// | [`Point::Time`] | the newest snapshot whose events were all recorded by then |
///
/// A snapshot that this release of the application cannot read is an error, and is not replaced by an
/// older one. An aggregate without snapshots has the empty state at version 0.
///
/// It implements [`Inspect`](crate::manager::Inspect) and the reading half of
/// [`SnapshotAdmin`](crate::SnapshotAdmin); whatever would write is
/// [`Unsupported`](ErrorKind::Unsupported).
///
/// ```
/// # use serde::{Deserialize, Serialize};
/// # use snapfold::{Aggregate, AggregateKey, MemoryEvents, MemoryStore, SnapshotEngine, Timestamp};
/// # #[derive(Clone, Serialize, Deserialize)]
/// # struct Account { cents: i64 }
/// # impl Aggregate for Account {
/// #     type Event = i64;
/// #     const KIND: &'static str = "account";
/// #     const SCHEMA_VERSION: u32 = 1;
/// #     fn initial(_: &AggregateKey) -> Self { Account { cents: 0 } }
/// #     fn apply(&mut self, cents: &i64) { self.cents += cents; }
/// # }
/// # #[cfg(feature = "postcard")]
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use snapfold::Point;
/// use snapfold::engine::SnapshotReader;
/// use snapfold::manager::{Inspect, Kinds};
///
/// # let (events, store) = (MemoryEvents::new(), MemoryStore::new());
/// # let alice = Account::key("alice")?;
/// # events.append(&alice, Timestamp::from_seconds(0), 250);
/// # let engine = SnapshotEngine::<Account>::builder(events.clone(), store.clone()).build()?;
/// # engine.create(&alice).await?;
/// # events.append(&alice, Timestamp::from_seconds(1), 100);
/// let reader = SnapshotReader::<Account>::builder(store).build_reader()?;
/// let view = reader.view(&alice, Point::Now).await?;
/// assert_eq!((view.version, view.state.to_string()), (1, r#"{"cents":250}"#.to_owned()));
/// let kinds = Kinds::new().with(reader)?; // for a delivery, for example
/// # let _ = kinds;
/// # Ok::<(), snapfold::Error>(())
/// # }).unwrap();
/// ```
pub struct SnapshotReader<A: Aggregate>(pub(super) SnapshotEngine<A>);

/// The events of a reader, which never asks for them.
struct NoEvents;

#[async_trait]
impl<A: Aggregate> EventSource<A> for NoEvents {
    async fn read(
        &self,
        _: &AggregateKey,
        _: EventRange,
        _: &mut Replay<'_, A>,
    ) -> Result<(), BoxError> {
        let message = "a reader has no events: load the state through an engine";
        Err(Error::new(ErrorKind::Unsupported, "read events", message).into())
    }
}

#[cfg(feature = "postcard")]
impl<A: Aggregate + serde::Serialize + serde::de::DeserializeOwned> SnapshotReader<A> {
    /// Returns a builder for a reader of the snapshots in `store`. Set the codec's options, the
    /// upcasters and the viewer as for the engine that takes the snapshots, and call
    /// [`EngineBuilder::build_reader`].
    pub fn builder(store: impl SnapshotStore + 'static) -> EngineBuilder<A> {
        SnapshotEngine::builder(NoEvents, store)
    }
}

impl<A: Aggregate> SnapshotReader<A> {
    /// Returns a builder for a reader of snapshots that were encoded with `codec`.
    pub fn builder_with_codec(
        store: impl SnapshotStore + 'static,
        codec: impl Codec<A>,
    ) -> EngineBuilder<A> {
        SnapshotEngine::builder_with_codec(NoEvents, store, codec)
    }

    /// Loads the captured state at a point. An aggregate without snapshots has the initial state at
    /// version 0.
    ///
    /// # Errors
    /// - [`ErrorKind::InvalidInput`] if the key is for a different kind of aggregate.
    /// - [`ErrorKind::BeyondHead`] for a version above the newest captured one.
    /// - [`ErrorKind::Unrecoverable`] for another version that was not captured, or if the snapshot
    ///   cannot be used.
    /// - Those of the store.
    pub async fn captured(&self, key: &AggregateKey, point: Point) -> Result<Loaded<A>, Error> {
        let version = match point {
            Point::Version(version) => version,
            Point::Now => self.newest(key, |_| true).await?,
            Point::Time(time) => self.newest(key, |meta| meta.as_of <= time).await?,
        };
        if version == 0 {
            let mut loaded = Loaded::new(key.clone(), A::initial(key), 0, None);
            loaded.provenance.origin = Origin::Snapshot;
            return Ok(loaded);
        }
        match self.0.snapshot(key, version).await? {
            Fetched::Usable(snapshot) => {
                let meta = snapshot.meta;
                let mut provenance = Provenance::new(Origin::Snapshot);
                provenance.snapshot = Some(SnapshotUsed {
                    id: meta.id(),
                    created_at: meta.created_at,
                    stored_bytes: meta.stored_bytes,
                    raw_bytes: meta.raw_bytes,
                    proof: Proof::Verified,
                    is_compared: false,
                });
                Ok(Loaded {
                    key: key.clone(),
                    state: snapshot.state,
                    version: meta.version,
                    as_of: Some(meta.as_of),
                    provenance,
                    weight: None,
                })
            }
            Fetched::Rejected(rejected) => Err(Error::new(
                ErrorKind::Unrecoverable,
                NAME,
                format!(
                    "the snapshot of {key} at version {version} is unusable: {}",
                    rejected.reason
                ),
            )),
            Fetched::Absent => {
                let newest = self.newest(key, |_| true).await?;
                let kind =
                    if version > newest { ErrorKind::BeyondHead } else { ErrorKind::Unrecoverable };
                let message = format!(
                    "version {version} of {key} was not captured (the newest is {newest}): ask for \
                     a version that has a snapshot, or load it through an engine"
                );
                Err(Error::new(kind, NAME, message))
            }
        }
    }

    /// The newest version that has a snapshot that fits and is not retired; 0 without one.
    async fn newest(
        &self,
        key: &AggregateKey,
        fits: impl Fn(&SnapshotMeta) -> bool + Send,
    ) -> Result<u64, Error> {
        let mut request = ListRequest::new(key).limit(PAGE);
        loop {
            let page = self.0.admin().snapshot_page(request).await?;
            let found = page.items.iter().find(|meta| !meta.is_retired() && fits(meta));
            match (found, page.next) {
                (Some(meta), _) => return Ok(meta.version),
                (None, Some(next)) => request = ListRequest::new(key).limit(PAGE).after(next),
                (None, None) => return Ok(0),
            }
        }
    }
}

impl<A: Aggregate> EngineBuilder<A> {
    /// Builds a reader of the captured states, for a builder of
    /// [`SnapshotReader::builder`]. What concerns events, saves and the cache has no effect.
    ///
    /// # Errors
    /// Those of [`build`](Self::build).
    pub fn build_reader(self) -> Result<SnapshotReader<A>, Error> {
        Ok(SnapshotReader(self.without_spot_checks().build()?))
    }
}

/// Clones share everything.
impl<A: Aggregate> Clone for SnapshotReader<A> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<A: Aggregate> fmt::Debug for SnapshotReader<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotReader").field("kind", &A::KIND).finish_non_exhaustive()
    }
}
