//! Taking snapshots: encoding, checking and storing.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::cache::Outdates;
use super::captured::Capture;
use super::core::{EngineCore, check_kind};
use super::load::reached;
use super::reconstructed::{Purpose, Reconstructed};
use super::save_work::panicked;
use super::sizes::Weight;
use super::stopwatch::Stopwatch;
use super::write::Encoded;
use crate::error::{Error, ErrorKind};
use crate::key::AggregateKey;
use crate::manager::{CreateOptions, CreateOutcome, Origin, Point, Rebuilt, SnapshotUsed};
use crate::mark::{Mark, MarkChange, Marks};
use crate::record::{Record, RecordBuilder, SnapshotMeta};
use crate::snapshot_id::SnapshotId;
use crate::state::Aggregate;
use crate::store::{ListRequest, PutOptions, PutOutcome, Selection, SnapshotStoreExt};

/// The maximum number of snapshots in one put.
const BATCH: usize = 64;
/// A batch is put early when its records reach this size.
const BATCH_BYTES: usize = 8 << 20;

/// The advice in the error for a snapshot beyond the head.
const CAPTURE_NOW: &str = "call create() without a version to capture the newest state";

impl<A: Aggregate> EngineCore<A> {
    pub(super) async fn create(
        &self,
        key: &AggregateKey,
        options: &CreateOptions,
        actor: &str,
    ) -> Result<CreateOutcome, Error> {
        let now = self.clock.now();
        let pin = |name: &String| Mark::pin(name.as_str(), now).actor(actor);
        let marks = Marks::new(options.pins.iter().map(pin))?;
        let if_changed = options.if_changed && options.version.is_none();
        if if_changed && let Some(version) = self.snapshot_of_head(key).await? {
            return Ok(CreateOutcome::Unchanged { version });
        }
        let loaded = match options.version {
            None => self.load_now(key).await?,
            Some(version) => self.reconstruct_strictly(key, version).await?,
        };
        if loaded.version() == 0 {
            return Ok(CreateOutcome::Empty);
        }
        // For an event source that does not know its head.
        let provenance = &loaded.provenance;
        let is_stored = |used: &SnapshotUsed| used.id == self.own(loaded.version());
        if if_changed
            && provenance.origin == Origin::Snapshot
            && provenance.snapshot.as_ref().is_some_and(is_stored)
        {
            return Ok(CreateOutcome::Unchanged { version: loaded.version() });
        }
        let (timings, started) = (loaded.provenance.timings, self.clock.monotonic());
        let record = self.record(&loaded, &options.labels)?;
        let options = PutOptions::default().marks(marks.clone());
        let mut outcomes = self.put(vec![record.clone()], options).await?;
        let mut created = self.settled(&record, outcomes.pop()).await?;
        if let CreateOutcome::Existing { meta, .. } = &created {
            let ids = [meta.id()];
            for mark in marks.iter() {
                self.store.mark(key, Selection::Ids(&ids), MarkChange::Set(mark)).await?;
            }
        }
        if let CreateOutcome::Stored(meta) = &mut created {
            if let Some(learning) = &self.learning {
                let took = self.clock.monotonic().saturating_sub(started);
                learning.captured(meta.version, meta.raw_bytes, self.before(&loaded));
                learning.stored(meta.raw_bytes, timings.without_fold().saturating_add(took));
            }
            meta.marks = marks;
        }
        Ok(created)
    }

    /// Loads the current state for the saver and returns its record, or `None` for an aggregate
    /// without events. Large states are encoded on a thread for blocking work.
    pub(super) async fn capture_aside(
        self: &Arc<Self>,
        key: &AggregateKey,
    ) -> Result<Option<Capture<A>>, Error> {
        let loaded = self.load_now(key).await?;
        if loaded.version() == 0 {
            return Ok(None);
        }
        let stored = loaded.provenance.snapshot.as_ref().map(|used| used.raw_bytes);
        let known = stored.max(loaded.weight.map(|weight| weight.bytes));
        let expected = known.unwrap_or_else(|| self.largest_saved.load(Ordering::Relaxed));
        let is_small = (1..=self.encode_in_place).contains(&expected);
        let (version, timings) = (loaded.version(), loaded.provenance.timings);
        let before = self.learning.as_ref().map(|_| self.before(&loaded));
        let core = Arc::clone(self);
        let encode = move || {
            let started = core.clock.monotonic();
            let record = core.record(&loaded, &[])?;
            Ok::<_, Error>((record, core.clock.monotonic().saturating_sub(started)))
        };
        let (record, encoding) = if is_small || self.encode_in_place == u64::MAX {
            encode()?
        } else {
            tokio::task::spawn_blocking(encode).await.map_err(panicked)??
        };
        let bytes = record.header().map_or(0, |header| u64::from(header.raw_bytes));
        self.largest_saved.fetch_max(bytes, Ordering::Relaxed);
        if let (Some(learning), Some(before)) = (&self.learning, before) {
            learning.captured(version, bytes, before);
        }
        let took = timings.without_fold().saturating_add(encoding);
        Ok(Some(Capture { record, bytes, took, held: None }))
    }

