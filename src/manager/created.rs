//! [`CreateOptions`], [`CreateRequest`], [`CreateOutcome`] and [`Rebuilt`]: options and results of
//! taking snapshots.

use std::fmt;

use crate::key::AggregateKey;
use crate::record::{SnapshotMeta, SnapshotSource};

/// Options for taking a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CreateOptions {
    /// The version to capture (inclusive); `None` for the current state.
    pub version: Option<u64>,
    /// Labels to store with the snapshot. They cannot be changed later.
    pub labels: Vec<String>,
    /// Names and values to store with the snapshot, in this order. They cannot be changed later. See
    /// [`SnapshotDetails::check`](crate::record::SnapshotDetails::check) for the limits.
    pub fields: Vec<(String, String)>,
    /// What readers of the snapshot should know, stored with it.
    pub warnings: Vec<String>,
    /// What led to the snapshot, stored with it. [`SnapshotSource::Manual`] if `None`.
    pub source: Option<SnapshotSource>,
    /// Whether to store a summary of what changed since the
    /// [predecessor](crate::record::SnapshotDetails::predecessor). It costs reading that snapshot, and needs an
    /// engine that can [view](crate::manager::Inspect::view) states. There is no summary
    /// without a predecessor that can be read. With a [`Seal`](crate::codec::Seal), the
    /// summary has no paths, because they would not be sealed.
    pub summarize_changes: bool,
    /// Whether to replace a snapshot that holds another state at the same version. The events
    /// decide which state is stored, as in [`refold`](crate::SnapshotAdmin::refold): they are
    /// folded from the beginning, and a pinned snapshot is kept and is a conflict.
    pub or_replace: bool,
    /// Names of pins to set on the snapshot, each at most
    /// [`Mark::MAX_NAME_BYTES`](crate::store::Mark::MAX_NAME_BYTES) long. While a pin is set, no
    /// retention policy and no delete removes the snapshot. The pins of a new snapshot are stored
    /// atomically with it. If the snapshot already exists, its pins are set in a separate step.
    pub pins: Vec<String>,
    /// Whether to take the snapshot only if there is none of the current state. Has no effect if
    /// [`version`](Self::version) is set.
    ///
    /// If the event source [knows its head](crate::EventSource::head), an unchanged aggregate costs
    /// one call to `head` and one listing of metadata. With other event sources, it costs a load.
    /// Nothing is written, not even an audit entry. The existing snapshot is not checked and gets
    /// no labels or pins.
    pub if_changed: bool,
}

impl CreateOptions {
    /// Creates options for a snapshot of the current state, without labels or pins.
    pub fn new() -> Self {
        Self::default()
    }

    /// Captures the state at `version` (inclusive) instead of the current one.
    pub fn at_version(mut self, version: u64) -> Self {
        self.version = Some(version);
        self
    }

    /// Sets [`if_changed`](Self::if_changed).
    pub fn if_changed(mut self) -> Self {
        self.if_changed = true;
        self
    }

    /// Adds a label.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.labels.push(label.into());
        self
    }

    /// Adds a field.
    pub fn field(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    /// Adds a warning.
    pub fn warning(mut self, text: impl Into<String>) -> Self {
        self.warnings.push(text.into());
        self
    }

    /// Sets [`source`](Self::source).
    pub fn source(mut self, source: SnapshotSource) -> Self {
        self.source = Some(source);
        self
    }

    /// Sets [`summarize_changes`](Self::summarize_changes).
    pub fn summarize_changes(mut self) -> Self {
        self.summarize_changes = true;
        self
    }

    /// Sets [`or_replace`](Self::or_replace).
    pub fn or_replace(mut self) -> Self {
        self.or_replace = true;
        self
    }

    /// Adds a pin. The store must support [marks](crate::store::Capabilities::marks).
    pub fn pin(mut self, name: impl Into<String>) -> Self {
        self.pins.push(name.into());
        self
    }
}

