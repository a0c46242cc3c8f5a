//! Storing snapshots: background saves, rebuilds and refolds.

use std::sync::Arc;

use super::annotations::Annotations;
use super::cache::Outdates;
use super::core::{EngineCore, check_kind};
use super::delta::DeltaBase;
use super::load::reached;
use super::reconstructed::{Purpose, Reconstructed};
use super::stopwatch::Stopwatch;
use super::write::Encoded;
use crate::error::{Error, ErrorKind};
use crate::key::AggregateKey;
use crate::manager::{CreateOutcome, Point, Rebuilt};
use crate::record::{Header, Record, RecordBuilder, SnapshotMeta};
use crate::snapshot_id::SnapshotId;
use crate::state::Aggregate;
use crate::store::{ListRequest, Lookup, PutOptions, PutOutcome, Query, SnapshotStoreExt};

/// The advice in the error for a snapshot beyond the head.
const CAPTURE_NOW: &str = "call create() without a version to capture the newest state";

impl<A: Aggregate> EngineCore<A> {
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
    pub(super) async fn put_each(&self, records: &[Record]) -> Vec<Result<PutOutcome, Error>> {
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
        let record = self.record(&loaded, &Annotations::rebuilt(None), None)?;
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
        let folded = self.replayed(key, version.map_or(Point::Now, Point::Version)).await?;
        match version {
            Some(version) => reached(folded, version, CAPTURE_NOW),
            None => Ok(folded),
        }
    }

    /// Folds the events from the beginning up to `point`, or all of them if it is beyond the head.
    pub(super) async fn replayed(
        &self,
        key: &AggregateKey,
        point: Point,
    ) -> Result<Reconstructed<A>, Error> {
        let mut watch = Stopwatch::start(&*self.clock);
        self.replay_limited(key, None, point.into(), &mut watch, &[]).await
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

    /// Replaces `stored` with a state, and keeps its labels, fields and marks.
    async fn replace(
        &self,
        loaded: &Reconstructed<A>,
        stored: Option<SnapshotMeta>,
        spare_pinned: bool,
    ) -> Result<(SnapshotMeta, PutOutcome), Error> {
        // The new record would sign what the old one says.
        let signed = self.signed(&loaded.key, stored.as_ref()).await?;
        let annotations = Annotations::rebuilt(signed);
        let marks = stored.map(|stored| stored.marks).unwrap_or_default();
        let record = self.record(loaded, &annotations, None)?;
        self.keep_evidence(&loaded.key, self.own(loaded.version()), &record).await?;
        // The cached state may have been built from the snapshot that is being replaced.
        let _outdates = Outdates { cache: &self.cache, key: &loaded.key };
        let options = PutOptions::default().replace(true).spare_pinned(spare_pinned);
        let outcomes = self.put(vec![record.clone()], options).await?;
        let outcome = outcomes.first().copied().unwrap_or(PutOutcome::Stored);
        let mut meta = meta(&record)?;
        meta.marks = marks;
        Ok((meta, outcome))
    }

    /// Returns `listed`, or `None` if there are signing keys and its signature does not match. A list
    /// does not check that.
    pub(super) async fn signed<'m>(
        &self,
        key: &AggregateKey,
        listed: Option<&'m SnapshotMeta>,
    ) -> Result<Option<&'m SnapshotMeta>, Error> {
        let Some(meta) = listed.filter(|_| self.openers.signing.is_some()) else {
            return Ok(listed);
        };
        let Lookup::Found(found) = self.store.get(Query::exact(key, meta.id())).await? else {
            return Ok(None);
        };
        let is_signed = found.record.verify().is_ok_and(|header| {
            is_same(&header, meta)
                && self.openers.check_signature(found.record.as_bytes(), &header).is_ok()
        });
        Ok(listed.filter(|_| is_signed))
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

    pub(super) fn own(&self, version: u64) -> SnapshotId {
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

    pub(super) async fn reconstruct_strictly(
        &self,
        key: &AggregateKey,
        version: u64,
    ) -> Result<Reconstructed<A>, Error> {
        let loaded = self.reconstruct(key, Point::Version(version), Purpose::Capture).await?;
        reached(loaded, version, CAPTURE_NOW)
    }

    pub(super) async fn put(
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

    /// Encodes `loaded` into a record: a delta of `base`, if that is given and the delta is small
    /// enough.
    pub(super) fn record(
        &self,
        loaded: &Reconstructed<A>,
        annotations: &Annotations,
        base: Option<&DeltaBase>,
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
        .last_recorded_at(position.last_recorded_at);
        if let Some(seal) = &self.openers.seal {
            builder = builder.seal(Arc::clone(seal));
        }
        if let Some(keys) = &self.openers.signing {
            builder = builder.signing_keys(keys);
        }
        if let Some(digest) = digest {
            builder = builder.digest(digest);
        }
        if let Some(anchor) = &position.anchor {
            builder = builder.anchor(anchor.clone());
        }
        if let Some(origin) = &self.origin {
            builder = builder.origin(origin.clone());
        }
        for label in &annotations.labels {
            builder = builder.label(label.clone());
        }
        let mut details = annotations.details.clone();
        details.predecessor = loaded.provenance.snapshot.as_ref().map(|used| used.id);
        details.producer.clone_from(&self.producer);
        builder = builder.details(details);
        if let Some(DeltaBase { version, raw: base, most, compression }) = base {
            let builder = builder.clone().compression(compression.clone());
            let delta = builder.build_delta(&raw, (*version, base), *most)?;
            if let Some(plan) = &self.deltas {
                plan.made(delta.is_some());
            }
            if let Some(delta) = delta {
                return Ok(delta);
            }
        }
        builder.compression(self.compression.clone()).build(&raw)
    }
}

/// Returns whether a list shows what the header says, apart from the marks.
fn is_same(header: &Header<'_>, listed: &SnapshotMeta) -> bool {
    let own = SnapshotMeta::from_header(header);
    own.is_ok_and(|own| own.with_marks(listed.marks.clone()) == *listed)
}

fn never_stored(operation: &'static str) -> Error {
    let message = "version 0 is the empty state, which is never stored: pass version 1 or higher";
    Error::new(ErrorKind::InvalidInput, operation, message)
}

pub(super) fn meta(record: &Record) -> Result<SnapshotMeta, Error> {
    let header = record.header().map_err(|reject| {
        Error::new(ErrorKind::Encode, "make a snapshot record", reject.to_string())
    })?;
    SnapshotMeta::from_header(&header)
}
