//! The statements that read an event table: events of one or several aggregates, times, bounds.

use futures_util::TryStreamExt;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Executor as _, Postgres, Row, SqlSafeStr as _, Statement as _, Type};

use super::connection::{CallFailure, Operation, Session};
use super::error::StatementEffect;
use super::event_row::{RawEvent, version_of};
use super::event_table::EventTable;
use super::event_trouble::explain;
use super::events::{PAGE, PostgresEvents, has_nul};
use super::statement::Statement;
use super::version;
use crate::error::Error;
use crate::events::{EventRange, EventTime, KeyedReplay, Replay, Times};
use crate::key::AggregateKey;
use crate::state::Aggregate;

/// Whether there may be more.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadPage {
    Full,
    Last,
}

/// One page of the events of one aggregate.
pub(super) struct EventRead<'a, 'r, A: Aggregate> {
    pub(super) events: &'a PostgresEvents<A::Event>,
    pub(super) key: &'a AggregateKey,
    pub(super) range: EventRange,
    pub(super) replay: &'a mut Replay<'r, A>,
    pub(super) pushed: u64,
}

impl<A: Aggregate> Operation for EventRead<'_, '_, A> {
    type Output = ReadPage;
    const NAME: &'static str = "read events";
    const EFFECT: StatementEffect = StatementEffect::Read;

    fn is_untouched(&self) -> bool {
        self.pushed == 0
    }

    fn explain(&self, error: &sqlx::Error) -> Option<Error> {
        explain(Self::NAME, self.events.table.named(), self.events.tail.sql(), error)
    }

    async fn run(&mut self, session: &mut Session<'_>) -> Result<ReadPage, CallFailure> {
        let (statement, table) = (&self.events.tail, &self.events.table);
        let is_start = self.range.after == 0;
        let mut rows = statement
            .query(session)
            .bind(self.key.tenant())
            .bind(self.key.kind())
            .bind(self.key.id())
            .bind(bound_after(table, self.range.after))
            .bind(version::at_most(self.range.until))
            .bind(version::at_most(PAGE))
            .fetch(&mut *session.connection);
        check_first(statement, table, rows.try_next().await?, table.columns().count())?;
        let columns = table.columns();
        let mut count = 0;
        while let Some(row) = rows.try_next().await? {
            let version = table.version_in(version_of(&row)?)?;
            if is_start && count == 0 && self.replay.is_from_start() {
                table.check_first(version)?;
            }
            count += 1;
            self.pushed += 1;
            self.range.after = version;
            let wanted = RawEvent::of(&row, columns, version)
                .and_then(|event| event.push(&self.events.decode, self.replay))
                .map_err(|e| Error::event_source("decode an event", e))?;
            if !wanted {
                return Ok(ReadPage::Last);
            }
        }
        Ok(if count < PAGE { ReadPage::Last } else { ReadPage::Full })
    }
}

/// What the server says about the statement that reads events, without running it.
pub(super) struct TableCheck<'a, E>(pub(super) &'a PostgresEvents<E>);

impl<E> Operation for TableCheck<'_, E> {
    type Output = ();
    const NAME: &'static str = "check an event table";
    const EFFECT: StatementEffect = StatementEffect::Read;

    fn explain(&self, error: &sqlx::Error) -> Option<Error> {
        explain(Self::NAME, self.0.table.named(), self.0.tail.sql(), error)
    }

    async fn run(&mut self, session: &mut Session<'_>) -> Result<(), CallFailure> {
        let sql = AssertSqlSafe(self.0.tail.sql()).into_sql_str();
        // As a load prepares it: the types of its parameters decide what the columns are compared with.
        let (text, number) =
            (<str as Type<Postgres>>::type_info(), <i64 as Type<Postgres>>::type_info());
        let types = [&text, &text, &text, &number, &number, &number].map(Clone::clone);
        let prepared = session.connection.prepare_with(sql, &types).await?;
        self.0.table.check_types(prepared.columns())?;
        Ok(())
    }
}

/// The lowest and the highest version of an aggregate.
pub(super) struct Bounds<'a, E> {
    pub(super) events: &'a PostgresEvents<E>,
    pub(super) key: &'a AggregateKey,
}

