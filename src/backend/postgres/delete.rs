//! `delete`: snapshots of one key, in one statement.

use std::sync::Arc;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row};

use super::connection::{Failure, Operation};
use super::error::Effect;
use super::key_text::KeyText;
use super::names::Names;
use super::version;
use crate::snapshot_id::SnapshotId;
use crate::store::{Deleted, Selection};

/// Deletes the versions up to a bound.
pub(super) fn below_sql(names: &Names) -> String {
    counted(names, "version <= $4")
}

/// Deletes the ids that three arrays hold.
pub(super) fn ids_sql(names: &Names) -> String {
    counted(
        names,
        "(schema_version, fingerprint, version) IN \
           (SELECT * FROM unnest($4::int8[], $5::int8[], $6::int8[]))",
    )
}

fn counted(names: &Names, condition: &str) -> String {
    let Names { snapshots, .. } = names;
    format!(
        "WITH d AS (DELETE FROM {snapshots} \
           WHERE tenant = $1 AND kind = $2 AND id = $3 AND {condition} \
           RETURNING octet_length(header)::int8 + octet_length(payload) AS bytes) \
         SELECT count(*), coalesce(sum(bytes), 0)::int8 FROM d"
    )
}

pub(super) struct Delete<'a> {
    pub(super) below_sql: &'a Arc<str>,
    pub(super) ids_sql: &'a Arc<str>,
    pub(super) key: &'a KeyText<'a>,
    pub(super) selection: Selection<'a>,
}

impl Operation for Delete<'_> {
    type Output = Deleted;
    const NAME: &'static str = "delete snapshots";
    const EFFECT: Effect = Effect::Write;

    async fn run(&mut self, connection: &mut PgConnection) -> Result<Deleted, Failure> {
        let sql = match self.selection {
            Selection::All | Selection::Below(_) => self.below_sql,
            Selection::Ids(_) => self.ids_sql,
        };
        let query = sqlx::query(AssertSqlSafe(Arc::clone(sql)))
            .bind(&*self.key.tenant)
            .bind(&*self.key.kind)
            .bind(&*self.key.id);
        let query = match self.selection {
            Selection::All => query.bind(i64::MAX),
            Selection::Below(0) => return Ok(Deleted::default()),
            Selection::Below(bound) => query.bind(version::at_most(bound - 1)),
            Selection::Ids(ids) => {
                let ids: Vec<_> = ids.iter().filter(|id| id.version <= version::MAX).collect();
                let column =
                    |of: fn(&&SnapshotId) -> i64| -> Vec<i64> { ids.iter().map(of).collect() };
                query
                    .bind(column(|id| id.generation.schema_version.into()))
                    .bind(column(|id| version::fingerprint_column(id.generation.fingerprint)))
                    .bind(column(|id| version::at_most(id.version)))
            }
        };
        let row = query.fetch_one(connection).await?;
        Ok(Deleted::new(count(row.try_get(0)?), count(row.try_get(1)?)))
    }
}

/// A count or a sum of lengths, which is never negative.
pub(super) fn count(column: i64) -> u64 {
    u64::try_from(column).unwrap_or(0)
}
