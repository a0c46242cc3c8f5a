//! Schedules as rows. A removed schedule keeps its row, without a cadence, so that its tokens
//! continue.

use std::borrow::Cow;

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::call::{
    encoded, optional_text, page as page_of, rows_limit, text, time, too_long, unread,
};
use crate::backend::postgres::call::Call;
use crate::backend::postgres::error::damaged;
use crate::backend::postgres::key_text::{self, KeyText, MAX_BYTES};
use crate::backend::postgres::statement::Bound;
use crate::backend::postgres::store::PostgresStore;
use crate::backend::postgres::version;
use crate::error::Error;
use crate::key::AggregateKey;
use crate::ledger::{Cadence, Claim, Lease, Schedule, ScheduleKey, Task};
use crate::store::Page;
use crate::timestamp::Timestamp;

const COLUMNS: &str = "tenant, kind, single, id, name, cadence, task, enabled, next_run, \
     created_at, updated_at, holder, leased_until, token";
const OF_KEY: &str = "tenant = $1 AND kind = $2 AND single = $3 AND id = $4 AND name = $5";
const KEY_ORDER: &str = "ORDER BY tenant, kind, single, id, name";
const DUE_ORDER: &str = "ORDER BY next_run, tenant, kind, single, id, name";

/// The parts of a key as they are stored.
struct ScheduleParts<'a> {
    key: KeyText<'a>,
    single: bool,
    name: Cow<'a, str>,
}

impl<'a> ScheduleParts<'a> {
    fn new(key: &'a ScheduleKey) -> Self {
        let single = key.is_single();
        let name = key_text::encode(key.name());
        Self { key: KeyText::new(key.tenant(), key.kind(), key.id()), single, name }
    }

    /// Returns `None` if the key is too long to be stored.
    fn of(key: &'a ScheduleKey) -> Option<Self> {
        Some(Self::new(key)).filter(|it| it.key.bytes() + it.name.len() <= MAX_BYTES)
    }

    /// Binds the parameters 1 to 5.
    fn bind<'q>(&self, query: Bound<'q>) -> Bound<'q> {
        query
            .bind(self.key.tenant.to_string())
            .bind(self.key.kind.to_string())
            .bind(self.single)
            .bind(self.key.id.to_string())
            .bind(self.name.to_string())
    }
}

fn schedule_of(row: &PgRow) -> Result<Schedule, Error> {
    let key = AggregateKey::from_stored(&text(row, 1)?, &text(row, 2)?, &text(row, 4)?)?;
    let single = row.try_get(3).map_err(unread)?;
    let key = ScheduleKey::from_stored(key, single, &text(row, 5)?).ok_or_else(|| {
        damaged(super::call::READ, "a schedule for all of a kind with an id, or a long name")
    })?;
    let cadence = Cadence::from_stored(&text(row, 6)?)?;
    let next_run: Option<i64> = row.try_get(9).map_err(unread)?;
    let mut schedule = Schedule::from_stored(key, cadence, time(row, 10)?)
        .task(Task::from_stored(&text(row, 7)?)?)
        .enabled(row.try_get(8).map_err(unread)?)
        .next_run(next_run.map(Timestamp::from_micros))
        .updated_at(time(row, 11)?);
    if let Some(holder) = optional_text(row, 12)? {
        let token = row.try_get(14).map(version::from_column).map_err(unread)?;
        schedule.lease = Some(Lease::new(holder, time(row, 13)?, token));
    }
    Ok(schedule)
}

pub(super) async fn put(store: &PostgresStore, schedule: &Schedule) -> Result<(), Error> {
    let key = ScheduleParts::of(&schedule.key).ok_or_else(too_long)?;
    let cadence = encoded(&schedule.cadence.to_string());
    let task = encoded(&schedule.task.to_string());
    let sql = |meant: &str| {
        format!(
            "INSERT INTO {} AS t (tenant, kind, single, id, name, cadence, task, enabled, \
               next_run, created_at, updated_at, token) \
             SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9::int8, $10, $11, 0 WHERE {meant} \
             ON CONFLICT (tenant, kind, single, id, name) DO UPDATE SET \
               cadence = EXCLUDED.cadence, task = EXCLUDED.task, enabled = EXCLUDED.enabled, next_run = EXCLUDED.next_run, \
               updated_at = EXCLUDED.updated_at, created_at = \
               CASE WHEN t.cadence IS NULL THEN EXCLUDED.created_at ELSE t.created_at END \
             RETURNING 1",
            store.names().schedules
        )
    };
    let call = Call::change("$12", sql, |query| {
        key.bind(query)
            .bind(cadence.clone())
            .bind(task.clone())
            .bind(schedule.enabled)
            .bind(schedule.next_run.map(Timestamp::as_micros))
            .bind(schedule.created_at.as_micros())
            .bind(schedule.updated_at.as_micros())
    });
    store.change(call).await.map(drop)
}

pub(super) async fn get(
    store: &PostgresStore,
    key: &ScheduleKey,
) -> Result<Option<Schedule>, Error> {
    let Some(key) = ScheduleParts::of(key) else { return Ok(None) };
    let table = &store.names().schedules;
    let sql = format!("SELECT {COLUMNS} FROM {table} WHERE {OF_KEY} AND cadence IS NOT NULL");
    let rows = store.ask(Call::ask(&sql, "", |query| key.bind(query))).await?;
    rows.first().map(schedule_of).transpose()
}

