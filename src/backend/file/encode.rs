//! From a caller's records and selections to [`Work`]: checked and encoded on the caller's side,
//! so that whoever writes only has to write.

use bytes::Bytes;

use super::core::Core;
use super::index::Item;
use super::layout::{DeleteBody, MAX_BODY_BYTES, Scope};
use super::log::{DeleteItem, PutItem, Work};
use super::tag::Tag;
use crate::envelope::Record;
use crate::error::{Error, ErrorKind};
use crate::key::AggregateKey;
use crate::snapshot_id::SnapshotId;
use crate::store::{PutOptions, Selection};

/// The longest tenant, kind or id that can be stored (inclusive), and so the longest key that surely
/// can: all of it may be in one part.
pub(super) const MAX_PART_BYTES: usize = 1024;

impl Core {
    pub(super) fn put_work(
        &self,
        records: Vec<Record>,
        options: &PutOptions,
    ) -> Result<Work, Error> {
        options.refuse_marks()?;
        self.check_writable("put a snapshot")?;
        let items = records.into_iter().map(|record| self.put_item(record));
        Ok(Work::Put { items: items.collect::<Result<_, _>>()?, replace: options.replace })
    }

    fn put_item(&self, record: Record) -> Result<PutItem, Error> {
        let invalid =
            |message: String| Error::new(ErrorKind::InvalidInput, "put a snapshot", message);
        let bytes = record.as_bytes().len() as u64;
        if bytes > MAX_BODY_BYTES {
            let message = format!("the record has {bytes} bytes, the limit is {MAX_BODY_BYTES}");
            return Err(invalid(message));
        }
        // Nothing is written that cannot be read back, and opening relies on it.
        let header = record.verify().map_err(|reject| {
            invalid(format!("the record is not valid: {reject}")).with_source(reject)
        })?;
        for (name, part) in [("tenant", header.tenant), ("kind", header.kind), ("id", header.id)] {
            if part.len() > MAX_PART_BYTES {
                return Err(invalid(format!(
                    "the {name} has {} bytes, a file store takes {MAX_PART_BYTES}: use a hash of it",
                    part.len()
                )));
            }
        }
        let tag = Tag::of_parts(self.secret, header.tenant, header.kind, header.id);
        let id = SnapshotId { generation: header.generation, version: header.version };
        let as_of = header.as_of;
        let generation = self
            .generations
            .number(id.generation)
            .ok_or_else(|| invalid("the store has too many generations".into()))?;
        Ok(PutItem { tag, id, generation, as_of, record })
    }

    /// The delete that `selection` asks for; `None` if it can have nothing to delete.
    pub(super) fn delete_work(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
    ) -> Result<Option<Work>, Error> {
        self.check_writable("delete snapshots")?;
        let tag = self.tag(key);
        let of_tag: Vec<_>;
        let selection = match selection {
            Selection::Generation(_) | Selection::ExceptGeneration(_) => {
                let items = self.index.list(tag, u64::MAX, |_, _| true);
                let id = |item: Item| {
                    let generation = self.generations.value(item.place.generation)?;
                    Some(SnapshotId { generation, version: item.version })
                };
                let ids = items.into_iter().filter_map(id);
                of_tag = ids.filter(|id| selection.admits(*id)).collect();
                Selection::Ids(&of_tag)
            }
            other => other,
        };
        let scope = match selection {
            Selection::All => Scope::All,
            Selection::Below(version) => Scope::Below(version),
            Selection::Ids(ids) => {
                // What is not there is left out when the delete is planned: a put queued before it
                // may still be on its way.
                let mut ids = ids.to_vec();
                ids.sort_unstable();
                ids.dedup();
                Scope::Ids(ids)
            }
            // Told by ids above.
            Selection::Generation(_) | Selection::ExceptGeneration(_) => return Ok(None),
        };
        let nothing = matches!(&scope, Scope::Ids(ids) if ids.is_empty());
        let item = (!nothing).then(|| Self::delete_item(tag, key, scope)).flatten();
        Ok(item.map(|item| Work::Delete { items: vec![item] }))
    }

    /// Deletes below a version, of many aggregates.
    pub(super) fn delete_below_work(
        &self,
        deletes: &[(Tag, &(AggregateKey, u64))],
    ) -> Result<Work, Error> {
        self.check_writable("delete snapshots")?;
        let item = |(tag, (key, version)): &(Tag, &(AggregateKey, u64))| {
            Self::delete_item(*tag, key, Scope::Below(*version))
        };
        Ok(Work::Delete { items: deletes.iter().filter_map(item).collect() })
    }

    /// `None` for a key that cannot be stored, and so has no snapshots.
    fn delete_item(tag: Tag, key: &AggregateKey, scope: Scope) -> Option<DeleteItem> {
        if [key.tenant(), key.kind(), key.id()].iter().any(|part| part.len() > MAX_PART_BYTES) {
            return None;
        }
        let body = Bytes::from(DeleteBody::write(key, &scope));
        Some(DeleteItem { tag, scope, body })
    }
}
