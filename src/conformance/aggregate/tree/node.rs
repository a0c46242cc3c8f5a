//! [`Node`]: one value of a state.

use twox_hash::XxHash3_64;

/// One value of a state, with all that it contains.
#[derive(Clone, Debug)]
pub(in super::super) struct Node {
    /// The Rust type, as its container passes it to serde.
    pub(super) ty: &'static str,
    pub(super) kind: Kind,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// A value without parts: what it is, and its bytes.
    Leaf(Vec<u8>),
    /// `Some`, a newtype, a variant with one value.
    Inside(Option<&'static str>, Box<Node>),
    /// A struct, a tuple, or a variant with several values.
    Fields(Option<&'static str>, Vec<(Label, Node)>),
    Items(Vec<Node>),
    Entries(Vec<(Node, Node)>),
}

/// The name of a field, or its place in a tuple.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Label {
    Name(&'static str),
    Place(usize),
}

impl Node {
    /// The same for any two values that differ at most in the order of items and entries.
    pub(in super::super) fn digest(&self) -> u64 {
        let mut bytes = Vec::new();
        let variant = |bytes: &mut Vec<u8>, name: &Option<&str>| {
            bytes.extend_from_slice(name.unwrap_or_default().as_bytes());
            bytes.push(0);
        };
        match &self.kind {
            Kind::Leaf(leaf) => {
                bytes.push(0);
                bytes.extend_from_slice(leaf);
            }
            Kind::Inside(name, inner) => {
                bytes.push(1);
                variant(&mut bytes, name);
                bytes.extend_from_slice(&inner.digest().to_le_bytes());
            }
            Kind::Fields(name, fields) => {
                bytes.push(2);
                variant(&mut bytes, name);
                for (label, field) in fields {
                    match label {
                        Label::Name(name) => variant(&mut bytes, &Some(name)),
                        Label::Place(at) => bytes.extend_from_slice(&at.to_le_bytes()),
                    }
                    bytes.extend_from_slice(&field.digest().to_le_bytes());
                }
            }
            Kind::Items(items) => {
                bytes.push(3);
                unordered(&mut bytes, items.iter().map(Self::digest).collect());
            }
            Kind::Entries(entries) => {
                bytes.push(4);
                let pairs = entries.iter().map(|(key, value)| {
                    let mut pair = [0; 16];
                    let (front, back) = pair.split_at_mut(8);
                    front.copy_from_slice(&key.digest().to_le_bytes());
                    back.copy_from_slice(&value.digest().to_le_bytes());
                    XxHash3_64::oneshot(&pair)
                });
                unordered(&mut bytes, pairs.collect());
            }
        }
        XxHash3_64::oneshot(&bytes)
    }
}

fn unordered(bytes: &mut Vec<u8>, mut digests: Vec<u64>) {
    digests.sort_unstable();
    bytes.extend(digests.iter().flat_map(|digest| digest.to_le_bytes()));
}
