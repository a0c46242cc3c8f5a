//! The text form of a policy, written; and serde, which uses it.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

use super::span::Span;
use super::{Policy, SUPERSEDED};

pub(super) const NOTHING: &str = "nothing";
pub(super) const ZONE: &str = "zone";
pub(super) const SUPERSEDES: &str = "superseded";
pub(super) const FOREVER: &str = "forever";

/// Writes the text form: the rules in their order, then the settings that differ from the default.
impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rules.is_empty() {
            f.write_str(NOTHING)?;
        }
        for (at, rule) in self.rules.iter().enumerate() {
            let separator = if at > 0 { ", " } else { "" };
            write!(f, "{separator}{rule}")?;
        }
        if !self.zone.is_utc() {
            write!(f, ", {ZONE} {}", self.zone.name())?;
        }
        match self.superseded {
            SUPERSEDED => Ok(()),
            Duration::MAX => write!(f, ", {SUPERSEDES} {FOREVER}"),
            period => write!(f, ", {SUPERSEDES} {}", Span::new(period)),
        }
    }
}

/// As its text form.
impl Serialize for Policy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// From its text form.
impl<'de> Deserialize<'de> for Policy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(PolicyText)
    }
}

struct PolicyText;

impl Visitor<'_> for PolicyText {
    type Value = Policy;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a retention policy, such as \"last 4, daily 7\"")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Policy, E> {
        text.parse().map_err(E::custom)
    }
}
