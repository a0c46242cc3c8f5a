//! Savepoints: one name for a snapshot of each of many aggregates.

use std::collections::BTreeMap;

use super::batch::{Batch, BatchReport};
use super::work::{NAME, TaskAction};
use crate::error::{Error, ErrorKind};
use crate::key::AggregateKey;
use crate::record::SnapshotMeta;
use crate::store::{Mark, MarkKind};
use crate::timestamp::Timestamp;

/// What the names of the pins of savepoints begin with.
const PREFIX: &str = "savepoint ";

impl Batch {
    /// The maximum length of the name of a savepoint, in bytes (inclusive).
    pub const MAX_SAVEPOINT_BYTES: usize = Mark::MAX_NAME_BYTES - PREFIX.len();

    /// Takes a snapshot of the current state of each aggregate of the tenant that has events, and
    /// pins it with the name of the savepoint, so that nothing deletes it until the savepoint is
    /// [released](Self::release_savepoint). The event source must
    /// [list its aggregates](crate::EventSource::keys).
    ///
    /// The states are those at which each aggregate was reached, one after the other. Commits
    /// between them are in some and not in others: if the states must belong to one moment, set it
    /// with [`savepoint_time`](Self::savepoint_time), or stop commits meanwhile. An aggregate that is part of the savepoint already is left as it is, so a
    /// savepoint that failed for some aggregates is completed by the same call. Use the same name
    /// for several kinds if they belong together.
    ///
    /// ```
    /// # use snapfold::{Error, SnapshotAdmin, SnapshotManager, Aggregate, SnapshotEngine};
    /// # use std::sync::Arc;
    /// use snapfold::manager::AdminContext;
    /// use snapfold::service::Batch;
    ///
    /// # async fn migrate<A: Aggregate>(engine: SnapshotEngine<A>) -> Result<(), Error> {
    /// let batch = Batch::new(Arc::new(engine.clone())).context(AdminContext::new("ops"));
    /// let report = batch.savepoint("before the migration").await;
    /// assert_eq!(report.counts.failed, 0, "{report}");
    /// for meta in batch.savepoint_members("before the migration").await? {
    ///     let then = engine.at_version(&meta.key, meta.version).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// In the report: [`InvalidInput`](crate::ErrorKind::InvalidInput) if the name is empty or too
    /// long, [`Unsupported`](crate::ErrorKind::Unsupported) if the store has no
    /// [marks](crate::store::Capabilities::marks).
    pub async fn savepoint(&self, name: &str) -> BatchReport {
        match savepoint_pin(name) {
            Ok(pin) => self.listed(TaskAction::Savepoint(pin, self.savepoint_time)).await,
            Err(error) => self.refused(error),
        }
    }

    /// Lets [`savepoint`](Self::savepoint) and [`savepoint_of`](Self::savepoint_of) take the states
    /// at one moment instead of the current ones: of each aggregate, the state after all events up to
    /// the first one that was recorded later, as [`Point::Time`](crate::Point::Time). So it does not
    /// matter how long the batch takes, and a batch that is repeated completes the same cut. An
    /// aggregate without events by then is left out.
    ///
    /// Choose a moment before which nothing is recorded any more: a little in the past if several
    /// machines record events, by as much as their clocks and their commits may lag.
    pub fn savepoint_time(mut self, time: Timestamp) -> Self {
        self.savepoint_time = Some(time);
        self
    }

    /// As [`savepoint`](Self::savepoint), for these aggregates.
    pub async fn savepoint_of(&self, name: &str, keys: &[AggregateKey]) -> BatchReport {
        match savepoint_pin(name) {
            Ok(pin) => self.named(TaskAction::Savepoint(pin, self.savepoint_time), keys).await,
            Err(error) => self.refused(error),
        }
    }

    /// Releases a savepoint: clears its pins. The snapshots become ordinary ones.
    pub async fn release_savepoint(&self, name: &str) -> BatchReport {
        match savepoint_pin(name) {
            Ok(pin) => self.listed(TaskAction::Release(pin)).await,
            Err(error) => self.refused(error),
        }
    }

    /// Lists the snapshots of a savepoint, of all aggregates of the tenant, in the order of the
    /// store. Empty if there is no savepoint of this name.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the name is empty or too long; any error
    /// of the store.
    pub async fn savepoint_members(&self, name: &str) -> Result<Vec<SnapshotMeta>, Error> {
        let pin = savepoint_pin(name)?;
        let mut members = Vec::new();
        self.each_snapshot(|meta| {
            if meta.marks.find(MarkKind::Pin, &pin).is_some() {
                members.push(meta);
            }
        })
        .await?;
        Ok(members)
    }

    /// Lists the names of all savepoints of the tenant that have a snapshot of this kind, sorted,
    /// each with the number of its snapshots.
    ///
    /// # Errors
    /// Any error of the store.
    pub async fn savepoints(&self) -> Result<Vec<(String, u64)>, Error> {
        let mut found = BTreeMap::<String, u64>::new();
        self.each_snapshot(|meta| {
            for mark in meta.marks.iter() {
                if let Some(name) = savepoint_name(mark) {
                    *found.entry(name.to_owned()).or_default() += 1;
                }
            }
        })
        .await?;
        Ok(found.into_iter().collect())
    }
}

/// Returns the name of the savepoint to which a mark belongs, if it is a pin of one.
pub(crate) fn savepoint_name(mark: &Mark) -> Option<&str> {
    mark.name.strip_prefix(PREFIX).filter(|_| mark.kind == MarkKind::Pin)
}

/// Returns the name of the pins of a savepoint.
pub(crate) fn savepoint_pin(name: &str) -> Result<String, Error> {
    let (bytes, limit) = (name.len(), Batch::MAX_SAVEPOINT_BYTES);
    let message = if bytes == 0 {
        "the name of the savepoint is empty: name it".to_owned()
    } else if bytes > limit {
        format!(
            "the name of the savepoint is {bytes} bytes long, but the limit is {limit}: shorten it"
        )
    } else {
        return Ok(format!("{PREFIX}{name}"));
    };
    Err(Error::new(ErrorKind::InvalidInput, NAME, message))
}
