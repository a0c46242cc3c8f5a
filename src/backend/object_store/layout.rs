//! [`Layout`]: the names of all objects. `docs/format-object-store.md` specifies them.

use object_store::path::Path;

use super::root::{MAX_NAME_BYTES, ObjectRoot, object_path};
use super::segment::{put_segment, read_segment};
use crate::error::{Error, ErrorKind};
use crate::key::AggregateKey;
use crate::snapshot_id::SnapshotId;

/// `/r/`, two slashes between the parts of a key, and what follows them: see [`Layout::record`].
const RECORD_BYTES: usize = 3 + 2 + 1 + 20 + 1 + 10 + 1 + 16 + 1 + 16;

/// The names of the objects below one root.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    root: ObjectRoot,
}

impl Layout {
    pub(super) fn new(root: &str) -> Result<Self, Error> {
        Ok(Self { root: ObjectRoot::parse(root)? })
    }

    /// The longest total length of tenant, kind and id that fits, whatever their bytes.
    pub(super) const fn max_key_bytes(&self) -> u64 {
        // Each of the three parts takes a byte if it is empty.
        ((MAX_NAME_BYTES - RECORD_BYTES - 3 - self.root.len()) / 3) as u64
    }

    pub(super) fn root(&self) -> Result<Path, Error> {
        self.root.join("")
    }

    /// An object outside of the three folders.
    pub(super) fn other(&self, name: &str) -> Result<Path, Error> {
        self.root.join(name)
    }

    /// The index of an aggregate. Fails if the name of a record of this key would be too long.
    pub(super) fn index(&self, key: &AggregateKey) -> Result<Path, Error> {
        self.of_key('x', key)
    }

    /// The folder of an aggregate's records.
    pub(super) fn records(&self, key: &AggregateKey) -> Result<Path, Error> {
        self.of_key('r', key)
    }

    /// One record. `object` makes the name unique, so that an object is written once and belongs to
    /// one put. Newer versions sort before older ones.
    pub(super) fn record(
        &self,
        key: &AggregateKey,
        id: SnapshotId,
        object: u64,
    ) -> Result<Path, Error> {
        let SnapshotId { generation, version } = id;
        let (below, schema) = (u64::MAX - version, generation.schema_version);
        let shape = generation.fingerprint;
        let folder = self.records(key)?;
        object_path(&format!("{folder}/{below:020}-{schema:010}-{shape:016x}-{object:016x}"))
    }

    /// The folder of all indexes, of those of a tenant, or of those of its kind.
    pub(super) fn indexes(&self, tenant: Option<&str>, kind: Option<&str>) -> Result<Path, Error> {
        let mut name = "x".to_owned();
        for part in [tenant, tenant.and(kind)].into_iter().flatten() {
            name.push('/');
            put_segment(&mut name, part);
        }
        self.root.join(&name)
    }

    /// The folder of all records.
    pub(super) fn all_records(&self) -> Result<Path, Error> {
        self.other("r")
    }

    /// Returns the key of an index's name.
    pub(super) fn key_of_index(&self, path: &Path) -> Option<AggregateKey> {
        let (key, rest) = self.read_key(path, "x/")?;
        rest.is_none().then_some(key)
    }

    /// Returns the key and the unique part of a record's name.
    pub(super) fn key_of_record(&self, path: &Path) -> Option<(AggregateKey, u64)> {
        let (key, name) = self.read_key(path, "r/")?;
        let object = name?.rsplit('-').next()?;
        Some((key, u64::from_str_radix(object, 16).ok()?))
    }

