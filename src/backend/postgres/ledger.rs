//! Schedules, statistics and the audit trail in PostgreSQL.

use std::ops::RangeInclusive;

use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::connection::{Failure, Operation, Session};
use super::error::Effect;
use super::key_text::{self, KeyText, MAX_BYTES};
use super::statement::{Bound, Statement, select};
use super::store::PostgresStore;
use super::version;
use crate::error::{Error, ErrorKind};
use crate::key::AggregateKey;
use crate::ledger::{
    AuditEntry, AuditLog, AuditRecord, AuditRequest, DailyStatistics, Day, Schedule, ScheduleStore,
    StatisticsStore,
};
use crate::store::Page;
use crate::timestamp::Timestamp;

/// The most rows of one answer, whatever was asked for.
const MAX_ROWS: usize = 10_000;

/// A statement and its parameters.
struct Call<'q> {
    statement: Statement,
    bind: Box<dyn Fn(Bound<'q>) -> Bound<'q> + Send + Sync + 'q>,
}

impl<'q> Call<'q> {
    /// Returns the rows of a query, in the order that `order` (over the columns of `q`) says.
    fn ask(
        rows: &str,
        order: &str,
        bind: impl Fn(Bound<'q>) -> Bound<'q> + Send + Sync + 'q,
    ) -> Self {
        let statement = Statement::new(|guard| select(guard, rows, order));
        Self { statement, bind: Box::new(bind) }
    }

    /// Runs the statement that `change` makes of a condition, without which it must not change
    /// anything, and returns what it returns. The condition is a comparison with the parameter
    /// `last`.
    fn change(
        last: &str,
        change: impl Fn(&str) -> String,
        bind: impl Fn(Bound<'q>) -> Bound<'q> + Send + Sync + 'q,
    ) -> Self {
        let statement = Statement::new(|guard| {
            let change = change(&format!("{last}::int8 = {guard}"));
            format!("WITH c AS ({change}) {}", select(guard, "SELECT * FROM c", ""))
        });
        let guard = statement.guard();
        Self { statement, bind: Box::new(move |query| bind(query).bind(guard)) }
    }

    async fn rows(&self, session: &mut Session<'_>) -> Result<Vec<PgRow>, Failure> {
        self.statement.all((self.bind)(self.statement.query(session)), session).await
    }
}

/// A call that changes nothing.
struct Ask<'q>(Call<'q>);

/// A call that changes something.
struct Change<'q>(Call<'q>);

impl Operation for Ask<'_> {
    type Output = Vec<PgRow>;
    const NAME: &'static str = "read the ledger";
    const EFFECT: Effect = Effect::Read;

    async fn run(&mut self, session: &mut Session<'_>) -> Result<Vec<PgRow>, Failure> {
        self.0.rows(session).await
    }
}

impl Operation for Change<'_> {
    type Output = Vec<PgRow>;
    const NAME: &'static str = "write to the ledger";
    const EFFECT: Effect = Effect::Write;
    /// Sums and appended entries would be counted twice.
    const ADDS_UP: bool = true;

    async fn run(&mut self, session: &mut Session<'_>) -> Result<Vec<PgRow>, Failure> {
        self.0.rows(session).await
    }
}

impl PostgresStore {
    async fn ask(&self, call: Call<'_>) -> Result<Vec<PgRow>, Error> {
        self.connections().run(&mut Ask(call)).await
    }

    async fn change(&self, call: Call<'_>) -> Result<Vec<PgRow>, Error> {
        self.connections().run(&mut Change(call)).await
    }
}

fn fitting(key: &AggregateKey) -> Result<KeyText<'_>, Error> {
    KeyText::of(key).ok_or_else(|| {
        Error::new(
            ErrorKind::InvalidInput,
            "write to the ledger",
            format!("the key is longer than the {MAX_BYTES} bytes that PostgreSQL can index"),
        )
    })
}

