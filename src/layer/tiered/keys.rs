//! Lists the keys of both tiers: those of `hot`, and then those that only `cold` has.

use super::TieredStore;
use crate::error::{Error, ErrorKind};
use crate::key::AggregateKey;
use crate::store::{Cursor, KeysRequest, ListRequest, Page};

/// How many keys of `cold` are compared with `hot` at once, at most.
const COMPARED: usize = 256;
/// The first byte of a cursor in the list of each tier. The cursor of the tier follows.
const IN_HOT: u8 = 0xa0;
const IN_COLD: u8 = 0xa1;

impl TieredStore {
    pub(super) async fn keys_of_both(
        &self,
        request: KeysRequest<'_>,
    ) -> Result<Page<AggregateKey, Cursor>, Error> {
        let limit = request.limit.max(1);
        let (is_hot, mut after) = request.after.map_or(Ok((true, None)), place)?;
        let mut items = Vec::new();
        if is_hot {
            // All keys, whatever the bounds on times: what was listed from here could not be told
            // from what was not, and a key whose snapshots within the bounds are only in `cold`, or
            // move there during the list, would be left out or listed twice.
            let all = KeysRequest { created_from: None, created_before: None, ..request };
            let page = self.hot.keys(KeysRequest { after: after.as_ref(), ..all }).await?;
            if let Some(next) = page.next {
                return Ok(Page::new(page.items, Some(wrapped(IN_HOT, Some(&next)))));
            }
            items = page.items;
            after = None;
        }
        let mut compared = limit.saturating_sub(items.len()).max(1);
        loop {
            let room = limit.saturating_sub(items.len());
            let own = KeysRequest { after: after.as_ref(), limit: compared, ..request };
            let page = self.cold.keys(own).await?;
            let mut fresh = self.not_in_hot(page.items).await?;
            if room == 0 && !fresh.is_empty() {
                return Ok(Page::new(items, Some(wrapped(IN_COLD, after.as_ref()))));
            }
            if fresh.len() > room && compared > room {
                // The same keys again, but no more of them than there is room for.
                compared = room;
                continue;
            }
            items.append(&mut fresh);
            let Some(next) = page.next else { return Ok(Page::new(items, None)) };
            if after.as_ref() == Some(&next) {
                let message = "the cold store returned the same page of keys again: check it with \
                               the conformance kit (C-40)";
                return Err(Error::new(ErrorKind::Store, "list aggregates", message));
            }
            after = Some(next);
            compared = compared.saturating_mul(2).min(COMPARED);
        }
    }

    /// Returns the keys that have no snapshots in `hot`. The others were listed from there.
    async fn not_in_hot(&self, keys: Vec<AggregateKey>) -> Result<Vec<AggregateKey>, Error> {
        let requests: Vec<_> = keys.iter().map(|key| ListRequest::new(key).limit(1)).collect();
        let pages = self.hot.list_many(&requests).await?;
        let keys = keys.iter().zip(pages).filter(|(_, page)| page.items.is_empty());
        Ok(keys.map(|(key, _)| key.clone()).collect())
    }
}

fn wrapped(tier: u8, cursor: Option<&Cursor>) -> Cursor {
    let mut bytes = vec![tier];
    bytes.extend_from_slice(cursor.map_or(&[], |cursor| cursor.as_bytes()));
    Cursor::new(bytes)
}

/// Returns whether a cursor is in the list of `hot`, and the cursor of the tier.
fn place(cursor: &Cursor) -> Result<(bool, Option<Cursor>), Error> {
    let foreign = || {
        let message = "the cursor belongs to another list: start again without a cursor";
        Error::new(ErrorKind::InvalidInput, "list aggregates", message)
    };
    let (tier, own) = cursor.as_bytes().split_first().ok_or_else(foreign)?;
    let own = (!own.is_empty()).then(|| Cursor::new(own));
    match *tier {
        IN_HOT if own.is_some() => Ok((true, own)),
        IN_COLD => Ok((false, own)),
        _ => Err(foreign()),
    }
}