    /// The size of the snapshot that a state was built from, or of the empty state.
    fn before(&self, loaded: &Reconstructed<A>) -> Weight {
        match &loaded.provenance.snapshot {
            Some(used) => Weight { bytes: used.raw_bytes, at_version: used.id.version },
            None => Weight {
                bytes: self.encoded_bytes(&A::initial(&loaded.key)).unwrap_or(0),
                at_version: 0,
            },
        }
    }

    /// Puts the records of background snapshots and returns the outcome of each. A stored snapshot
    /// of another history is refolded and replaced, unless it is pinned.
    pub(super) async fn save(&self, records: Vec<Record>) -> Vec<Result<CreateOutcome, Error>> {
        let outcomes = self.put_each(&records).await;
        let mut created = Vec::with_capacity(records.len());
        for (record, outcome) in records.iter().zip(outcomes) {
            created.push(match outcome {
                Ok(outcome) => self.saved(record, outcome).await,
                Err(error) => Err(error),
            });
        }
        created
    }

    async fn saved(&self, record: &Record, outcome: PutOutcome) -> Result<CreateOutcome, Error> {
        match self.settled(record, Some(outcome)).await {
            Err(conflict) if conflict.kind() == ErrorKind::Conflict => {
                let SnapshotMeta { key, version, .. } = meta(record)?;
                let Some(stored) = self.replaceable(&key, version).await? else {
                    return Err(conflict);
                };
                // Only a fold from the beginning determines which of the two is right.
                let refolded = self.folded(&key, Some(version)).await?;
                self.replace_unpinned(&refolded, stored).await?.ok_or(conflict)
            }
            settled => settled,
        }
    }

