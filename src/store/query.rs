//! Queries to a store, and their results.

use crate::generation::Generation;
use crate::key::AggregateKey;
use crate::record::Record;
use crate::snapshot_id::SnapshotId;
use crate::timestamp::Timestamp;

/// A request for the newest snapshot of one aggregate and generation within bounds. All bounds are
/// inclusive, and a snapshot must satisfy all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Query<'a> {
    /// The aggregate.
    pub key: &'a AggregateKey,
    /// The generation, which must match exactly.
    pub generation: Generation,
    /// The highest version to find (inclusive), or `u64::MAX` for no bound. The engine never
    /// requests versions above [`SnapshotId::MAX_VERSION`](crate::SnapshotId::MAX_VERSION), but
    /// other callers may.
    pub at_most: u64,
    /// The lowest version to find (inclusive), or 0 for no bound.
    pub at_least: u64,
    /// The latest as-of time to find (inclusive), or `None` for no bound.
    pub as_of: Option<Timestamp>,
    /// Whether to find retired snapshots as well. False by default.
    pub include_retired: bool,
}

impl<'a> Query<'a> {
    /// Queries the newest snapshot of `key` in `generation`.
    pub const fn latest(key: &'a AggregateKey, generation: Generation) -> Self {
        Self {
            key,
            generation,
            at_most: u64::MAX,
            at_least: 0,
            as_of: None,
            include_retired: false,
        }
    }

    /// Queries exactly the snapshot `id` of `key`, whether or not it is retired.
    pub const fn exact(key: &'a AggregateKey, id: SnapshotId) -> Self {
        Self::latest(key, id.generation)
            .at_most(id.version)
            .at_least(id.version)
            .include_retired(true)
    }

    /// Sets the highest version (inclusive).
    pub const fn at_most(mut self, version: u64) -> Self {
        self.at_most = version;
        self
    }

    /// Sets the lowest version (inclusive).
    pub const fn at_least(mut self, version: u64) -> Self {
        self.at_least = version;
        self
    }

    /// Sets the latest as-of time (inclusive).
    pub const fn as_of(mut self, time: Timestamp) -> Self {
        self.as_of = Some(time);
        self
    }

    /// Sets [`include_retired`](Self::include_retired).
    pub const fn include_retired(mut self, include: bool) -> Self {
        self.include_retired = include;
        self
    }

    /// Returns whether a snapshot of the key and generation is within the version and time bounds.
    pub fn admits(&self, version: u64, as_of: Timestamp) -> bool {
        (self.at_least..=self.at_most).contains(&version)
            && self.as_of.is_none_or(|bound| as_of <= bound)
    }
}

/// A store's answer to a [`Query`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lookup {
    /// The key has no snapshot of any generation within the bounds, or only retired ones.
    Absent,
    /// The newest snapshot within the bounds.
    Found(Found),
    /// There is no snapshot of this generation, but there may be some of other generations.
    OtherGeneration,
}

/// A stored snapshot, with the bases that are needed to decode it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found {
    /// The version under which the store keeps the record. The engine compares it with the header.
    /// If the record is unusable, the engine continues with lower versions.
    pub version: u64,
    /// The record.
    pub record: Record,
    /// The bases of the record, nearest first: the record that its
    /// [`Header::base`](crate::record::Header::base) names, then the base of that record, and so
    /// on, at most [`Found::MAX_BASES`]. Empty if the record is not a delta, or if the store leaves
    /// [`Capabilities::returns_bases`](crate::store::Capabilities) unset.
    pub bases: Vec<Record>,
}

impl Found {
    /// The maximum number of bases in one result (inclusive). A longer chain is truncated.
    pub const MAX_BASES: usize = 16;

    /// Creates a result without bases for the record that is stored under `version`.
    pub const fn new(version: u64, record: Record) -> Self {
        Self { version, record, bases: Vec::new() }
    }

    /// Sets [`bases`](Self::bases).
    pub fn with_bases(mut self, bases: Vec<Record>) -> Self {
        self.bases = bases;
        self
    }
}

impl Lookup {
    /// Returns the record, if one was found.
    pub fn into_record(self) -> Option<Record> {
        match self {
            Self::Found(found) => Some(found.record),
            Self::Absent | Self::OtherGeneration => None,
        }
    }
}
