//! [`Inspect`]: looks into states and snapshots without knowing the state type.

use std::fmt;
use std::ops::RangeInclusive;

use async_trait::async_trait;

use super::bisected::{Bisected, Bisection};
use super::explained::Explained;
use super::fold_comparison::FoldComparison;
use super::loaded::Point;
use super::opaque_state::OpaqueState;
use super::truncation::{SafeTruncation, TruncationRequest};
use super::verified::Verified;
use super::view::View;
use crate::error::{BoxError, Error, ErrorKind};
use crate::events::EventTime;
use crate::key::AggregateKey;
use crate::record::Record;
use crate::snapshot_id::SnapshotId;
use crate::value::StateDiff;

/// A question about a state at one version, for [`Inspect::bisect`].
pub type Question<'q> = dyn FnMut(&View) -> Result<bool, BoxError> + Send + 'q;

/// Looks into the states and snapshots of one kind of aggregate, and changes nothing. The trait is
/// object-safe and has no type parameter. Every [`SnapshotAdmin`](crate::SnapshotAdmin) implements
/// it.
///
/// # Errors
/// Every method may return [`InvalidInput`](crate::ErrorKind::InvalidInput) if the key is for a
/// different kind of aggregate, any error returned by the store, and, if it reads events, any error
/// of a [load](super::Loader). The default implementations return
/// [`Unsupported`](crate::ErrorKind::Unsupported), unless they can be built from
/// [`view`](Self::view).
///
/// # Cancellation
/// Every future may be dropped at any await point.
#[async_trait]
pub trait Inspect: fmt::Debug + Send + Sync {
    /// Returns whether a state is the fold of the events up to its point. The states of a
    /// [reader](crate::engine::SnapshotReader) are those that were captured, and so the newest one
    /// may be behind the events. The default implementation returns true.
    fn folds_events(&self) -> bool {
        true
    }

    /// Returns the state at `point` as a tree of values, for code that does not know its type.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) if the engine has no viewer;
    /// [`BeyondHead`](crate::ErrorKind::BeyondHead) for a version beyond the head.
    async fn view(&self, key: &AggregateKey, point: Point) -> Result<View, Error> {
        let _ = (key, point);
        Err(missing("view a state"))
    }

    /// Loads the state at `point`, to show it later or not at all: see [`OpaqueState`].
    ///
    /// The default implementation shows it at once, with [`view`](Self::view).
    ///
    /// # Errors
    /// The same errors as [`view`](Self::view).
    async fn load_opaque(&self, key: &AggregateKey, point: Point) -> Result<OpaqueState, Error> {
        Ok(self.view(key, point).await?.into())
    }

    /// Returns the states at several versions, in the order of `versions`, which must ascend.
    ///
    /// The engine reads each event at most once, and uses snapshots to skip events between distant
    /// versions. All views are in memory at the same time, so ask for long histories in parts.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the versions do not ascend strictly; the
    /// same errors as [`view`](Self::view).
    async fn history(&self, key: &AggregateKey, versions: &[u64]) -> Result<Vec<View>, Error> {
        ascending(versions)?;
        let mut views = Vec::with_capacity(versions.len());
        for version in versions {
            views.push(self.view(key, Point::Version(*version)).await?);
        }
        Ok(views)
    }

    /// Compares the states at two points of the same aggregate.
    ///
    /// # Errors
    /// The same errors as [`view`](Self::view), for either point.
    async fn diff(
        &self,
        key: &AggregateKey,
        earlier: Point,
        later: Point,
    ) -> Result<StateDiff, Error> {
        let earlier = self.view(key, earlier).await?;
        let later = self.view(key, later).await?;
        Ok(StateDiff::between(&earlier.state, &later.state))
    }

    /// Finds the first version within `versions` (inclusive) at which `question` is answered with
    /// true.
    ///
    /// The answer must stay true once it is true. Otherwise the result is one of the versions at
    /// which it became true. A range of `n` versions takes at most `log2(n + 1)` reconstructions,
    /// rounded up: 17 for 100,000.
    ///
    /// # Errors
    /// [`BeyondHead`](crate::ErrorKind::BeyondHead) if the range ends beyond the head, and the
    /// search got there; [`InvalidInput`](crate::ErrorKind::InvalidInput), with the cause, if the
    /// question fails; the same errors as [`view`](Self::view).
    async fn bisect(
        &self,
        key: &AggregateKey,
        versions: RangeInclusive<u64>,
        question: &mut Question<'_>,
    ) -> Result<Bisected, Error> {
        let mut bisection = Bisection::new(versions);
        while let Some(version) = bisection.next() {
            let view = self.view(key, Point::Version(version)).await?;
            bisection.answer(question(&view).map_err(|source| unanswered(key, version, source))?);
        }
        Ok(bisection.finish())
    }

    /// Explains how a load of the state at `point` works: which snapshot it starts from, how many
    /// events it folds, and why it does not use the other snapshots.
    ///
    /// The load is carried out, without the hot cache, so the explanation is exact and costs as much
    /// as the load. For a version beyond the head, the newest state is explained.
    async fn explain(&self, key: &AggregateKey, point: Point) -> Result<Explained, Error> {
        let _ = (key, point);
        Err(missing("explain a load"))
    }