    /// Puts records in one call and returns the outcome of each. If one record is invalid, the
    /// store rejects the whole call (C-15), and each record is then put separately.
    async fn put_each(&self, records: &[Record]) -> Vec<Result<PutOutcome, Error>> {
        match self.put(records.to_vec(), PutOptions::default()).await {
            Ok(outcomes) => outcomes.into_iter().map(Ok).collect(),
            Err(error) if error.kind() == ErrorKind::InvalidInput && records.len() > 1 => {
                let mut outcomes = Vec::with_capacity(records.len());
                for record in records {
                    let put = self.put(vec![record.clone()], PutOptions::default()).await;
                    // There is exactly one outcome, because `put` checks the count.
                    let first = put.map(|one| one.first().copied().unwrap_or(PutOutcome::Stored));
                    outcomes.push(first);
                }
                outcomes
            }
            Err(error) => records.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    pub(super) async fn create_many(
        &self,
        keys: &[AggregateKey],
    ) -> Vec<Result<CreateOutcome, Error>> {
        let mut results = Vec::with_capacity(keys.len());
        let mut batch = CaptureBatch::default();
        for key in keys {
            match self.capture(key).await {
                Ok(Some(record)) => {
                    batch.bytes += record.as_bytes().len();
                    batch.waiting.push((results.len(), record));
                    results.push(Ok(CreateOutcome::Empty));
                }
                Ok(None) => results.push(Ok(CreateOutcome::Empty)),
                Err(error) => results.push(Err(error)),
            }
            if batch.waiting.len() >= BATCH || batch.bytes >= BATCH_BYTES {
                self.put_batch(&mut batch, &mut results).await;
            }
        }
        self.put_batch(&mut batch, &mut results).await;
        results
    }

    /// Loads the current state and returns its record, or `None` for an aggregate without events.
    async fn capture(&self, key: &AggregateKey) -> Result<Option<Record>, Error> {
        let loaded = self.load_now(key).await?;
        if loaded.version() == 0 {
            return Ok(None);
        }
        self.record(&loaded, &[]).map(Some)
    }

    async fn put_batch(
        &self,
        batch: &mut CaptureBatch,
        results: &mut [Result<CreateOutcome, Error>],
    ) {
        let CaptureBatch { waiting, .. } = std::mem::take(batch);
        if waiting.is_empty() {
            return;
        }
        let records: Vec<_> = waiting.iter().map(|(_, record)| record.clone()).collect();
        let outcomes = self.put_each(&records).await;
        for ((at, record), outcome) in waiting.iter().zip(outcomes) {
            let settled = match outcome {
                Ok(outcome) => self.settled(record, Some(outcome)).await,
                Err(error) => Err(error),
            };
            if let Some(result) = results.get_mut(*at) {
                *result = settled;
            }
        }
    }

    pub(super) async fn rebuild(&self, key: &AggregateKey, version: u64) -> Result<Rebuilt, Error> {
        check_kind::<A>(key)?;
        if version == 0 {
            return Err(never_stored("rebuild a snapshot"));
        }
        let stored = self.stored(key, self.own(version)).await?;
        let loaded = self.folded(key, Some(version)).await?;
        let (meta, outcome) = self.replace(&loaded, stored, false).await?;
        Ok(Rebuilt { meta, replaced: outcome == PutOutcome::Replaced })
    }

    /// Folds the events from the beginning and stores the result if no snapshot exists. Replaces a
    /// snapshot that is not proved to hold the same state, unless it is pinned.
    pub(super) async fn refold(
        &self,
        key: &AggregateKey,
        version: Option<u64>,
    ) -> Result<CreateOutcome, Error> {
        check_kind::<A>(key)?;
        if version == Some(0) {
            return Err(never_stored("refold a snapshot"));
        }
        let loaded = self.folded(key, version).await?;
        if loaded.version() == 0 {
            return Ok(CreateOutcome::Empty);
        }
        let record = self.record(&loaded, &[])?;
        let mut outcomes = self.put(vec![record.clone()], PutOptions::default()).await?;
        let dispute = match self.settled(&record, outcomes.pop()).await {
            Ok(CreateOutcome::Existing { identical: false, .. }) => None,
            Err(conflict) if conflict.kind() == ErrorKind::Conflict => Some(conflict),
            settled => return settled,
        };
        if let Some(stored) = self.replaceable(key, loaded.version()).await?
            && let Some(created) = self.replace_unpinned(&loaded, stored).await?
        {
            return Ok(created);
        }
        let message = format!(
            "the snapshot of {key} at version {} does not match its events and was kept, because \
             it is pinned or its header cannot be read: call rebuild() to replace it",
            loaded.version()
        );
        let kept = Error::new(ErrorKind::Conflict, "refold a snapshot", message);
        Err(match dispute {
            Some(conflict) => kept.with_source(conflict),
            None => kept,
        })
    }

    /// Folds the events from the beginning up to `version`, or all of them.
    async fn folded(
        &self,
        key: &AggregateKey,
        version: Option<u64>,
    ) -> Result<Reconstructed<A>, Error> {
        let mut watch = Stopwatch::start(&*self.clock);
        let limits = version.map_or(Point::Now, Point::Version).into();
        let folded = self.replay_limited(key, None, limits, &mut watch, &[]).await?;
        match version {
            Some(version) => reached(folded, version, CAPTURE_NOW),
            None => Ok(folded),
        }
    }

    /// Replaces `stored` with a state; returns `None` if it has been pinned since.
    async fn replace_unpinned(
        &self,
        loaded: &Reconstructed<A>,
        stored: SnapshotMeta,
    ) -> Result<Option<CreateOutcome>, Error> {
        let (meta, outcome) = self.replace(loaded, Some(stored), true).await?;
        Ok(match outcome {
            PutOutcome::Stored => Some(CreateOutcome::Stored(meta)),
            PutOutcome::Replaced => Some(CreateOutcome::Replaced(meta)),
            PutOutcome::Existing { identical: true } => {
                Some(CreateOutcome::Existing { meta, identical: true })
            }
            PutOutcome::Existing { identical: false } => None,
        })
    }

    /// Replaces `stored` with a state, and keeps its labels and marks.
    async fn replace(
        &self,
        loaded: &Reconstructed<A>,
        stored: Option<SnapshotMeta>,
        spare_pinned: bool,
    ) -> Result<(SnapshotMeta, PutOutcome), Error> {
        let (labels, marks) =
            stored.map(|stored| (stored.labels, stored.marks)).unwrap_or_default();
        let record = self.record(loaded, &labels)?;
        // The cached state may have been built from the snapshot that is being replaced.
        let _outdates = Outdates { cache: &self.cache, key: &loaded.key };
        let options = PutOptions::default().replace(true).spare_pinned(spare_pinned);
        let outcomes = self.put(vec![record.clone()], options).await?;
        let outcome = outcomes.first().copied().unwrap_or(PutOutcome::Stored);
        let mut meta = meta(&record)?;
        meta.marks = marks;
        Ok((meta, outcome))
    }

    /// Returns the snapshot stored at `version`, unless it is pinned or its header cannot be read.
    async fn replaceable(
        &self,
        key: &AggregateKey,
        version: u64,
    ) -> Result<Option<SnapshotMeta>, Error> {
        let stored = self.stored(key, self.own(version)).await?;
        Ok(stored.filter(|stored| !stored.is_pinned()))
    }

    fn own(&self, version: u64) -> SnapshotId {
        SnapshotId { generation: self.generation, version }
    }

    /// Returns the metadata of a stored snapshot, including marks, or `None` if there is no
    /// snapshot or its header cannot be read.
    pub(super) async fn stored(
        &self,
        key: &AggregateKey,
        id: SnapshotId,
    ) -> Result<Option<SnapshotMeta>, Error> {
        if id.version > SnapshotId::MAX_VERSION {
            return Ok(None);
        }
        let request = ListRequest::new(key).at_least(id.version).at_most(id.version);
        let stored = self.store.list_all(request).await?;
        Ok(stored.into_iter().find(|meta| meta.id() == id))
    }

    async fn reconstruct_strictly(
        &self,
        key: &AggregateKey,
        version: u64,
    ) -> Result<Reconstructed<A>, Error> {
        let loaded = self.reconstruct(key, Point::Version(version), Purpose::Capture).await?;
        reached(loaded, version, CAPTURE_NOW)
    }

    async fn put(
        &self,
        records: Vec<Record>,
        options: PutOptions,
    ) -> Result<Vec<PutOutcome>, Error> {
        let count = records.len();
        let outcomes = self.store.put(records, options).await?;
        if outcomes.len() == count {
            return Ok(outcomes);
        }
        Err(Error::new(
            ErrorKind::Store,
            "put snapshots",
            format!(
                "the store returned {} outcomes for {count} records: this is a bug in the store",
                outcomes.len()
            ),
        ))
    }

    /// Encodes `loaded` into a record.
    pub(super) fn record(
        &self,
        loaded: &Reconstructed<A>,
        labels: &[String],
    ) -> Result<Record, Error> {
        let Encoded { raw, digest } = self.encode(&loaded.progress.state)?;
        let position = &loaded.progress.position;
        let mut builder = RecordBuilder::new(
            loaded.key.clone(),
            self.generation,
            position.version,
            position.as_of,
        )
        .created_at(self.clock.now())
        .codec(self.codec.id())
        .compression(self.compression.clone())
        .last_recorded_at(position.last_recorded_at);
        if let Some(digest) = digest {
            builder = builder.digest(digest);
        }
        if let Some(anchor) = &position.anchor {
            builder = builder.anchor(anchor.clone());
        }
        if let Some(origin) = &self.origin {
            builder = builder.origin(origin.clone());
        }
        for label in labels {
            builder = builder.label(label.clone());
        }
        builder.build(&raw)
    }
}

fn never_stored(operation: &'static str) -> Error {
    let message = "version 0 is the empty state, which is never stored: pass version 1 or higher";
    Error::new(ErrorKind::InvalidInput, operation, message)
}

#[derive(Default)]
struct CaptureBatch {
    /// The index of the result, and the record.
    waiting: Vec<(usize, Record)>,
    bytes: usize,
}

pub(super) fn meta(record: &Record) -> Result<SnapshotMeta, Error> {
    let header = record.header().map_err(|reject| {
        Error::new(ErrorKind::Encode, "make a snapshot record", reject.to_string())
    })?;
    SnapshotMeta::from_header(&header)
}
