//! [`DeletePlan`]: decides which snapshots a delete removes.

use std::collections::BTreeSet;

use super::delete::{DeleteOptions, Deleted, Selection};
use crate::snapshot_id::SnapshotId;

/// The properties of a stored snapshot that matter for a delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deletable {
    /// The id of the snapshot.
    pub id: SnapshotId,
    /// The size of its record in bytes.
    pub bytes: u64,
    /// Whether the snapshot is pinned.
    pub is_pinned: bool,
    /// The version of its base if it is a delta: [`Base::version`](crate::record::Base) in its
    /// header.
    pub base: Option<u64>,
}

impl Deletable {
    /// Describes a snapshot that is neither a delta nor pinned.
    pub const fn new(id: SnapshotId, bytes: u64) -> Self {
        Self { id, bytes, is_pinned: false, base: None }
    }

    /// Sets whether the snapshot is pinned.
    pub const fn pinned(mut self, is_pinned: bool) -> Self {
        self.is_pinned = is_pinned;
        self
    }

    /// Sets the version of the base.
    pub const fn base(mut self, version: Option<u64>) -> Self {
        self.base = version;
        self
    }
}

/// Decides which snapshots of one aggregate a delete removes. For implementers of
/// [`SnapshotStore`](crate::SnapshotStore). The plan depends only on the arguments of
/// [`new`](Self::new). A store must use it or decide in the same way (obligations C-50, C-54 and
/// C-55).
///
/// ```
/// use snapfold::SnapshotId;
/// use snapfold::record::Generation;
/// use snapfold::store::{Deletable, DeleteOptions, DeletePlan, Selection};
///
/// let id = |version| SnapshotId {
///     generation: Generation { schema_version: 1, fingerprint: 7 },
///     version,
/// };
/// let stored = [
///     Deletable::new(id(10), 900),
///     Deletable::new(id(20), 40).base(Some(10)).pinned(true),
///     Deletable::new(id(30), 900),
/// ];
/// let plan = DeletePlan::new(Selection::All, DeleteOptions::default(), &stored);
/// assert!(plan.removes(id(30)));
/// assert!(!plan.removes(id(20))); // pinned
/// assert!(!plan.removes(id(10))); // the base of 20
/// assert_eq!((plan.deleted.snapshots, plan.deleted.pinned, plan.deleted.needed), (1, 1, 1));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeletePlan {
    removed: BTreeSet<SnapshotId>,
    /// The result to return when the snapshots have been deleted.
    pub deleted: Deleted,
}

impl DeletePlan {
    /// Plans the delete of `selection`. `stored` must contain all snapshots of the aggregate, in
    /// any order, because the bases of snapshots that are not selected are kept.
    pub fn new(selection: Selection<'_>, options: DeleteOptions, stored: &[Deletable]) -> Self {
        let mut plan = Self::default();
        // Many ids can be selected from many snapshots.
        let ids: BTreeSet<_> = match selection {
            Selection::Ids(ids) => ids.iter().copied().collect(),
            _ => BTreeSet::new(),
        };
        let is_selected = |id| match selection {
            Selection::Ids(_) => ids.contains(&id),
            _ => selection.admits(id),
        };
        for one in stored.iter().filter(|one| is_selected(one.id)) {
            if one.is_pinned && !options.overrule_pins {
                plan.deleted.pinned += 1;
            } else {
                plan.removed.insert(one.id);
            }
        }
        plan.spare_bases(stored);
        for one in stored.iter().filter(|one| plan.removed.contains(&one.id)) {
            plan.deleted.snapshots += 1;
            plan.deleted.bytes = plan.deleted.bytes.saturating_add(one.bytes);
        }
        plan
    }

    /// Returns whether the snapshot is removed.
    pub fn removes(&self, id: SnapshotId) -> bool {
        self.removed.contains(&id)
    }

    fn spare_bases(&mut self, stored: &[Deletable]) {
        let mut deltas: Vec<_> = stored.iter().filter(|one| one.base.is_some()).collect();
        // A base has a lower version than its delta, so one descending pass follows whole chains.
        deltas.sort_unstable_by_key(|delta| std::cmp::Reverse(delta.id));
        for delta in deltas {
            // A base that is not below its delta is invalid and ignored.
            let base = delta.base.filter(|base| *base < delta.id.version);
            let Some(version) = base.filter(|_| !self.removed.contains(&delta.id)) else {
                continue;
            };
            let base = SnapshotId { generation: delta.id.generation, version };
            if self.removed.remove(&base) {
                self.deleted.needed += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generation::Generation;

    fn id(fingerprint: u64, version: u64) -> SnapshotId {
        SnapshotId { generation: Generation { schema_version: 1, fingerprint }, version }
    }

    fn removed(selection: Selection<'_>, overrule: bool, stored: &[Deletable]) -> Vec<u64> {
        let options = DeleteOptions::default().overrule_pins(overrule);
        let plan = DeletePlan::new(selection, options, stored);
        let ids = stored.iter().map(|one| one.id).filter(|id| plan.removes(*id));
        ids.map(|id| id.version).collect()
    }

    #[test]
    fn a_base_stays_while_a_delta_that_stays_needs_it_however_long_the_chain() {
        let delta = |version, base| Deletable::new(id(1, version), 1).base(Some(base));
        let stored = [
            Deletable::new(id(1, 1), 1),
            delta(2, 1),
            delta(3, 2),
            delta(4, 1).pinned(true),
            Deletable::new(id(2, 1), 1),
        ];
        assert_eq!(removed(Selection::Below(3), false, &stored), [1]);
        assert_eq!(removed(Selection::Below(4), false, &stored), [2, 3, 1]);
        assert_eq!(removed(Selection::All, false, &stored), [2, 3, 1]);
        assert_eq!(removed(Selection::All, true, &stored), [1, 2, 3, 4, 1]);
        assert_eq!(removed(Selection::Ids(&[id(1, 2)]), true, &stored), [0; 0]);
        // A base that is not below its delta is invalid and ignored.
        let odd = [delta(5, 5), delta(6, 7).pinned(true), Deletable::new(id(1, 7), 1)];
        assert_eq!(removed(Selection::All, false, &odd), [5, 7]);
    }

    #[test]
    fn what_stays_is_counted_once() {
        let stored = [
            Deletable::new(id(1, 1), 10).pinned(true),
            Deletable::new(id(1, 2), 20).base(Some(1)),
            Deletable::new(id(1, 3), 30).base(Some(2)).pinned(true),
            Deletable::new(id(1, 4), 40),
        ];
        let deleted = |options| DeletePlan::new(Selection::All, options, &stored).deleted;
        assert_eq!(deleted(DeleteOptions::default()), Deleted::new(1, 40).kept(2, 1));
        assert_eq!(deleted(DeleteOptions::default().overrule_pins(true)), Deleted::new(4, 100));
    }
}
