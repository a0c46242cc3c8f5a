//! [`SnapshotDetails`]: how and why a snapshot came to be.

use std::fmt;

use super::reject::RejectReason;
use super::wire::{WireReader, put_varint};
use crate::error::{Error, ErrorKind};
use crate::generation::Generation;
use crate::snapshot_id::SnapshotId;

const NAME: &str = "describe a snapshot";

pub(super) const SOURCE: u8 = 0x05;
pub(super) const PREDECESSOR: u8 = 0x06;
pub(super) const PRODUCER: u8 = 0x07;
pub(super) const CREATED_BY: u8 = 0x08;
pub(super) const REQUEST: u8 = 0x09;
pub(super) const FIELD: u8 = 0x0a;
pub(super) const WARNING: u8 = 0x0b;
pub(super) const CHANGES: u8 = 0x0c;

/// How and why a snapshot came to be. All of it is optional, is written with the snapshot and never
/// changes. Loads do not depend on it.
///
/// ```
/// use snapfold::record::{SnapshotDetails, SnapshotSource};
///
/// let mut details = SnapshotDetails::default();
/// details.source = SnapshotSource::Import;
/// details.fields.push(("provider".into(), "land registry".into()));
/// assert_eq!(details.field("provider"), Some("land registry"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SnapshotDetails {
    /// What led to the snapshot.
    pub source: SnapshotSource,
    /// The snapshot that the fold began at. `None` if it began with the first event, or if a
    /// release that did not record it took the snapshot. Retention may have deleted it since.
    pub predecessor: Option<SnapshotId>,
    /// The build of the application that took the snapshot
    /// ([`EngineBuilder::producer`](crate::engine::EngineBuilder::producer)).
    pub producer: Option<String>,
    /// Who asked for the snapshot ([`AdminContext::actor`](crate::manager::AdminContext::actor)).
    pub created_by: Option<String>,
    /// The idempotency key of the request
    /// ([`AdminContext::idempotency_key`](crate::manager::AdminContext::idempotency_key)).
    pub idempotency_key: Option<String>,
    /// Names and values set by the application, in their original order.
    pub fields: Vec<(String, String)>,
    /// What the application wants readers of the snapshot to know.
    pub warnings: Vec<String>,
    /// What changed since the predecessor, if the application asked for it.
    pub changes: Option<ChangeSummary>,
}

/// What led to a snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SnapshotSource {
    /// The engine's trigger, in the background. Also snapshots of releases that did not record the
    /// source.
    #[default]
    Trigger,
    /// A call of the application, a person or a schedule.
    Manual,
    /// A rebuild or refold that stored or replaced the snapshot.
    Rebuild,
    /// An import of data from elsewhere.
    Import,
    /// A migration.
    Migration,
    /// One that a newer release knows.
    Other(u8),
}

/// How many values of a state changed since the predecessor of a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChangeSummary {
    /// The number of values that were added.
    pub added: u64,
    /// The number of values that changed.
    pub changed: u64,
    /// The number of values that were removed.
    pub removed: u64,
    /// The paths of the first changes, in the order of the state, at most
    /// [`MAX_PATHS_BYTES`](Self::MAX_PATHS_BYTES) long together.
    pub paths: Vec<String>,
}

impl SnapshotDetails {
    /// The maximum length of the producer and the name of a field, in bytes (inclusive).
    pub const MAX_NAME_BYTES: usize = 200;
    /// The maximum length of all names and values of fields, and all warnings, together, in bytes
    /// (inclusive).
    pub const MAX_BYTES: usize = 8 << 10;

    pub(super) const NONE: Self = Self {
        source: SnapshotSource::Trigger,
        predecessor: None,
        producer: None,
        created_by: None,
        idempotency_key: None,
        fields: Vec::new(),
        warnings: Vec::new(),
        changes: None,
    };

