//! Schedules, statistics and the audit trail in PostgreSQL.

use std::ops::RangeInclusive;

use async_trait::async_trait;
use sqlx::postgres::{PgArguments, PgConnection, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Postgres, Row};

use super::connection::{Failure, Operation};
use super::error::Effect;
use super::key_text::{self, KeyText, MAX_BYTES};
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

/// One statement that returns rows.
struct Statement<'q> {
    sql: String,
    bind: Box<dyn Fn(Bound<'q>) -> Bound<'q> + Send + Sync + 'q>,
}

type Bound<'q> = Query<'q, Postgres, PgArguments>;

impl<'q> Statement<'q> {
    fn new(sql: String, bind: impl Fn(Bound<'q>) -> Bound<'q> + Send + Sync + 'q) -> Self {
        Self { sql, bind: Box::new(bind) }
    }

    fn bound(&self) -> Bound<'q> {
        (self.bind)(sqlx::query(AssertSqlSafe(self.sql.clone())))
    }
}

/// A statement that changes nothing.
struct Ask<'q>(Statement<'q>);

/// A statement that changes something.
struct Change<'q>(Statement<'q>);

impl Operation for Ask<'_> {
    type Output = Vec<PgRow>;
    const NAME: &'static str = "read the ledger";
    const EFFECT: Effect = Effect::Read;

    async fn run(&mut self, connection: &mut PgConnection) -> Result<Vec<PgRow>, Failure> {
        Ok(self.0.bound().fetch_all(connection).await?)
    }
}

impl Operation for Change<'_> {
    type Output = Vec<PgRow>;
    const NAME: &'static str = "write to the ledger";
    const EFFECT: Effect = Effect::Write;

    /// Sums and appended entries would be counted twice.
    fn is_repeatable(&self) -> bool {
        false
    }

    async fn run(&mut self, connection: &mut PgConnection) -> Result<Vec<PgRow>, Failure> {
        Ok(self.0.bound().fetch_all(connection).await?)
    }
}

impl PostgresStore {
    async fn ask(&self, statement: Statement<'_>) -> Result<Vec<PgRow>, Error> {
        self.connections().run(&mut Ask(statement)).await
    }

    async fn change(&self, statement: Statement<'_>) -> Result<Vec<PgRow>, Error> {
        self.connections().run(&mut Change(statement)).await
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
    AggregateKey::from_parts(&text(row, 0)?, &text(row, 1)?, &text(row, 2)?)
}

fn schedule_of(row: &PgRow) -> Result<Schedule, Error> {
    let next_run: Option<i64> = row.try_get(5).map_err(unread)?;
    Ok(Schedule::new(key_of(row)?, text(row, 3)?)?
        .enabled(row.try_get(4).map_err(unread)?)
        .next_run(next_run.map(Timestamp::from_micros)))
}

const SCHEDULE: &str = "tenant, kind, id, cron, enabled, next_run";

#[async_trait]
impl ScheduleStore for PostgresStore {
    async fn put_schedule(&self, schedule: &Schedule) -> Result<(), Error> {
        schedule.check()?;
        let key = fitting(&schedule.key)?;
        let cron = key_text::encode(&schedule.cron);
        let sql = format!(
            "INSERT INTO {} ({SCHEDULE}) VALUES ($1, $2, $3, $4, $5, $6) \
             ON CONFLICT (tenant, kind, id) DO UPDATE SET cron = EXCLUDED.cron, \
               enabled = EXCLUDED.enabled, next_run = EXCLUDED.next_run",
            self.names().schedules
        );
        let statement = Statement::new(sql, |query| {
            bind_key(query, &key)
                .bind(cron.to_string())
                .bind(schedule.enabled)
                .bind(schedule.next_run.map(Timestamp::as_micros))
        });
        self.change(statement).await.map(drop)
    }

    async fn schedule(&self, key: &AggregateKey) -> Result<Option<Schedule>, Error> {
        let Some(key) = KeyText::of(key) else { return Ok(None) };
        let sql = format!(
            "SELECT {SCHEDULE} FROM {} WHERE tenant = $1 AND kind = $2 AND id = $3",
            self.names().schedules
        );
        let rows = self.ask(Statement::new(sql, |query| bind_key(query, &key))).await?;
        rows.first().map(schedule_of).transpose()
    }

