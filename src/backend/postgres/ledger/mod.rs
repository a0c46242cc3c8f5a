//! Schedules, statistics and the audit trail in PostgreSQL.

mod schedules;
mod statistics;
mod trail;

use std::ops::RangeInclusive;

use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::connection::{Failure, Operation, Session};
use super::error::Effect;
use super::key_text::{self, KeyText, MAX_BYTES};
use super::statement::{Bound, Statement, select};
use super::store::PostgresStore;
use crate::error::{Error, ErrorKind};
use crate::key::AggregateKey;
use crate::ledger::{
    AuditEntry, AuditRecord, AuditRequest, Claim, DailyStatistics, Day, Ledger, Schedule,
    ScheduleKey,
};
use crate::store::Page;
use crate::timestamp::Timestamp;

/// The most rows of one answer, whatever was asked for.
const MAX_ROWS: usize = 10_000;

const READ: &str = "read the ledger";
const WRITE: &str = "write to the ledger";

/// Binds the parameters of a statement.
type Bind<'q> = Box<dyn Fn(Bound<'q>) -> Bound<'q> + Send + Sync + 'q>;

/// A statement and its parameters.
struct Call<'q> {
    statement: Statement,
    bind: Bind<'q>,
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
    const NAME: &'static str = READ;
    const EFFECT: Effect = Effect::Read;

    async fn run(&mut self, session: &mut Session<'_>) -> Result<Vec<PgRow>, Failure> {
        self.0.rows(session).await
    }
}

impl Operation for Change<'_> {
    type Output = Vec<PgRow>;
    const NAME: &'static str = WRITE;
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

fn too_long() -> Error {
    Error::new(
        ErrorKind::InvalidInput,
        WRITE,
        format!("the key is longer than the {MAX_BYTES} bytes that PostgreSQL can index"),
    )
}

fn bind_key<'q>(query: Bound<'q>, key: &KeyText<'_>) -> Bound<'q> {
    query.bind(key.tenant.to_string()).bind(key.kind.to_string()).bind(key.id.to_string())
}

/// Takes the error itself, to be given to `map_err`.
#[expect(clippy::needless_pass_by_value, reason = "see above")]
fn unread(error: sqlx::Error) -> Error {
    super::error::classify(READ, Effect::Read, &error)
}

fn text(row: &PgRow, at: usize) -> Result<String, Error> {
    let stored: &str = row.try_get(at).map_err(unread)?;
    let text = key_text::decode(stored)
        .ok_or_else(|| super::error::damaged(READ, "a text in an unknown form"))?;
    Ok(text.into_owned())
}

/// A text that may be NULL.
fn optional_text(row: &PgRow, at: usize) -> Result<Option<String>, Error> {
    let stored: Option<&str> = row.try_get(at).map_err(unread)?;
    stored.map(|_| text(row, at)).transpose()
}

fn time(row: &PgRow, at: usize) -> Result<Timestamp, Error> {
    row.try_get(at).map(Timestamp::from_micros).map_err(unread)
}

fn encoded(text: &str) -> String {
    key_text::encode(text).into_owned()
}

/// In tables of their own. Answers have at most 10,000 rows, pages of an audit trail 1,000.
#[async_trait]
impl Ledger for PostgresStore {
    async fn put_schedule(&self, schedule: &Schedule) -> Result<(), Error> {
        schedules::put(self, schedule).await
    }

    async fn schedule(&self, key: &ScheduleKey) -> Result<Option<Schedule>, Error> {
        schedules::get(self, key).await
    }

    async fn remove_schedule(&self, key: &ScheduleKey) -> Result<bool, Error> {
        schedules::remove(self, key).await
    }

    async fn schedules(
        &self,
        after: Option<&ScheduleKey>,
        limit: usize,
    ) -> Result<Page<Schedule, ScheduleKey>, Error> {
        schedules::page(self, after, limit).await
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Schedule>, Error> {
        schedules::due(self, now, limit).await
    }

    async fn claim(
        &self,
        key: &ScheduleKey,
        due: Timestamp,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Claim>, Error> {
        schedules::claim(self, key, due, holder, now, until).await
    }

    async fn renew(&self, claim: &Claim, until: Timestamp) -> Result<bool, Error> {
        schedules::renew(self, claim, until).await
    }

    async fn release(&self, claim: &Claim) -> Result<bool, Error> {
        schedules::release(self, claim).await
    }

    async fn complete(&self, claim: &Claim, next: Option<Timestamp>) -> Result<bool, Error> {
        schedules::complete(self, claim, next).await
    }

    async fn add_statistics(
        &self,
        batch: &[(AggregateKey, Day, DailyStatistics)],
    ) -> Result<(), Error> {
        statistics::add(self, batch).await
    }

    async fn daily(
        &self,
        key: &AggregateKey,
        days: RangeInclusive<Day>,
    ) -> Result<Vec<(Day, DailyStatistics)>, Error> {
        statistics::daily(self, key, days).await
    }

    async fn append_all(&self, entries: &[AuditEntry]) -> Result<Vec<u64>, Error> {
        trail::append_all(self, entries).await
    }

    async fn entries(&self, request: AuditRequest<'_>) -> Result<Page<AuditRecord, u64>, Error> {
        trail::entries(self, request).await
    }
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
