//! `prune`: deletes all but the newest snapshots of each generation, inside the server.

use sqlx::Row;

use super::connection::{CallFailure, Operation, Session};
use super::delete::{count, deleted};
use super::error::StatementEffect;
use super::key_text::KeyText;
use super::keys::key;
use super::names::{Names, not_reserved};
use super::statement::Statement;
use crate::key::AggregateKey;
use crate::store::Deleted;

/// Returns the SQL for the snapshots that a prune never deletes: pinned ones, and bases of deltas.
/// If a prune deletes the last delta of a base, the next prune deletes the base.
fn kept(names: &Names) -> String {
    let Names { snapshots, .. } = names;
    format!(
        "(t.pins IS NOT NULL OR EXISTS (SELECT FROM {snapshots} b \
           WHERE b.tenant = t.tenant AND b.kind = t.kind AND b.id = t.id \
             AND b.schema_version = t.schema_version AND b.fingerprint = t.fingerprint \
             AND b.base = t.version))"
    )
}

/// The order of a generation's snapshots: newest first, retired ones after all others.
const ORDER: &str = "(t.retirements IS NULL) DESC, t.version DESC";

/// Prunes one aggregate: deletes all but the newest `$4` of each generation and what [`kept`]
/// protects.
pub(super) fn one(names: &Names) -> Statement {
    let Names { snapshots, .. } = names;
    let (kept, free) = (kept(names), not_reserved("t.kind"));
    Statement::new(|guard| {
        format!(
            "WITH r AS (\
           SELECT t.schema_version, t.fingerprint, t.version, row_number() OVER (\
             PARTITION BY t.schema_version, t.fingerprint ORDER BY {ORDER}) AS place \
           FROM {snapshots} t WHERE tenant = $1 AND kind = $2 AND id = $3 AND {free}), \
         d AS (DELETE FROM {snapshots} t USING r \
           WHERE t.tenant = $1 AND t.kind = $2 AND t.id = $3 \
             AND t.schema_version = r.schema_version AND t.fingerprint = r.fingerprint \
             AND t.version = r.version AND r.place > $4 AND NOT {kept} AND $5 = {guard} \
           RETURNING octet_length(header)::int8 + octet_length(payload) AS bytes) \
         SELECT {guard}, count(*), coalesce(sum(bytes), 0)::int8 FROM d"
        )
    })
}

/// Prunes the next aggregates after a key, or the first ones, as [`one`] does. Returns the last of
/// them, or nulls if there was none.
///
/// The number of aggregates is part of the statement, so that the planner knows that it is a small
/// part of the table.
///
/// Rows are deleted by `ctid`. A row that is replaced concurrently gets another one and is kept.
fn chunk(names: &Names, continued: bool, aggregates: u32) -> Statement {
    let Names { snapshots, .. } = names;
    let (kept, free) = (kept(names), not_reserved("t.kind"));
    let after =
        if continued { "(tenant, kind, id) > ($1, $2, $3)" } else { "num_nulls($1, $2, $3) < 4" };
    Statement::new(|guard| {
        format!(
            "WITH k AS MATERIALIZED (\
           SELECT DISTINCT tenant, kind, id FROM {snapshots} t \
           WHERE {after} AND {free} ORDER BY tenant, kind, id LIMIT {aggregates}), \
         l AS (SELECT tenant, kind, id FROM k ORDER BY tenant DESC, kind DESC, id DESC LIMIT 1), \
         d AS (DELETE FROM {snapshots} WHERE pins IS NULL AND ctid = ANY (ARRAY(\
             SELECT r.row FROM k CROSS JOIN LATERAL (\
               SELECT t.ctid AS row, {kept} AS kept, row_number() OVER (\
                 PARTITION BY t.schema_version, t.fingerprint ORDER BY {ORDER}) AS place \
               FROM {snapshots} t \
               WHERE t.tenant = k.tenant AND t.kind = k.kind AND t.id = k.id) r \
             WHERE r.place > $4 AND NOT r.kept AND $5 = {guard})) \
           RETURNING octet_length(header)::int8 + octet_length(payload) AS bytes) \
         SELECT {guard}, count(*), coalesce(sum(bytes), 0)::int8, (SELECT count(*) FROM k), \
           (SELECT tenant FROM l), (SELECT kind FROM l), (SELECT id FROM l) FROM d"
        )
    })
}

