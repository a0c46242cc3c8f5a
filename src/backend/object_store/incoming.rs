//! [`Incoming`]: records on their way into an index.

use super::index::{AggregateIndex, Indexed};
use super::update::IndexChange;
use crate::error::{Error, ErrorKind};
use crate::key::AggregateKey;
use crate::mark::Marks;
use crate::record::Record;
use crate::snapshot_id::SnapshotId;
use crate::store::{PutOptions, Rewrite};

/// A record that is put, or replaces an expected one.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) key: AggregateKey,
    pub(super) id: SnapshotId,
    pub(super) record: Record,
    /// For a rewrite: the header of the record that must be there.
    expected: Option<Vec<u8>>,
    /// The unique part of the object's name.
    pub(super) object: u64,
    /// Whether the object was written.
    pub(super) is_sent: bool,
}

/// What an index makes of a record.
#[derive(Debug)]
pub(super) enum PutVerdict {
    Stored,
    Replaced,
    /// The snapshot exists and is kept.
    Existing(Indexed),
    /// Another record than the expected one, or none, is there.
    Unexpected,
}

/// What an index makes of several records.
#[derive(Debug)]
pub(super) struct PutVerdicts {
    /// One for each record, in order.
    pub(super) all: Vec<PutVerdict>,
    /// For each record, whether the index names its object.
    pub(super) keeps: Vec<bool>,
    /// What is no longer in the index.
    pub(super) removed: Vec<Indexed>,
}

impl PutVerdict {
    pub(super) const fn needs_object(&self) -> bool {
        matches!(self, Self::Stored | Self::Replaced)
    }
}

impl Incoming {
    pub(super) fn put(record: Record, max_bytes: u64, object: u64) -> Result<Self, Error> {
        let invalid =
            |message: String| Error::new(ErrorKind::InvalidInput, "put a snapshot", message);
        let bytes = record.as_bytes().len() as u64;
        if bytes > max_bytes {
            return Err(invalid(format!(
                "the record is {bytes} bytes long, but the limit is {max_bytes}: shrink the \
                 state, or raise max_record_bytes"
            )));
        }
        let header = record.header().map_err(|reject| {
            invalid(format!("the record is invalid: {reject}")).with_source(reject)
        })?;
        let id = SnapshotId { generation: header.generation, version: header.version };
        let key = AggregateKey::from_stored(header.tenant, header.kind, header.id)?;
        Ok(Self { key, id, record, expected: None, object, is_sent: false })
    }

    /// The rewrite has passed [`Rewrite::check_all`].
    pub(super) fn rewrite(rewrite: Rewrite, max_bytes: u64, object: u64) -> Result<Self, Error> {
        let expected = Some(rewrite.expected_header().to_vec());
        Ok(Self { expected, ..Self::put(rewrite.record, max_bytes, object)? })
    }

    /// Returns what `index` makes of records of its aggregate, and the index with them.
    pub(super) fn apply_all(
        incoming: &[Self],
        index: &AggregateIndex,
        options: &PutOptions,
    ) -> Result<(AggregateIndex, PutVerdicts), Error> {
        let mut index = index.clone();
        let mut removed = Vec::new();
        let all = incoming.iter().map(|one| one.apply(&mut index, options, &mut removed));
        let all = all.collect::<Result<Vec<_>, _>>()?;
        let is_named = |id, object| index.find(id).is_some_and(|it| it.object == object);
        // A repair may have found a record that is on its way, and named it first.
        removed.retain(|it| !is_named(it.id, it.object));
        let keeps = incoming.iter().map(|one| is_named(one.id, one.object)).collect();
        Ok((index, PutVerdicts { all, keeps, removed }))
    }

    fn apply(
        &self,
        index: &mut AggregateIndex,
        options: &PutOptions,
        removed: &mut Vec<Indexed>,
    ) -> Result<PutVerdict, Error> {
        let there = index.find(self.id);
        let marks = match (&self.expected, there) {
            (Some(expected), Some(there)) if there.header() == expected => there.marks.clone(),
            (Some(_), _) => return Ok(PutVerdict::Unexpected),
            (None, None) => options.marks.clone(),
            (None, Some(there)) if options.replaces(&there.marks) => {
                there.marks.merged(&options.marks)?
            }
            (None, Some(there)) => return Ok(PutVerdict::Existing(there.clone())),
        };
        let Some(indexed) = self.indexed(marks) else { return Ok(PutVerdict::Unexpected) };
        Ok(match index.insert(indexed) {
            Some(replaced) => {
                removed.push(replaced);
                PutVerdict::Replaced
            }
            None => PutVerdict::Stored,
        })
    }

    /// The header was parsed when this was made.
    fn indexed(&self, marks: Marks) -> Option<Indexed> {
        let header = self.record.header().ok()?;
        Some(Indexed::new(&self.record, &header, self.object, marks))
    }

    /// Returns the change of an index, or `None` as its result if a record that is needed was not
    /// sent yet.
    pub(super) fn change(
        incoming: &[Self],
        index: &AggregateIndex,
        options: &PutOptions,
    ) -> Result<IndexChange<Option<PutVerdicts>>, Error> {
        let (next, verdicts) = Self::apply_all(incoming, index, options)?;
        let mut needed = incoming.iter().zip(&verdicts.all).filter(|(_, it)| it.needs_object());
        let is_missing = needed.clone().any(|(one, _)| !one.is_sent);
        Ok(match needed.next() {
            None => IndexChange::Keep(Some(verdicts)),
            Some(_) if is_missing => IndexChange::Keep(None),
            Some(_) => IndexChange::Write(Box::new(next), Some(verdicts)),
        })
    }
}
