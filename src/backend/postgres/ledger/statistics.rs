//! Statistics as rows, one for each aggregate and day.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use sqlx::Row;

use super::call::{MAX_ROWS, too_long, unread};
use crate::backend::postgres::call::Call;
use crate::backend::postgres::key_text::KeyText;
use crate::backend::postgres::store::PostgresStore;
use crate::backend::postgres::version;
use crate::error::Error;
use crate::key::AggregateKey;
use crate::ledger::{DailyStatistics, Day};

/// How many rows one statement writes.
const BATCH: usize = 1_000;

pub(super) async fn add(
    store: &PostgresStore,
    batch: &[(AggregateKey, Day, DailyStatistics)],
) -> Result<(), Error> {
    // One statement can change a row only once. In key order, two nodes do not deadlock.
    let mut sums: BTreeMap<(&AggregateKey, Day), DailyStatistics> = BTreeMap::new();
    for (key, day, more) in batch {
        let sum = sums.entry((key, *day)).or_default();
        *sum = sum.plus(*more);
    }
    let rows = sums.into_iter().map(|((key, day), sum)| Some((KeyText::of(key)?, day, sum)));
    let rows = rows.collect::<Option<Vec<_>>>().ok_or_else(too_long)?;
    for rows in rows.chunks(BATCH) {
        add_some(store, rows).await?;
    }
    Ok(())
}

async fn add_some(
    store: &PostgresStore,
    rows: &[(KeyText<'_>, Day, DailyStatistics)],
) -> Result<(), Error> {
    let table = &store.names().daily;
    let sum = |column: &str| {
        format!("{column} = least(t.{column}::numeric + EXCLUDED.{column}, {})", i64::MAX)
    };
    let sums = ["created", "deleted", "bytes", "creation_micros"].map(sum).join(", ");
    let sql = |meant: &str| {
        format!(
            "INSERT INTO {table} AS t \
               (tenant, kind, id, day, created, deleted, bytes, creation_micros) \
             SELECT m.* FROM unnest($1::text[], $2::text[], $3::text[], $4::int4[], $5::int8[], \
               $6::int8[], $7::int8[], $8::int8[]) AS m WHERE {meant} \
             ON CONFLICT (tenant, kind, id, day) DO UPDATE SET {sums} RETURNING 1"
        )
    };
    let texts = |part: fn(&KeyText<'_>) -> String| -> Vec<String> {
        rows.iter().map(|(key, ..)| part(key)).collect()
    };
    let numbers = |part: fn(&DailyStatistics) -> u64| -> Vec<i64> {
        rows.iter().map(|(.., sum)| version::at_most(part(sum))).collect()
    };
    let call = Call::change("$9", sql, |query| {
        query
            .bind(texts(|key| key.tenant.to_string()))
            .bind(texts(|key| key.kind.to_string()))
            .bind(texts(|key| key.id.to_string()))
            .bind(rows.iter().map(|(_, day, _)| day.number()).collect::<Vec<_>>())
            .bind(numbers(|sum| sum.created))
            .bind(numbers(|sum| sum.deleted))
            .bind(numbers(|sum| sum.bytes))
            .bind(numbers(|sum| sum.creation_micros))
    });
    store.change(call).await.map(drop)
}

pub(super) async fn daily(
    store: &PostgresStore,
    key: &AggregateKey,
    days: RangeInclusive<Day>,
) -> Result<Vec<(Day, DailyStatistics)>, Error> {
    let Some(key) = KeyText::of(key) else { return Ok(Vec::new()) };
    let sql = format!(
        "SELECT day, created, deleted, bytes, creation_micros FROM {} \
         WHERE tenant = $1 AND kind = $2 AND id = $3 AND day BETWEEN $4 AND $5 \
         ORDER BY day LIMIT {MAX_ROWS}",
        store.names().daily
    );
    let (first, last) = (days.start().number(), days.end().number());
    let call = Call::ask(&sql, "ORDER BY day", |query| {
        super::call::bind_key(query, &key).bind(first).bind(last)
    });
    let rows = store.ask(call).await?;
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
