//! Lists the snapshots of both tiers in one order.

use std::cmp::Reverse;

use super::TieredStore;
use crate::error::Error;
use crate::record::SnapshotMeta;
use crate::snapshot_id::SnapshotId;
use crate::store::{ListRequest, Page};

type MetaPage = Page<SnapshotMeta, SnapshotId>;

impl TieredStore {
    pub(super) async fn list_both(&self, request: ListRequest<'_>) -> Result<MetaPage, Error> {
        let _reads = self.locks.reads.shared(request.key).await;
        self.list_locked(request).await
    }

    pub(super) async fn list_both_many(
        &self,
        requests: &[ListRequest<'_>],
    ) -> Result<Vec<MetaPage>, Error> {
        let _reads = self.locks.reads.shared_all(requests.iter().map(|one| one.key)).await;
        let hot = self.hot.list_many(requests).await?;
        let cold = self.cold.list_many(requests).await?;
        let mut pages = Vec::with_capacity(requests.len());
        for (request, (hot, cold)) in requests.iter().zip(hot.into_iter().zip(cold)) {
            let page = merge(hot, cold, request.limit.max(1));
            pages.push(match onward(request, &page) {
                Some(request) => self.list_locked(request).await?,
                None => page,
            });
        }
        Ok(pages)
    }

    async fn list_locked(&self, mut request: ListRequest<'_>) -> Result<MetaPage, Error> {
        loop {
            let hot = self.hot.list(request).await?;
            let cold = self.cold.list(request).await?;
            let page = merge(hot, cold, request.limit.max(1));
            match onward(&request, &page) {
                Some(next) => request = next,
                None => return Ok(page),
            }
        }
    }
}

/// Returns the request for the next page if this one has no items, but more may follow.
fn onward<'a>(request: &ListRequest<'a>, page: &MetaPage) -> Option<ListRequest<'a>> {
    let next = page.next.filter(|_| page.items.is_empty())?;
    request.after.is_none_or(|after| next < after).then(|| request.after(next))
}

/// Merges a page of each tier. Of two copies, that of `hot` counts.
fn merge(hot: MetaPage, cold: MetaPage, limit: usize) -> MetaPage {
    // A tier may have more snapshots below its page, so nothing below that is complete.
    let complete_to = hot.next.max(cold.next);
    let mut items = hot.items;
    items.extend(cold.items);
    // The sort is stable, so the copy in `hot` comes first and is kept.
    items.sort_by_key(|meta| Reverse(meta.id()));
    items.dedup_by_key(|meta| meta.id());
    items.retain(|meta| complete_to.is_none_or(|lowest| meta.id() >= lowest));
    let more = items.len() > limit;
    items.truncate(limit);
    let next = if more { items.last().map(SnapshotMeta::id) } else { complete_to };
    Page::new(items, next)
}
