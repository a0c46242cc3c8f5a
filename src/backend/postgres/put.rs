//! `put`: one statement for any number of records.

use std::collections::HashMap;

use sqlx::postgres::PgRow;
use sqlx::{Connection, Row};

use super::connection::{CallFailure, Operation, Session};
use super::error::{StatementEffect, damaged};
use super::key_text::{KeyText, MAX_BYTES};
use super::lookup::record;
use super::marks;
use super::names::Names;
use super::statement::{Bound, Statement};
use super::version;
use crate::error::{Error, ErrorKind};
use crate::generation::Generation;
use crate::key::AggregateKey;
use crate::mark::MarkKind;
use crate::record::{Record, SnapshotMeta};
use crate::store::{PutOptions, PutOutcome};

/// The maximum size of one statement, unless a single record is larger. A larger batch becomes
/// several statements in one transaction.
const MAX_STATEMENT_BYTES: usize = 32 << 20;

const NAME: &str = "put a snapshot";

/// The statements that a put may need.
pub(super) struct PutStatements<'a> {
    pub(super) keep: &'a Statement,
    pub(super) replace: &'a Statement,
    pub(super) compare: &'a Statement,
}

/// A record and the fields of its header.
pub(super) struct PutRow {
    record: Record,
    header_bytes: usize,
    meta: SnapshotMeta,
    /// Its position among the given records.
    pub(super) place: usize,
    /// Whether the times of its generation in this call do not rise with the versions.
    disordered: bool,
}

impl PutRow {
    /// Returns what puts are sorted by.
    pub(super) fn identity(&self) -> (&AggregateKey, Generation, u64) {
        (&self.meta.key, self.meta.generation, self.meta.version)
    }

    /// Returns the length of the record in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.record.as_bytes().len()
    }

    fn payload(&self) -> &[u8] {
        self.record.as_bytes().get(self.header_bytes..).unwrap_or_default()
    }

    fn header(&self) -> &[u8] {
        self.record.as_bytes().get(..self.header_bytes).unwrap_or_default()
    }

    fn is_same_generation(&self, other: &Self) -> bool {
        self.meta.key == other.meta.key && self.meta.generation == other.meta.generation
    }

    fn is_same_snapshot(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

/// The records to store, after all checks.
pub(super) struct Put<'a> {
    names: &'a Names,
    statements: PutStatements<'a>,
    /// In the order of their identities, so that two nodes that put the same records wait for each
    /// other and do not deadlock. Records with the same identity keep the given order.
    items: Vec<PutRow>,
    options: PutOptions,
}

impl<'a> Put<'a> {
    pub(super) fn new(
        names: &'a Names,
        statements: PutStatements<'a>,
        records: Vec<Record>,
        options: PutOptions,
        max_record_bytes: u64,
    ) -> Result<Self, Error> {
        let mut items = records
            .into_iter()
            .enumerate()
            .map(|(place, record)| item(place, record, max_record_bytes))
            .collect::<Result<Vec<_>, _>>()?;
        items.sort_by(|a, b| (a.identity(), a.place).cmp(&(b.identity(), b.place)));
        for generation in items.chunk_by_mut(PutRow::is_same_generation) {
            if !generation.is_sorted_by_key(|item| item.meta.as_of) {
                for item in generation {
                    item.disordered = true;
                }
            }
        }
        Ok(Self { names, statements, items, options })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

impl Operation for Put<'_> {
    type Output = Vec<PutOutcome>;
    const NAME: &'static str = NAME;
    const EFFECT: StatementEffect = StatementEffect::Write;

    fn explain(&self, error: &sqlx::Error) -> Option<Error> {
        marks::explain(self.names, error)
    }

    async fn run(&mut self, session: &mut Session<'_>) -> Result<Vec<PutOutcome>, CallFailure> {
        let mut outcomes = vec![PutOutcome::Stored; self.items.len()];
        let mut groups = Vec::new();
        for item in &self.items {
            match groups.last_mut() {
                Some(PutGroup { items })
                    if items.last().is_some_and(|i| i.is_same_snapshot(item)) =>
                {
                    items.push(item);
                }
                _ => groups.push(PutGroup { items: vec![item] }),
            }
        }
        let sent = |group: &PutGroup<'_>| group.sent(&self.options).map_or(0, PutRow::bytes);
        let chunks = chunks(&groups, sent);
        if let [chunk] = &*chunks {
            self.put_chunk(session, chunk, &mut outcomes).await?;
        } else if !chunks.is_empty() {
            let mut transaction = session.connection.begin().await?;
            let within = &mut Session { connection: &mut transaction, prepared: session.prepared };
            for chunk in &chunks {
                self.put_chunk(within, chunk, &mut outcomes).await?;
            }
            transaction.commit().await?;
        }
        Ok(outcomes)
    }
}

/// An identity that was already stored.
#[derive(Clone, Copy)]
struct Taken {
    /// Whether the stored record is kept.
    stays: bool,
    /// Whether it has the state of the sent record; `None` if it was stored while the statement
    /// ran.
    identical: Option<bool>,
}

/// Returns whether the stored record has the state of `item`. The column `at` says whether the
/// payloads are equal. The next two contain the stored header, and the payload if it differs.
fn is_identical(row: &PgRow, at: usize, item: &PutRow) -> Result<Option<bool>, CallFailure> {
    let stored = match row.try_get(at)? {
        None => return Ok(None),
        Some(false) => record(row, at + 1)?,
        // Equal payloads hold different states if their codecs or bases differ.
        Some(true) => {
            let header = row.try_get::<&[u8], _>(at + 1)?;
            Record::from_bytes([header, item.payload()].concat())
        }
    };
    Ok(Some(stored.has_state_of(&item.record)))
}

/// The records with one identity; never empty.
struct PutGroup<'a> {
    items: Vec<&'a PutRow>,
}