impl<E> Operation for Bounds<'_, E> {
    type Output = Option<(u64, u64)>;
    const NAME: &'static str = "read the bounds of a stream";
    const EFFECT: StatementEffect = StatementEffect::Read;

    fn explain(&self, error: &sqlx::Error) -> Option<Error> {
        explain(Self::NAME, self.events.table.named(), self.events.range.sql(), error)
    }

    async fn run(&mut self, session: &mut Session<'_>) -> Result<Self::Output, CallFailure> {
        let (statement, table) = (&self.events.range, &self.events.table);
        let query = statement
            .query(session)
            .bind(self.key.tenant())
            .bind(self.key.kind())
            .bind(self.key.id())
            .bind(table.start())
            .bind(i64::MAX);
        let row = statement.one(query, session).await?;
        let (lowest, highest): (Option<i64>, Option<i64>) = (row.try_get(1)?, row.try_get(2)?);
        match (lowest, highest) {
            (None, None) => Ok(None),
            bounds => Ok(Some((table.version_in(bounds.0)?, table.version_in(bounds.1)?))),
        }
    }
}

/// The lowest versions of several aggregates, in order; 0 for one without events.
pub(super) struct LowestMany<'a, E> {
    pub(super) events: &'a PostgresEvents<E>,
    pub(super) keys: &'a [&'a AggregateKey],
}

impl<E> Operation for LowestMany<'_, E> {
    type Output = Vec<u64>;
    const NAME: &'static str = "read the bounds of several streams";
    const EFFECT: StatementEffect = StatementEffect::Read;

    fn explain(&self, error: &sqlx::Error) -> Option<Error> {
        explain(Self::NAME, self.events.table.named(), self.events.ranges.sql(), error)
    }

    async fn run(&mut self, session: &mut Session<'_>) -> Result<Self::Output, CallFailure> {
        let (statement, table) = (&self.events.ranges, &self.events.table);
        let part = |of: fn(&AggregateKey) -> &str| {
            self.keys.iter().map(|key| of(key).to_owned()).collect::<Vec<_>>()
        };
        let query = statement
            .query(session)
            .bind(part(AggregateKey::tenant))
            .bind(part(AggregateKey::kind))
            .bind(part(AggregateKey::id))
            .bind(vec![table.start(); self.keys.len()])
            .bind(vec![i64::MAX; self.keys.len()]);
        let rows = statement.all(query, session).await?;
        if rows.len() != self.keys.len() {
            return Err(CallFailure::Foreign);
        }
        let lowest = |row: &PgRow| match row.try_get::<Option<i64>, _>(2)? {
            None => Ok(0),
            lowest => Ok(table.version_in(lowest)?),
        };
        rows.iter().map(lowest).collect()
    }
}

/// Checks that the result belongs to `statement`, and that its `columns` have the types that
/// `table` had.
fn check_first(
    statement: &Statement,
    table: &EventTable,
    first: Option<PgRow>,
    columns: usize,
) -> Result<(), CallFailure> {
    // The guard is the lowest number, so it comes first.
    let first = first.ok_or(CallFailure::Foreign)?;
    statement.check(&first)?;
    Statement::check_types(&first, columns)?;
    table.check_types(first.columns())?;
    Ok(())
}

/// Returns the parameter for events after a version.
fn bound_after(table: &EventTable, after: u64) -> i64 {
    if after == 0 { table.start() } else { version::at_most(after) }
}

/// The first page of the events of several aggregates.
pub(super) struct ReadMany<'a, 'm, 'k, 'r, A: Aggregate> {
    events: &'a PostgresEvents<A::Event>,
    reads: &'m mut [KeyedReplay<'k, 'r, A>],
    /// The requested aggregates.
    asked: Vec<Asked>,
    pushed: u64,
}

struct Asked {
    /// The position in the slice.
    place: usize,
    count: u64,
    last: u64,
    is_done: bool,
}

