//! [`Capabilities`]: what a store supports.

use crate::key::AggregateKey;

/// The capabilities of a store, for code that chooses, wraps or tests stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each set by name")]
pub struct Capabilities {
    /// The name of this kind of store, such as "memory" or "file". Used in messages.
    pub name: &'static str,
    /// Whether acknowledged puts survive a crash of the process or of the machine.
    pub durable: bool,
    /// Whether each `put` is atomic: either all of its records are stored, or none.
    pub atomic_batches: bool,
    /// Whether a delete also covers earlier puts whose future was dropped (obligation C-53 of
    /// [`SnapshotStore`](crate::SnapshotStore)). False if a server may still complete a put after
    /// its caller gave up.
    pub ordered_deletes: bool,
    /// Whether the store keeps [marks](crate::store::Mark) (obligations C-18, C-19, C-24, C-35,
    /// C-54 and C-60 to C-66 of [`SnapshotStore`](crate::SnapshotStore)). If false, snapshots
    /// cannot be pinned or retired.
    pub marks: bool,
    /// Whether `get` returns the bases together with a delta, and no delete removes a base that is
    /// still needed (obligations C-26 and C-55). If false, an engine that is configured to store
    /// deltas does not build.
    pub returns_bases: bool,
    /// Whether [`rewrite`](crate::SnapshotStore::rewrite) is supported (obligations C-70 to C-73).
    /// If false, stored snapshots cannot be recompressed.
    pub rewrites: bool,
    /// The maximum size of a record in bytes (inclusive).
    pub max_record_bytes: u64,
    /// The maximum total length of tenant, kind and id in bytes (inclusive) that every put accepts.
    pub max_key_bytes: u64,
    /// The maximum version that can be put (inclusive).
    pub max_version: u64,
}

impl Capabilities {
    /// Creates the minimal capabilities: not durable, no atomic batches, no marks, no bases,
    /// no rewrites, ordered deletes, records of up to 1 GiB, any key, any version.
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            durable: false,
            atomic_batches: false,
            ordered_deletes: true,
            marks: false,
            returns_bases: false,
            rewrites: false,
            max_record_bytes: 1 << 30,
            max_key_bytes: 3 * AggregateKey::MAX_PART_BYTES as u64,
            max_version: u64::MAX,
        }
    }

    /// Sets [`durable`](Self::durable).
    pub const fn durable(mut self, durable: bool) -> Self {
        self.durable = durable;
        self
    }

    /// Sets [`atomic_batches`](Self::atomic_batches).
    pub const fn atomic_batches(mut self, atomic: bool) -> Self {
        self.atomic_batches = atomic;
        self
    }

    /// Sets [`ordered_deletes`](Self::ordered_deletes).
    pub const fn ordered_deletes(mut self, ordered: bool) -> Self {
        self.ordered_deletes = ordered;
        self
    }

    /// Sets [`marks`](Self::marks).
    pub const fn marks(mut self, marks: bool) -> Self {
        self.marks = marks;
        self
    }

    /// Sets [`returns_bases`](Self::returns_bases).
    pub const fn returns_bases(mut self, returns: bool) -> Self {
        self.returns_bases = returns;
        self
    }

    /// Sets [`rewrites`](Self::rewrites).
    pub const fn rewrites(mut self, rewrites: bool) -> Self {
        self.rewrites = rewrites;
        self
    }

    /// Sets [`max_record_bytes`](Self::max_record_bytes).
    pub const fn max_record_bytes(mut self, bytes: u64) -> Self {
        self.max_record_bytes = bytes;
        self
    }

    /// Sets [`max_key_bytes`](Self::max_key_bytes).
    pub const fn max_key_bytes(mut self, bytes: u64) -> Self {
        self.max_key_bytes = bytes;
        self
    }

    /// Sets [`max_version`](Self::max_version).
    pub const fn max_version(mut self, version: u64) -> Self {
        self.max_version = version;
        self
    }
}