    /// Explains a load of the state at `point` that uses no snapshot and folds all events, to compare
    /// its cost with that of the load that [`explain`](Self::explain) describes.
    ///
    /// The fold is carried out, within the engine's limit for full replays. The roles of the
    /// snapshots say that none was tried. For a version beyond the head, all events are folded.
    ///
    /// # Errors
    /// [`Unrecoverable`](crate::ErrorKind::Unrecoverable) if the first events are gone.
    async fn explain_replay(&self, key: &AggregateKey, point: Point) -> Result<Explained, Error> {
        let _ = (key, point);
        Err(missing("explain a replay"))
    }

    /// Returns the recorded times of the first events of `key` within `versions` (inclusive).
    ///
    /// The times are in version order. At most `limit` of them are returned; 0 is treated as 1. The
    /// result may be shorter even if more events follow: call again with the versions after the
    /// last one returned, until the result is empty.
    ///
    /// # Errors
    /// [`EventSource`](crate::ErrorKind::EventSource) if the event source fails.
    async fn times(
        &self,
        key: &AggregateKey,
        versions: RangeInclusive<u64>,
        limit: usize,
    ) -> Result<Vec<EventTime>, Error> {
        let _ = (key, versions, limit);
        Err(missing("read the times of events"))
    }

    /// Returns the stored record of one snapshot, as it is: compressed, sealed and signed as it was
    /// written. `None` if it is not stored.
    ///
    /// The checksums of its header and its payload match, and it is the snapshot that `id` says. It
    /// is not decoded. The record of a delta does not contain its base, which can be asked for by
    /// [`Header::base`](crate::record::Header::base).
    ///
    /// # Errors
    /// [`Store`](crate::ErrorKind::Store), with the
    /// [`RejectReason`](crate::record::RejectReason) as its source, if the record is damaged.
    async fn record(&self, key: &AggregateKey, id: SnapshotId) -> Result<Option<Record>, Error> {
        let _ = (key, id);
        Err(missing("read a record"))
    }

    /// Verifies all stored snapshots of `key`: checksums, identity, and the digest of the decoded
    /// state. Does not read the events: [`compare_with_events`](Self::compare_with_events) does.
    ///
    /// Reads one record at a time. Snapshots of generations and codecs that this implementation
    /// does not read are checked by their checksums alone. Those of the current generation are
    /// checked even if the store does not list them because their header is damaged.
    async fn verify(&self, key: &AggregateKey) -> Result<Verified, Error> {
        let _ = key;
        Err(missing("verify snapshots"))
    }

    /// Folds the events of `key` again and compares the result with each stored snapshot.
    ///
    /// This detects what no checksum can: an `apply` that changed although the shape of the state
    /// did not, events that were edited after they were folded, and versions that were used again
    /// after a restore. The comparison names the versions between which a snapshot and the events
    /// part.
    ///
    /// All events are folded once, in one pass, within the engine's limit for full replays. If the
    /// first ones are gone, the fold begins at the lowest usable snapshot. That one is then not
    /// compared, and neither are those below it. Retired snapshots are not compared. One record is
    /// in memory at a time, and those of the current generation are read twice.
    ///
    /// To get rid of what differs, pass [`FoldComparison::ids_that_differ`] to
    /// [`mark`](crate::SnapshotAdmin::mark) with a retirement, which keeps the records as evidence,
    /// or [`rebuild`](crate::SnapshotAdmin::rebuild) each version.
    ///
    /// # Errors
    /// [`BrokenHistory`](crate::ErrorKind::BrokenHistory) if the events change during the fold;
    /// [`Unrecoverable`](crate::ErrorKind::Unrecoverable) if the first events are gone and no
    /// snapshot is usable.
    async fn compare_with_events(&self, key: &AggregateKey) -> Result<FoldComparison, Error> {
        let _ = key;
        Err(missing("compare snapshots with events"))
    }

    /// Returns up to which version the event store may delete the events of `key`, because
    /// snapshots replace them.
    ///
    /// Nothing is deleted: see [`SafeTruncation`]. Snapshots count only if they were read back and
    /// are equal to a fold of the events ([`compare_with_events`](Self::compare_with_events)).
    ///
    /// # Errors
    /// The same errors as [`compare_with_events`](Self::compare_with_events).
    async fn safe_to_truncate_below(
        &self,
        key: &AggregateKey,
        request: &TruncationRequest,
    ) -> Result<SafeTruncation, Error> {
        let _ = (key, request);
        Err(missing("find out which events may be deleted"))
    }
}

/// Checks that versions ascend strictly.
pub(crate) fn ascending(versions: &[u64]) -> Result<(), Error> {
    if versions.is_sorted_by(|a, b| a < b) {
        return Ok(());
    }
    let message = "the versions of a history must ascend, each one once: sort them";
    Err(Error::new(ErrorKind::InvalidInput, "load a history", message))
}

/// Returns the error for a question that failed.
fn unanswered(key: &AggregateKey, version: u64, source: BoxError) -> Error {
    let message = format!("the question failed for {key} at version {version}");
    Error::new(ErrorKind::InvalidInput, "bisect a history", message).with_source(source)
}

/// Returns the error for a method that is not implemented.
pub(super) fn missing(operation: &'static str) -> Error {
    let message = "this implementation of SnapshotAdmin does not support this operation";
    Error::new(ErrorKind::Unsupported, operation, message)
}
