//! Converts the records and selections of a caller to [`Work`]. Checking and encoding happen on the
//! caller's side, so the writing thread only has to write.

use bytes::Bytes;

use super::work::{Change, DeleteItem, MarkItem, Pick, PutItem, Work};
use crate::backend::file::core::Core;
use crate::backend::file::format::hints::base_of;
use crate::backend::file::format::tag::Tag;
use crate::backend::file::format::{DeleteBody, DeleteScope, MAX_BODY_BYTES};
use crate::error::{Error, ErrorKind};
use crate::key::AggregateKey;
use crate::mark::MarkChange;
use crate::record::Record;
use crate::snapshot_id::SnapshotId;
use crate::store::{DeleteOptions, PutOptions, Rewrite, Selection};

/// The maximum length of a tenant, kind or id (inclusive). A key of up to this total length can
/// always be stored, because each of its parts is at most this long.
pub(crate) const MAX_PART_BYTES: usize = 1024;

impl Core {
    pub(crate) fn put_work(
        &self,
        records: Vec<Record>,
        options: &PutOptions,
    ) -> Result<Work, Error> {
        self.health.check_writable("put a snapshot")?;
        let items = records.into_iter().map(|record| self.put_item(record));
        Ok(Work::Put { items: items.collect::<Result<_, _>>()?, options: options.clone() })
    }

    pub(crate) fn rewrite_work(&self, rewrites: Vec<Rewrite>) -> Result<Work, Error> {
        self.health.check_writable("rewrite snapshots")?;
        Rewrite::check_all(&rewrites)?;
        let items = rewrites.into_iter().map(|rewrite| {
            let item = self.put_item(rewrite.record.clone())?;
            Ok(PutItem { expected: Some(rewrite), ..item })
        });
        Ok(Work::Put { items: items.collect::<Result<_, _>>()?, options: PutOptions::default() })
    }

    fn put_item(&self, record: Record) -> Result<PutItem, Error> {
        let invalid =
            |message: String| Error::new(ErrorKind::InvalidInput, "put a snapshot", message);
        let bytes = record.as_bytes().len() as u64;
        if bytes > MAX_BODY_BYTES {
            let message = format!(
                "the record is {bytes} bytes long, but the limit is {MAX_BODY_BYTES}: shrink the \
                 state"
            );
            return Err(invalid(message));
        }
        // Only readable records are written. Opening relies on this.
        let header = record.verify().map_err(|reject| {
            invalid(format!("the record is invalid: {reject}")).with_source(reject)
        })?;
        for (name, part) in [("tenant", header.tenant), ("kind", header.kind), ("id", header.id)] {
            if part.len() > MAX_PART_BYTES {
                return Err(invalid(format!(
                    "the {name} is {} bytes long, but the limit is {MAX_PART_BYTES}: use a hash of \
                     it",
                    part.len()
                )));
            }
        }
        let tag = Tag::of_parts(self.secret, header.tenant, header.kind, header.id);
        let id = SnapshotId { generation: header.generation, version: header.version };
        let (as_of, base) = (header.as_of, base_of(&header));
        let generation = self.generations.number(id.generation).ok_or_else(|| {
            let message = "the store has too many generations: delete old ones, call compact() \
                           and reopen the store";
            invalid(message.into())
        })?;
        Ok(PutItem { tag, id, generation, as_of, base, record, expected: None })
    }

    /// Returns the delete for `selection`, or `None` if there cannot be anything to delete.
    pub(crate) fn delete_work(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        options: DeleteOptions,
    ) -> Result<Option<Work>, Error> {
        self.health.check_writable("delete snapshots")?;
        // The selection is resolved when the delete is planned, because a put that was queued
        // before may not be written yet.
        let item = Self::delete_item(self.tag(key), key, selection.into(), options);
        Ok(item.map(|item| Work::Delete { items: vec![item] }))
    }

    /// Returns the requested change of marks, or `None` if there cannot be anything to change.
    pub(crate) fn mark_work(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        change: MarkChange<'_>,
    ) -> Result<Option<Work>, Error> {
        self.health.check_writable("mark snapshots")?;
        change.check()?;
        if !can_be_stored(key) {
            return Ok(None);
        }
        let change = match change {
            MarkChange::Set(mark) => Change::Set(mark.clone()),
            MarkChange::Clear { kind, name } => Change::Clear(kind, name.to_owned()),
        };
        let (tag, key, pick) = (self.tag(key), key.clone(), selection.into());
        Ok(Some(Work::Mark(Box::new(MarkItem { tag, key, pick, change }))))
    }

    /// Returns the deletes below a version of many aggregates.
    pub(crate) fn delete_below_work(
        &self,
        deletes: &[(Tag, &(AggregateKey, u64))],
    ) -> Result<Work, Error> {
        self.health.check_writable("delete snapshots")?;
        let item = |(tag, (key, version)): &(Tag, &(AggregateKey, u64))| {
            let below = Pick::DeleteScope(DeleteScope::Below(*version));
            Self::delete_item(*tag, key, below, DeleteOptions::default())
        };
        Ok(Work::Delete { items: deletes.iter().filter_map(item).collect() })
    }

    /// Returns `None` for a key that cannot be stored and therefore has no snapshots.
    fn delete_item(
        tag: Tag,
        key: &AggregateKey,
        pick: Pick,
        options: DeleteOptions,
    ) -> Option<DeleteItem> {
        if !can_be_stored(key) {
            return None;
        }
        let body = match &pick {
            Pick::DeleteScope(scope) => DeleteBody::write(key, scope),
            // Planning replaces the scope with ids.
            Pick::Generation(_) | Pick::ExceptGeneration(_) => {
                DeleteBody::write(key, &DeleteScope::All)
            }
        };
        Some(DeleteItem { tag, pick, body: Bytes::from(body), options })
    }
}

fn can_be_stored(key: &AggregateKey) -> bool {
    [key.tenant(), key.kind(), key.id()].iter().all(|part| part.len() <= MAX_PART_BYTES)
}
