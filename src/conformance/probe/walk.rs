//! Walks through all pages of a list.

use super::Probe;
use crate::conformance::failure::{Failure, Stop, ensure};
use crate::key::AggregateKey;
use crate::record::SnapshotMeta;
use crate::store::{KeysRequest, ListRequest};

/// The items on all pages of a list.
pub(crate) struct Listed<T> {
    pub(crate) items: Vec<T>,
    pub(crate) pages: usize,
}

/// Checks that a page has no more items than the limit, and is not empty if it has a `next`.
fn check_page(id: &'static str, items: usize, limit: usize, has_next: bool) -> Result<(), Stop> {
    ensure(items <= limit.max(1), || {
        Failure::new(id, format!("a page with a limit of {limit}"))
            .expected(format!("at most {} items", limit.max(1)))
            .got(format!("{items} items"))
    })?;
    ensure(items > 0 || !has_next, || {
        Failure::new(id, "a page").expected("items, or no `next`").got("no items and a `next`")
    })
}

fn endless(id: &'static str, most: usize) -> Failure {
    Failure::new(id, "follow `next` to the end")
        .expected(format!("the end after at most {most} items"))
        .got("another `next`")
}

impl Probe {
    /// Returns all items of a list request. An invalid page breaks C-31, and more than `most` items
    /// break C-32.
    pub(crate) async fn walk(
        &self,
        request: ListRequest<'_>,
        most: usize,
    ) -> Result<Listed<SnapshotMeta>, Stop> {
        let mut listed = Listed { items: Vec::new(), pages: 0 };
        let mut request = request;
        loop {
            let page = self.list(request).await?;
            listed.pages += 1;
            check_page("C-31", page.items.len(), request.limit, page.next.is_some())?;
            listed.items.extend(page.items);
            let Some(next) = page.next else { return Ok(listed) };
            ensure(listed.items.len() <= most, || endless("C-32", most))?;
            request = request.after(next);
        }
    }

    /// Returns all keys of a request. More than `most` keys break C-40.
    pub(crate) async fn walk_keys(
        &self,
        request: KeysRequest<'_>,
        most: usize,
    ) -> Result<Listed<AggregateKey>, Stop> {
        let mut listed = Listed { items: Vec::new(), pages: 0 };
        let mut cursor = request.after.cloned();
        loop {
            let mut request = request;
            request.after = cursor.as_ref();
            let page = self.keys(request).await?;
            listed.pages += 1;
            check_page("C-40", page.items.len(), request.limit, page.next.is_some())?;
            listed.items.extend(page.items);
            let Some(next) = page.next else { return Ok(listed) };
            ensure(listed.items.len() <= most, || endless("C-40", most))?;
            cursor = Some(next);
        }
    }
}
