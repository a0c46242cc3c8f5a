//! The identity of an aggregate: [`AggregateKey`].

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::error::{Error, ErrorKind};

/// Identifies one aggregate: tenant (may be empty), kind (such as `"account"`) and id.
///
/// Each part is UTF-8 text of at most [`AggregateKey::MAX_PART_BYTES`] bytes and may be empty. The
/// parts are compared and stored separately, so no separator, escape or case rule can make two
/// different keys collide. Keys are ordered by tenant, then kind, then id, each bytewise.
///
/// Kinds that start with [`AggregateKey::RESERVED_PREFIX`] are reserved for snapfold's internal
/// documents, such as those of a ledger. [`new`](Self::new) and [`from_parts`](Self::from_parts)
/// refuse them.
///
/// Cloning only increments a reference count.
///
/// ```
/// use snapfold::AggregateKey;
///
/// let key = AggregateKey::new("account", "alice")?.with_tenant("north")?;
/// assert_eq!((key.tenant(), key.kind(), key.id()), ("north", "account", "alice"));
/// assert_ne!(AggregateKey::new("ab", "c")?, AggregateKey::new("a", "bc")?);
/// # Ok::<(), snapfold::Error>(())
/// ```
#[derive(Clone)]
pub struct AggregateKey {
    /// Tenant, kind and id, one after the other.
    text: Arc<str>,
    kind_at: u32,
    id_at: u32,
}

impl AggregateKey {
    /// The maximum length of a tenant, kind or id, in bytes (inclusive): 65,535.
    pub const MAX_PART_BYTES: usize = u16::MAX as usize;
    /// The prefix of kinds that are reserved for snapfold's internal documents. Case-sensitive.
    pub const RESERVED_PREFIX: &str = "snapfold.";

    /// Creates the key of the aggregate `id` of kind `kind`. The tenant is empty.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if a part is longer than [`AggregateKey::MAX_PART_BYTES`], or
    /// the kind is reserved.
    pub fn new(kind: &str, id: &str) -> Result<Self, Error> {
        Self::from_parts("", kind, id)
    }

    /// Sets the tenant and keeps kind and id. The empty string is the default tenant.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if `tenant` is longer than [`AggregateKey::MAX_PART_BYTES`].
    pub fn with_tenant(&self, tenant: &str) -> Result<Self, Error> {
        Self::from_stored(tenant, self.kind(), self.id())
    }

    /// Creates a key from all three parts.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if a part is longer than [`AggregateKey::MAX_PART_BYTES`], or
    /// the kind is reserved.
    pub fn from_parts(tenant: &str, kind: &str, id: &str) -> Result<Self, Error> {
        if Self::reserves(kind) {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "make an aggregate key",
                format!(
                    "kinds that start with \"{}\" are reserved: choose another kind",
                    Self::RESERVED_PREFIX
                ),
            ));
        }
        Self::from_stored(tenant, kind, id)
    }

    /// Creates the key of a stored record or row. For implementers of
    /// [`SnapshotStore`](crate::SnapshotStore). Unlike [`from_parts`](Self::from_parts), this
    /// function accepts reserved kinds, because a store contains them too.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if a part is longer than [`AggregateKey::MAX_PART_BYTES`].
    pub fn from_stored(tenant: &str, kind: &str, id: &str) -> Result<Self, Error> {
        for (name, part) in [("tenant", tenant), ("kind", kind), ("id", id)] {
            if part.len() > Self::MAX_PART_BYTES {
                return Err(Error::new(
                    ErrorKind::InvalidInput,
                    "make an aggregate key",
                    format!(
                        "the {name} is {} bytes long, but the limit is {}: shorten it, or use a \
                         hash of it",
                        part.len(),
                        Self::MAX_PART_BYTES
                    ),
                ));
            }
        }
        let mut text = String::with_capacity(tenant.len() + kind.len() + id.len());
        text.push_str(tenant);
        text.push_str(kind);
        text.push_str(id);
        // Three parts of at most 65,535 bytes each: the offsets fit.
        let kind_at = u32::try_from(tenant.len()).unwrap_or(u32::MAX);
        let id_at = u32::try_from(tenant.len() + kind.len()).unwrap_or(u32::MAX);
        Ok(Self { text: text.into(), kind_at, id_at })
    }

    /// Creates the key of an internal document. `kind` must have the reserved prefix.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if a part is longer than [`AggregateKey::MAX_PART_BYTES`].
    pub(crate) fn reserved(tenant: &str, kind: &str, id: &str) -> Result<Self, Error> {
        debug_assert!(Self::reserves(kind), "{kind} is not reserved");
        Self::from_stored(tenant, kind, id)
    }

    /// Returns whether the kind is reserved for snapfold's internal documents.
    pub fn is_reserved(&self) -> bool {
        Self::reserves(self.kind())
    }

    pub(crate) fn reserves(kind: &str) -> bool {
        kind.starts_with(Self::RESERVED_PREFIX)
    }

    /// Returns the tenant; empty for the default tenant.
    pub fn tenant(&self) -> &str {
        self.text.get(..self.kind_at as usize).unwrap_or_default()
    }

    /// Returns the kind of aggregate, such as `"account"`.
    pub fn kind(&self) -> &str {
        self.text.get(self.kind_at as usize..self.id_at as usize).unwrap_or_default()
    }

    /// Returns the id of the aggregate within its kind and tenant.
    pub fn id(&self) -> &str {
        self.text.get(self.id_at as usize..).unwrap_or_default()
    }

    /// Returns whether the key consists of exactly these parts.
    pub(crate) fn is(&self, tenant: &str, kind: &str, id: &str) -> bool {
        self.id() == id && self.kind() == kind && self.tenant() == tenant
    }
}

