//! [`FetchMany`]: snapshots and tails of several aggregates in one statement.

use futures_util::TryStreamExt;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::connection::{CallFailure, Operation, Session};
use super::error::StatementEffect;
use super::event_row::{RawEvent, version_of};
use super::event_table::EventTable;
use super::event_trouble::explain;
use super::fetched::{FetchedRows, MAX_EVENTS, USED};
use super::key_text::KeyText;
use super::names::Names;
use super::placeholders::Placeholders;
use super::statement::{Statement, typed};
use super::tail::Events;
use super::version;
use crate::error::Error;
use crate::record::Record;
use crate::store::{Found, Lookup, Query};

/// The maximum number of queries that one statement answers.
pub(super) const MAX_QUERIES: usize = 256;

/// Returns how many events are fetched with each snapshot, for this number of queries.
pub(super) fn events_of_each(queries: usize) -> usize {
    (16 * MAX_EVENTS / queries.max(1)).min(MAX_EVENTS)
}

/// Creates the statement. `$1` to `$6` are arrays of keys, generations and bounds. `$7` is the
/// maximum number of events of each query.
///
/// Rows have the columns of an event and one more column, which starts with the position of the
/// query (8 bytes, from 1). In the row of a snapshot, the record follows the position. A row
/// without a version means that only other generations exist.
pub(super) fn statement(names: &Names, table: &EventTable) -> Result<Statement, Error> {
    let Names { snapshots, .. } = names;
    let after = format!("coalesce(nullif(snapfold_r.found - 1, 0), {})", table.start());
    let tail = table.tail_sql(&Placeholders {
        tenant: "snapfold_r.tenant",
        kind: "snapfold_r.kind",
        id: "snapfold_r.id",
        after: &after,
        until: Some("snapfold_r.at_most"),
        until_time: None,
        extra: "",
    })?;
    let count = table.columns().count();
    let nulls = |count: usize| vec!["NULL"; count].join(", ");
    let (rest, all) = (nulls(count - 1), nulls(count));
    let key = "p.tenant = r.tenant AND p.kind = r.kind AND p.id = r.id";
    Ok(Statement::new(|guard| {
        let rows = format!(
            "(SELECT {guard}, {rest}, NULL::bytea) \
             UNION ALL \
             (SELECT t.*, int8send(snapfold_r.n) \
              FROM (SELECT r.*, s.version AS found FROM r LEFT JOIN s USING (n)) AS snapfold_r \
              CROSS JOIN LATERAL ({tail} LIMIT $7) AS t) \
             UNION ALL \
             (SELECT s.version, {rest}, int8send(s.n) || s.header || s.payload FROM s) \
             UNION ALL \
             (SELECT {all}, int8send(r.n) FROM r \
              WHERE NOT EXISTS (SELECT FROM s WHERE s.n = r.n) AND EXISTS (\
                SELECT FROM {snapshots} p WHERE {key} AND p.version <= r.at_most{USED}))"
        );
        format!(
            "WITH r AS MATERIALIZED (\
               SELECT * FROM unnest(\
                 $1::text[], $2::text[], $3::text[], $4::int8[], $5::int8[], $6::int8[]) \
               WITH ORDINALITY \
               AS r (tenant, kind, id, schema_version, fingerprint, at_most, n)), \
             s AS MATERIALIZED (\
               SELECT r.n, f.* FROM r CROSS JOIN LATERAL (\
                 SELECT p.version, p.header, p.payload FROM {snapshots} p \
                 WHERE {key} AND p.schema_version = r.schema_version \
                   AND p.fingerprint = r.fingerprint AND p.version <= r.at_most{USED} \
                 ORDER BY p.version DESC LIMIT 1) AS f) \
             {}",
            typed(guard, count, &rows, true)
        )
    }))
}

pub(super) struct FetchMany<'a> {
    pub(super) statement: &'a Statement,
    pub(super) table: &'a EventTable,
    /// At most [`MAX_QUERIES`] queries, without a time, without a lowest version, and not for
    /// retired snapshots.
    pub(super) asked: &'a [(KeyText<'a>, Query<'a>)],
    /// The maximum number of events of each query.
    pub(super) most: usize,
}

impl FetchMany<'_> {
    fn take(&self, all: &mut [FetchedRows], row: &PgRow) -> Result<(), CallFailure> {
        let columns = self.table.columns();
        let own = row.try_get_raw(columns.count())?;
        let own = own.as_bytes().map_err(sqlx::Error::Decode)?;
        let (n, record) = own.split_first_chunk::<8>().ok_or(CallFailure::Foreign)?;
        let place = usize::try_from(i64::from_be_bytes(*n)).ok().and_then(|n| n.checked_sub(1));
        let fetched = place.and_then(|place| all.get_mut(place)).ok_or(CallFailure::Foreign)?;
        let Some(version) = version_of(row)? else {
            fetched.lookup = Lookup::OtherGeneration;
            return Ok(());
        };
        let version = self.table.version_in(Some(version))?;
        if record.is_empty() {
            fetched.events.add(RawEvent::of(row, columns, version));
        } else {
            let record = Record::from_bytes(record.to_vec());
            fetched.lookup = Lookup::Found(Found::new(version, record));
        }
        Ok(())
    }
}

impl Operation for FetchMany<'_> {
    type Output = Vec<FetchedRows>;
    const NAME: &'static str = "get snapshots and their tails";
    const EFFECT: StatementEffect = StatementEffect::Read;

    fn explain(&self, error: &sqlx::Error) -> Option<Error> {
        explain(Self::NAME, self.table.named(), self.statement.sql(), error)
    }

    async fn run(&mut self, session: &mut Session<'_>) -> Result<Vec<FetchedRows>, CallFailure> {
        let texts = |of: fn(&KeyText<'_>) -> String| {
            self.asked.iter().map(|(text, _)| of(text)).collect::<Vec<_>>()
        };
        let numbers = |of: fn(&Query<'_>) -> i64| {
            self.asked.iter().map(|(_, query)| of(query)).collect::<Vec<_>>()
        };
        let mut rows = self
            .statement
            .query(session)
            .bind(texts(|text| text.tenant.clone().into_owned()))
            .bind(texts(|text| text.kind.clone().into_owned()))
            .bind(texts(|text| text.id.clone().into_owned()))
            .bind(numbers(|query| query.generation.schema_version.into()))
            .bind(numbers(|query| version::fingerprint_column(query.generation.fingerprint)))
            .bind(numbers(|query| version::at_most(query.at_most)))
            .bind(i64::try_from(self.most).unwrap_or(i64::MAX))
            .fetch(&mut *session.connection);
        let each =
            || FetchedRows { lookup: Lookup::Absent, events: Events::shared_by(self.asked.len()) };
        let mut all: Vec<_> = self.asked.iter().map(|_| each()).collect();
        // SQL does not guarantee the order of a union: keep rows that arrive before the guard.
        let most = self.asked.len() * (self.most + 1);
        let (mut is_own, mut early) = (false, Vec::new());
        while let Some(row) = rows.try_next().await? {
            if is_own {
                self.take(&mut all, &row)?;
            } else if self.statement.check(&row).is_ok() {
                is_own = true;
                Statement::check_types(&row, self.table.columns().count())?;
                self.table.check_types(row.columns())?;
                for row in early.drain(..) {
                    self.take(&mut all, &row)?;
                }
            } else if early.len() <= most {
                early.push(row);
            } else {
                return Err(CallFailure::Foreign);
            }
        }
        if !is_own {
            return Err(CallFailure::Foreign);
        }
        for fetched in &mut all {
            fetched.events.sort();
        }
        Ok(all)
    }
}
