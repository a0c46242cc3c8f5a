//! What is asked of a store, and its answer.

use crate::envelope::Record;
use crate::generation::Generation;
use crate::key::AggregateKey;
use crate::timestamp::Timestamp;

/// Asks for the newest snapshot of one aggregate and generation within bounds. All bounds are
/// inclusive and hold together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Query<'a> {
    /// The aggregate.
    pub key: &'a AggregateKey,
    /// The generation; exactly this one.
    pub generation: Generation,
    /// The highest version that is of use (inclusive); `u64::MAX` for no bound. The engine never
    /// asks above [`SnapshotId::MAX_VERSION`](crate::SnapshotId::MAX_VERSION); others may.
    pub at_most: u64,
    /// The latest as-of time that is of use; `None` for no bound.
    pub as_of: Option<Timestamp>,
}

impl<'a> Query<'a> {
    /// The newest snapshot of `key` in `generation`.
    pub const fn latest(key: &'a AggregateKey, generation: Generation) -> Self {
        Self { key, generation, at_most: u64::MAX, as_of: None }
    }

    /// The same, with version at or below `version`.
    pub const fn at_most(mut self, version: u64) -> Self {
        self.at_most = version;
        self
    }

    /// The same, with an as-of time at or before `time`.
    pub const fn as_of(mut self, time: Timestamp) -> Self {
        self.as_of = Some(time);
        self
    }

    /// Whether a snapshot of the key and generation lies within the bounds.
    pub fn admits(&self, version: u64, as_of: Timestamp) -> bool {
        version <= self.at_most && self.as_of.is_none_or(|bound| as_of <= bound)
    }
}

/// A store's answer to a [`Query`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lookup {
    /// The key has no snapshot of any generation within the bounds.
    Absent,
    /// The newest snapshot within the bounds.
    Found(Found),
    /// None of the generation, but (perhaps) some of others.
    OtherGeneration,
}

/// A stored snapshot, with what is needed to read it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found {
    /// The version under which the store keeps the record. The engine compares it with the
    /// header, and continues below it if the record turns out to be unusable.
    pub version: u64,
    /// The record.
    pub record: Record,
    /// The record that [`Header::base`](crate::Header::base) names, if it names one and the store
    /// has it.
    pub base: Option<Record>,
}

impl Found {
    /// A record that stands alone, kept under `version`.
    pub const fn new(version: u64, record: Record) -> Self {
        Self { version, record, base: None }
    }

    /// The same with the base of its delta.
    pub fn with_base(mut self, base: Option<Record>) -> Self {
        self.base = base;
        self
    }
}

impl Lookup {
    /// The record, if one was found.
    pub fn into_record(self) -> Option<Record> {
        match self {
            Self::Found(found) => Some(found.record),
            Self::Absent | Self::OtherGeneration => None,
        }
    }
}
