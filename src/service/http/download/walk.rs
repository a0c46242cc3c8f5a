//! Lists the aggregates of a project, and loads them in that order.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt as _, TryStreamExt as _};

use sha2::{Digest as _, Sha256};

use super::line::{FoundBy, Line};
use crate::error::{Error, ErrorKind};
use crate::key::AggregateKey;
use crate::manager::SnapshotAdmin;
use crate::store::{Cursor, Page};
use crate::timestamp::Timestamp;

/// The number of aggregates that are listed at once.
const PAGE: usize = 1_000;
/// The number of states that are loaded at the same time.
const LOADS: usize = 8;

/// The aggregates of a tenant as they were at `at`: kind by kind, each in the order of its source.
pub(super) fn lines(
    admins: Vec<Arc<dyn SnapshotAdmin>>,
    tenant: &str,
    at: Timestamp,
) -> BoxStream<'static, Result<Line, Error>> {
    let tenant: Arc<str> = tenant.into();
    let kinds = admins.into_iter().map(move |admin| lines_of(&admin, Arc::clone(&tenant), at));
    stream::iter(kinds).flatten().boxed()
}

fn lines_of(
    admin: &Arc<dyn SnapshotAdmin>,
    tenant: Arc<str>,
    at: Timestamp,
) -> BoxStream<'static, Result<Line, Error>> {
    let (listing, loading) = (Arc::clone(admin), Arc::clone(admin));
    let pages = stream::try_unfold(Listing::default(), move |mut listing_at| {
        let (admin, tenant) = (Arc::clone(&listing), Arc::clone(&tenant));
        async move {
            let page = listing_at.page(&*admin, &tenant).await?;
            Ok(page.map(|page| (page, listing_at)))
        }
    });
    let keys = pages.map_ok(|page| stream::iter(page.into_iter().map(Ok))).try_flatten();
    let lines = keys.map_ok(move |(key, found_by)| {
        let admin = Arc::clone(&loading);
        async move { Line::load(&*admin, key, found_by, at).await }
    });
    lines.try_buffered(LOADS).try_filter_map(async |line| Ok(line)).boxed()
}

/// Lists the aggregates of a kind: those that have events, and then those of which only snapshots are
/// left.
#[derive(Default)]
struct Listing {
    place: ListingPlace,
    found_by: FoundBy,
    /// Hashes of the keys that have events, so that none is listed twice.
    listed: HashSet<[u8; 16]>,
}

/// After which key a listing continues; the beginning without one.
enum ListingPlace {
    Events(Option<Cursor>),
    Snapshots(Option<Cursor>),
    End,
}

impl Default for ListingPlace {
    fn default() -> Self {
        Self::Events(None)
    }
}

impl Listing {
    async fn page(
        &mut self,
        admin: &dyn SnapshotAdmin,
        tenant: &str,
    ) -> Result<Option<Vec<(AggregateKey, FoundBy)>>, Error> {
        match &self.place {
            ListingPlace::Events(after) => {
                match admin.event_keys(tenant, after.as_ref(), PAGE).await {
                    Err(error) if after.is_none() && error.kind() == ErrorKind::Unsupported => {
                        self.found_by = FoundBy::Snapshots;
                        self.place = ListingPlace::Snapshots(None);
                        Ok(Some(Vec::new()))
                    }
                    page => {
                        let Page { items, next, .. } = page?;
                        self.place = match next {
                            Some(next) => ListingPlace::Events(Some(next)),
                            None => ListingPlace::Snapshots(None),
                        };
                        self.listed.extend(items.iter().map(hash));
                        Ok(Some(self.with_source(items)))
                    }
                }
            }
            ListingPlace::Snapshots(after) => {
                let Page { mut items, next, .. } = admin.keys(tenant, after.as_ref(), PAGE).await?;
                self.place = match next {
                    Some(next) => ListingPlace::Snapshots(Some(next)),
                    None => ListingPlace::End,
                };
                items.retain(|key| !self.listed.contains(&hash(key)));
                Ok(Some(self.with_source(items)))
            }
            ListingPlace::End => Ok(None),
        }
    }

    fn with_source(&self, keys: Vec<AggregateKey>) -> Vec<(AggregateKey, FoundBy)> {
        keys.into_iter().map(|key| (key, self.found_by)).collect()
    }
}

/// Identifies a key among those of its tenant and kind.
fn hash(key: &AggregateKey) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(Sha256::digest(key.id()).split_at(16).0);
    half
}
