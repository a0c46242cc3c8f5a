//! [`Zone`]: the time zone of a policy's calendar.

use std::fmt;
use std::hash::{Hash, Hasher};

use jiff::tz::TimeZone;

use crate::error::ErrorKind;

const UTC: &str = "UTC";

/// A time zone and its name. Equal if the names are.
#[derive(Clone)]
pub(crate) struct Zone {
    name: Box<str>,
    rules: TimeZone,
}

/// Why there is no such zone.
pub(super) struct NoZone {
    pub(super) kind: ErrorKind,
    pub(super) message: String,
}

impl Zone {
    /// Finds a zone by its IANA name. Upper and lower case are equal.
    pub(super) fn find(name: &str) -> Result<Self, NoZone> {
        if name.eq_ignore_ascii_case(UTC) { Ok(Self::default()) } else { find(name) }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn is_utc(&self) -> bool {
        *self.name == *UTC
    }

    pub(crate) const fn rules(&self) -> &TimeZone {
        &self.rules
    }
}

#[cfg(feature = "schedules")]
fn find(name: &str) -> Result<Zone, NoZone> {
    match TimeZone::get(name) {
        Ok(rules) => Ok(Zone { name: rules.iana_name().unwrap_or(name).into(), rules }),
        Err(_) => Err(NoZone {
            kind: ErrorKind::InvalidInput,
            message: format!(
                "there is no time zone {name:?}: use an IANA name, such as Europe/Berlin or UTC"
            ),
        }),
    }
}

#[cfg(not(feature = "schedules"))]
fn find(name: &str) -> Result<Zone, NoZone> {
    Err(NoZone {
        kind: ErrorKind::FeatureDisabled,
        message: format!(
            "the time zone {name:?} needs the feature \"schedules\" of snapfold: enable it, or use UTC"
        ),
    })
}

impl Default for Zone {
    fn default() -> Self {
        Self { name: UTC.into(), rules: TimeZone::UTC }
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Zone {}

impl Hash for Zone {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}
