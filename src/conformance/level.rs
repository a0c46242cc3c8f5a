//! [`Level`]: a part of the kits.

use std::fmt;

/// A part of the kit, by what a store has to be good at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Level {
    /// What is put is found, listed and kept apart.
    Core,
    /// Versions, times and generations; pages.
    History,
    /// What is deleted is gone, and nothing else.
    Delete,
    /// What was acknowledged survives closing and crashing.
    Durable,
    /// Many tasks at once, and calls that are cut off.
    Concurrent,
    /// Ids, payloads, sizes and bytes that nobody would think of.
    Hostile,
    /// Many aggregates, long histories.
    Scale,
    /// Pins, retirements and bases: what is kept, and what is not used. Tried only if all that was
    /// run before it passed.
    Marks,
    /// Loads of the real engine over this store equal a full replay.
    Engine,
    /// Event sources: each event in order, whole, within bounds.
    Reads,
    /// Event sources: heads, floors and truncated histories.
    Ends,
    /// Event sources: reads of many, lists of aggregates, times.
    Lists,
    /// Hybrid sources: snapshot and events in one call.
    Hybrid,
}

impl Level {
    /// All levels of the kit for stores, in the order in which they are run.
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

    /// All levels of the kit for event sources, in the order in which they are run.
    pub const OF_EVENT_SOURCES: &'static [Self] =
        &[Self::Reads, Self::Ends, Self::Lists, Self::Concurrent, Self::Hostile, Self::Hybrid];

    /// Its name in lower case.
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
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