    fn of_key(&self, folder: char, key: &AggregateKey) -> Result<Path, Error> {
        let mut name = String::with_capacity(MAX_NAME_BYTES);
        name.push_str(self.root.as_str());
        name.push(folder);
        for part in [key.tenant(), key.kind(), key.id()] {
            name.push('/');
            put_segment(&mut name, part);
        }
        // The folder and four slashes are part of `RECORD_BYTES`.
        let limit = MAX_NAME_BYTES - RECORD_BYTES + 1 + 3;
        if name.len() > limit {
            let longer = name.len() - limit;
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "name an object",
                format!(
                    "the name for the key is {longer} bytes too long for an object store: shorten \
                     the key, or use a hash of it (every byte that is no ASCII letter, digit, '.', \
                     '_' or '-' takes three)"
                ),
            ));
        }
        object_path(&name)
    }

    fn read_key<'p>(
        &self,
        path: &'p Path,
        folder: &str,
    ) -> Option<(AggregateKey, Option<&'p str>)> {
        let rest = path.as_ref().strip_prefix(self.root.as_str())?.strip_prefix(folder)?;
        let mut parts = rest.split('/');
        let mut next = || read_segment(parts.next()?);
        let (tenant, kind, id) = (next()?, next()?, next()?);
        let name = parts.next();
        if parts.next().is_some() {
            return None;
        }
        Some((AggregateKey::from_stored(&tenant, &kind, &id).ok()?, name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generation::Generation;

    fn key(tenant: &str, kind: &str, id: &str) -> AggregateKey {
        AggregateKey::from_stored(tenant, kind, id).unwrap()
    }

    #[test]
    fn names_are_those_of_the_format_and_are_read_back() {
        let layout = Layout::new("app/snapshots/").unwrap();
        let generation = Generation { schema_version: 3, fingerprint: 0xab };
        let id = SnapshotId { generation, version: 7 };
        let key = key("", "account", "a/b c");
        let index = layout.index(&key).unwrap();
        assert_eq!(index.as_ref(), "app/snapshots/x/~/account/a~2fb~20c");
        assert_eq!(layout.key_of_index(&index), Some(key.clone()));
        let record = layout.record(&key, id, 0x1f).unwrap();
        let name = "app/snapshots/r/~/account/a~2fb~20c/\
                    18446744073709551608-0000000003-00000000000000ab-000000000000001f";
        assert_eq!(record.as_ref(), name);
        assert_eq!(layout.key_of_record(&record), Some((key, 0x1f)));
        assert_eq!(layout.key_of_index(&record), None);
        assert_eq!(layout.key_of_record(&index), None);
        assert_eq!(layout.indexes(Some(""), Some("k")).unwrap().as_ref(), "app/snapshots/x/~/k");
        assert_eq!(layout.indexes(None, Some("k")).unwrap().as_ref(), "app/snapshots/x");
        assert_eq!(Layout::new("").unwrap().indexes(None, None).unwrap().as_ref(), "x");
    }

    #[test]
    fn every_key_within_the_limit_has_names_of_at_most_1024_bytes() {
        for root in ["", "r", "a/b", &"r".repeat(300)] {
            let layout = Layout::new(root).unwrap();
            let limit = usize::try_from(layout.max_key_bytes()).unwrap();
            let id = SnapshotId {
                generation: Generation { schema_version: u32::MAX, fingerprint: u64::MAX },
                version: 0,
            };
            for parts in [["\0", "/", "~"], ["", "", "%"], ["", "", "."]] {
                let fill = limit - parts.concat().len();
                let long = format!("{}{}", parts[2], "\u{1}".repeat(fill));
                let longest = key(parts[0], parts[1], &long);
                let name = layout.record(&longest, id, u64::MAX).unwrap();
                assert!(name.as_ref().len() <= MAX_NAME_BYTES, "{}", name.as_ref().len());
                let longer = key(parts[0], parts[1], &format!("{long}\u{1}\u{1}"));
                assert_eq!(layout.index(&longer).unwrap_err().kind(), ErrorKind::InvalidInput);
            }
            // Plain keys may be three times as long.
            let plain = key("", "k", &"x".repeat(3 * limit - 10));
            layout.index(&plain).unwrap();
        }
        assert!(Layout::new(&"r".repeat(301)).is_err());
        assert!(Layout::new("a//b").is_err());
    }
}
