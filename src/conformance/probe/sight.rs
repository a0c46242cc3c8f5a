//! Checks what a store returns for a record, and finds the obligation that a wrong answer breaks.

use super::Probe;
use crate::conformance::failure::{Failure, Stop, ensure, shown};
use crate::conformance::samples::id;
use crate::generation::Generation;
use crate::key::AggregateKey;
use crate::record::{Header, Record};
use crate::snapshot_id::SnapshotId;
use crate::store::{ListRequest, Lookup, Query};

/// The obligations that are broken if a record is not found as it was put.
#[derive(Clone, Copy)]
pub(crate) struct Blame {
    /// Broken if other bytes are found under the identity of the record.
    pub(crate) bytes: &'static str,
    /// Broken if the record is neither found nor listed.
    pub(crate) lost: &'static str,
}

impl Blame {
    /// The obligations for a record that was put and not changed since.
    pub(crate) const PUT: Self = Self { bytes: "C-06", lost: "C-10" };

    /// Returns obligations of which any fault breaks `id`.
    pub(crate) const fn all(id: &'static str) -> Self {
        Self { bytes: id, lost: id }
    }

    pub(crate) const fn bytes(self, id: &'static str) -> Self {
        Self { bytes: id, ..self }
    }
}

/// An owned copy of the identity in a record's header.
pub(super) struct RecordIdentity {
    key: AggregateKey,
    id: SnapshotId,
}

impl RecordIdentity {
    fn of(record: &Record) -> Result<Self, Stop> {
        let header = record
            .header()
            .map_err(|reject| Stop::from(Failure::setup("make a test record", &reject)))?;
        Ok(Self { key: key_of(&header)?, id: id(header.generation, header.version) })
    }
}

fn key_of(header: &Header<'_>) -> Result<AggregateKey, Stop> {
    Ok(AggregateKey::from_stored(header.tenant, header.kind, header.id)?)
}

impl Probe {
    /// Checks that `record`, which was put before, is found at its own version, byte for byte.
    pub(crate) async fn holds(&self, record: &Record) -> Result<(), Stop> {
        self.holds_or(record, Blame::PUT).await
    }

    /// Checks what [`holds`](Self::holds) checks. A fault breaks the obligations in `blame`.
    pub(crate) async fn holds_or(&self, record: &Record, blame: Blame) -> Result<(), Stop> {
        let RecordIdentity { key, id } = RecordIdentity::of(record)?;
        let query = Query::latest(&key, id.generation).at_most(id.version);
        self.finds_or(query, record, blame).await
    }

    pub(crate) async fn holds_all(&self, records: &[Record]) -> Result<(), Stop> {
        for record in records {
            self.holds(record).await?;
        }
        Ok(())
    }

    /// Checks that `record`, which was put before, is the answer to `query`.
    pub(crate) async fn finds(&self, query: Query<'_>, record: &Record) -> Result<(), Stop> {
        self.finds_or(query, record, Blame::PUT).await
    }

    /// Checks what [`finds`](Self::finds) checks. A fault breaks the obligations in `blame`.
    pub(crate) async fn finds_or(
        &self,
        query: Query<'_>,
        record: &Record,
        blame: Blame,
    ) -> Result<(), Stop> {
        let lookup = self.get(query).await?;
        if is_found(&lookup, record) {
            return Ok(());
        }
        let wanted = RecordIdentity::of(record)?;
        let broken = self.reason(query, record, &wanted, &lookup, blame).await?;
        let message = format!("get the newest snapshot of {} {}", query.key, bounds(&query));
        Err(Failure::new(broken, message).expected(shown(record)).got(shown(&lookup)).into())
    }

    /// Returns the obligation that the answer `lookup` breaks, if `record` should have been found.
    async fn reason(
        &self,
        query: Query<'_>,
        record: &Record,
        wanted: &RecordIdentity,
        lookup: &Lookup,
        blame: Blame,
    ) -> Result<&'static str, Stop> {
        if let Lookup::Found(found) = lookup {
            let Ok(header) = found.record.header() else { return Ok(blame.bytes) };
            if !header.is_of(&wanted.key) {
                return Ok("C-01");
            }
            if id(header.generation, header.version) == wanted.id {
                return Ok(if found.record == *record { "C-20" } else { blame.bytes });
            }
        }
        if !self.is_listed(&wanted.key, wanted.id).await? {
            return Ok(blame.lost);
        }
        // The record exists now. Either the first answer was stale, or it is another record.
        let again = self.get(query).await?;
        Ok(if is_found(&again, record) { "C-23" } else { "C-20" })
    }

    /// Returns whether the list of `key` contains the snapshot `id`.
    pub(crate) async fn is_listed(&self, key: &AggregateKey, id: SnapshotId) -> Result<bool, Stop> {
        // The limit exceeds the number of snapshots with these versions in all generations of the
        // kit. The bounds are wider by one, because other cases check the exact bounds.
        let (above, below) = (id.version.saturating_add(1), id.version.saturating_sub(1));
        let request = ListRequest::new(key).at_most(above).at_least(below).limit(16);
        Ok(self.list(request).await?.items.iter().any(|meta| meta.id() == id && meta.key == *key))
    }

    /// Checks that no snapshot of `generation` is found under `key`. A failure breaks `broken`.
    pub(crate) async fn finds_nothing(
        &self,
        key: &AggregateKey,
        generation: Generation,
        broken: &'static str,
    ) -> Result<(), Stop> {
        self.answers_nothing(Query::latest(key, generation), broken).await
    }

    /// Checks that `query` finds nothing. A failure breaks `broken`.
    pub(crate) async fn answers_nothing(
        &self,
        query: Query<'_>,
        broken: &'static str,
    ) -> Result<(), Stop> {
        let lookup = self.get(query).await?;
        let broken = misread(&query, &lookup).unwrap_or(broken);
        ensure(!matches!(lookup, Lookup::Found(_)), || {
            Failure::new(
                broken,
                format!("get the newest snapshot of {} {}", query.key, bounds(&query)),
            )
            .expected("nothing")
            .got(shown(&lookup))
        })
    }
}

/// Returns the obligation that a lookup breaks if it found a record that the query does not select.
pub(crate) fn misread(query: &Query<'_>, lookup: &Lookup) -> Option<&'static str> {
    let Lookup::Found(found) = lookup else { return None };
    let header = found.record.header().ok()?;
    if !header.is_of(query.key) {
        return Some("C-01");
    }
    let asked = header.generation == query.generation && query.admits(header.version, header.as_of);
    (!asked).then_some("C-20")
}

/// Returns whether `record` was found under its own version.
pub(crate) fn is_found(lookup: &Lookup, record: &Record) -> bool {
    match lookup {
        Lookup::Found(found) => {
            found.record == *record
                && record.header().map_or(true, |header| header.version == found.version)
        }
        Lookup::Absent | Lookup::OtherGeneration => false,
    }
}

fn bounds(query: &Query<'_>) -> String {
    let version = match query.at_most {
        u64::MAX => "at any version".to_owned(),
        version => format!("at or below version {version}"),
    };
    match query.as_of {
        Some(time) => format!("{version}, as of {time}"),
        None => version,
    }
}
