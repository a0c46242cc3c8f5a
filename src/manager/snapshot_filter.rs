//! [`SnapshotFilter`]: selects snapshots by what their metadata says.

use std::fmt;

use crate::mark::Mark;
use crate::record::{Generation, SnapshotMeta, SnapshotSource};
use crate::snapshot_id::SnapshotId;
use crate::timestamp::Timestamp;

/// Selects snapshots by their metadata: those to which every given condition applies. A new filter
/// has no condition and selects all.
///
/// ```
/// use snapfold::manager::SnapshotFilter;
///
/// let filter = SnapshotFilter::new().producer("billing 1.4.2").label("month-end");
/// assert_eq!(filter.to_string(), "producer billing 1.4.2, label month-end");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SnapshotFilter {
    /// The [producer](crate::record::SnapshotDetails::producer).
    pub producer: Option<String>,
    /// The [origin](SnapshotMeta::origin).
    pub origin: Option<String>,
    /// [Who](crate::record::SnapshotDetails::created_by) asked for the snapshot.
    pub created_by: Option<String>,
    /// What led to the snapshot.
    pub source: Option<SnapshotSource>,
    /// A label.
    pub label: Option<String>,
    /// The generation.
    pub generation: Option<Generation>,
    /// Created at this time or later.
    pub created_from: Option<Timestamp>,
    /// Created before this time (exclusive).
    pub created_before: Option<Timestamp>,
}

impl SnapshotFilter {
    /// Creates a filter that selects all snapshots.
    pub fn new() -> Self {
        Self::default()
    }

    /// Selects snapshots of this build of the application.
    pub fn producer(mut self, producer: impl Into<String>) -> Self {
        self.producer = Some(producer.into());
        self
    }

    /// Selects snapshots of this process or node.
    pub fn origin(mut self, origin: impl Into<String>) -> Self {
        self.origin = Some(origin.into());
        self
    }

    /// Selects snapshots that this actor asked for.
    pub fn created_by(mut self, actor: impl Into<String>) -> Self {
        self.created_by = Some(actor.into());
        self
    }

    /// Selects snapshots with this source.
    pub fn source(mut self, source: SnapshotSource) -> Self {
        self.source = Some(source);
        self
    }

    /// Selects snapshots with this label.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Selects snapshots of this generation.
    pub fn generation(mut self, generation: Generation) -> Self {
        self.generation = Some(generation);
        self
    }

    /// Selects snapshots that were created at this time or later.
    pub fn created_from(mut self, time: Timestamp) -> Self {
        self.created_from = Some(time);
        self
    }

    /// Selects snapshots that were created before this time (exclusive).
    pub fn created_before(mut self, time: Timestamp) -> Self {
        self.created_before = Some(time);
        self
    }

    /// Returns whether the filter has no condition.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns whether every condition applies to the snapshot.
    pub fn admits(&self, meta: &SnapshotMeta) -> bool {
        let details = meta.details();
        let is_text =
            |wanted: &Option<String>, text: &Option<String>| wanted.is_none() || wanted == text;
        is_text(&self.producer, &details.producer)
            && is_text(&self.origin, &meta.origin)
            && is_text(&self.created_by, &details.created_by)
            && self.source.is_none_or(|source| source == details.source)
            && self.label.as_ref().is_none_or(|label| meta.labels.contains(label))
            && self.generation.is_none_or(|generation| generation == meta.generation)
            && self.created_from.is_none_or(|from| meta.created_at >= from)
            && self.created_before.is_none_or(|before| meta.created_at < before)
    }

    /// Returns the snapshots to which every condition applies, and that do not have a mark of this
    /// kind and name yet.
    pub(crate) fn without_mark(&self, metas: &[SnapshotMeta], mark: &Mark) -> Vec<SnapshotId> {
        let is_new = |meta: &&SnapshotMeta| meta.marks.find(mark.kind, &mark.name).is_none();
        let selected = metas.iter().filter(|meta| self.admits(meta)).filter(is_new);
        selected.map(SnapshotMeta::id).collect()
    }
}

/// Formats the conditions, separated by commas, or `all`.
impl fmt::Display for SnapshotFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { producer, origin, created_by, source, label, generation, .. } = self;
        let texts = [
            ("producer", producer.clone()),
            ("origin", origin.clone()),
            ("created by", created_by.clone()),
            ("source", source.map(|source| source.to_string())),
            ("label", label.clone()),
            ("generation", generation.map(|generation| generation.to_string())),
            ("created from", self.created_from.map(|time| time.to_string())),
            ("created before", self.created_before.map(|time| time.to_string())),
        ];
        let mut is_first = true;
        for (name, text) in texts {
            let Some(text) = text else { continue };
            let comma = if is_first { "" } else { ", " };
            is_first = false;
            write!(f, "{comma}{name} {text}")?;
        }
        if is_first { f.write_str("all") } else { Ok(()) }
    }
}
