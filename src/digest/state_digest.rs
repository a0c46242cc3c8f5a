//! [`StateDigest`]: what a record says about its state's value.

use std::fmt;

/// A digest of a state's value, 128 bits: equal digests of one kind are equal states, as far as
/// `Serialize` tells; other digests are other states.
///
/// It does not depend on the codec, the compression, or the bytes of the payload. It is not
/// cryptographic: it finds accidents, not attackers.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct StateDigest {
    kind: DigestKind,
    bytes: [u8; 16],
}

/// How a [`StateDigest`] was computed. Digests of two kinds cannot be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DigestKind {
    /// The order of elements and entries counts.
    Ordered,
    /// The order of elements of sequences and of entries of maps does not count: for states with a
    /// hash map, a hash set, or another container that is not known to keep its order.
    Free,
    /// By a function of the codec's own.
    Custom,
}

impl DigestKind {
    /// The number that stands for it in a header; 0 stands for no digest.
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
    /// A digest from its parts.
    pub const fn new(kind: DigestKind, bytes: [u8; 16]) -> Self {
        Self { kind, bytes }
    }

    /// How it was computed.
    pub const fn kind(&self) -> DigestKind {
        self.kind
    }

    /// The digest itself.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.bytes
    }

    /// Whether the states are equal; `None` if the digests are of two kinds.
    pub fn proves_equal(&self, other: &Self) -> Option<bool> {
        (self.kind == other.kind).then(|| self.bytes == other.bytes)
    }
}

/// 32 hexadecimal digits, as the bytes come.
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
