//! Listing: requests, pages and cursors.

use std::fmt;

use crate::key::AggregateKey;
use crate::snapshot_id::SnapshotId;

/// Asks for a page of the snapshots of one aggregate, of all generations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListRequest<'a> {
    /// The aggregate.
    pub key: &'a AggregateKey,
    /// The highest version to list (inclusive); `u64::MAX` for no bound. The engine never asks
    /// above [`SnapshotId::MAX_VERSION`]; others may.
    pub at_most: u64,
    /// The lowest version to list (inclusive).
    pub at_least: u64,
    /// Continue after (below) this snapshot, which need not exist any longer.
    pub after: Option<SnapshotId>,
    /// The maximum number of items to return; 0 is treated as 1.
    pub limit: usize,
}

impl<'a> ListRequest<'a> {
    /// The newest 256 snapshots of `key`.
    pub const fn new(key: &'a AggregateKey) -> Self {
        Self { key, at_most: u64::MAX, at_least: 0, after: None, limit: 256 }
    }

    /// Only versions at or below `version`.
    pub const fn at_most(mut self, version: u64) -> Self {
        self.at_most = version;
        self
    }

    /// Only versions at or above `version`.
    pub const fn at_least(mut self, version: u64) -> Self {
        self.at_least = version;
        self
    }

    /// Continues after (below) `id`.
    pub const fn after(mut self, id: SnapshotId) -> Self {
        self.after = Some(id);
        self
    }

    /// At most `limit` items.
    pub const fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Returns whether a snapshot with this id belongs to the list that this request continues.
    pub fn admits(&self, id: SnapshotId) -> bool {
        (self.at_least..=self.at_most).contains(&id.version)
            && self.after.is_none_or(|after| id < after)
    }
}

/// Asks for a page of the aggregates that have snapshots (or, in an event source, events).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeysRequest<'a> {
    /// Only this tenant; `Some("")` is the default tenant.
    pub tenant: Option<&'a str>,
    /// Only this kind.
    pub kind: Option<&'a str>,
    /// Also keys of [reserved kinds](crate::AggregateKey::RESERVED_PREFIX), which hold documents of
    /// snapfold itself; false by default. For backups and copies.
    pub reserved: bool,
    /// Where the last page ended.
    pub after: Option<&'a Cursor>,
    /// The maximum number of items to return; 0 is treated as 1.
    pub limit: usize,
}

impl<'a> KeysRequest<'a> {
    /// The first 256 keys, without those of reserved kinds.
    pub const fn new() -> Self {
        Self { tenant: None, kind: None, reserved: false, after: None, limit: 256 }
    }

    /// Only keys of this tenant.
    pub const fn tenant(mut self, tenant: &'a str) -> Self {
        self.tenant = Some(tenant);
        self
    }

    /// Only keys of this kind.
    pub const fn kind(mut self, kind: &'a str) -> Self {
        self.kind = Some(kind);
        self
    }

    /// Sets [`reserved`](Self::reserved).
    pub const fn reserved(mut self, reserved: bool) -> Self {
        self.reserved = reserved;
        self
    }

    /// Continues where the page with this cursor ended.
    pub const fn after(mut self, cursor: &'a Cursor) -> Self {
        self.after = Some(cursor);
        self
    }

    /// At most `limit` items.
    pub const fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Returns whether a key matches the request, ignoring the cursor.
    pub fn admits(&self, key: &AggregateKey) -> bool {
        self.tenant.is_none_or(|tenant| tenant == key.tenant())
            && self.kind.is_none_or(|kind| kind == key.kind())
            && (self.reserved || !key.is_reserved())
    }
}

impl Default for KeysRequest<'_> {
    fn default() -> Self {
        Self::new()
    }
}

/// Where a page of keys ended: bytes that only the store that created them can interpret.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Cursor(Box<[u8]>);

impl Cursor {
    /// For stores: a cursor made of these bytes.
    pub fn new(bytes: impl Into<Box<[u8]>>) -> Self {
        Self(bytes.into())
    }

    /// For stores: the bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cursor({} bytes)", self.0.len())
    }
}

/// One page of a list, and where the list continues.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page<T, C> {
    /// The items, in the order that the request promises.
    pub items: Vec<T>,
    /// What to continue after, if more may follow; `None` at the end.
    pub next: Option<C>,
}

impl<T, C> Page<T, C> {
    /// A page with `next` as its continuation.
    pub const fn new(items: Vec<T>, next: Option<C>) -> Self {
        Self { items, next }
    }
}
