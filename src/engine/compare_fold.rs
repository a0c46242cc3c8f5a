//! Comparing stored snapshots with a fold of the events, and what that allows to delete.

use std::sync::Arc;

use super::core::{EngineCore, check_kind};
use super::fold_walk::FoldWalk;
use super::head::floor;
use super::reader;
use super::search::position;
use super::sweep::whole_header;
use crate::codec::Written;
use crate::error::{Error, ErrorKind};
use crate::events::{Position, Progress};
use crate::key::AggregateKey;
use crate::manager::{
    FoldCause, FoldComparison, FoldDifference, Rejected, SafeTruncation, TruncationLimit,
    TruncationRequest,
};
use crate::record::{RejectReason, SnapshotMeta};
use crate::snapshot_id::SnapshotId;
use crate::state::Aggregate;
use crate::store::{Found, Lookup, Query};

/// What a stored snapshot contains.
struct Stored<A> {
    state: Arc<A>,
    position: Position,
}

/// The result of comparing recent snapshots.
pub(super) enum Recent {
    Compared(FoldComparison),
    /// There is nothing to compare, or no snapshot to begin at.
    Nothing,
    /// All full replays are in use.
    Busy,
}

/// A folded state, prepared for comparisons.
struct FoldedState<'a, A> {
    state: &'a A,
    position: &'a Position,
    /// `None` if the codec has no digest.
    written: Option<Written>,
}

impl<A: Aggregate> EngineCore<A> {
    pub(super) async fn compare_with_events(
        &self,
        key: &AggregateKey,
    ) -> Result<FoldComparison, Error> {
        let metas = self.list(key, 0..=SnapshotId::MAX_VERSION).await?;
        self.compare_listed(key, &metas).await
    }

    /// Compares the snapshots in `metas`, which are ordered as in a list: highest version first.
    async fn compare_listed(
        &self,
        key: &AggregateKey,
        metas: &[SnapshotMeta],
    ) -> Result<FoldComparison, Error> {
        let _permit = match self.try_replay() {
            Some(permit) => permit,
            None => self.wait_for_replay(key).await?,
        };
        let mut comparison = FoldComparison::default();
        let floor = floor(&*self.source, key).await?;
        let Some(mut walk) = self.compare_above(key, metas, floor, &mut comparison).await? else {
            let message = format!(
                "the events of {key} up to version {floor} are gone, and no snapshot at or above \
                 that version is usable: restore the events or a snapshot from a backup"
            );
            let operation = "compare snapshots with events";
            return Err(Error::new(ErrorKind::Unrecoverable, operation, message));
        };
        walk.advance(SnapshotId::MAX_VERSION).await?;
        comparison.folded_to = walk.position().version;
        comparison.unreadable.extend(self.unlisted(key, metas).await?);
        comparison.unreadable.sort_by_key(|rejected| rejected.version);
        Ok(comparison)
    }

    /// Compares the snapshots up to `version` (inclusive) with a fold of at most `max_events`.
    /// Waits for nothing.
    pub(super) async fn compare_recent(
        &self,
        key: &AggregateKey,
        version: u64,
        max_events: u64,
    ) -> Result<Recent, Error> {
        let Some(_permit) = self.try_replay() else { return Ok(Recent::Busy) };
        let metas = self.list(key, 0..=version).await?;
        let lowest = floor(&*self.source, key).await?.max(version.saturating_sub(max_events));
        let mut comparison = FoldComparison::default();
        match self.compare_above(key, &metas, lowest, &mut comparison).await? {
            Some(walk) if !(comparison.equal.is_empty() && comparison.is_clean()) => {
                comparison.folded_to = walk.position().version;
                Ok(Recent::Compared(comparison))
            }
            _ => Ok(Recent::Nothing),
        }
    }

