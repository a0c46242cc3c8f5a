//! [`Law`]: the conditions for a load to equal a replay.

use std::fmt;

/// A condition that an aggregate must satisfy for a load to equal a replay.
///
/// Ids are stable: a law keeps its id, and a withdrawn law leaves a gap. A law is judged only if
/// the laws that it depends on ([`premises`](Self::premises)) are not broken, so that a report
/// names the cause and not its consequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Law {
    /// **L-01** `initial` and `apply` do not panic, because a recorded event cannot be rejected.
    Total,
    /// **L-02** Folding the same events again, in the same process, gives the same state. Broken by
    /// clocks, random numbers, counters outside the state, and folds that depend on the iteration
    /// order of a hash map.
    Repeatable,
    /// **L-03** Folding the events on another thread also gives the same state. Broken by
    /// thread-local values.
    AnyThread,
    /// **L-04** Folding the events in another process, which runs the same test again, also gives
    /// the same state. Broken by process ids, addresses, and values that are computed once per
    /// process.
    AnyProcess,
    /// **L-05** A clone equals its original and shares no data with it, because the engine folds
    /// new events into clones of states that other callers still read. Broken by interior
    /// mutability behind a shared pointer.
    OwnClone,
    /// **L-06** The codec can represent the type, and each state that occurs is unchanged after it
    /// is encoded, decoded and encoded again.
    Survives,
    /// **L-07** A snapshot of each version, decoded and folded to the end, gives the same state as
    /// a replay. Broken by fields that matter but are not stored, and by values that are rounded
    /// when they are stored.
    Resumes,
    /// **L-08** Equal states have equal bytes. Broken by hash maps and sets, whose order differs
    /// each time. Loads are still correct, but stores cannot tell whether two snapshots of a
    /// version are identical. [Accept](super::AggregateCheck::accept) this if it does not matter.
    Canonical,
    /// **L-09** Replaying the events of a golden sample from the current generation gives the
    /// recorded state. Broken by a fold whose meaning changed without a new
    /// [`SCHEMA_VERSION`](crate::Aggregate::SCHEMA_VERSION), and by reading a clock that is too
    /// coarse for L-02 to notice.
    Meaning,
    /// **L-10** Upcasting an old state gives the same state as replaying its events today.
    Upcasts,
    /// **L-11** Golden samples are unchanged, their events can still be read, and each sample
    /// either loads or is rejected with a reason and replayed.
    Golden,
}

impl Law {
    /// All laws, in the order of their ids.
    pub const ALL: &'static [Self] = &[
        Self::Total,
        Self::Repeatable,
        Self::AnyThread,
        Self::AnyProcess,
        Self::OwnClone,
        Self::Survives,
        Self::Resumes,
        Self::Canonical,
        Self::Meaning,
        Self::Upcasts,
        Self::Golden,
    ];

    /// Returns the id, such as `"L-01"`.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Total => "L-01",
            Self::Repeatable => "L-02",
            Self::AnyThread => "L-03",
            Self::AnyProcess => "L-04",
            Self::OwnClone => "L-05",
            Self::Survives => "L-06",
            Self::Resumes => "L-07",
            Self::Canonical => "L-08",
            Self::Meaning => "L-09",
            Self::Upcasts => "L-10",
            Self::Golden => "L-11",
        }
    }

    /// Returns the law as a short sentence, in lower case and without a full stop.
    pub const fn statement(self) -> &'static str {
        match self {
            Self::Total => "apply accepts every event",
            Self::Repeatable => "folding again gives the same state",
            Self::AnyThread => "folding on another thread gives the same state",
            Self::AnyProcess => "folding in another process gives the same state",
            Self::OwnClone => "a clone is independent of its original",
            Self::Survives => "encoding and decoding does not change a state",
            Self::Resumes => "resuming from any version equals a full replay",
            Self::Canonical => "equal states have equal bytes",
            Self::Meaning => "replaying a golden sample gives its recorded state",
            Self::Upcasts => "upcasting gives the same state as a replay",
            Self::Golden => "golden samples load or are replayed",
        }
    }

    /// Returns the laws that must hold before this law can be judged.
    pub const fn premises(self) -> &'static [Self] {
        match self {
            Self::Total => &[],
            Self::Repeatable | Self::Survives => &[Self::Total],
            Self::AnyThread | Self::OwnClone => &[Self::Total, Self::Repeatable],
            Self::AnyProcess => &[Self::Total, Self::Repeatable, Self::AnyThread],
            Self::Canonical => &[Self::Total, Self::Survives],
            Self::Resumes | Self::Meaning | Self::Upcasts | Self::Golden => {
                &[Self::Total, Self::Repeatable, Self::Survives]
            }
        }
    }
}

/// Prints the id and the statement, such as "L-02 folding again gives the same state".
impl fmt::Display for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.id(), self.statement())
    }
}
