//! [`TransferSink`]: puts moved snapshots into a store.

use std::cmp::Ordering;

use super::report::TransferDifference;
use super::{OnConflict, TransferOptions, TransferReport};
use crate::error::{Error, ErrorKind};
use crate::key::AggregateKey;
use crate::mark::{MarkChange, Marks};
use crate::record::{Record, SnapshotMeta};
use crate::store::{
    ListRequest, Lookup, PutBatch, PutOptions, PutOutcome, Query, Selection, SnapshotStore,
    SnapshotStoreExt,
};

const MOVE: &str = "move snapshots";

pub(super) struct TransferSink<'a> {
    store: &'a dyn SnapshotStore,
    options: &'a TransferOptions,
    report: TransferReport,
    /// The aggregate at hand, and its newest versions: in the store before, and moved.
    aggregate: Option<(AggregateKey, Option<u64>, u64)>,
    /// What is put next.
    batch: PutBatch<SnapshotMeta>,
}

impl<'a> TransferSink<'a> {
    pub(super) fn new(store: &'a dyn SnapshotStore, options: &'a TransferOptions) -> Self {
        let report = TransferReport { dry_run: options.dry_run, ..TransferReport::default() };
        Self { store, options, report, aggregate: None, batch: PutBatch::new() }
    }

    /// Adds a record whose header was verified.
    pub(super) async fn add(
        &mut self,
        key: AggregateKey,
        record: Record,
        marks: Marks,
    ) -> Result<(), Error> {
        let malformed =
            |reject| Error::new(ErrorKind::CorruptStore, MOVE, format!("{key}: {reject}"));
        let header = record.header().map_err(malformed)?;
        let meta = SnapshotMeta::from_header(&header)?.with_marks(marks);
        if meta.base.is_some() && !self.store.capabilities().returns_bases {
            let message = format!(
                "the snapshot of {key} at version {} is a delta, which the {} store cannot keep: \
                 use a store with Capabilities::returns_bases",
                meta.version,
                self.store.capabilities().name
            );
            return Err(Error::new(ErrorKind::Unsupported, MOVE, message));
        }
        if self.aggregate.as_ref().is_none_or(|(of, ..)| *of != key) {
            self.finish_aggregate();
            let before = self.store.newest(&key).await?.map(|newest| newest.version);
            self.report.aggregates += 1;
            self.aggregate = Some((key, before, 0));
        }
        if let Some((.., moved)) = &mut self.aggregate {
            *moved = meta.version.max(*moved);
        }
        if !self.batch.takes(&meta.marks) {
            self.flush().await?;
        }
        let marks = meta.marks.clone();
        self.batch.add(meta, record, marks);
        Ok(())
    }

    pub(super) async fn finish(mut self) -> Result<TransferReport, Error> {
        self.flush().await?;
        self.finish_aggregate();
        Ok(self.report)
    }

    fn finish_aggregate(&mut self) {
        let Some((key, Some(target), moved)) = self.aggregate.take() else { return };
        match target.cmp(&moved) {
            Ordering::Greater => {
                self.report.note(&key, TransferDifference::Ahead { moved, target });
            }
            Ordering::Less => {
                self.report.note(&key, TransferDifference::Behind { moved, target });
            }
            Ordering::Equal => {}
        }
    }

    async fn flush(&mut self) -> Result<(), Error> {
        let Some((batch, marks)) = self.batch.take() else { return Ok(()) };
        let outcomes = if self.options.dry_run {
            self.foresee(&batch).await?
        } else {
            let records = batch.iter().map(|(_, record)| record.clone()).collect();
            self.store.put(records, PutOptions::default().marks(marks)).await?
        };
        for ((meta, record), outcome) in batch.into_iter().zip(outcomes) {
            match outcome {
                PutOutcome::Stored | PutOutcome::Replaced => self.report.stored += 1,
                PutOutcome::Existing { identical: true } => {
                    self.report.existing += 1;
                    self.mark(&meta).await?;
                }
                PutOutcome::Existing { identical: false } => {
                    let replaced = self.settle(&meta, record).await?;
                    let version = meta.version;
                    self.report
                        .note(&meta.key, TransferDifference::Different { version, replaced });
                }
            }
        }
        Ok(())
    }

    /// Returns the outcomes that a put would have.
    async fn foresee(&self, batch: &[(SnapshotMeta, Record)]) -> Result<Vec<PutOutcome>, Error> {
        let queries: Vec<_> =
            batch.iter().map(|(meta, _)| Query::exact(&meta.key, meta.id())).collect();
        let lookups = self.store.get_many(&queries).await?;
        let outcomes = batch.iter().zip(lookups).map(|((_, record), lookup)| match lookup {
            Lookup::Found(found) => {
                PutOutcome::Existing { identical: found.record.has_state_of(record) }
            }
            Lookup::Absent | Lookup::OtherGeneration => PutOutcome::Stored,
        });
        Ok(outcomes.collect())
    }

    /// Adds the marks to a snapshot that the store already has.
    async fn mark(&self, meta: &SnapshotMeta) -> Result<(), Error> {
        if self.options.dry_run {
            return Ok(());
        }
        let ids = [meta.id()];
        for mark in meta.marks.iter() {
            self.store.mark(&meta.key, Selection::Ids(&ids), MarkChange::Set(mark)).await?;
        }
        Ok(())
    }

    /// Decides between two snapshots with different states. Returns whether the one in the store
    /// was replaced.
    async fn settle(&self, meta: &SnapshotMeta, record: Record) -> Result<bool, Error> {
        match self.options.on_conflict {
            OnConflict::KeepExisting => Ok(false),
            OnConflict::Fail => {
                let message = format!(
                    "the states of {} at version {} differ: fold the events to see which is right \
                     (refold), or choose another OnConflict",
                    meta.key, meta.version
                );
                Err(Error::new(ErrorKind::Conflict, MOVE, message))
            }
            OnConflict::KeepNewest => {
                let version = meta.version;
                let request = ListRequest::new(&meta.key).at_least(version).at_most(version);
                let stored = self.store.list_all(request).await?;
                let stored = stored.into_iter().find(|stored| stored.id() == meta.id());
                let is_older = |stored: SnapshotMeta| {
                    stored.created_at < meta.created_at && !stored.is_pinned()
                };
                if !stored.is_some_and(is_older) {
                    return Ok(false);
                }
                if self.options.dry_run {
                    return Ok(true);
                }
                let options = PutOptions::default()
                    .replace(true)
                    .spare_pinned(true)
                    .marks(meta.marks.clone());
                let outcomes = self.store.put(vec![record], options).await?;
                Ok(outcomes.first() != Some(&PutOutcome::Existing { identical: false }))
            }
        }
    }
}