    /// Compares the snapshots in `metas` with a fold, and returns the fold. It begins with the first
    /// event if `floor` is 0, and otherwise at the lowest usable snapshot at or above it. Returns
    /// `None` if there is no such snapshot.
    async fn compare_above<'a>(
        &'a self,
        key: &'a AggregateKey,
        metas: &[SnapshotMeta],
        floor: u64,
        comparison: &mut FoldComparison,
    ) -> Result<Option<FoldWalk<'a, A>>, Error> {
        let (retired, current): (Vec<_>, Vec<_>) = metas.iter().partition(|m| m.is_retired());
        comparison.skipped = retired.len() as u64;
        let mut ids: Vec<_> = current.iter().rev().map(|meta| meta.id()).collect();
        let start = if floor == 0 {
            Progress::start(key)
        } else {
            match self.lowest_usable(key, floor, &mut ids, comparison).await? {
                Some(start) => start,
                None => return Ok(None),
            }
        };
        comparison.began_at = start.position.version;
        let mut walk = FoldWalk::new(self, key, start);
        let mut equal_at = comparison.began_at;
        let mut ids = ids.into_iter().peekable();
        while let Some(id) = ids.next() {
            walk.advance_gently(id.version).await?;
            let folded = FoldedState {
                state: &**walk.state(),
                position: walk.position(),
                written: self.digester.written(walk.state(), u16::MAX).ok().flatten(),
            };
            let cause = self.compare_one(key, id, &folded, comparison).await?;
            // All generations at this version are compared with the same state.
            let mut same_version = vec![(id, cause)];
            while let Some(id) = ids.next_if(|next| next.version == id.version) {
                let cause = self.compare_one(key, id, &folded, comparison).await?;
                same_version.push((id, cause));
            }
            let is_equal = comparison.equal.last().is_some_and(|last| last.version == id.version);
            for (id, cause) in same_version {
                let different = |cause| FoldDifference { id, equal_at, cause };
                comparison.different.extend(cause.map(different));
            }
            if is_equal {
                equal_at = id.version;
            }
        }
        Ok(Some(walk))
    }

    /// Returns the lowest snapshot at or above the floor that a load can use, and removes it and
    /// those below it from `ids`.
    async fn lowest_usable(
        &self,
        key: &AggregateKey,
        floor: u64,
        ids: &mut Vec<SnapshotId>,
        comparison: &mut FoldComparison,
    ) -> Result<Option<Progress<A>>, Error> {
        let mut left = std::mem::take(ids).into_iter();
        for id in left.by_ref() {
            if id.version < floor {
                comparison.skipped += 1;
                continue;
            }
            match self.read_whole(key, id).await? {
                None => {}
                Some(Ok(Stored { state, position })) => {
                    comparison.skipped += 1;
                    *ids = left.collect();
                    return Ok(Some(Progress { state, position }));
                }
                Some(Err(reason)) => {
                    let version = Some(id.version);
                    comparison.unreadable.push(Rejected { version, reason });
                }
            }
        }
        Ok(None)
    }

    /// Compares one snapshot with the folded state. Returns the difference, or else adds the
    /// snapshot to the comparison.
    async fn compare_one(
        &self,
        key: &AggregateKey,
        id: SnapshotId,
        folded: &FoldedState<'_, A>,
        comparison: &mut FoldComparison,
    ) -> Result<Option<FoldCause>, Error> {
        match self.read_whole(key, id).await? {
            // The snapshot has been deleted since.
            None => {}
            Some(Err(reason)) => {
                let version = Some(id.version);
                comparison.unreadable.push(Rejected { version, reason });
            }
            Some(Ok(stored)) => match self.difference(folded, &stored) {
                Some(Ok(())) => comparison.equal.push(id),
                Some(Err(cause)) => return Ok(Some(cause)),
                None => comparison.skipped += 1,
            },
        }
        Ok(None)
    }

    /// Compares a stored state with a folded one. `None` if they cannot be compared.
    fn difference(
        &self,
        folded: &FoldedState<'_, A>,
        stored: &Stored<A>,
    ) -> Option<Result<(), FoldCause>> {
        let (ours, theirs) = (folded.position, &stored.position);
        if ours.version < theirs.version {
            return Some(Err(FoldCause::Ahead));
        }
        let anchors = ours.anchor.as_ref().zip(theirs.anchor.as_ref());
        let times = |position: &Position| (position.last_recorded_at, position.as_of);
        if anchors.is_some_and(|(ours, theirs)| ours != theirs) || times(ours) != times(theirs) {
            return Some(Err(FoldCause::History));
        }
        let state = &*stored.state;
        let is_equal = if let Some(written) = &folded.written {
            self.digester.is_the_one(written, state)
        } else {
            let [mut a, mut b] = [Vec::new(), Vec::new()];
            let encode = |state, out| self.codec.encode(state, out);
            let encoded = encode(folded.state, &mut a).and_then(|()| encode(state, &mut b));
            // Equal encodings prove equal states. Different ones prove nothing.
            if encoded.is_err() || a != b {
                return None;
            }
            true
        };
        if is_equal && self.compare.as_ref().is_none_or(|equal| equal(folded.state, state)) {
            return Some(Ok(()));
        }
        Some(Err(FoldCause::State { place: self.digester.difference(folded.state, state) }))
    }

    /// Reads a snapshot and verifies it completely. `None` if it has been deleted.
    async fn read_whole(
        &self,
        key: &AggregateKey,
        id: SnapshotId,
    ) -> Result<Option<Result<Stored<A>, RejectReason>>, Error> {
        match self.store.get(Query::exact(key, id)).await? {
            Lookup::Found(found) if found.version == id.version => {
                Ok(Some(self.open_whole(key, &found)))
            }
            _ => Ok(None),
        }
    }

    fn open_whole(&self, key: &AggregateKey, found: &Found) -> Result<Stored<A>, RejectReason> {
        let header = whole_header(key, found)?;
        let reader = reader::choose(&self.readers, &header)?;
        let (state, _) = self.decode_whole(found, &header, reader)?;
        Ok(Stored { state, position: position(&header) })
    }

    pub(super) async fn safe_to_truncate_below(
        &self,
        key: &AggregateKey,
        request: &TruncationRequest,
    ) -> Result<SafeTruncation, Error> {
        check_kind::<A>(key)?;
        let metas = self.list(key, 0..=SnapshotId::MAX_VERSION).await?;
        let comparison = self.compare_listed(key, &metas).await?;
        let nothing = |limit| SafeTruncation { below: 0, snapshots: Vec::new(), limit };
        if let Some(different) = comparison.different.first() {
            return Ok(nothing(TruncationLimit::Different(different.id.version)));
        }
        let pinned = metas.iter().rev().find(|meta| meta.is_pinned()).map(|meta| meta.version);
        let is_equal = |meta: &&SnapshotMeta| {
            meta.generation == self.generation && comparison.equal.contains(&meta.id())
        };
        let mut limit = TruncationLimit::Snapshots;
        let mut snapshots = Vec::new();
        for meta in metas.iter().filter(is_equal) {
            snapshots.push(meta.id());
            limit = if snapshots.len() < request.snapshots {
                TruncationLimit::Snapshots
            } else if let Some(pinned) = pinned.filter(|pinned| *pinned < meta.version) {
                TruncationLimit::Pin(pinned)
            } else if request.from_version.is_some_and(|from| from < meta.version)
                || request.since.is_some_and(|since| since < meta.as_of)
            {
                TruncationLimit::Request
            } else {
                return Ok(SafeTruncation { below: meta.version, snapshots, limit });
            };
        }
        Ok(nothing(limit))
    }
}
