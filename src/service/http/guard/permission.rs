//! [`Permission`].

use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::error::{Error, ErrorKind};

/// What a request needs. A [`Scope`](super::Scope) gives some of them.
///
/// As text and in JSON, a permission is its [name](Self::name).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Permission {
    /// To read states, their history, and lists.
    Read,
    /// To copy the stored records of snapshots. They have more than a state shows: also what its
    /// [viewer](crate::engine::EngineBuilder::viewer) hides, who took the snapshot, and where.
    Copy,
    /// To see how a state was loaded, in the header `Server-Timing`.
    Diagnose,
    /// To take snapshots, and to rebuild them from the events.
    Take,
    /// To delete snapshots, and to apply a retention policy. Also to see what a policy would do: a
    /// dry run is the same request.
    Prune,
    /// To begin, finalise and give up publications, and to see those that are pending.
    Publish,
}

impl Permission {
    /// All permissions.
    pub const ALL: &[Self] =
        &[Self::Read, Self::Copy, Self::Diagnose, Self::Take, Self::Prune, Self::Publish];

    /// Returns the name in files and tokens, such as `read`. It never changes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Copy => "copy",
            Self::Diagnose => "diagnose",
            Self::Take => "take",
            Self::Prune => "prune",
            Self::Publish => "publish",
        }
    }
}

impl FromStr for Permission {
    type Err = Error;

    /// Reads a [name](Permission::name).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if no permission has this name. The message does not contain the
    /// text.
    fn from_str(text: &str) -> Result<Self, Error> {
        let known = Self::ALL.iter().copied().find(|permission| permission.name() == text);
        known.ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|permission| permission.name()).collect();
            let message = format!("no permission has this name: use {}", names.join(", "));
            Error::new(ErrorKind::InvalidInput, "parse a permission", message)
        })
    }
}

impl Serialize for Permission {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Permission {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_variant_in_kebab_case_and_leads_back_to_it() {
        for permission in Permission::ALL {
            let mut kebab = String::new();
            for c in format!("{permission:?}").chars() {
                if c.is_ascii_uppercase() && !kebab.is_empty() {
                    kebab.push('-');
                }
                kebab.push(c.to_ascii_lowercase());
            }
            assert_eq!(permission.name(), kebab);
            assert_eq!(kebab.parse::<Permission>().unwrap(), *permission);
        }
        let error = "snf_0123".parse::<Permission>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("diagnose") && !error.to_string().contains("snf_"));
    }
}