impl PartialEq for AggregateKey {
    fn eq(&self, other: &Self) -> bool {
        self.kind_at == other.kind_at && self.id_at == other.id_at && self.text == other.text
    }
}

impl Eq for AggregateKey {}

impl Hash for AggregateKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // The offsets make the hash prefix-free, so the terminator that `str` would hash is not
        // needed.
        state.write(self.text.as_bytes());
        state.write_u64(u64::from(self.kind_at) << 32 | u64::from(self.id_at));
    }
}

impl Ord for AggregateKey {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.tenant(), self.kind(), self.id()).cmp(&(other.tenant(), other.kind(), other.id()))
    }
}

impl PartialOrd for AggregateKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Formats the key for people, not for parsing: `account "alice"`, or
/// `account "alice" of tenant "north"`. Control characters are escaped, and parts longer than 64
/// characters are truncated.
impl fmt::Display for AggregateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} \"{}\"", Short(self.kind()), Short(self.id()))?;
        if !self.tenant().is_empty() {
            write!(f, " of tenant \"{}\"", Short(self.tenant()))?;
        }
        Ok(())
    }
}

impl fmt::Debug for AggregateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AggregateKey({self})")
    }
}

/// Formats a part of a key for a log line.
struct Short<'a>(&'a str);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 64;
        let mut chars = self.0.chars();
        for c in chars.by_ref().take(SHOWN) {
            write!(f, "{}", c.escape_debug())?;
        }
        if chars.next().is_some() { f.write_str("...") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn keys_whose_texts_join_to_the_same_bytes_stay_apart() {
        let parts =
            [("", "ab", "c"), ("", "a", "bc"), ("a", "b", "c"), ("a", "", "bc"), ("abc", "", "")];
        let keys: BTreeSet<_> =
            parts.iter().map(|(t, k, i)| AggregateKey::from_parts(t, k, i).unwrap()).collect();
        assert_eq!(keys.len(), parts.len());
        for (t, k, i) in parts {
            assert!(keys.iter().any(|key| key.is(t, k, i)));
        }
    }

    #[test]
    fn parts_may_be_empty_or_hostile_but_not_longer_than_the_limit() {
        assert_eq!(AggregateKey::new("", "").unwrap().id(), "");
        let hostile = "a/b\\..\0\n\u{202e}\"'%";
        let key = AggregateKey::new("k", hostile).unwrap();
        assert_eq!(key.id(), hostile);
        assert!(!key.to_string().contains(['\n', '\0']));
        let longest = "x".repeat(AggregateKey::MAX_PART_BYTES);
        assert_eq!(AggregateKey::new("k", &longest).unwrap().id(), longest);
        let error = AggregateKey::new("k", &format!("{longest}x")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("65536"), "{error}");
    }

    #[test]
    fn reserved_kinds_are_refused_to_applications_and_read_back_from_stores() {
        for kind in ["snapfold.", "snapfold.audit"] {
            for made in [AggregateKey::new(kind, "a"), AggregateKey::from_parts("t", kind, "a")] {
                let error = made.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvalidInput);
                assert!(error.to_string().contains("reserved"), "{error}");
            }
            let stored = AggregateKey::from_stored("t", kind, "a").unwrap();
            assert!(stored.is_reserved() && stored.with_tenant("u").unwrap().is_reserved());
            assert_eq!(stored, AggregateKey::reserved("t", kind, "a").unwrap());
        }
        for kind in ["snapfold", "Snapfold.x", " snapfold.x", ""] {
            assert!(!AggregateKey::new(kind, "a").unwrap().is_reserved());
        }
    }

    #[test]
    fn keys_order_by_tenant_then_kind_then_id() {
        let a = AggregateKey::from_parts("a", "z", "z").unwrap();
        let b = AggregateKey::from_parts("b", "a", "a").unwrap();
        let c = AggregateKey::from_parts("b", "a", "b").unwrap();
        assert!(a < b && b < c);
    }
}