fn bind_key<'q>(query: Bound<'q>, key: &KeyText<'_>) -> Bound<'q> {
    query.bind(key.tenant.to_string()).bind(key.kind.to_string()).bind(key.id.to_string())
}

/// Takes the error itself, to be given to `map_err`.
#[expect(clippy::needless_pass_by_value, reason = "see above")]
fn unread(error: sqlx::Error) -> Error {
    super::error::classify("read the ledger", Effect::Read, &error)
}

fn text(row: &PgRow, at: usize) -> Result<String, Error> {
    let stored: &str = row.try_get(at).map_err(unread)?;
    let text = key_text::decode(stored)
        .ok_or_else(|| super::error::damaged("read the ledger", "a text that nobody wrote"))?;
    Ok(text.into_owned())
}

fn key_of(row: &PgRow) -> Result<AggregateKey, Error> {
    AggregateKey::from_parts(&text(row, 1)?, &text(row, 2)?, &text(row, 3)?)
}

fn schedule_of(row: &PgRow) -> Result<Schedule, Error> {
    let next_run: Option<i64> = row.try_get(6).map_err(unread)?;
    Ok(Schedule::new(key_of(row)?, text(row, 4)?)?
        .enabled(row.try_get(5).map_err(unread)?)
        .next_run(next_run.map(Timestamp::from_micros)))
}

const KEY_ORDER: &str = "ORDER BY tenant, kind, id";
const DUE_ORDER: &str = "ORDER BY next_run, tenant, kind, id";
const SCHEDULE: &str = "tenant, kind, id, cron, enabled, next_run";

#[async_trait]
impl ScheduleStore for PostgresStore {
    async fn put_schedule(&self, schedule: &Schedule) -> Result<(), Error> {
        schedule.check()?;
        let key = fitting(&schedule.key)?;
        let cron = key_text::encode(&schedule.cron);
        let sql = |meant: &str| {
            format!(
                "INSERT INTO {} ({SCHEDULE}) SELECT $1, $2, $3, $4, $5, $6::int8 WHERE {meant} \
                 ON CONFLICT (tenant, kind, id) DO UPDATE SET cron = EXCLUDED.cron, \
                   enabled = EXCLUDED.enabled, next_run = EXCLUDED.next_run RETURNING 1",
                self.names().schedules
            )
        };
        let call = Call::change("$7", sql, |query| {
            bind_key(query, &key)
                .bind(cron.to_string())
                .bind(schedule.enabled)
                .bind(schedule.next_run.map(Timestamp::as_micros))
        });
        self.change(call).await.map(drop)
    }

    async fn schedule(&self, key: &AggregateKey) -> Result<Option<Schedule>, Error> {
        let Some(key) = KeyText::of(key) else { return Ok(None) };
        let sql = format!(
            "SELECT {SCHEDULE} FROM {} WHERE tenant = $1 AND kind = $2 AND id = $3",
            self.names().schedules
        );
        let rows = self.ask(Call::ask(&sql, "", |query| bind_key(query, &key))).await?;
        rows.first().map(schedule_of).transpose()
    }