/// A request to take one of several snapshots: an aggregate, and the options for its snapshot.
///
/// A key is a request for the current state.
///
/// ```
/// use snapfold::AggregateKey;
/// use snapfold::manager::{CreateOptions, CreateRequest};
///
/// let key = AggregateKey::new("account", "alice")?;
/// let newest = CreateRequest::from(&key);
/// let month_end = CreateRequest::new(key, CreateOptions::new().at_version(31).label("may"));
/// assert_eq!((newest.options.version, month_end.options.version), (None, Some(31)));
/// # Ok::<(), snapfold::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CreateRequest {
    /// The aggregate.
    pub key: AggregateKey,
    /// The version to capture, labels, pins and so on.
    pub options: CreateOptions,
}

impl CreateRequest {
    /// Creates a request.
    pub const fn new(key: AggregateKey, options: CreateOptions) -> Self {
        Self { key, options }
    }
}

impl From<AggregateKey> for CreateRequest {
    fn from(key: AggregateKey) -> Self {
        Self::new(key, CreateOptions::new())
    }
}

impl From<&AggregateKey> for CreateRequest {
    fn from(key: &AggregateKey) -> Self {
        Self::from(key.clone())
    }
}

impl From<&Self> for CreateRequest {
    fn from(request: &Self) -> Self {
        request.clone()
    }
}

/// The outcome of a request to take a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CreateOutcome {
    /// The aggregate has no events, so there is nothing to capture.
    Empty,
    /// A snapshot of this generation and version already exists and is kept. If it is retired, or
    /// was written with a codec that this engine does not
    /// [read](crate::engine::EngineBuilder::also_reads), loads do not use it. To replace it, call
    /// [`rebuild`](crate::SnapshotAdmin::rebuild).
    Existing {
        /// The metadata of the snapshot that was taken but not stored. If a request is repeated with
        /// its [idempotency key](crate::manager::AdminContext::idempotency_key), that of the
        /// snapshot that the first attempt stored.
        meta: SnapshotMeta,
        /// Whether the stored snapshot was proved to hold the same state. If the codec has a
        /// digest, this is true, because a difference is reported as an error of kind
        /// [`Conflict`](crate::ErrorKind::Conflict). Without a digest, it is true if the payloads
        /// are equal byte for byte. It is false in any case if this engine cannot open the stored
        /// snapshot, because it lacks its key, dictionary or compressor.
        identical: bool,
    },
    /// The snapshot replaced one that belonged to another history or could not be used. Only
    /// background snapshots and [`refold`](crate::SnapshotAdmin::refold) do this. They never
    /// replace a pinned snapshot.
    Replaced(SnapshotMeta),
    /// The snapshot was stored.
    Stored(SnapshotMeta),
    /// A snapshot of the current state exists, so none was taken (see
    /// [`CreateOptions::if_changed`]).
    Unchanged {
        /// The version of the existing snapshot.
        version: u64,
    },
}

impl CreateOutcome {
    /// Returns the metadata of the snapshot that was taken, or `None` if none was taken.
    pub fn meta(&self) -> Option<&SnapshotMeta> {
        match self {
            Self::Empty | Self::Unchanged { .. } => None,
            Self::Existing { meta, .. } | Self::Replaced(meta) | Self::Stored(meta) => Some(meta),
        }
    }
}

/// Formats the outcome as one line, for logs.
impl fmt::Display for CreateOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("nothing to capture: no events"),
            Self::Existing { meta, identical: true } => write!(f, "already stored: {meta}"),
            Self::Existing { meta, identical: false } => {
                write!(f, "already stored, not proved to be the same: {meta}")
            }
            Self::Replaced(meta) => write!(f, "replaced: {meta}"),
            Self::Stored(meta) => write!(f, "stored: {meta}"),
            Self::Unchanged { version } => write!(f, "unchanged since version {version}"),
        }
    }
}

/// The result of a rebuild.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rebuilt {
    /// The snapshot that is now stored.
    pub meta: SnapshotMeta,
    /// Whether a stored snapshot was replaced; false if none existed.
    pub replaced: bool,
}

impl Rebuilt {
    /// Creates the result. For implementers of [`SnapshotAdmin`](crate::SnapshotAdmin).
    pub const fn new(meta: SnapshotMeta, replaced: bool) -> Self {
        Self { meta, replaced }
    }
}
