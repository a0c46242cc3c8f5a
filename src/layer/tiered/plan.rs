//! Decides which snapshots are archived.

use std::collections::{BTreeMap, BTreeSet};

use crate::generation::Generation;
use crate::record::SnapshotMeta;
use crate::snapshot_id::SnapshotId;
use crate::store::Capabilities;

/// Which snapshots of one aggregate move to the cold tier.
pub(super) struct MovePlan {
    /// Oldest first, so that a base comes before its deltas.
    pub(super) moves: Vec<SnapshotMeta>,
    /// How many are wanted, but stay.
    pub(super) kept: u64,
}

impl MovePlan {
    /// `hot` is the list of the aggregate in the hot tier, highest id first. Those that are wanted
    /// move, if they are not among the newest and the cold tier can store them. A base and its
    /// deltas move together or stay together. A delta whose base is not in the hot tier moves if the
    /// base is in the cold one (`is_cold`).
    pub(super) fn new(
        hot: Vec<SnapshotMeta>,
        is_wanted: impl Fn(&SnapshotMeta) -> bool,
        limits: &Capabilities,
        is_cold: impl Fn(SnapshotId) -> bool,
    ) -> Self {
        let newest = newest(&hot);
        let ids: BTreeSet<_> = hot.iter().map(SnapshotMeta::id).collect();
        let mut links: BTreeMap<SnapshotId, Vec<SnapshotId>> = BTreeMap::new();
        let mut staying: BTreeSet<SnapshotId> = BTreeSet::new();
        for meta in &hot {
            let id = meta.id();
            let fits = meta.stored_bytes <= limits.max_record_bytes
                && meta.version <= limits.max_version
                && (limits.marks || meta.marks.is_empty());
            let base = base_of(meta);
            let is_complete = base.is_none_or(|base| ids.contains(&base) || is_cold(base));
            if !is_wanted(meta) || newest.contains(&id) || !fits || !is_complete {
                staying.insert(id);
            }
            if let Some(base) = base {
                links.entry(base).or_default().push(id);
                links.entry(id).or_default().push(base);
            }
        }
        // What is linked to a snapshot that stays, stays too.
        let mut reached: Vec<_> = staying.iter().copied().collect();
        while let Some(id) = reached.pop() {
            let linked = links.get(&id).into_iter().flatten();
            reached.extend(linked.filter(|id| ids.contains(id) && staying.insert(**id)));
        }
        let wanted = hot.iter().filter(|meta| is_wanted(meta)).count();
        let mut moves: Vec<_> =
            hot.into_iter().filter(|meta| !staying.contains(&meta.id())).collect();
        moves.reverse();
        let kept = wanted.saturating_sub(moves.len()) as u64;
        Self { moves, kept }
    }
}

/// Returns the newest snapshot of each generation, and the newest that is not retired.
fn newest(hot: &[SnapshotMeta]) -> BTreeSet<SnapshotId> {
    let mut newest: BTreeMap<(Generation, bool), SnapshotId> = BTreeMap::new();
    for meta in hot {
        let id = meta.id();
        for usable in [false, true] {
            if !usable || !meta.is_retired() {
                let there = newest.entry((meta.generation, usable)).or_insert(id);
                *there = id.max(*there);
            }
        }
    }
    newest.into_values().collect()
}

/// Returns the id of the base of a delta.
pub(super) fn base_of(meta: &SnapshotMeta) -> Option<SnapshotId> {
    let version = meta.base.map(|base| base.version).filter(|base| *base < meta.version)?;
    Some(SnapshotId { generation: meta.generation, version })
}
