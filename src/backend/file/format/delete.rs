//! [`DeleteBody`]: the content of a delete frame.

use super::guard::{GUARD_BYTES, put_guard, unguarded};
use crate::generation::Generation;
use crate::key::AggregateKey;
use crate::little_endian::LittleEndianReader;
use crate::snapshot_id::SnapshotId;

/// The stored form of a selection of one aggregate's snapshots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DeleteScope {
    All,
    /// Versions below this one (exclusive).
    Below(u64),
    Ids(Vec<SnapshotId>),
}

impl DeleteScope {
    pub(crate) fn covers(&self, id: SnapshotId) -> bool {
        match self {
            Self::All => true,
            Self::Below(version) => id.version < *version,
            Self::Ids(ids) => ids.contains(&id),
        }
    }
}

/// The body of a delete frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeleteBody<'a> {
    pub(crate) tenant: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) id: &'a str,
    pub(crate) scope: DeleteScope,
}

impl<'a> DeleteBody<'a> {
    pub(crate) fn write(key: &AggregateKey, scope: &DeleteScope) -> Vec<u8> {
        Self::encode([key.tenant(), key.kind(), key.id()], scope)
    }

    /// Encodes the same delete with another scope.
    pub(crate) fn with_scope(&self, scope: &DeleteScope) -> Vec<u8> {
        Self::encode([self.tenant, self.kind, self.id], scope)
    }

    fn encode(parts: [&str; 3], scope: &DeleteScope) -> Vec<u8> {
        let (code, number) = match scope {
            DeleteScope::All => (1, 0),
            DeleteScope::Below(version) => (2, *version),
            DeleteScope::Ids(ids) => (3, ids.len() as u64),
        };
        let fixed = GUARD_BYTES + 16;
        let mut body =
            Vec::with_capacity(fixed + parts.iter().map(|part| part.len()).sum::<usize>());
        body.extend_from_slice(&[0; GUARD_BYTES]);
        body.extend_from_slice(&[code, 0]);
        for part in parts {
            // Each part of a key is at most 65,535 bytes long.
            body.extend_from_slice(&u16::try_from(part.len()).unwrap_or(u16::MAX).to_le_bytes());
        }
        body.extend_from_slice(&number.to_le_bytes());
        for part in parts {
            body.extend_from_slice(part.as_bytes());
        }
        if let DeleteScope::Ids(ids) = scope {
            for id in ids {
                body.extend_from_slice(&id.version.to_le_bytes());
                body.extend_from_slice(&id.generation.fingerprint.to_le_bytes());
                body.extend_from_slice(&id.generation.schema_version.to_le_bytes());
            }
        }
        put_guard(&mut body);
        body
    }

    /// Parses a body whose checksum matches.
    pub(crate) fn parse(body: &'a [u8]) -> Option<Self> {
        let mut reader = LittleEndianReader(unguarded(body));
        let [code, 0] = reader.array()? else { return None };
        let lengths = [reader.u16()?, reader.u16()?, reader.u16()?];
        let number = reader.u64()?;
        let [tenant, kind, id] = lengths.map(|len| reader.text(len.into()));
        let scope = match (code, number) {
            (1, 0) => DeleteScope::All,
            (2, version) => DeleteScope::Below(version),
            (3, count) if Some(reader.0.len() as u64) == count.checked_mul(20) => {
                let mut ids = Vec::with_capacity(reader.0.len() / 20);
                while !reader.0.is_empty() {
                    let (version, fingerprint) = (reader.u64()?, reader.u64()?);
                    let schema_version = reader.u32()?;
                    let generation = Generation { schema_version, fingerprint };
                    ids.push(SnapshotId { generation, version });
                }
                DeleteScope::Ids(ids)
            }
            _ => return None,
        };
        reader.0.is_empty().then_some(Self { tenant: tenant?, kind: kind?, id: id?, scope })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delete_comes_back_as_written_and_no_prefix_of_it_passes() {
        let key = AggregateKey::from_parts("t", "kind", "i").unwrap();
        let generation = Generation { schema_version: 3, fingerprint: 1 << 60 };
        let id = SnapshotId { generation, version: u64::MAX };
        for scope in [
            DeleteScope::All,
            DeleteScope::Below(7),
            DeleteScope::Ids(vec![id, id]),
            DeleteScope::Ids(vec![]),
        ] {
            let body = DeleteBody::write(&key, &scope);
            let expected = DeleteBody { tenant: "t", kind: "kind", id: "i", scope };
            assert_eq!(DeleteBody::parse(&body), Some(expected));
            for len in 0..body.len() {
                assert_eq!(DeleteBody::parse(&body[..len]), None, "cut to {len}");
            }
        }
    }
}