    async fn remove_schedule(&self, key: &AggregateKey) -> Result<bool, Error> {
        let Some(key) = KeyText::of(key) else { return Ok(false) };
        let sql = |meant: &str| {
            format!(
                "DELETE FROM {} WHERE tenant = $1 AND kind = $2 AND id = $3 AND {meant} \
                 RETURNING 1",
                self.names().schedules
            )
        };
        let rows = self.change(Call::change("$4", sql, |query| bind_key(query, &key))).await?;
        Ok(!rows.is_empty())
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Schedule>, Error> {
        let sql = format!(
            "SELECT {SCHEDULE} FROM {} WHERE enabled AND next_run <= $1 \
             {DUE_ORDER} LIMIT $2",
            self.names().schedules
        );
        let limit = rows_limit(limit);
        let call = Call::ask(&sql, DUE_ORDER, |query| query.bind(now.as_micros()).bind(limit));
        self.ask(call).await?.iter().map(schedule_of).collect()
    }

    async fn claim(
        &self,
        key: &AggregateKey,
        due: Timestamp,
        next: Option<Timestamp>,
    ) -> Result<bool, Error> {
        let Some(key) = KeyText::of(key) else { return Ok(false) };
        let sql = |meant: &str| {
            format!(
                "UPDATE {} SET next_run = $5 WHERE tenant = $1 AND kind = $2 AND id = $3 \
                   AND enabled AND next_run = $4 AND {meant} RETURNING 1",
                self.names().schedules
            )
        };
        let call = Call::change("$6", sql, |query| {
            bind_key(query, &key).bind(due.as_micros()).bind(next.map(Timestamp::as_micros))
        });
        Ok(!self.change(call).await?.is_empty())
    }

    async fn schedules(
        &self,
        after: Option<&AggregateKey>,
        limit: usize,
    ) -> Result<Page<Schedule, AggregateKey>, Error> {
        let key = after.map_or(KeyText::new("", "", ""), |key| {
            KeyText::new(key.tenant(), key.kind(), key.id())
        });
        // The least key of all is not above itself, so the first page asks for more.
        let condition = if after.is_some() { ">" } else { ">=" };
        let sql = format!(
            "SELECT {SCHEDULE} FROM {} WHERE (tenant, kind, id) {condition} ($1, $2, $3) \
             {KEY_ORDER} LIMIT $4",
            self.names().schedules
        );
        let limit = rows_limit(limit);
        let bind = |query| bind_key(query, &key).bind(limit + 1);
        let rows = self.ask(Call::ask(&sql, KEY_ORDER, bind)).await?;
        page(&rows, limit, schedule_of, |schedule| schedule.key.clone())
    }
}

#[async_trait]
impl StatisticsStore for PostgresStore {
    async fn add(&self, key: &AggregateKey, day: Day, more: DailyStatistics) -> Result<(), Error> {
        let key = fitting(key)?;
        let table = &self.names().daily;
        let sum = |column: &str| {
            format!("{column} = least(t.{column}::numeric + EXCLUDED.{column}, {})", i64::MAX)
        };
        let sums = ["created", "deleted", "bytes", "creation_micros"].map(sum).join(", ");
        let sql = |meant: &str| {
            format!(
                "INSERT INTO {table} AS t (tenant, kind, id, day, created, deleted, bytes, \
                   creation_micros) SELECT $1, $2, $3, $4, $5, $6, $7, $8 WHERE {meant} \
                 ON CONFLICT (tenant, kind, id, day) DO UPDATE SET {sums} RETURNING 1"
            )
        };
        let call = Call::change("$9", sql, |query| {
            bind_key(query, &key)
                .bind(day.number())
                .bind(version::at_most(more.created))
                .bind(version::at_most(more.deleted))
                .bind(version::at_most(more.bytes))
                .bind(version::at_most(more.creation_micros))
        });
        self.change(call).await.map(drop)
    }