impl<'a, 'm, 'k, 'r, A: Aggregate> ReadMany<'a, 'm, 'k, 'r, A> {
    pub(super) fn new(
        events: &'a PostgresEvents<A::Event>,
        reads: &'m mut [KeyedReplay<'k, 'r, A>],
    ) -> Self {
        let is_asked =
            |read: &KeyedReplay<'_, '_, A>| !has_nul(read.key) && read.range.after < version::MAX;
        let places = reads.iter().enumerate().filter(|(_, read)| is_asked(read));
        let asked =
            places.map(|(place, _)| Asked { place, count: 0, last: 0, is_done: false }).collect();
        Self { events, reads, asked, pushed: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.asked.is_empty()
    }

    /// Returns the positions of aggregates that may have further events, and the last version of
    /// each.
    pub(super) fn unfinished(&self) -> Vec<(usize, u64)> {
        let full = self.asked.iter().filter(|asked| asked.count >= PAGE && !asked.is_done);
        full.map(|asked| (asked.place, asked.last)).collect()
    }

    fn take(&mut self, row: &PgRow) -> Result<(), CallFailure> {
        let table = &self.events.table;
        let columns = table.columns();
        let version = table.version_in(version_of(row)?)?;
        let n = row.try_get_raw(columns.count())?.as_bytes().ok();
        let n = n.and_then(|bytes| Some(i64::from_be_bytes(bytes.try_into().ok()?)));
        let asked = n
            .and_then(|n| usize::try_from(n).ok()?.checked_sub(1))
            .and_then(|n| self.asked.get_mut(n))
            .ok_or(CallFailure::Foreign)?;
        let Some(read) = self.reads.get_mut(asked.place) else { return Err(CallFailure::Foreign) };
        if asked.is_done {
            return Ok(());
        }
        if asked.count == 0 && read.range.after == 0 && read.replay.is_from_start() {
            table.check_first(version)?;
        }
        asked.count += 1;
        asked.last = version;
        self.pushed += 1;
        let wanted = RawEvent::of(row, columns, version)
            .and_then(|event| event.push(&self.events.decode, &mut read.replay))
            .map_err(|e| Error::event_source("decode an event", e))?;
        asked.is_done = !wanted;
        Ok(())
    }
}

impl<A: Aggregate> Operation for ReadMany<'_, '_, '_, '_, A> {
    type Output = ();
    const NAME: &'static str = "read events of several aggregates";
    const EFFECT: StatementEffect = StatementEffect::Read;

    fn is_untouched(&self) -> bool {
        self.pushed == 0
    }

    fn explain(&self, error: &sqlx::Error) -> Option<Error> {
        explain(Self::NAME, self.events.table.named(), self.events.many.sql(), error)
    }

    async fn run(&mut self, session: &mut Session<'_>) -> Result<(), CallFailure> {
        let (statement, table) = (&self.events.many, &self.events.table);
        let reads = || self.asked.iter().filter_map(|asked| self.reads.get(asked.place));
        let part = |of: fn(&AggregateKey) -> &str| {
            reads().map(|read| of(read.key).to_owned()).collect::<Vec<_>>()
        };
        let after: Vec<_> = reads().map(|read| bound_after(table, read.range.after)).collect();
        let until: Vec<_> = reads().map(|read| version::at_most(read.range.until)).collect();
        let mut rows = statement
            .query(session)
            .bind(part(AggregateKey::tenant))
            .bind(part(AggregateKey::kind))
            .bind(part(AggregateKey::id))
            .bind(after)
            .bind(until)
            .bind(version::at_most(PAGE))
            .fetch(&mut *session.connection);
        check_first(statement, table, rows.try_next().await?, table.columns().count())?;
        while let Some(row) = rows.try_next().await? {
            self.take(&row)?;
        }
        Ok(())
    }
}

/// The times of the events of one aggregate.
pub(super) struct ReadTimes<'a, E> {
    pub(super) events: &'a PostgresEvents<E>,
    pub(super) key: &'a AggregateKey,
    pub(super) range: EventRange,
    pub(super) limit: usize,
}

impl<E> Operation for ReadTimes<'_, E> {
    type Output = Vec<EventTime>;
    const NAME: &'static str = "read the times of events";
    const EFFECT: StatementEffect = StatementEffect::Read;

    fn explain(&self, error: &sqlx::Error) -> Option<Error> {
        explain(Self::NAME, self.events.table.named(), self.events.times.sql(), error)
    }

    async fn run(&mut self, session: &mut Session<'_>) -> Result<Self::Output, CallFailure> {
        let (statement, table) = (&self.events.times, &self.events.table);
        let limit = self.limit.clamp(1, usize::try_from(PAGE).unwrap_or(usize::MAX));
        let mut rows = statement
            .query(session)
            .bind(self.key.tenant())
            .bind(self.key.kind())
            .bind(self.key.id())
            .bind(bound_after(table, self.range.after))
            .bind(version::at_most(self.range.until))
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch(&mut *session.connection);
        check_first(statement, table, rows.try_next().await?, 2)?;
        let mut times = Times::new(self.range, limit);
        let mut is_first = self.range.after == 0;
        while let Some(row) = rows.try_next().await? {
            let version = table.version_in(version_of(&row)?)?;
            if std::mem::take(&mut is_first) {
                table.check_first(version)?;
            }
            let at = table.columns().recorded_at(&row);
            let at = at.map_err(|e| Error::event_source("read the time of an event", e))?;
            if times.add(EventTime::new(version, at)).is_break() {
                break;
            }
        }
        Ok(times.finish()?)
    }
}
