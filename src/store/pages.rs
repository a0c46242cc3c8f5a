//! [`ListPages`] and [`KeyPages`]: iterate over all pages of a list.

use super::{Cursor, KeysRequest, ListRequest, SnapshotStore};
use crate::error::{Error, ErrorKind};
use crate::key::AggregateKey;
use crate::record::SnapshotMeta;

/// A pager that returns the pages of a [`list`](SnapshotStore::list) one by one, in order. Created
/// by [`SnapshotStoreExt::list_pages`](super::SnapshotStoreExt::list_pages).
#[derive(Debug)]
pub struct ListPages<'a, S: ?Sized> {
    store: &'a S,
    /// `None` at the end.
    request: Option<ListRequest<'a>>,
}

impl<'a, S: SnapshotStore + ?Sized> ListPages<'a, S> {
    pub(super) fn new(store: &'a S, request: ListRequest<'a>) -> Self {
        Self { store, request: Some(request) }
    }

    /// Returns the next page, which is never empty, or `None` at the end.
    ///
    /// Cancel safe: if the future is dropped, the next call requests the same page.
    ///
    /// # Errors
    /// Any error returned by the store, or [`ErrorKind::Store`] if the next page does not follow
    /// the previous one. A call after an error requests the same page again.
    pub async fn next(&mut self) -> Result<Option<Vec<SnapshotMeta>>, Error> {
        let Some(request) = self.request else { return Ok(None) };
        let page = self.store.list(request).await?;
        // Nothing follows an empty page, even if it has a `next`.
        let next = page.next.filter(|_| !page.items.is_empty());
        if next.zip(request.after).is_some_and(|(next, after)| next >= after) {
            return Err(stands_still("list snapshots"));
        }
        self.request = next.map(|next| request.after(next));
        Ok((!page.items.is_empty()).then_some(page.items))
    }
}

/// A pager that returns the pages of [`keys`](SnapshotStore::keys) one by one, in the order chosen
/// by the store. Created by [`SnapshotStoreExt::key_pages`](super::SnapshotStoreExt::key_pages).
#[derive(Debug)]
pub struct KeyPages<'a, S: ?Sized> {
    store: &'a S,
    request: KeysRequest<'a>,
    cursor: Option<Cursor>,
    is_over: bool,
}

impl<'a, S: SnapshotStore + ?Sized> KeyPages<'a, S> {
    pub(super) fn new(store: &'a S, request: KeysRequest<'a>) -> Self {
        let cursor = request.after.cloned();
        Self { store, request, cursor, is_over: false }
    }

    /// Returns the next page, which is never empty, or `None` at the end.
    ///
    /// Cancel safe: if the future is dropped, the next call requests the same page.
    ///
    /// # Errors
    /// Any error returned by the store, or [`ErrorKind::Store`] if it returns the same page again.
    /// A call after an error requests the same page again.
    pub async fn next(&mut self) -> Result<Option<Vec<AggregateKey>>, Error> {
        if self.is_over {
            return Ok(None);
        }
        let request = KeysRequest { after: self.cursor.as_ref(), ..self.request };
        let page = self.store.keys(request).await?;
        let next = page.next.filter(|_| !page.items.is_empty());
        if next.is_some() && next == self.cursor {
            return Err(stands_still("list aggregates"));
        }
        self.is_over = next.is_none();
        self.cursor = next;
        Ok((!page.items.is_empty()).then_some(page.items))
    }

    /// Returns the cursor after the most recently returned page. Another process can continue the
    /// listing from it. Returns `None` before the first page (unless the request started from a
    /// cursor) and after the final page.
    pub fn cursor(&self) -> Option<&Cursor> {
        self.cursor.as_ref()
    }
}

/// Returns the error for a store that does not advance, which would otherwise cause an endless
/// loop.
fn stands_still(operation: &'static str) -> Error {
    let message = "the store returned a page that does not follow the previous one: \
                   check the store with the conformance kit (C-32, C-40)";
    Error::new(ErrorKind::Store, operation, message)
}
