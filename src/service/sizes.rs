//! [`store_sizes`]: how many bytes the snapshots of a store take, and what they consist of.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use crate::error::Error;
use crate::key::AggregateKey;
use crate::record::SnapshotMeta;
use crate::snapshot_id::SnapshotId;
use crate::store::{KeysRequest, ListRequest, SnapshotStore, SnapshotStoreExt};
use crate::timestamp::Timestamp;

/// The number of aggregates that are listed together.
const BATCH: usize = 64;
/// The number of snapshots on a page of each list.
const PAGE: usize = 256;

/// Counts and sizes of some snapshots. `Display` writes them as one line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SnapshotSizes {
    /// The number of aggregates.
    pub aggregates: u64,
    /// The number of snapshots.
    pub snapshots: u64,
    /// The total size of their records in bytes, header and payload.
    pub stored_bytes: u64,
    /// The total size of their encoded states in bytes, before compression.
    pub raw_bytes: u64,
    /// The number of snapshots that are stored as deltas.
    pub deltas: u64,
    /// The total size of the records of deltas in bytes.
    pub delta_bytes: u64,
    /// The number of deltas whose state equals that of their base, and which have no payload.
    pub duplicates: u64,
    /// The number of snapshots that need a dictionary.
    pub with_dictionary: u64,
    /// The total size of the records that need a dictionary in bytes.
    pub dictionary_bytes: u64,
    /// The number of pinned snapshots.
    pub pinned: u64,
    /// The number of retired snapshots.
    pub retired: u64,
    /// When the oldest snapshot was created.
    pub oldest: Option<Timestamp>,
    /// When the newest snapshot was created.
    pub newest: Option<Timestamp>,
}

impl SnapshotSizes {
    /// Returns the stored size in percent of the size before compression, or `None` without
    /// snapshots.
    #[expect(clippy::cast_precision_loss, reason = "a percentage needs no more")]
    pub fn stored_percent(&self) -> Option<f64> {
        (self.raw_bytes > 0).then(|| self.stored_bytes as f64 * 100.0 / self.raw_bytes as f64)
    }

    fn add(&mut self, meta: &SnapshotMeta) {
        self.snapshots += 1;
        self.stored_bytes = self.stored_bytes.saturating_add(meta.stored_bytes);
        self.raw_bytes = self.raw_bytes.saturating_add(meta.raw_bytes);
        if meta.base.is_some() {
            self.deltas += 1;
            self.delta_bytes = self.delta_bytes.saturating_add(meta.stored_bytes);
            // The CRC-32 of no bytes.
            self.duplicates += u64::from(meta.payload_checksum == 0);
        }
        if meta.dictionary.is_some() {
            self.with_dictionary += 1;
            self.dictionary_bytes = self.dictionary_bytes.saturating_add(meta.stored_bytes);
        }
        self.pinned += u64::from(meta.is_pinned());
        self.retired += u64::from(meta.is_retired());
        self.span(Some(meta.created_at), Some(meta.created_at));
    }

    fn span(&mut self, oldest: Option<Timestamp>, newest: Option<Timestamp>) {
        self.oldest = self.oldest.into_iter().chain(oldest).min();
        self.newest = self.newest.max(newest);
    }

    /// Returns these sizes together with `other`, which is about other aggregates.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.aggregates += other.aggregates;
        self.snapshots += other.snapshots;
        self.stored_bytes = self.stored_bytes.saturating_add(other.stored_bytes);
        self.raw_bytes = self.raw_bytes.saturating_add(other.raw_bytes);
        self.deltas += other.deltas;
        self.delta_bytes = self.delta_bytes.saturating_add(other.delta_bytes);
        self.duplicates += other.duplicates;
        self.with_dictionary += other.with_dictionary;
        self.dictionary_bytes = self.dictionary_bytes.saturating_add(other.dictionary_bytes);
        self.pinned += other.pinned;
        self.retired += other.retired;
        self.span(other.oldest, other.newest);
        self
    }
}

impl fmt::Display for SnapshotSizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { aggregates, snapshots, stored_bytes, raw_bytes, .. } = self;
        write!(f, "{snapshots} snapshots of {aggregates} aggregates, {stored_bytes} bytes")?;
        if let Some(percent) = self.stored_percent() {
            write!(f, " ({percent:.0}% of {raw_bytes})")?;
        }
        for (count, what) in [
            (self.deltas, "deltas"),
            (self.duplicates, "without a change"),
            (self.with_dictionary, "with a dictionary"),
            (self.pinned, "pinned"),
            (self.retired, "retired"),
        ] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        Ok(())
    }
}

/// The sizes of a store, by tenant and kind. `Display` writes a line for each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreSizes {
    /// The sizes of each tenant and kind, in that order.
    pub by_kind: BTreeMap<(String, String), SnapshotSizes>,
    /// The aggregates that take the most bytes, largest first. At most as many as were asked for.
    pub largest: Vec<(AggregateKey, SnapshotSizes)>,
}