impl PutGroup<'_> {
    /// Returns the record to send: the last one if each replaces the previous one, otherwise the
    /// first.
    fn sent(&self, options: &PutOptions) -> Option<&PutRow> {
        if replaces_its_own(options) { self.items.last() } else { self.items.first() }.copied()
    }
}

/// Returns whether a record replaces an earlier one with the same identity in the same call.
fn replaces_its_own(options: &PutOptions) -> bool {
    options.replaces(&options.marks)
}

/// Cuts items into those of one statement each. `size` returns the bytes that an item sends.
pub(super) fn chunks<T>(items: &[T], size: impl Fn(&T) -> usize) -> Vec<&[T]> {
    let mut chunks = Vec::new();
    let mut rest = items;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fitting = rest
            .iter()
            .take_while(|item| {
                bytes += size(item);
                bytes <= MAX_STATEMENT_BYTES
            })
            .count();
        let (chunk, others) = rest.split_at(fitting.max(1).min(rest.len()));
        chunks.push(chunk);
        rest = others;
    }
    chunks
}

impl Put<'_> {
    async fn put_chunk(
        &self,
        session: &mut Session<'_>,
        groups: &[PutGroup<'_>],
        outcomes: &mut [PutOutcome],
    ) -> Result<(), CallFailure> {
        let replace = self.options.replace;
        let statement = if replace { self.statements.replace } else { self.statements.keep };
        let sent: Vec<&PutRow> =
            groups.iter().filter_map(|group| group.sent(&self.options)).collect();
        let mut taken = HashMap::new();
        let mut query = bind(statement.query(session), &sent)
            .bind(marks::object(&self.options.marks, MarkKind::Pin))
            .bind(marks::object(&self.options.marks, MarkKind::Retirement));
        if replace {
            query = query.bind(self.options.spare_pinned);
        }
        let query = query.bind(statement.guard());
        for row in statement.all(query, session).await? {
            let place = usize::try_from(row.try_get::<i64, _>(1)?)
                .ok()
                .and_then(|place| place.checked_sub(1))
                .ok_or_else(|| damaged(NAME, "an invalid position"))?;
            let item = sent.get(place).ok_or_else(|| damaged(NAME, "an invalid position"))?;
            let stays = row.try_get(5)?;
            taken.insert(place, Taken { stays, identical: is_identical(&row, 2, item)? });
        }
        for (place, group) in groups.iter().enumerate() {
            let taken = taken.get(&place).copied();
            self.decide(session, group, taken, outcomes).await?;
        }
        Ok(())
    }

    /// Determines the outcome of each record of a group: the first by whether its identity was
    /// `taken`, the others as if they were put after it.
    async fn decide(
        &self,
        session: &mut Session<'_>,
        group: &PutGroup<'_>,
        taken: Option<Taken>,
        outcomes: &mut [PutOutcome],
    ) -> Result<(), CallFailure> {
        let mut first: Option<&PutRow> = None;
        for item in &group.items {
            let outcome = match (first, taken) {
                (None, None) => PutOutcome::Stored,
                (None, Some(Taken { stays: false, .. })) => PutOutcome::Replaced,
                (None, Some(Taken { identical: Some(identical), .. })) => {
                    PutOutcome::Existing { identical }
                }
                (Some(_), None | Some(Taken { stays: false, .. }))
                    if replaces_its_own(&self.options) =>
                {
                    PutOutcome::Replaced
                }
                (Some(first), None | Some(Taken { stays: false, .. })) => {
                    PutOutcome::Existing { identical: first.record.has_state_of(&item.record) }
                }
                // Stored while the statement ran, or a duplicate of one that was already stored.
                (None | Some(_), Some(_)) => {
                    let identical = self.is_identical(session, item).await?;
                    PutOutcome::Existing { identical }
                }
            };
            if let Some(slot) = outcomes.get_mut(item.place) {
                *slot = outcome;
            }
            first = first.or(Some(item));
        }
        Ok(())
    }

    async fn is_identical(
        &self,
        session: &mut Session<'_>,
        item: &PutRow,
    ) -> Result<bool, CallFailure> {
        let meta = &item.meta;
        let key = KeyText::new(meta.key.tenant(), meta.key.kind(), meta.key.id());
        let statement = self.statements.compare;
        let query = statement
            .query(session)
            .bind(&*key.tenant)
            .bind(&*key.kind)
            .bind(&*key.id)
            .bind(i64::from(meta.generation.schema_version))
            .bind(version::fingerprint_column(meta.generation.fingerprint))
            .bind(version::at_most(meta.version))
            .bind(item.payload());
        let row = statement.one(query, session).await?;
        Ok(is_identical(&row, 1, item)?.unwrap_or(false))
    }
}