/// Prunes all aggregates, as [`one`] does. The table is read in physical order and sorted, and the
/// rows are deleted in that order too. Reading in the order of the primary key would avoid the
/// sort, but each row would be on another page, because snapshots are stored in the order of time.
/// The planner does not know that and uses the key unless the columns are named in another order.
fn all(names: &Names) -> Statement {
    let Names { snapshots, .. } = names;
    let (kept, free) = (kept(names), not_reserved("t.kind"));
    Statement::new(|guard| {
        format!(
            "WITH d AS (DELETE FROM {snapshots} WHERE pins IS NULL AND ctid = ANY (ARRAY(\
             SELECT r.row FROM (\
               SELECT t.ctid AS row, {kept} AS kept, lead(t.version, $1) OVER (\
                 PARTITION BY t.id, t.kind, t.tenant, t.schema_version, t.fingerprint \
                 ORDER BY (t.retirements IS NULL), t.version) AS newer \
               FROM {snapshots} t WHERE {free}) r \
             WHERE r.newer IS NOT NULL AND NOT r.kept AND $2 = {guard})) \
           RETURNING octet_length(header)::int8 + octet_length(payload) AS bytes) \
         SELECT {guard}, count(*), coalesce(sum(bytes), 0)::int8 FROM d"
        )
    })
}

pub(super) struct PruneOne<'a> {
    pub(super) statement: &'a Statement,
    pub(super) key: &'a KeyText<'a>,
    pub(super) keep: u32,
}

impl Operation for PruneOne<'_> {
    type Output = Deleted;
    const NAME: &'static str = "prune snapshots";
    const EFFECT: StatementEffect = StatementEffect::Write;

    async fn run(&mut self, session: &mut Session<'_>) -> Result<Deleted, CallFailure> {
        let query = self
            .statement
            .query(session)
            .bind(&*self.key.tenant)
            .bind(&*self.key.kind)
            .bind(&*self.key.id)
            .bind(i64::from(self.keep))
            .bind(self.statement.guard());
        deleted(&self.statement.one(query, session).await?)
    }
}

/// The progress of a prune of all aggregates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PruneProgress {
    /// The result of the deletes in this chunk.
    pub deleted: Deleted,
    /// The number of aggregates in this chunk.
    pub aggregates: u64,
    /// The last aggregate in this chunk, after which to continue; `None` at the end.
    pub next: Option<AggregateKey>,
}

pub(super) struct PruneChunk<'a> {
    pub(super) names: &'a Names,
    pub(super) after: Option<&'a AggregateKey>,
    pub(super) keep: u32,
    pub(super) aggregates: u32,
}

impl Operation for PruneChunk<'_> {
    type Output = PruneProgress;
    const NAME: &'static str = "prune snapshots";
    const EFFECT: StatementEffect = StatementEffect::Write;

    async fn run(&mut self, session: &mut Session<'_>) -> Result<PruneProgress, CallFailure> {
        let (tenant, kind, id) =
            self.after.map_or(("", "", ""), |key| (key.tenant(), key.kind(), key.id()));
        let after = KeyText::new(tenant, kind, id);
        let statement = chunk(self.names, self.after.is_some(), self.aggregates);
        let query = statement
            .query(session)
            .bind(&*after.tenant)
            .bind(&*after.kind)
            .bind(&*after.id)
            .bind(i64::from(self.keep))
            .bind(statement.guard());
        let row = statement.one(query, session).await?;
        let deleted = deleted(&row)?;
        let aggregates = count(row.try_get(3)?);
        let next = if aggregates >= u64::from(self.aggregates) {
            Some(key(Self::NAME, row.try_get(4)?, row.try_get(5)?, row.try_get(6)?)?)
        } else {
            None
        };
        Ok(PruneProgress { deleted, aggregates, next })
    }
}

pub(super) struct PruneAll<'a> {
    pub(super) names: &'a Names,
    pub(super) keep: u32,
}

impl Operation for PruneAll<'_> {
    type Output = Deleted;
    const NAME: &'static str = "prune snapshots";
    const EFFECT: StatementEffect = StatementEffect::Write;

    async fn run(&mut self, session: &mut Session<'_>) -> Result<Deleted, CallFailure> {
        let statement = all(self.names);
        let query = statement
            .query(session)
            .bind(i32::try_from(self.keep).unwrap_or(i32::MAX))
            .bind(statement.guard());
        deleted(&statement.one(query, session).await?)
    }
}
