//! Options and results of taking snapshots: [`CreateOptions`], [`CreateOutcome`], [`Rebuilt`].

use std::fmt;

use crate::record::SnapshotMeta;

/// What kind of snapshot to take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CreateOptions {
    /// The version to capture (inclusive); `None` for the state now.
    pub version: Option<u64>,
    /// Labels to store with it, for good.
    pub labels: Vec<String>,
    /// Names of pins to set on it, each at most
    /// [`Mark::MAX_NAME_BYTES`](crate::store::Mark::MAX_NAME_BYTES) long: no retention policy and
    /// no delete removes it while one stands. Set in the same step as it is stored; on a snapshot
    /// that is stored already, in a step of its own.
    pub pins: Vec<String>,
}

impl CreateOptions {
    /// The state now, without labels and pins.
    pub fn new() -> Self {
        Self::default()
    }

    /// Captures the state at `version` (inclusive) instead of now.
    pub fn at_version(mut self, version: u64) -> Self {
        self.version = Some(version);
        self
    }

    /// Adds a label.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.labels.push(label.into());
        self
    }

    /// Adds a pin. The store must keep [marks](crate::store::Capabilities::marks).
    pub fn pin(mut self, name: impl Into<String>) -> Self {
        self.pins.push(name.into());
        self
    }
}

/// What became of a snapshot that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CreateOutcome {
    /// The aggregate has no events: there is nothing to capture.
    Empty,
    /// A snapshot of this generation and version was stored before; it stays (R10). If it is
    /// retired, or written with a codec that this engine does not
    /// [read](crate::engine::EngineBuilder::also_reads), no load uses it afterwards either:
    /// [`rebuild`](crate::SnapshotAdmin::rebuild) replaces it.
    Existing {
        /// The snapshot that was made and not stored.
        meta: SnapshotMeta,
        /// Whether the stored one is proved to hold the same state. It is, unless the codec has no
        /// digest: then this says whether its payload is the same, byte for byte. One that is
        /// proved to differ is an error of kind [`Conflict`](crate::ErrorKind::Conflict).
        identical: bool,
    },
    /// It is stored in place of one that was found to belong to another history, or that could not
    /// be used. Only background snapshots and [`refold`](crate::SnapshotAdmin::refold) do that,
    /// never to a pinned one.
    Replaced(SnapshotMeta),
    /// It is stored.
    Stored(SnapshotMeta),
}

impl CreateOutcome {
    /// The snapshot, unless there was nothing to capture.
    pub fn meta(&self) -> Option<&SnapshotMeta> {
        match self {
            Self::Empty => None,
            Self::Existing { meta, .. } | Self::Replaced(meta) | Self::Stored(meta) => Some(meta),
        }
    }
}

/// One line, for logs.
impl fmt::Display for CreateOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("nothing to capture: no events"),
            Self::Existing { meta, identical: true } => write!(f, "stored before: {meta}"),
            Self::Existing { meta, identical: false } => {
                write!(f, "stored before, not proved to be the same: {meta}")
            }
            Self::Replaced(meta) => write!(f, "replaced: {meta}"),
            Self::Stored(meta) => write!(f, "stored: {meta}"),
        }
    }
}

/// What a rebuild did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rebuilt {
    /// The snapshot that is stored now.
    pub meta: SnapshotMeta,
    /// Whether a stored snapshot was replaced; false if there was none.
    pub replaced: bool,
}
