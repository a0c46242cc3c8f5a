//! Lists of aggregates.

use futures_util::TryStreamExt as _;

use super::bucket_store::BucketStore;
use super::error::{RequestEffect, failed};
use super::index::EMPTY_BYTES;
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
        let mut listed = self.remote.list(&folder, after.as_ref());
        let (mut items, mut count) = (Vec::new(), 0);
        let limit = request.limit.max(1);
        loop {
            // The next object would take another request, and a shorter page is allowed.
            let is_page_read = count > 0 && count % LISTED_AT_ONCE == 0;
            if items.len() > limit || is_page_read && !items.is_empty() {
                return Ok(page(items, limit, true));
            }
            let next = listed.try_next().await;
            let next = next.map_err(|error| failed(LIST, RequestEffect::Read, &error))?;
            let Some(object) = next else {
                return Ok(page(items, limit, false));
            };
            count += 1;
            if after.as_ref().is_some_and(|after| *after >= object.location) {
                let message = "the server lists objects in no order, so that lists cannot be \
                               continued: directory buckets of S3 Express do that";
                return Err(Error::new(ErrorKind::Unsupported, LIST, message));
            }
            if object.size != EMPTY_BYTES
                && let Some(key) = self.layout.key_of_index(&object.location)
                && request.admits(&key)
            {
                items.push(key);
            }
            after = Some(object.location);
        }
    }
}

/// The first `limit` keys. There are more if there is one more, or if that is not known.
fn page(mut items: Vec<AggregateKey>, limit: usize, is_open: bool) -> Page<AggregateKey, Cursor> {
    let more = is_open || items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(Cursor::of_key);
    Page::new(items, next)
}
