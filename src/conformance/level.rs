//! [`Level`]: a group of cases.

use std::fmt;

/// A group of cases that check one aspect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Level {
    /// Stored records are found and listed, and aggregates are kept apart.
    Core,
    /// Versions, times, generations and pages.
    History,
    /// Deletes remove exactly what was selected.
    Delete,
    /// Acknowledged writes survive closing and crashing.
    Durable,
    /// Concurrent tasks and cancelled calls.
    Concurrent,
    /// Unusual ids, payloads, sizes and bytes.
    Hostile,
    /// Many aggregates and long histories.
    Scale,
    /// Pins, retirements, bases and rewrites. These cases run only if no earlier case failed.
    Marks,
    /// Loads by the real engine over this store equal a full replay, which is rule R1 of the
    /// [design](crate::guide::design).
    Engine,
    /// Event sources: all events, in order, within bounds.
    Reads,
    /// Event sources: heads, floors and truncated histories.
    Ends,
    /// Event sources: reads of many aggregates, lists of aggregates, and times.
    Lists,
    /// Hybrid sources: a snapshot and its tail in one call.
    Hybrid,
    /// Artifact stores: what was put is found, read, listed and deleted.
    Artifacts,
    /// Artifact stores: URLs, and what clients send to them.
    Uploads,
    /// Stores of publications: what was created is found, listed, replaced and deleted.
    Publications,
}

impl Level {
    /// All levels of the kit for stores, in the order in which they run.
    pub const ALL: &'static [Self] = &[
        Self::Core,
        Self::History,
        Self::Delete,
        Self::Durable,
        Self::Concurrent,
        Self::Hostile,
        Self::Scale,
        Self::Marks,
        Self::Engine,
    ];

    /// All levels of the kit for event sources, in the order in which they run.
    pub const OF_EVENT_SOURCES: &'static [Self] =
        &[Self::Reads, Self::Ends, Self::Lists, Self::Concurrent, Self::Hostile, Self::Hybrid];

    /// All levels of the kit for artifact stores, in the order in which they run.
    pub const OF_ARTIFACT_STORES: &'static [Self] =
        &[Self::Artifacts, Self::Hostile, Self::Concurrent, Self::Uploads];

    /// All levels of the kit for stores of publications, in the order in which they run.
    pub const OF_PUBLICATION_STORES: &'static [Self] =
        &[Self::Publications, Self::Hostile, Self::Concurrent];

    /// Returns the name of the level in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::History => "history",
            Self::Delete => "delete",
            Self::Durable => "durable",
            Self::Concurrent => "concurrent",
            Self::Hostile => "hostile",
            Self::Scale => "scale",
            Self::Engine => "engine",
            Self::Marks => "marks",
            Self::Reads => "reads",
            Self::Ends => "ends",
            Self::Lists => "lists",
            Self::Hybrid => "hybrid",
            Self::Artifacts => "artifacts",
            Self::Uploads => "uploads",
            Self::Publications => "publications",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
