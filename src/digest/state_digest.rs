//! [`StateDigest`]: the digest of a state's value in a record.

use std::fmt;

/// A 128-bit digest of a state's value. If two digests of the same kind are equal, the states
/// serialize to equal values. If they differ, the states differ.
///
/// A digest does not depend on the codec, the compression, or the bytes of the payload. It is not
/// cryptographic: it detects accidental changes, not malicious ones.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct StateDigest {
    kind: DigestKind,
    bytes: [u8; 16],
}

/// How a [`StateDigest`] was computed. Digests of different kinds cannot be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DigestKind {
    /// The order of elements and entries counts.
    Ordered,
    /// The order of sequence elements and map entries does not count. For states with a hash map, a
    /// hash set, or another container that is not known to keep its order.
    Free,
    /// Computed by a function that the codec provides.
    Custom,
}

impl DigestKind {
    /// Returns the number that represents the kind in a header. 0 stands for no digest.
    pub(crate) const fn as_u8(self) -> u8 {
        match self {
            Self::Ordered => 1,
            Self::Free => 2,
            Self::Custom => 3,
        }
    }

    pub(crate) const fn from_u8(kind: u8) -> Option<Self> {
        match kind {
            1 => Some(Self::Ordered),
            2 => Some(Self::Free),
            3 => Some(Self::Custom),
            _ => None,
        }
    }
}

impl StateDigest {
    /// Creates a digest from its parts.
    pub const fn new(kind: DigestKind, bytes: [u8; 16]) -> Self {
        Self { kind, bytes }
    }

    /// Returns how the digest was computed.
    pub const fn kind(&self) -> DigestKind {
        self.kind
    }

    /// Returns the bytes of the digest.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.bytes
    }

    /// Returns whether the states are equal, or `None` if the digests have different kinds.
    pub fn proves_equal(&self, other: &Self) -> Option<bool> {
        (self.kind == other.kind).then(|| self.bytes == other.bytes)
    }
}

/// Formats the bytes as 32 hexadecimal digits, in order.
impl fmt::Display for StateDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.bytes))
    }
}

impl fmt::Debug for StateDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StateDigest({:?}, {self})", self.kind)
    }
}