impl StoreSizes {
    /// Returns the sizes of the whole store.
    pub fn total(&self) -> SnapshotSizes {
        self.by_kind.values().fold(SnapshotSizes::default(), SnapshotSizes::and)
    }

    /// Returns the sizes of a tenant.
    pub fn of_tenant(&self, tenant: &str) -> SnapshotSizes {
        let own = self.by_kind.iter().filter(|((of, _), _)| of == tenant);
        own.fold(SnapshotSizes::default(), |sum, (_, sizes)| sum.and(sizes))
    }

    fn add(&mut self, key: AggregateKey, sizes: SnapshotSizes, largest: usize) {
        let kind = (key.tenant().to_owned(), key.kind().to_owned());
        let sum = self.by_kind.entry(kind).or_default();
        *sum = sum.and(&sizes);
        let place = self.largest.partition_point(|(_, of)| of.stored_bytes >= sizes.stored_bytes);
        if place < largest {
            self.largest.insert(place, (key, sizes));
            self.largest.truncate(largest);
        }
    }
}

impl fmt::Display for StoreSizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((tenant, kind), sizes) in &self.by_kind {
            let separator = if tenant.is_empty() { "" } else { "/" };
            writeln!(f, "{tenant}{separator}{kind}: {sizes}")?;
        }
        write!(f, "total: {}", self.total())
    }
}

/// Lists all snapshots that `keys` selects, and adds up their sizes. Also returns the `largest`
/// aggregates by stored bytes; 0 for none. If the request has bounds on the creation time, only
/// snapshots within them are counted.
///
/// Reads metadata only, no payloads: an index in memory in the file store, one statement for 64
/// aggregates in PostgreSQL. Memory is bounded by the number of tenants and kinds. The store may be
/// in use; snapshots that are put or deleted meanwhile may or may not be counted. Snapshots whose
/// header cannot be read are not.
///
/// # Errors
/// Any error returned by the store.
///
/// # Cancellation
/// Nothing is changed.
///
/// ```
/// # #[cfg(feature = "memory")] {
/// # async fn sizes() -> Result<(), snapfold::Error> {
/// use snapfold::MemoryStore;
/// use snapfold::service::store_sizes;
/// use snapfold::store::KeysRequest;
///
/// let store = MemoryStore::new();
/// let sizes = store_sizes(&store, KeysRequest::new(), 10).await?;
/// println!("{sizes}");
/// # Ok(())
/// # }
/// # }
/// ```
pub async fn store_sizes(
    store: &dyn SnapshotStore,
    keys: KeysRequest<'_>,
    largest: usize,
) -> Result<StoreSizes, Error> {
    let request = keys;
    let mut sizes = StoreSizes::default();
    let mut pages = store.key_pages(request);
    while let Some(page) = pages.next().await? {
        for keys in page.chunks(BATCH) {
            for (key, of) in sizes_of(store, keys, &request).await? {
                sizes.add(key, of, largest);
            }
        }
    }
    Ok(sizes)
}

/// Adds up the sizes of several aggregates. Leaves out those that have no snapshots (within the
/// bounds of the request).
async fn sizes_of(
    store: &dyn SnapshotStore,
    keys: &[AggregateKey],
    request: &KeysRequest<'_>,
) -> Result<Vec<(AggregateKey, SnapshotSizes)>, Error> {
    let mut sizes = vec![SnapshotSizes::default(); keys.len()];
    // Each aggregate with a page to come, and the last snapshot on the page before.
    let mut left: VecDeque<(usize, Option<SnapshotId>)> =
        (0..keys.len()).map(|place| (place, None)).collect();
    while !left.is_empty() {
        let places: Vec<_> = left.drain(..).collect();
        let requests = places.iter().filter_map(|(place, after)| {
            let mut request = ListRequest::new(keys.get(*place)?).limit(PAGE);
            request.after = *after;
            Some(request)
        });
        let requests: Vec<_> = requests.collect();
        for ((place, after), page) in places.into_iter().zip(store.list_many(&requests).await?) {
            let Some(sizes) = sizes.get_mut(place) else { continue };
            for meta in page.items.iter().filter(|meta| request.admits_created_at(meta.created_at))
            {
                sizes.add(meta);
            }
            // A store that does not go on would be asked without end.
            let follows = page.next.filter(|next| after.is_none_or(|after| *next < after));
            left.extend(follows.map(|next| (place, Some(next))));
        }
    }
    let counted = keys.iter().cloned().zip(sizes).filter(|(_, sizes)| sizes.snapshots > 0);
    Ok(counted.map(|(key, sizes)| (key, SnapshotSizes { aggregates: 1, ..sizes })).collect())
}
