//! Plans the deletes of a group.

use std::collections::HashSet;

use bytes::Bytes;

use super::plan::{Effect, Plan, Planned};
use super::work::{Answer, DeleteItem, Pick};
use crate::backend::file::core::Core;
use crate::backend::file::format::tag::Tag;
use crate::backend::file::format::{DeleteBody, DeleteScope, Kind};
use crate::backend::file::index::Note;
use crate::snapshot_id::SnapshotId;
use crate::store::{Deletable, DeletePlan, Deleted};

/// The part of a delete that is written.
enum Part {
    /// The scope as requested.
    All(DeleteScope),
    /// A smaller or differently expressed scope.
    Of(DeleteScope),
}

impl Part {
    /// Returns the scope and the matching body, derived from the `asked` body.
    fn with_body(self, asked: Bytes) -> Option<(DeleteScope, Bytes)> {
        match self {
            Self::All(scope) => Some((scope, asked)),
            Self::Of(scope) => {
                let body = DeleteBody::parse(&asked)?.with_scope(&scope);
                Some((scope, Bytes::from(body)))
            }
        }
    }
}

impl Core {
    /// Plans the deletes that have something to delete, in the index or among the puts planned
    /// before them. Those puts reach the index only with this plan.
    pub(super) fn plan_delete(&self, plan: &mut Plan, items: Vec<DeleteItem>, work: usize) {
        let first = plan.frames.len();
        plan.sort_by_tag();
        let mut kept = Deleted::default();
        for item in items {
            let fresh = plan.by_tag.get(&item.tag).map_or(&[][..], Vec::as_slice);
            let (scope, kept_of_item) = self.deletable(&item, fresh);
            kept = [kept, kept_of_item].into_iter().sum();
            let Some((scope, body)) = scope.and_then(|scope| scope.with_body(item.body)) else {
                continue;
            };
            plan.frames.push(Planned {
                kind: Kind::Delete,
                more: true,
                body,
                tag: item.tag,
                effect: Effect::Delete { scope, work },
            });
        }
        plan.close_batch(first);
        plan.answers.push(Ok(Answer::Delete(kept)));
    }

    /// Returns the part of a delete that has something to delete, and how many of the selected
    /// snapshots are kept. `fresh` contains the snapshots that are about to be stored.
    fn deletable(&self, item: &DeleteItem, fresh: &[(u32, u64)]) -> (Option<Part>, Deleted) {
        let pins_count = !item.options.overrule_pins && self.index.has_pins(item.tag);
        // No earlier work in the group puts or deletes deltas of the aggregate.
        let may_keep = pins_count || self.index.has_deltas(item.tag);
        if let Pick::DeleteScope(scope) = &item.pick
            && !may_keep
        {
            return (self.effective(item.tag, scope, fresh), Deleted::default());
        }
        let id = |(number, version): &(u32, u64)| {
            let generation = self.generations.value(*number)?;
            Some((*number, SnapshotId { generation, version: *version }))
        };
        let mut ids = self.stored_ids(item.tag);
        ids.extend(fresh.iter().filter_map(id));
        ids.sort_unstable();
        ids.dedup();
        let bases = self.index.bases_of(item.tag);
        let notes = self.index.notes_of(item.tag);
        let pinned: HashSet<_> =
            notes.iter().filter(|note| note.marks.is_pinned()).map(Note::snapshot).collect();
        let stored = ids.iter().map(|(generation, id)| {
            // Deleted snapshots are counted when the delete takes effect.
            let snapshot = (*generation, id.version);
            Deletable::new(*id, 0)
                .pinned(pinned.contains(&snapshot))
                .base(bases.get(&snapshot).copied())
        });
        let stored: Vec<_> = stored.collect();
        let plan = DeletePlan::new(item.pick.selection(), item.options, &stored);
        let Deleted { pinned, needed, .. } = plan.deleted;
        if let (Pick::DeleteScope(scope), 0, 0) = (&item.pick, pinned, needed) {
            return (self.effective(item.tag, scope, fresh), Deleted::default());
        }
        let ids: Vec<_> = stored.iter().map(|one| one.id).filter(|id| plan.removes(*id)).collect();
        let part = (!ids.is_empty()).then_some(Part::Of(DeleteScope::Ids(ids)));
        (part, Deleted::default().kept(pinned, needed))
    }

    /// Returns the part of a delete that has something to delete, assuming that all selected
    /// snapshots can be deleted. Returns `None` if there is nothing to delete.
    fn effective(&self, tag: Tag, scope: &DeleteScope, fresh: &[(u32, u64)]) -> Option<Part> {
        let DeleteScope::Ids(ids) = scope else {
            let covers = self.covers(scope);
            let there = self.index.any(tag, |item| covers(item.place.generation, item.version))
                || fresh.iter().any(|(generation, version)| covers(*generation, *version));
            return there.then(|| Part::All(scope.clone()));
        };
        let there = |id: &SnapshotId| {
            self.generations.find(id.generation).is_some_and(|generation| {
                self.index.exact(tag, generation, id.version, |_| ()).is_some()
                    || fresh.contains(&(generation, id.version))
            })
        };
        let kept: Vec<_> = ids.iter().filter(|id| there(id)).copied().collect();
        if kept.len() == ids.len() {
            return (!ids.is_empty()).then(|| Part::All(scope.clone()));
        }
        // Ids that are not stored take no space.
        (!kept.is_empty()).then_some(Part::Of(DeleteScope::Ids(kept)))
    }

    /// Returns a function that returns whether a delete covers a snapshot of its aggregate.
    ///
    /// Its arguments are the generation number and the version.
    pub(super) fn covers(&self, scope: &DeleteScope) -> impl Fn(u32, u64) -> bool + use<> {
        let (all, below, ids) = match scope {
            DeleteScope::All => (true, 0, Vec::new()),
            DeleteScope::Below(version) => (false, *version, Vec::new()),
            DeleteScope::Ids(ids) => {
                let number =
                    |id: &SnapshotId| Some((id.version, self.generations.find(id.generation)?));
                let mut ids: Vec<_> = ids.iter().filter_map(number).collect();
                ids.sort_unstable();
                (false, 0, ids)
            }
        };
        move |generation, version| {
            all || version < below || ids.binary_search(&(version, generation)).is_ok()
        }
    }
}