/// Updates the row of `key` if `condition` holds, and returns whether it did. Both may use `$6` and
/// the following parameters, which `bind` binds. `last` is the parameter after them.
async fn update(
    store: &PostgresStore,
    key: &ScheduleKey,
    (set, condition, last): (&str, &str, &str),
    bind: impl Fn(Bound<'_>) -> Bound<'_> + Send + Sync,
) -> Result<Option<u64>, Error> {
    let Some(key) = ScheduleParts::of(key) else { return Ok(None) };
    let sql = |meant: &str| {
        format!(
            "UPDATE {} SET {set} WHERE {OF_KEY} AND {condition} AND {meant} RETURNING token",
            store.names().schedules
        )
    };
    let rows = store.change(Call::change(last, sql, |query| bind(key.bind(query)))).await?;
    let token = rows.first().map(|row| row.try_get(1)).transpose().map_err(unread)?;
    Ok(token.map(version::from_column))
}

const NO_LEASE: &str = "holder = NULL, leased_until = NULL";
/// Whether the lease has the token `$6`.
const LEASED: &str = "holder IS NOT NULL AND token = $6";

pub(super) async fn remove(store: &PostgresStore, key: &ScheduleKey) -> Result<bool, Error> {
    let set = format!("cadence = NULL, enabled = false, next_run = NULL, {NO_LEASE}");
    let removed = update(store, key, (&set, "cadence IS NOT NULL", "$6"), |query| query).await?;
    Ok(removed.is_some())
}

pub(super) async fn claim(
    store: &PostgresStore,
    key: &ScheduleKey,
    due: Timestamp,
    holder: &str,
    now: Timestamp,
    until: Timestamp,
) -> Result<Option<Claim>, Error> {
    Lease::check(holder, now, until)?;
    let set = "holder = $6, leased_until = $7, token = token + 1";
    let free = "enabled AND next_run = $8 AND next_run <= $9 \
                AND (leased_until IS NULL OR leased_until <= $9)";
    let token = update(store, key, (set, free, "$10"), |query| {
        query
            .bind(encoded(holder))
            .bind(until.as_micros())
            .bind(due.as_micros())
            .bind(now.as_micros())
    });
    Ok(token.await?.map(|token| Claim::new(key.clone(), due, token)))
}

pub(super) async fn renew(
    store: &PostgresStore,
    claim: &Claim,
    until: Timestamp,
) -> Result<bool, Error> {
    let token = version::at_most(claim.token);
    let renewed = update(store, &claim.key, ("leased_until = $7", LEASED, "$8"), |query| {
        query.bind(token).bind(until.as_micros())
    });
    Ok(renewed.await?.is_some())
}

pub(super) async fn release(store: &PostgresStore, claim: &Claim) -> Result<bool, Error> {
    let token = version::at_most(claim.token);
    let released = update(store, &claim.key, (NO_LEASE, LEASED, "$7"), |query| query.bind(token));
    Ok(released.await?.is_some())
}

pub(super) async fn complete(
    store: &PostgresStore,
    claim: &Claim,
    next: Option<Timestamp>,
) -> Result<bool, Error> {
    let token = version::at_most(claim.token);
    let set =
        format!("{NO_LEASE}, next_run = CASE WHEN next_run = $7 THEN $8::int8 ELSE next_run END");
    let completed = update(store, &claim.key, (&set, LEASED, "$9"), |query| {
        query.bind(token).bind(claim.due.as_micros()).bind(next.map(Timestamp::as_micros))
    });
    Ok(completed.await?.is_some())
}

pub(super) async fn due(
    store: &PostgresStore,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<Schedule>, Error> {
    let sql = format!(
        "SELECT {COLUMNS} FROM {} WHERE enabled AND next_run <= $1 \
           AND (leased_until IS NULL OR leased_until <= $1) {DUE_ORDER} LIMIT $2",
        store.names().schedules
    );
    let limit = rows_limit(limit);
    let call = Call::ask(&sql, DUE_ORDER, |query| query.bind(now.as_micros()).bind(limit));
    store.ask(call).await?.iter().map(schedule_of).collect()
}

pub(super) async fn page(
    store: &PostgresStore,
    after: Option<&ScheduleKey>,
    limit: usize,
) -> Result<Page<Schedule, ScheduleKey>, Error> {
    let first = || ScheduleParts { key: KeyText::new("", "", ""), single: false, name: "".into() };
    let key = after.map_or_else(first, ScheduleParts::new);
    // The lowest key must not exclude itself, so the first page uses `>=`.
    let condition = if after.is_some() { ">" } else { ">=" };
    let sql = format!(
        "SELECT {COLUMNS} FROM {} WHERE (tenant, kind, single, id, name) {condition} \
           ($1, $2, $3, $4, $5) AND cadence IS NOT NULL {KEY_ORDER} LIMIT $6",
        store.names().schedules
    );
    let limit = rows_limit(limit);
    let call = Call::ask(&sql, KEY_ORDER, |query| key.bind(query).bind(limit + 1));
    let rows = store.ask(call).await?;
    page_of(&rows, limit, schedule_of, |schedule| schedule.key.clone())
}