    async fn daily(
        &self,
        key: &AggregateKey,
        days: RangeInclusive<Day>,
    ) -> Result<Vec<(Day, DailyStatistics)>, Error> {
        let Some(key) = KeyText::of(key) else { return Ok(Vec::new()) };
        let sql = format!(
            "SELECT day, created, deleted, bytes, creation_micros FROM {} \
             WHERE tenant = $1 AND kind = $2 AND id = $3 AND day BETWEEN $4 AND $5 \
             ORDER BY day LIMIT {MAX_ROWS}",
            self.names().daily
        );
        let (first, last) = (days.start().number(), days.end().number());
        let bind = |query| bind_key(query, &key).bind(first).bind(last);
        let rows = self.ask(Call::ask(&sql, "ORDER BY day", bind)).await?;
        rows.iter()
            .map(|row| {
                let number = |at| row.try_get(at).map(version::from_column).map_err(unread);
                let statistics = DailyStatistics {
                    created: number(2)?,
                    deleted: number(3)?,
                    bytes: number(4)?,
                    creation_micros: number(5)?,
                };
                Ok((Day::new(row.try_get(1).map_err(unread)?), statistics))
            })
            .collect()
    }
}

#[async_trait]
impl AuditLog for PostgresStore {
    async fn append(&self, entry: &AuditEntry) -> Result<u64, Error> {
        entry.check()?;
        let key = fitting(&entry.key)?;
        let version = match entry.version.map(i64::try_from).transpose() {
            Ok(version) => version,
            Err(source) => {
                let message = format!("the version is above {}", version::MAX);
                let error = Error::new(ErrorKind::InvalidInput, "write to the ledger", message);
                return Err(error.with_source(source));
            }
        };
        let sql = |meant: &str| {
            format!(
                "INSERT INTO {} (tenant, kind, id, at, actor, action, version, reason) \
                 SELECT $1, $2, $3, $4, $5, $6, $7::int8, $8 WHERE {meant} RETURNING sequence",
                self.names().audit
            )
        };
        let text = |part: &str| key_text::encode(part).into_owned();
        let call = Call::change("$9", sql, |query| {
            bind_key(query, &key)
                .bind(entry.at.as_micros())
                .bind(text(&entry.actor))
                .bind(text(&entry.action))
                .bind(version)
                .bind(text(&entry.reason))
        });
        let rows = self.change(call).await?;
        let sequence = rows.first().map(|row| row.try_get(1)).transpose().map_err(unread)?;
        Ok(version::from_column(sequence.unwrap_or(0)))
    }

    async fn entries(&self, request: AuditRequest<'_>) -> Result<Page<AuditRecord, u64>, Error> {
        let (after, limit) = (version::at_most(request.after), rows_limit(request.limit));
        let key = match request.key.map(KeyText::of) {
            Some(None) => return Ok(Page::new(Vec::new(), None)),
            Some(key) => key,
            None => None,
        };
        let of_key = if key.is_some() { "tenant = $1 AND kind = $2 AND id = $3" } else { "true" };
        let sql = format!(
            "SELECT tenant, kind, id, sequence, at, actor, action, version, reason FROM {} \
             WHERE {of_key} AND num_nulls($1::text, $2::text, $3::text) < 4 AND sequence > $4 \
             ORDER BY sequence LIMIT $5",
            self.names().audit
        );
        let key = key.unwrap_or_else(|| KeyText::new("", "", ""));
        let bind = |query| bind_key(query, &key).bind(after).bind(limit + 1);
        let rows = self.ask(Call::ask(&sql, "ORDER BY sequence", bind)).await?;
        page(&rows, limit, record_of, |record| record.sequence)
    }
}

fn record_of(row: &PgRow) -> Result<AuditRecord, Error> {
    let sequence = row.try_get(4).map(version::from_column).map_err(unread)?;
    let at = Timestamp::from_micros(row.try_get(5).map_err(unread)?);
    let mut entry = AuditEntry::new(at, text(row, 6)?, text(row, 7)?, key_of(row)?);
    let version: Option<i64> = row.try_get(8).map_err(unread)?;
    entry.version = version.map(version::from_column);
    entry.reason = text(row, 9)?;
    Ok(AuditRecord::new(sequence, entry))
}

fn rows_limit(limit: usize) -> i64 {
    i64::try_from(limit.clamp(1, MAX_ROWS)).unwrap_or(1)
}

/// The first `limit` of `rows`, and what to continue after if there was one more.
fn page<T, C>(
    rows: &[PgRow],
    limit: i64,
    item: impl Fn(&PgRow) -> Result<T, Error>,
    cursor: impl Fn(&T) -> C,
) -> Result<Page<T, C>, Error> {
    let limit = usize::try_from(limit).unwrap_or(1);
    let items = rows.iter().take(limit).map(item).collect::<Result<Vec<_>, _>>()?;
    let next = items.last().map(cursor).filter(|_| rows.len() > limit);
    Ok(Page::new(items, next))
}
