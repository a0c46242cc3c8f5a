//! `get`: the newest snapshot within bounds, in one statement.

use std::sync::Arc;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row, ValueRef};

use super::connection::{Failure, Operation};
use super::error::Effect;
use super::key_text::KeyText;
use super::names::Names;
use super::version;
use crate::envelope::Record;
use crate::store::{Found, Lookup, Query};

/// The text of the statement. A row with version 0 tells that only other generations are there.
pub(super) fn sql(names: &Names) -> String {
    let Names { snapshots, .. } = names;
    format!(
        "WITH s AS MATERIALIZED (\
           SELECT version, header, payload FROM {snapshots} \
           WHERE tenant = $1 AND kind = $2 AND id = $3 \
             AND schema_version = $4 AND fingerprint = $5 AND version <= $6 AND as_of <= $7 \
           ORDER BY version DESC LIMIT 1) \
         SELECT version, header, payload FROM s \
         UNION ALL \
         SELECT 0, NULL, NULL WHERE NOT EXISTS (SELECT FROM s) AND EXISTS (\
           SELECT FROM {snapshots} \
           WHERE tenant = $1 AND kind = $2 AND id = $3 AND version <= $6 AND as_of <= $7)"
    )
}

pub(super) struct Get<'a> {
    pub(super) sql: &'a Arc<str>,
    pub(super) key: &'a KeyText<'a>,
    pub(super) query: Query<'a>,
}

impl Operation for Get<'_> {
    type Output = Lookup;
    const NAME: &'static str = "get a snapshot";
    const EFFECT: Effect = Effect::Read;

    async fn run(&mut self, connection: &mut PgConnection) -> Result<Lookup, Failure> {
        let query = &self.query;
        let row = sqlx::query(AssertSqlSafe(Arc::clone(self.sql)))
            .bind(&*self.key.tenant)
            .bind(&*self.key.kind)
            .bind(&*self.key.id)
            .bind(i64::from(query.generation.schema_version))
            .bind(version::fingerprint_column(query.generation.fingerprint))
            .bind(version::at_most(query.at_most))
            .bind(query.as_of.map_or(i64::MAX, crate::timestamp::Timestamp::as_micros))
            .fetch_optional(connection)
            .await?;
        Ok(match row {
            None => Lookup::Absent,
            Some(row) => match version::from_column(row.try_get(0)?) {
                0 => Lookup::OtherGeneration,
                version => Lookup::Found(Found::new(version, record(&row, 1)?)),
            },
        })
    }
}

/// The record whose header and payload are the columns `at` and `at + 1`.
pub(super) fn record(row: &PgRow, at: usize) -> Result<Record, sqlx::Error> {
    let (header, payload) = (row.try_get_raw(at)?, row.try_get_raw(at + 1)?);
    if header.is_null() || payload.is_null() {
        return Err(sqlx::Error::ColumnNotFound("header or payload".into()));
    }
    let header = header.as_bytes().map_err(sqlx::Error::Decode)?;
    let payload = payload.as_bytes().map_err(sqlx::Error::Decode)?;
    let mut bytes = Vec::with_capacity(header.len() + payload.len());
    bytes.extend_from_slice(header);
    bytes.extend_from_slice(payload);
    Ok(Record::from_bytes(bytes))
}