    /// Returns the value of the first field with this name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Checks that the texts are within their limits, and that no field has an empty name.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`]. The message says which and by how much.
    pub fn check(&self) -> Result<(), Error> {
        let invalid = |message| Err(Error::new(ErrorKind::InvalidInput, NAME, message));
        let producer = self.producer.as_deref().map(|producer| ("producer", producer));
        let names = self.fields.iter().map(|(name, _)| ("name of a field", name.as_str()));
        for (what, text) in names.chain(producer) {
            let (bytes, limit) = (text.len(), Self::MAX_NAME_BYTES);
            if bytes > limit {
                return invalid(format!(
                    "the {what} is {bytes} bytes long, but the limit is {limit}: shorten it"
                ));
            }
        }
        if self.fields.iter().any(|(name, _)| name.is_empty()) {
            return invalid("a field has an empty name: name it".to_owned());
        }
        let paths = self.changes.iter().flat_map(|changes| &changes.paths);
        let (bytes, limit) =
            (paths.map(String::len).sum::<usize>(), ChangeSummary::MAX_PATHS_BYTES);
        if bytes > limit {
            return invalid(format!(
                "the paths of changes are {bytes} bytes long together, but the limit is {limit}: \
                 list fewer"
            ));
        }
        let fields = self.fields.iter().map(|(name, value)| name.len() + value.len());
        let bytes: usize = fields.chain(self.warnings.iter().map(String::len)).sum();
        let limit = Self::MAX_BYTES;
        if bytes > limit {
            return invalid(format!(
                "the fields and warnings are {bytes} bytes long together, but the limit is \
                 {limit}: shorten them, or keep them elsewhere"
            ));
        }
        Ok(())
    }

    /// Calls `put` with the tag, the value and the name of each entry, in the order of the tags.
    pub(super) fn each<E>(
        &self,
        id: SnapshotId,
        put: &mut impl FnMut(u8, &[u8], &'static str) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.source != SnapshotSource::Trigger {
            put(SOURCE, &[self.source.as_byte()], "the source")?;
        }
        if let Some(predecessor) = self.predecessor {
            let mut value = Vec::with_capacity(10);
            put_varint(&mut value, id.version.saturating_sub(predecessor.version));
            let Generation { schema_version, fingerprint } = predecessor.generation;
            if predecessor.generation != id.generation {
                put_varint(&mut value, schema_version.into());
                value.extend_from_slice(&fingerprint.to_le_bytes());
            }
            put(PREDECESSOR, &value, "the predecessor")?;
        }
        for (tag, text, name) in [
            (PRODUCER, &self.producer, "the producer"),
            (CREATED_BY, &self.created_by, "the actor"),
            (REQUEST, &self.idempotency_key, "the idempotency key"),
        ] {
            if let Some(text) = text {
                put(tag, text.as_bytes(), name)?;
            }
        }
        for (name, value) in &self.fields {
            let mut entry = Vec::with_capacity(2 + name.len() + value.len());
            put_text(&mut entry, name);
            entry.extend_from_slice(value.as_bytes());
            put(FIELD, &entry, "a field")?;
        }
        for warning in &self.warnings {
            put(WARNING, warning.as_bytes(), "a warning")?;
        }
        if let Some(changes) = &self.changes {
            let mut value = Vec::new();
            for count in [changes.added, changes.changed, changes.removed] {
                put_varint(&mut value, count);
            }
            for path in &changes.paths {
                put_text(&mut value, path);
            }
            put(CHANGES, &value, "the summary of changes")?;
        }
        Ok(())
    }

    /// Adds what an entry says. An entry that cannot be read is left out, because no load depends on
    /// it.
    pub(super) fn add(
        &mut self,
        id: SnapshotId,
        tag: u8,
        value: &[u8],
    ) -> Result<(), RejectReason> {
        let mut reader = WireReader(value);
        match tag {
            SOURCE => self.source = SnapshotSource::from_byte(reader.u8()?),
            PREDECESSOR => {
                let version = id.version.saturating_sub(reader.varint()?);
                let mut generation = id.generation;
                if !reader.0.is_empty() {
                    let schema_version = reader.varint_u32()?;
                    generation = Generation { schema_version, fingerprint: reader.u64()? };
                }
                self.predecessor = Some(SnapshotId { generation, version });
            }
            PRODUCER => self.producer = Some(reader.text(value.len())?.to_owned()),
            CREATED_BY => self.created_by = Some(reader.text(value.len())?.to_owned()),
            REQUEST => self.idempotency_key = Some(reader.text(value.len())?.to_owned()),
            FIELD => {
                let name = text(&mut reader)?;
                self.fields.push((name, reader.text(reader.0.len())?.to_owned()));
            }
            WARNING => self.warnings.push(reader.text(value.len())?.to_owned()),
            CHANGES => {
                let [added, changed, removed] =
                    [reader.varint()?, reader.varint()?, reader.varint()?];
                let mut paths = Vec::new();
                while !reader.0.is_empty() {
                    paths.push(text(&mut reader)?);
                }
                self.changes = Some(ChangeSummary { added, changed, removed, paths });
            }
            _ => {}
        }
        Ok(())
    }
}

