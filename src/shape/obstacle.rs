//! [`Obstacle`]: why a positional codec cannot represent a type.

use std::fmt;

/// A location in a state type, as far as serde reveals it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ObstaclePlace {
    pub(super) owner: String,
    pub(super) field: Option<String>,
}

impl fmt::Display for ObstaclePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.field {
            Some(field) => write!(f, "field `{field}` of `{}`", self.owner),
            None => write!(f, "`{}`", self.owner),
        }
    }
}

/// Why a positional codec (values in order, without names) cannot represent a state type.
///
/// Displays as part of a sentence: "field `note` of `Account` is left out by
/// `skip_serializing_if`".
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// The type asks the format what comes next: it is an untagged or internally tagged enum, or a
    /// free-form value such as `serde_json::Value`.
    SelfDescribing {
        /// The location in the state type.
        place: ObstaclePlace,
        /// What the type expects at this place, in its own words.
        expects: String,
    },
    /// The type is read by the names of its fields: it has a flattened field, is an adjacently
    /// tagged enum, or has a hand-written `Deserialize` that does not support sequences.
    ByName {
        /// The location in the state type.
        place: ObstaclePlace,
    },
    /// A field is omitted from some values (`skip_serializing_if`).
    SkippedField {
        /// The field.
        place: ObstaclePlace,
    },
    /// A sequence or map whose elements take no bytes (`Vec<()>`): a damaged length is not limited
    /// by the number of bytes.
    NoBytes {
        /// The location in the state type.
        place: ObstaclePlace,
    },
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SelfDescribing { place, expects } => {
                write!(f, "{place} needs a self-describing format (it expects {expects})")
            }
            Self::ByName { place } => write!(
                f,
                "{place} is read by name (flatten, an adjacently tagged enum, or a hand-written \
                 Deserialize)"
            ),
            Self::SkippedField { place } => write!(f, "{place} is left out by skip_serializing_if"),
            Self::NoBytes { place } => write!(
                f,
                "{place} may contain any number of values that take no bytes, so decoding a \
                 damaged length might never end"
            ),
        }
    }
}
