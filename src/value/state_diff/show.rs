//! Formats a [`StateDiff`] for people and serializes it for machines.

use std::fmt;

use serde::ser::{Serialize, SerializeStruct as _, Serializer};

use super::{StateChange, StateDiff};

impl fmt::Display for StateChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added { path, value } => write!(f, "+ {path}: {value}"),
            Self::Changed { path, from, to } => write!(f, "~ {path}: {from} -> {to}"),
            Self::Removed { path, value } => write!(f, "- {path}: {value}"),
        }
    }
}

impl fmt::Display for StateDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for change in &self.changes {
            writeln!(f, "{change}")?;
        }
        let Self { added, changed, removed, .. } = self;
        write!(f, "{added} added, {changed} changed, {removed} removed")?;
        if self.is_complete() { Ok(()) } else { write!(f, " (the first {})", Self::MAX_CHANGES) }
    }
}

/// `{"change": "added", "path": "lots[2]", "value": ...}`, or with `from` and `to` for a changed
/// part.
impl Serialize for StateChange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let path = self.path().to_string();
        let mut parts = serializer.serialize_struct("StateChange", 4)?;
        match self {
            Self::Added { value, .. } => {
                parts.serialize_field("change", "added")?;
                parts.serialize_field("path", &path)?;
                parts.serialize_field("value", value)?;
            }
            Self::Changed { from, to, .. } => {
                parts.serialize_field("change", "changed")?;
                parts.serialize_field("path", &path)?;
                parts.serialize_field("from", from)?;
                parts.serialize_field("to", to)?;
            }
            Self::Removed { value, .. } => {
                parts.serialize_field("change", "removed")?;
                parts.serialize_field("path", &path)?;
                parts.serialize_field("value", value)?;
            }
        }
        parts.end()
    }
}

impl Serialize for StateDiff {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut parts = serializer.serialize_struct("StateDiff", 4)?;
        parts.serialize_field("added", &self.added)?;
        parts.serialize_field("changed", &self.changed)?;
        parts.serialize_field("removed", &self.removed)?;
        parts.serialize_field("changes", &self.changes)?;
        parts.end()
    }
}
