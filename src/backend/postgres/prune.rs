//! Keeps the newest snapshots of each generation and deletes the rest, inside the server.

use std::sync::Arc;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row};

use super::connection::{Failure, Operation};
use super::delete::count;
use super::error::Effect;
use super::key_text::KeyText;
use super::names::Names;
use super::page::key;
use crate::key::AggregateKey;
use crate::store::Deleted;

/// One aggregate: everything but the newest `$4` of each generation and what is pinned.
pub(super) fn one_sql(names: &Names) -> String {
    let Names { snapshots, .. } = names;
    format!(
        "WITH r AS (\
           SELECT schema_version, fingerprint, version, row_number() OVER (\
             PARTITION BY schema_version, fingerprint ORDER BY version DESC) AS place \
           FROM {snapshots} WHERE tenant = $1 AND kind = $2 AND id = $3), \
         d AS (DELETE FROM {snapshots} t USING r \
           WHERE t.tenant = $1 AND t.kind = $2 AND t.id = $3 \
             AND t.schema_version = r.schema_version AND t.fingerprint = r.fingerprint \
             AND t.version = r.version AND r.place > $4 AND NOT t.pinned \
           RETURNING octet_length(header)::int8 + octet_length(payload) AS bytes) \
         SELECT count(*), coalesce(sum(bytes), 0)::int8 FROM d"
    )
}

/// The next `$5` aggregates after a key, or the first ones (all of them if `$5` is null), likewise.
/// Returns the last of them, or nulls if there was none.
fn chunk_sql(names: &Names, continued: bool) -> String {
    let Names { snapshots, .. } = names;
    let after =
        if continued { "(tenant, kind, id) > ($1, $2, $3)" } else { "num_nulls($1, $2, $3) < 4" };
    // The bounds are said of the rows to delete too: otherwise all of the table might be scanned.
    let bounded = if continued { "(t.tenant, t.kind, t.id) > ($1, $2, $3)" } else { "true" };
    format!(
        "WITH k AS MATERIALIZED (\
           SELECT DISTINCT tenant, kind, id FROM {snapshots} \
           WHERE {after} ORDER BY tenant, kind, id LIMIT $5), \
         l AS MATERIALIZED (\
           SELECT tenant, kind, id FROM k ORDER BY tenant DESC, kind DESC, id DESC LIMIT 1), \
         r AS (\
           SELECT tenant, kind, id, schema_version, fingerprint, version, \
             row_number() OVER (PARTITION BY tenant, kind, id, schema_version, \
               fingerprint ORDER BY version DESC) AS place \
           FROM {snapshots} \
           WHERE {after} \
             AND (tenant, kind, id) <= (\
               (SELECT tenant FROM l), (SELECT kind FROM l), (SELECT id FROM l))), \
         d AS (DELETE FROM {snapshots} t USING r \
           WHERE t.tenant = r.tenant AND t.kind = r.kind AND t.id = r.id \
             AND t.schema_version = r.schema_version AND t.fingerprint = r.fingerprint \
             AND t.version = r.version AND r.place > $4 AND NOT t.pinned \
             AND {bounded} AND (t.tenant, t.kind, t.id) <= (\
               (SELECT tenant FROM l), (SELECT kind FROM l), (SELECT id FROM l)) \
           RETURNING octet_length(t.header)::int8 + octet_length(t.payload) AS bytes) \
         SELECT count(*), coalesce(sum(bytes), 0)::int8, (SELECT count(*) FROM k), \
           (SELECT tenant FROM l), (SELECT kind FROM l), (SELECT id FROM l) FROM d"
    )
}

pub(super) struct PruneOne<'a> {
    pub(super) sql: &'a Arc<str>,
    pub(super) key: &'a KeyText<'a>,
    pub(super) keep: u32,
}

impl Operation for PruneOne<'_> {
    type Output = Deleted;
    const NAME: &'static str = "prune snapshots";
    const EFFECT: Effect = Effect::Write;

    async fn run(&mut self, connection: &mut PgConnection) -> Result<Deleted, Failure> {
        let row = sqlx::query(AssertSqlSafe(Arc::clone(self.sql)))
            .bind(&*self.key.tenant)
            .bind(&*self.key.kind)
            .bind(&*self.key.id)
            .bind(i64::from(self.keep))
            .fetch_one(connection)
            .await?;
        Ok(Deleted::new(count(row.try_get(0)?), count(row.try_get(1)?)))
    }
}

/// How far a prune of all aggregates has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PruneProgress {
    /// What the chunk deleted.
    pub deleted: Deleted,
    /// How many aggregates it looked at.
    pub aggregates: u64,
    /// The last of them, to continue after; `None` when there are no more.
    pub next: Option<AggregateKey>,
}

pub(super) struct PruneChunk<'a> {
    pub(super) names: &'a Names,
    pub(super) after: Option<&'a AggregateKey>,
    pub(super) keep: u32,
    /// How many aggregates; `None` for all.
    pub(super) aggregates: Option<u32>,
}

impl Operation for PruneChunk<'_> {
    type Output = PruneProgress;
    const NAME: &'static str = "prune snapshots";
    const EFFECT: Effect = Effect::Write;

    async fn run(&mut self, connection: &mut PgConnection) -> Result<PruneProgress, Failure> {
        let (tenant, kind, id) =
            self.after.map_or(("", "", ""), |key| (key.tenant(), key.kind(), key.id()));
        let after = KeyText::new(tenant, kind, id);
        let row = sqlx::query(AssertSqlSafe(chunk_sql(self.names, self.after.is_some())))
            .bind(&*after.tenant)
            .bind(&*after.kind)
            .bind(&*after.id)
            .bind(i64::from(self.keep))
            .bind(self.aggregates.map(i64::from))
            .fetch_one(connection)
            .await?;
        let deleted = Deleted::new(count(row.try_get(0)?), count(row.try_get(1)?));
        let aggregates = count(row.try_get(2)?);
        let more = self.aggregates.is_some_and(|limit| aggregates >= u64::from(limit));
        let next = if more {
            Some(key(Self::NAME, row.try_get(3)?, row.try_get(4)?, row.try_get(5)?)?)
        } else {
            None
        };
        Ok(PruneProgress { deleted, aggregates, next })
    }
}
