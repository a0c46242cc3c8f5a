//! [`ValueNode`]: one value of a state, with its contents.

use twox_hash::XxHash3_64;

/// One value of a state, with its contents.
#[derive(Clone, Debug)]
pub(crate) struct ValueNode {
    /// The Rust type, as the container of the value passes it to serde.
    pub(super) ty: &'static str,
    pub(super) kind: NodeKind,
    digest: u64,
}

#[derive(Clone, Debug)]
pub(super) enum NodeKind {
    /// A value without parts. Contains the digest of its kind and value.
    Leaf(u64),
    /// `Some`, a newtype, or a variant with one value.
    Inside(Option<&'static str>, Box<ValueNode>),
    /// A struct, a tuple, or a variant with several values.
    Fields(Option<&'static str>, Vec<(Label, ValueNode)>),
    Items(Vec<ValueNode>),
    Entries(Vec<(ValueNode, ValueNode)>),
    /// A field that the value omits.
    Skipped,
}

/// The name of a field, or its position in a tuple.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Label {
    Name(&'static str),
    Place(usize),
}

impl ValueNode {
    pub(super) fn new(ty: &'static str, kind: NodeKind) -> Self {
        let digest = kind.digest();
        Self { ty, kind, digest }
    }

    /// Returns a hash that is equal for values that differ at most in the order of items and
    /// entries.
    pub(crate) const fn digest(&self) -> u64 {
        self.digest
    }
}

impl NodeKind {
    fn digest(&self) -> u64 {
        let text = |text: &str| XxHash3_64::oneshot(text.as_bytes());
        let variant = |name: Option<&str>| name.map_or(0, text);
        match self {
            Self::Leaf(digest) => *digest,
            Self::Inside(name, inner) => join(1, &[variant(*name), inner.digest]),
            Self::Fields(name, fields) => {
                let mut parts = vec![variant(*name)];
                for (label, field) in fields {
                    parts.push(match label {
                        Label::Name(name) => text(name),
                        Label::Place(at) => *at as u64,
                    });
                    parts.push(field.digest);
                }
                join(2, &parts)
            }
            Self::Items(items) => unordered(3, items.iter().map(ValueNode::digest).collect()),
            Self::Skipped => 6,
            Self::Entries(entries) => {
                let pair =
                    |(key, value): &(ValueNode, ValueNode)| join(5, &[key.digest, value.digest]);
                unordered(4, entries.iter().map(pair).collect())
            }
        }
    }
}

fn unordered(what: u64, mut digests: Vec<u64>) -> u64 {
    digests.sort_unstable();
    join(what, &digests)
}

fn join(what: u64, digests: &[u64]) -> u64 {
    let bytes: Vec<u8> = digests.iter().flat_map(|digest| digest.to_le_bytes()).collect();
    XxHash3_64::oneshot_with_seed(what, &bytes)
}