pub(super) fn bind<'q>(query: Bound<'q>, items: &[&'q PutRow]) -> Bound<'q> {
    fn column<'q, T>(items: &[&'q PutRow], of: impl Fn(&'q PutRow) -> T) -> Vec<T> {
        items.iter().map(|item| of(item)).collect()
    }
    let keys = column(items, |item| {
        let key = &item.meta.key;
        KeyText::new(key.tenant(), key.kind(), key.id())
    });
    query
        .bind(keys.iter().map(|key| key.tenant.to_string()).collect::<Vec<_>>())
        .bind(keys.iter().map(|key| key.kind.to_string()).collect::<Vec<_>>())
        .bind(keys.iter().map(|key| key.id.to_string()).collect::<Vec<_>>())
        .bind(column(items, |i| i64::from(i.meta.generation.schema_version)))
        .bind(column(items, |i| version::fingerprint_column(i.meta.generation.fingerprint)))
        .bind(column(items, |i| version::at_most(i.meta.version)))
        .bind(column(items, |i| i.meta.as_of.as_micros()))
        .bind(column(items, |i| i.meta.created_at.as_micros()))
        .bind(column(items, |i| i32::from(i.meta.codec.as_u16())))
        .bind(column(items, |i| i64::try_from(i.meta.raw_bytes).unwrap_or(i64::MAX)))
        .bind(column(items, |i| i.meta.base.map(|base| version::at_most(base.version))))
        .bind(column(items, PutRow::header))
        .bind(column(items, PutRow::payload))
        .bind(column(items, |i| i.disordered))
}

pub(super) fn item(place: usize, record: Record, max_bytes: u64) -> Result<PutRow, Error> {
    let invalid = |message: String| Error::new(ErrorKind::InvalidInput, NAME, message);
    let bytes = record.as_bytes().len() as u64;
    if bytes > max_bytes {
        return Err(invalid(format!(
            "the record is {bytes} bytes long, but the limit is {max_bytes}: raise \
             max_record_bytes"
        )));
    }
    let header = record.header().map_err(|reject| {
        invalid(format!("the record is invalid: {reject}")).with_source(reject)
    })?;
    if header.version > version::MAX {
        let (found, limit) = (header.version, version::MAX);
        return Err(invalid(format!(
            "the version is {found}, but the limit for PostgreSQL is {limit}"
        )));
    }
    let key_bytes = KeyText::new(header.tenant, header.kind, header.id).bytes();
    if key_bytes > MAX_BYTES {
        return Err(invalid(format!(
            "the key is {key_bytes} bytes long, but the limit for PostgreSQL is {MAX_BYTES}: \
             shorten the id, or use a hash of it"
        )));
    }
    let header_bytes = header.header_bytes();
    let meta = SnapshotMeta::from_header(&header)?;
    Ok(PutRow { record, header_bytes, meta, place, disordered: false })
}
