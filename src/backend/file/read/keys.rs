//! Lists the aggregates in the store, page by page.

use super::{Patience, Unread};
use crate::backend::file::core::Core;
use crate::backend::file::format::tag::Tag;
use crate::error::{Error, ErrorKind};
use crate::key::AggregateKey;
use crate::store::{Cursor, KeysRequest, Page};

impl Core {
    /// Implements [`SnapshotStore::keys`](crate::SnapshotStore::keys).
    pub(crate) fn keys(
        &self,
        patience: Patience,
        request: &KeysRequest<'_>,
    ) -> Result<Page<AggregateKey, Cursor>, Unread> {
        self.health.check_open("list aggregates")?;
        let mut after = request.after.map(|cursor| self.cursor_tag(cursor)).transpose()?;
        let limit = request.limit.max(1);
        let mut keys = Vec::new();
        let mut looked_at = 0;
        loop {
            // Any number of other aggregates may precede a full page of matching ones.
            if patience != Patience::Unlimited && looked_at > limit.saturating_mul(4) {
                return Err(Unread::WouldWait);
            }
            // One more than needed, to find out whether there are more.
            let batch = (limit - keys.len()).min(1024);
            let mut tags = self.index.tags_after(after, batch + 1);
            let more = tags.len() > batch;
            tags.truncate(batch);
            looked_at += tags.len();
            for tag in tags {
                after = Some(tag);
                if let Some(key) = self.key_of(patience, tag)?.filter(|key| request.admits(key)) {
                    keys.push(key);
                }
            }
            match after {
                Some(after) if more && keys.len() >= limit => {
                    return Ok(Page::new(keys, Some(self.tag_cursor(after))));
                }
                _ if !more => return Ok(Page::new(keys, None)),
                _ => {}
            }
        }
    }

    /// Returns the key of the aggregate with this tag, from its newest readable snapshot.
    fn key_of(&self, patience: Patience, tag: Tag) -> Result<Option<AggregateKey>, Unread> {
        for item in self.index.list(tag, u64::MAX, |items, _| items.len() < 8) {
            let segment = self.index.exact(tag, item.place.generation, item.version, |item| {
                (self.segments.get(item.place.slot), item.place)
            });
            let Some((Some(segment), place)) = segment else { continue };
            let key = self.header(patience, &segment, place, |header| {
                AggregateKey::from_stored(header.tenant, header.kind, header.id)
            })?;
            if let Some(key) = key {
                return Ok(Some(key?));
            }
        }
        Ok(None)
    }

    fn tag_cursor(&self, tag: Tag) -> Cursor {
        let mut bytes = self.store.to_vec();
        bytes.extend_from_slice(&tag.to_bytes());
        Cursor::new(bytes)
    }

    fn cursor_tag(&self, cursor: &Cursor) -> Result<Tag, Error> {
        let tag = cursor.as_bytes().strip_prefix(&self.store);
        tag.and_then(|tag| tag.try_into().ok()).map(Tag::from_bytes).ok_or_else(|| {
            let message = "the cursor was not created by this store: start again without a cursor";
            Error::new(ErrorKind::InvalidInput, "list aggregates", message)
        })
    }
}
