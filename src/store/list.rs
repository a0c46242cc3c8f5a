//! Lists: requests, pages and cursors.

use std::fmt;

use crate::key::AggregateKey;
use crate::snapshot_id::SnapshotId;
use crate::timestamp::Timestamp;

/// A request for a page of one aggregate's snapshots, of all generations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListRequest<'a> {
    /// The aggregate.
    pub key: &'a AggregateKey,
    /// The highest version to list (inclusive), or `u64::MAX` for no bound. The engine never
    /// requests versions above [`SnapshotId::MAX_VERSION`], but other callers may.
    pub at_most: u64,
    /// The lowest version to list (inclusive).
    pub at_least: u64,
    /// The list continues after (below) this snapshot, which need not exist any longer.
    pub after: Option<SnapshotId>,
    /// The maximum number of items to return. 0 is treated as 1.
    pub limit: usize,
}

impl<'a> ListRequest<'a> {
    /// Requests the newest 256 snapshots of `key`.
    pub const fn new(key: &'a AggregateKey) -> Self {
        Self { key, at_most: u64::MAX, at_least: 0, after: None, limit: 256 }
    }

    /// Sets the highest version to list (inclusive).
    pub const fn at_most(mut self, version: u64) -> Self {
        self.at_most = version;
        self
    }

    /// Sets the lowest version to list (inclusive).
    pub const fn at_least(mut self, version: u64) -> Self {
        self.at_least = version;
        self
    }

    /// Continues after (below) the snapshot `id`.
    pub const fn after(mut self, id: SnapshotId) -> Self {
        self.after = Some(id);
        self
    }

    /// Sets the maximum number of items.
    pub const fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Returns whether the rest of the list can contain a snapshot with this id.
    pub fn admits(&self, id: SnapshotId) -> bool {
        (self.at_least..=self.at_most).contains(&id.version)
            && self.after.is_none_or(|after| id < after)
    }
}

/// A request for a page of the aggregates that have snapshots (or events, for an event source).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeysRequest<'a> {
    /// Lists only keys of this tenant. `Some("")` is the default tenant.
    pub tenant: Option<&'a str>,
    /// Lists only keys of this kind.
    pub kind: Option<&'a str>,
    /// Whether to list keys of [reserved kinds](crate::AggregateKey::RESERVED_PREFIX) as well,
    /// which contain snapfold's internal documents. False by default. Set it for backups and
    /// copies.
    pub reserved: bool,
    /// Selects keys with a snapshot that was created at this time or later. The store may list
    /// other keys too: see [`admits_created_at`](Self::admits_created_at).
    pub created_from: Option<Timestamp>,
    /// Selects keys with a snapshot that was created before this time (exclusive). If both bounds
    /// are given, one snapshot must be within both. The store may list other keys too.
    pub created_before: Option<Timestamp>,
    /// The cursor of the previous page.
    pub after: Option<&'a Cursor>,
    /// The maximum number of items to return. 0 is treated as 1.
    pub limit: usize,
}

impl<'a> KeysRequest<'a> {
    /// Requests the first 256 keys, without those of reserved kinds.
    pub const fn new() -> Self {
        Self {
            tenant: None,
            kind: None,
            reserved: false,
            created_from: None,
            created_before: None,
            after: None,
            limit: 256,
        }
    }

    /// Lists only keys of this tenant.
    pub const fn tenant(mut self, tenant: &'a str) -> Self {
        self.tenant = Some(tenant);
        self
    }

    /// Lists only keys of this kind.
    pub const fn kind(mut self, kind: &'a str) -> Self {
        self.kind = Some(kind);
        self
    }

    /// Sets [`reserved`](Self::reserved).
    pub const fn reserved(mut self, reserved: bool) -> Self {
        self.reserved = reserved;
        self
    }

    /// Sets [`created_from`](Self::created_from) (inclusive).
    pub const fn created_from(mut self, time: Timestamp) -> Self {
        self.created_from = Some(time);
        self
    }

    /// Sets [`created_before`](Self::created_before) (exclusive).
    pub const fn created_before(mut self, time: Timestamp) -> Self {
        self.created_before = Some(time);
        self
    }

    /// Continues after the page with this cursor.
    pub const fn after(mut self, cursor: &'a Cursor) -> Self {
        self.after = Some(cursor);
        self
    }

    /// Sets the maximum number of items.
    pub const fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Returns whether a key matches the request, ignoring the cursor and the creation times.
    pub fn admits(&self, key: &AggregateKey) -> bool {
        self.tenant.is_none_or(|tenant| tenant == key.tenant())
            && self.kind.is_none_or(|kind| kind == key.kind())
            && (self.reserved || !key.is_reserved())
    }

    /// Returns whether a snapshot created at `time` is within the bounds on the creation time.
    ///
    /// A store may ignore these bounds (C-44 of [`SnapshotStore`](crate::SnapshotStore)). Callers
    /// therefore check the metadata of each listed key with this method.
    pub fn admits_created_at(&self, time: Timestamp) -> bool {
        self.created_from.is_none_or(|from| time >= from)
            && self.created_before.is_none_or(|before| time < before)
    }

    /// Returns whether there is a bound on the creation time.
    pub(crate) fn is_timed(&self) -> bool {
        self.created_from.is_some() || self.created_before.is_some()
    }
}

impl Default for KeysRequest<'_> {
    fn default() -> Self {
        Self::new()
    }
}

/// Marks the end of a page of keys. Only the store that created a cursor can interpret its bytes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Cursor(Box<[u8]>);

impl Cursor {
    /// Creates a cursor from bytes. For implementers of [`SnapshotStore`](crate::SnapshotStore).
    pub fn new(bytes: impl Into<Box<[u8]>>) -> Self {
        Self(bytes.into())
    }

    /// Returns the bytes of the cursor. For implementers of
    /// [`SnapshotStore`](crate::SnapshotStore).
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
    /// The items, in the order of the list.
    pub items: Vec<T>,
    /// Where to continue if there may be more items, or `None` at the end.
    pub next: Option<C>,
}

impl<T, C> Page<T, C> {
    /// Creates a page with `next` as its continuation.
    pub const fn new(items: Vec<T>, next: Option<C>) -> Self {
        Self { items, next }
    }
}