    async fn remove_schedule(&self, key: &AggregateKey) -> Result<bool, Error> {
        let Some(key) = KeyText::of(key) else { return Ok(false) };
        let sql = format!(
            "DELETE FROM {} WHERE tenant = $1 AND kind = $2 AND id = $3 RETURNING 1",
            self.names().schedules
        );
        let rows = self.change(Statement::new(sql, |query| bind_key(query, &key))).await?;
        Ok(!rows.is_empty())
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Schedule>, Error> {
        let sql = format!(
            "SELECT {SCHEDULE} FROM {} WHERE enabled AND next_run <= $1 \
             ORDER BY next_run, tenant, kind, id LIMIT $2",
            self.names().schedules
        );
        let limit = rows_limit(limit);
        let statement = Statement::new(sql, |query| query.bind(now.as_micros()).bind(limit));
        self.ask(statement).await?.iter().map(schedule_of).collect()
    }

    async fn claim(
        &self,
        key: &AggregateKey,
        due: Timestamp,
        next: Option<Timestamp>,
    ) -> Result<bool, Error> {
        let Some(key) = KeyText::of(key) else { return Ok(false) };
        let sql = format!(
            "UPDATE {} SET next_run = $5 WHERE tenant = $1 AND kind = $2 AND id = $3 \
               AND enabled AND next_run = $4 RETURNING 1",
            self.names().schedules
        );
        let statement = Statement::new(sql, |query| {
            bind_key(query, &key).bind(due.as_micros()).bind(next.map(Timestamp::as_micros))
        });
        Ok(!self.change(statement).await?.is_empty())
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
             ORDER BY tenant, kind, id LIMIT $4",
            self.names().schedules
        );
        let limit = rows_limit(limit);
        let rows =
            self.ask(Statement::new(sql, |query| bind_key(query, &key).bind(limit + 1))).await?;
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
        let sql = format!(
            "INSERT INTO {table} AS t (tenant, kind, id, day, created, deleted, bytes, \
               creation_micros) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
             ON CONFLICT (tenant, kind, id, day) DO UPDATE SET {sums}"
        );
        let statement = Statement::new(sql, |query| {
            bind_key(query, &key)
                .bind(day.number())
                .bind(version::at_most(more.created))
                .bind(version::at_most(more.deleted))
                .bind(version::at_most(more.bytes))
                .bind(version::at_most(more.creation_micros))
        });
        self.change(statement).await.map(drop)
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
        let statement = Statement::new(sql, |query| bind_key(query, &key).bind(first).bind(last));
        let rows = self.ask(statement).await?;
        rows.iter()
            .map(|row| {
                let number = |at| row.try_get(at).map(version::from_column).map_err(unread);
                let statistics = DailyStatistics {
                    created: number(1)?,
                    deleted: number(2)?,
                    bytes: number(3)?,
                    creation_micros: number(4)?,
                };
                Ok((Day::new(row.try_get(0).map_err(unread)?), statistics))
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
        let sql = format!(
            "INSERT INTO {} (tenant, kind, id, at, actor, action, version, reason) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING sequence",
            self.names().audit
        );
        let text = |part: &str| key_text::encode(part).into_owned();
        let statement = Statement::new(sql, |query| {
            bind_key(query, &key)
                .bind(entry.at.as_micros())
                .bind(text(&entry.actor))
                .bind(text(&entry.action))
                .bind(version)
                .bind(text(&entry.reason))
        });
        let rows = self.change(statement).await?;
        let sequence = rows.first().map(|row| row.try_get(0)).transpose().map_err(unread)?;
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
        let rows = self
            .ask(Statement::new(sql, |query| bind_key(query, &key).bind(after).bind(limit + 1)))
            .await?;
        page(&rows, limit, record_of, |record| record.sequence)
    }
}

fn record_of(row: &PgRow) -> Result<AuditRecord, Error> {
    let sequence = row.try_get(3).map(version::from_column).map_err(unread)?;
    let at = Timestamp::from_micros(row.try_get(4).map_err(unread)?);
    let mut entry = AuditEntry::new(at, text(row, 5)?, text(row, 6)?, key_of(row)?);
    let version: Option<i64> = row.try_get(7).map_err(unread)?;
    entry.version = version.map(version::from_column);
    entry.reason = text(row, 8)?;
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
