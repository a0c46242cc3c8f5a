//! The aggregate: a tree of files, and the commits that change it.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A path inside the repository: any bytes but NUL, with `/` between directories.
///
/// Shared, so that a clone of a tree copies no text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Path(Arc<[u8]>);

impl Path {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<&[u8]> for Path {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

impl Borrow<[u8]> for Path {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

/// The name of an object in git: a SHA-1 (20 bytes) or a SHA-256 (32 bytes).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct ObjectId {
    len: u8,
    /// Zero from `len` on.
    bytes: [u8; Self::MAX],
}

impl ObjectId {
    const MAX: usize = 32;

    /// `None` if there are more bytes than in any object id.
    pub(crate) fn new(bytes: &[u8]) -> Option<Self> {
        let mut id = Self { len: u8::try_from(bytes.len()).ok()?, bytes: [0; Self::MAX] };
        id.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(id)
    }

    /// Reads lower-case hexadecimal digits, as git prints them.
    pub(crate) fn from_hex(hex: &[u8]) -> Option<Self> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        if hex.len() != 40 && hex.len() != 64 {
            return None;
        }
        let mut id = Self { len: u8::try_from(hex.len() / 2).ok()?, bytes: [0; Self::MAX] };
        for (byte, pair) in id.bytes.iter_mut().zip(hex.chunks_exact(2)) {
            let &[high, low] = pair else { return None };
            *byte = digit(high)? << 4 | digit(low)?;
        }
        Some(id)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&self.bytes)
    }
}

impl fmt::Display for ObjectId {
    /// Hexadecimal; a precision limits the number of digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.as_bytes().iter().flat_map(|byte| [byte >> 4, byte & 15]);
        let hex: String = digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect();
        f.pad(&hex)
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The entry at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// `0o100644` file, `0o100755` executable, `0o120000` symlink, `0o160000` submodule.
    pub(crate) mode: u32,
    /// The content; for a submodule, the commit it is at.
    pub(crate) id: ObjectId,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06o} {:.12}", self.mode, self.id)
    }
}

/// One path that a commit changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) path: Path,
    /// The new entry; `None` if the path was deleted.
    pub(crate) entry: Option<Entry>,
}

/// The event: the changes of a commit, compared with its first parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Commit {
    pub(crate) id: ObjectId,
    /// The committer's clock, in seconds since 1970: the recorded time of the event.
    pub(crate) time: i64,
    /// At most one change per path, so their order does not matter.
    pub(crate) changes: Vec<Change>,
}

/// The state: every file of the repository, by path, in git's order (that of the bytes).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tree {
    entries: BTreeMap<Path, Entry>,
}

impl Tree {
    pub(crate) fn apply(&mut self, commit: &Commit) {
        for Change { path, entry } in &commit.changes {
            match entry {
                Some(entry) => self.entries.insert(path.clone(), *entry),
                None => self.entries.remove(path),
            };
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Path, &Entry)> {
        self.entries.iter()
    }

    #[cfg(test)]
    pub(crate) fn get(&self, path: &[u8]) -> Option<Entry> {
        self.entries.get(path).copied()
    }
}

impl Serialize for Path {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Path {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(Bytes(|bytes: &[u8]| Some(Self::from(bytes))))
    }
}

impl Serialize for ObjectId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.as_bytes())
    }
}

impl<'de> Deserialize<'de> for ObjectId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(Bytes(Self::new))
    }
}

/// Creates a `T` from the bytes of a codec, borrowed if possible. Derived code would treat them as
/// a list of numbers, which takes several times the space and time.
struct Bytes<F>(F);

impl<'de, T, F: Fn(&[u8]) -> Option<T>> Visitor<'de> for Bytes<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<T, E> {
        self.0(bytes).ok_or_else(|| E::invalid_length(bytes.len(), &self))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<T, A::Error> {
        let mut bytes = Vec::new();
        while let Some(byte) = seq.next_element()? {
            bytes.push(byte);
        }
        self.visit_bytes(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(path: &[u8], mode: Option<u32>) -> Change {
        let id = ObjectId::new(&[7; 20]).unwrap();
        Change { path: path.into(), entry: mode.map(|mode| Entry { mode, id }) }
    }

    fn tree(changes: Vec<Change>) -> Tree {
        let mut tree = Tree::default();
        tree.apply(&Commit { id: ObjectId::new(&[1; 20]).unwrap(), time: 0, changes });
        tree
    }

    #[test]
    fn an_object_id_is_printed_as_it_is_read() {
        for hex in ["0123456789abcdef0123456789abcdef01234567", &"fe".repeat(32)] {
            let id = ObjectId::from_hex(hex.as_bytes()).unwrap();
            assert_eq!(id.to_string(), hex);
            assert_eq!(format!("{id:.7}"), hex[..7]);
        }
        for bad in ["", "12", "g123456789abcdef0123456789abcdef01234567", &"0".repeat(41)] {
            assert_eq!(ObjectId::from_hex(bad.as_bytes()), None);
        }
        assert_eq!(ObjectId::new(&[0; 33]), None);
    }

    #[test]
    fn a_tree_is_encoded_compactly_and_decoded_as_it_was() {
        let tree =
            tree(vec![change(b"a", Some(0o100_644)), change(b"not utf-8 \xff\n", Some(0o160_000))]);
        let bytes = postcard::to_allocvec(&tree).unwrap();
        // The number of entries; lengths and bytes of path and id; three bytes for a mode.
        assert_eq!(bytes.len(), 1 + (1 + 1) + (1 + 12) + 2 * (3 + 1 + 20));
        assert_eq!(postcard::from_bytes::<Tree>(&bytes).unwrap(), tree);
    }

    #[test]
    fn an_object_id_that_is_too_long_is_refused() {
        let bytes = postcard::to_allocvec(&Path::from(&[0; 33][..])).unwrap();
        assert!(postcard::from_bytes::<ObjectId>(&bytes).is_err());
    }
}