/// Returns whether an entry with this tag is part of the details.
pub(super) const fn is_detail(tag: u8) -> bool {
    matches!(tag, SOURCE..=CHANGES)
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_varint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

fn text(reader: &mut WireReader<'_>) -> Result<String, RejectReason> {
    let len = reader.varint_u32()?;
    reader.text(len as usize).map(str::to_owned)
}

impl SnapshotSource {
    const fn as_byte(self) -> u8 {
        match self {
            Self::Trigger => 0,
            Self::Manual => 1,
            Self::Rebuild => 2,
            Self::Import => 3,
            Self::Migration => 4,
            Self::Other(byte) => byte,
        }
    }

    const fn from_byte(byte: u8) -> Self {
        match byte {
            0 => Self::Trigger,
            1 => Self::Manual,
            2 => Self::Rebuild,
            3 => Self::Import,
            4 => Self::Migration,
            byte => Self::Other(byte),
        }
    }
}

/// Formats the source as one word, or as `other 9`.
impl fmt::Display for SnapshotSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trigger => f.write_str("trigger"),
            Self::Manual => f.write_str("manual"),
            Self::Rebuild => f.write_str("rebuild"),
            Self::Import => f.write_str("import"),
            Self::Migration => f.write_str("migration"),
            Self::Other(byte) => write!(f, "other {byte}"),
        }
    }
}

impl ChangeSummary {
    /// The maximum length of all paths together, in bytes (inclusive).
    pub const MAX_PATHS_BYTES: usize = 1_000;

    /// Sets the first of these paths, up to the limit.
    pub(crate) fn set_paths(&mut self, paths: impl IntoIterator<Item = String>) {
        let mut bytes = 0;
        let fits = |path: &String| {
            bytes += path.len();
            bytes <= Self::MAX_PATHS_BYTES
        };
        self.paths = paths.into_iter().take_while(fits).collect();
    }
}

/// Formats the counts as `2 added, 1 changed, 0 removed`.
impl fmt::Display for ChangeSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { added, changed, removed, .. } = self;
        write!(f, "{added} added, {changed} changed, {removed} removed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(version: u64) -> SnapshotId {
        SnapshotId { generation: Generation { schema_version: 1, fingerprint: 7 }, version }
    }

    #[test]
    fn an_entry_that_cannot_be_read_is_left_out() {
        let mut details = SnapshotDetails::default();
        let bad: [(u8, &[u8]); 12] = [
            (SOURCE, &[]),
            (PREDECESSOR, &[]),
            (PREDECESSOR, &[1, 2, 3]),
            (PRODUCER, &[0xff]),
            (CREATED_BY, &[0xff]),
            (REQUEST, &[0xff]),
            (FIELD, &[9, b'n']),
            (FIELD, &[1, b'n', 0xff]),
            (WARNING, &[0xff]),
            (CHANGES, &[1, 2]),
            (CHANGES, &[1, 2, 3, 9, b'p']),
            (CHANGES, &[1, 2, 3, 0xff, 0xff, 0xff, 0xff, 0xff, 1, b'p']),
        ];
        for (tag, value) in bad {
            assert!(details.add(id(5), tag, value).is_err(), "{tag:#x} {value:?}");
            assert_eq!(details, SnapshotDetails::NONE);
        }
        details.add(id(5), SOURCE, &[99]).unwrap();
        assert_eq!(details.source, SnapshotSource::Other(99));
        // A distance beyond the first version.
        details.add(id(5), PREDECESSOR, &[9]).unwrap();
        assert_eq!(details.predecessor, Some(id(0)));
    }

    #[test]
    fn the_first_paths_are_stored() {
        let mut changes = ChangeSummary::default();
        changes.set_paths(vec!["p".repeat(300); 5]);
        assert_eq!(changes.paths.len(), 3);
        changes.set_paths(["p".repeat(2_000)]);
        assert_eq!(changes.paths.len(), 0);
        assert_eq!(changes.to_string(), "0 added, 0 changed, 0 removed");
        changes.paths = vec!["p".repeat(2_000)];
        let details = SnapshotDetails { changes: Some(changes), ..SnapshotDetails::NONE };
        assert_eq!(details.check().unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}
