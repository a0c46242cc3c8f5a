//! Lists the snapshots of an aggregate, page by page.

use super::{Patience, Unread};
use crate::backend::file::core::Core;
use crate::backend::file::format::tag::Tag;
use crate::backend::file::index::{Item, Place};
use crate::record::SnapshotMeta;
use crate::snapshot_id::SnapshotId;
use crate::store::{ListRequest, Page};

impl Core {
    /// Implements [`SnapshotStore::list`](crate::SnapshotStore::list).
    pub(crate) fn list(
        &self,
        patience: Patience,
        request: &ListRequest<'_>,
    ) -> Result<Page<SnapshotMeta, SnapshotId>, Unread> {
        self.health.check_open("list snapshots")?;
        let tag = self.tag(request.key);
        let limit = request.limit.max(1);
        let mut after = request.after;
        let mut items = Vec::new();
        loop {
            let rest = after.map_or(*request, |after| request.after(after));
            let mut page = self.admitted(tag, &rest, limit - items.len());
            let more = page.len() > limit - items.len();
            page.truncate(limit - items.len());
            for (id, place) in page {
                after = Some(id);
                let segment =
                    self.index.marked(tag, place.generation, id.version, |item, marks| {
                        (self.segments.get(item.place.slot), item.place, marks.cloned())
                    });
                // The snapshot has just been deleted.
                let Some((Some(segment), place, marks)) = segment else { continue };
                let meta = self.header(patience, &segment, place, |header| {
                    header.is_of(request.key).then(|| SnapshotMeta::from_header(header))
                })?;
                if let Some(Some(meta)) = meta {
                    items.push(meta?.with_marks(marks.unwrap_or_default()));
                }
            }
            if !more {
                return Ok(Page::new(items, None));
            }
            if items.len() >= limit {
                return Ok(Page::new(items, after));
            }
        }
    }

    /// Returns the next snapshots of a list: one more than `limit` if there are that many.
    fn admitted(
        &self,
        tag: Tag,
        request: &ListRequest<'_>,
        limit: usize,
    ) -> Vec<(SnapshotId, Place)> {
        let top = request.after.map_or(request.at_most, |after| after.version.min(request.at_most));
        let id = |item: &Item| {
            let generation = self.generations.value(item.place.generation)?;
            Some(SnapshotId { generation, version: item.version })
        };
        let admits = |item: &Item| id(item).is_some_and(|id| request.admits(id));
        let mut admitted = 0;
        let items = self.index.list(tag, top, |items, next| {
            // All snapshots of a version are needed, because the index does not order them.
            let last = items.last().map(|item: &Item| item.version);
            admitted += usize::from(items.last().is_some_and(admits));
            next.version >= request.at_least && (admitted <= limit || last == Some(next.version))
        });
        let mut ids: Vec<_> = items
            .iter()
            .filter(|item| admits(item))
            .filter_map(|item| Some((id(item)?, item.place)))
            .collect();
        ids.sort_unstable_by(|(a, _), (b, _)| b.cmp(a));
        ids
    }
}
