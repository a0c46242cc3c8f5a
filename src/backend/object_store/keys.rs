//! Lists of aggregates.

use futures_util::{StreamExt as _, TryStreamExt as _, future, stream};

use super::bucket_store::BucketStore;
use super::error::{RequestEffect, failed};
use super::index::EMPTY_BYTES;
use super::open_lists::{ListFilter, ObjectList};
use crate::error::{Error, ErrorKind};
use crate::key::AggregateKey;
use crate::store::{Cursor, KeysRequest, Page};

const LIST: &str = "list aggregates";
/// How many objects a server lists for one request.
const LISTED_AT_ONCE: usize = 1_000;

impl BucketStore {
    pub(super) async fn keys(
        &self,
        request: KeysRequest<'_>,
    ) -> Result<Page<AggregateKey, Cursor>, Error> {
        let folder = self.layout.indexes(request.tenant, request.kind)?;
        let after = request.after.map(Cursor::to_key).transpose()?;
        let mut after = after.map(|key| self.layout.index(&key)).transpose()?;
        let filter = ListFilter::of(&request);
        let open = after.as_ref().and_then(|after| self.lists.take(&filter, after));
        let (mut listed, mut count) =
            open.unwrap_or_else(|| (self.remote.list(&folder, after.as_ref()), 0));
        let mut items = Vec::new();
        let limit = request.limit.max(1);
        loop {
            // The next object would take another request, and a shorter page is allowed.
            if count > 0 && count % LISTED_AT_ONCE == 0 && !items.is_empty() {
                return self.page(filter, items, listed, count);
            }
            let next = listed.try_next().await;
            let next = next.map_err(|error| failed(LIST, RequestEffect::Read, &error))?;
            let Some(object) = next else {
                return Ok(Page::new(items, None));
            };
            if after.as_ref().is_some_and(|after| *after >= object.location) {
                let message = "the server lists objects in no order, so that lists cannot be \
                               continued: directory buckets of S3 Express do that";
                return Err(Error::new(ErrorKind::Unsupported, LIST, message));
            }
            if object.size != EMPTY_BYTES
                && let Some(key) = self.layout.key_of_index(&object.location)
                && request.admits(&key)
            {
                if items.len() == limit {
                    // The first one of the next page.
                    let rest = stream::once(future::ready(Ok(object))).chain(listed).boxed();
                    return self.page(filter, items, rest, count);
                }
                items.push(key);
            }
            count += 1;
            after = Some(object.location);
        }
    }

    /// A page after which more keys may follow, and are read from the same list.
    fn page(
        &self,
        filter: ListFilter,
        items: Vec<AggregateKey>,
        rest: ObjectList,
        read: usize,
    ) -> Result<Page<AggregateKey, Cursor>, Error> {
        let last = items.last();
        if let Some(last) = last {
            self.lists.keep(filter, self.layout.index(last)?, rest, read);
        }
        let next = last.map(Cursor::of_key);
        Ok(Page::new(items, next))
    }
}
