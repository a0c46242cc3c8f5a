//! `delete`: deletes snapshots of one key, in one statement.

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::connection::{CallFailure, Operation, Session};
use super::error::StatementEffect;
use super::key_text::KeyText;
use super::names::Names;
use super::statement::{Bound, Statement};
use super::version;
use crate::snapshot_id::SnapshotId;
use crate::store::{DeleteOptions, Deleted, Selection};

/// A selection as a condition whose parameters start with `$4`.
pub(super) enum Selected<'a> {
    /// Versions up to this one.
    UpTo(i64),
    /// This generation, or (`false`) all others.
    Generation(i64, i64, bool),
    /// In the order of [`ID`], without duplicates.
    Ids(Vec<&'a SnapshotId>),
}

impl<'a> Selected<'a> {
    /// Returns `None` if nothing can be selected.
    pub(super) fn of(selection: Selection<'a>) -> Option<Self> {
        Some(match selection {
            Selection::All => Self::UpTo(i64::MAX),
            Selection::Below(bound) => Self::UpTo(version::at_most(bound.checked_sub(1)?)),
            Selection::ExceptGeneration(generation) | Selection::Generation(generation) => {
                Self::Generation(
                    generation.schema_version.into(),
                    version::fingerprint_column(generation.fingerprint),
                    matches!(selection, Selection::Generation(_)),
                )
            }
            Selection::Ids(ids) => {
                let mut ids: Vec<_> = ids.iter().filter(|id| id.version <= version::MAX).collect();
                ids.sort_unstable_by_key(|id| (id.generation, id.version));
                ids.dedup();
                Self::Ids(ids)
            }
        })
    }

    /// Returns the number of the first parameter after those of [`bind`](Self::bind).
    pub(super) fn next(&self) -> usize {
        match self {
            Self::UpTo(_) => 5,
            Self::Generation(..) | Self::Ids(_) => 7,
        }
    }

    /// Returns the condition that selects a row of the aggregate.
    fn condition(&self) -> &'static str {
        match self {
            Self::UpTo(_) => "version <= $4",
            Self::Generation(..) => "(schema_version = $4 AND fingerprint = $5) = $6::bool",
            Self::Ids(_) => {
                // As in `locked`.
                "(schema_version, fingerprint, version) IN \
                   (SELECT * FROM unnest((SELECT $4::int8[]), (SELECT $5::int8[]), \
                     (SELECT $6::int8[])))"
            }
        }
    }

    /// Returns a query that locks the selected rows `s` that satisfy `and`. The query returns the
    /// [`ID`] of each row, its place (`row`) and further `columns`, as they are after the row was
    /// locked.
    ///
    /// It locks them in the order of [`ID`], as puts do, so that two calls that change the same
    /// snapshots wait for each other and do not deadlock. [`Ids`](Self::Ids) are already in this
    /// order. Each of them is looked up separately. The `ORDER BY` in that lookup makes the planner
    /// prefer the primary key to other indexes, which have the same estimated cost if there are no
    /// statistics.
    fn locked(&self, names: &Names, columns: &str, and: &str, lock: &str) -> String {
        let Names { snapshots, .. } = names;
        let rows = format!(
            "SELECT {ID}, ctid AS row{columns} FROM {snapshots} AS s WHERE {KEY} AND {and}"
        );
        match self {
            Self::UpTo(_) | Self::Generation(..) => {
                format!("{rows} AND {} ORDER BY {ID} FOR {lock}", self.condition())
            }
            // With sub-selects the estimate does not depend on the number of ids, so the server can
            // use one plan for all.
            Self::Ids(_) => format!(
                "SELECT s.* FROM unnest((SELECT $4::int8[]), (SELECT $5::int8[]), \
                   (SELECT $6::int8[])) AS i (a, b, c) \
                 CROSS JOIN LATERAL ({rows} AND schema_version = i.a AND fingerprint = i.b \
                   AND version >= i.c AND version <= i.c ORDER BY version LIMIT 1 \
                   FOR {lock}) AS s"
            ),
        }
    }

    /// Returns a query that locks the selected rows that satisfy `and`, for an update.
    pub(super) fn locked_for_update(&self, names: &Names, and: &str) -> String {
        self.locked(names, "", and, "NO KEY UPDATE")
    }

    pub(super) fn bind<'q>(&self, query: Bound<'q>) -> Bound<'q> {
        match self {
            Self::UpTo(version) => query.bind(*version),
            Self::Generation(schema_version, fingerprint, own) => {
                query.bind(*schema_version).bind(*fingerprint).bind(*own)
            }
            Self::Ids(ids) => {
                let column =
                    |of: fn(&&SnapshotId) -> i64| -> Vec<i64> { ids.iter().map(of).collect() };
                query
                    .bind(column(|id| id.generation.schema_version.into()))
                    .bind(column(|id| version::fingerprint_column(id.generation.fingerprint)))
                    .bind(column(|id| version::at_most(id.version)))
            }
        }
    }
}

/// The columns that identify a snapshot within its aggregate.
const ID: &str = "schema_version, fingerprint, version";

/// The aggregate, in the first parameters.
const KEY: &str = "tenant = $1 AND kind = $2 AND id = $3";

/// Changes the rows in `k` ([`ID`] and `row`), which are locked. `change` is an `UPDATE` or
/// `DELETE` of rows `t` up to its `FROM` or `USING`, inclusive. `d` and `e` return the changed
/// rows, each with `returning`.
///
/// `d` finds rows by their place, whatever statistics the server has. It does not find a row that
/// another transaction changed while `k` waited: the new version is not in the snapshot of the
/// statement. `e` changes these few: it finds the old version by its primary key, and the server
/// moves on to the new one. `m` repeats the key of the aggregate so that the planner does not see a
/// constant and scan the whole aggregate, even if `m` is empty.
pub(super) fn change(change: &str, returning: &str) -> String {
    format!(
        "d AS ({change} k WHERE t.ctid = k.row \
           RETURNING t.schema_version, t.fingerprint, t.version, {returning}), \
         m AS MATERIALIZED (SELECT $1 AS tenant, $2 AS kind, $3 AS id, a.* FROM (\
           SELECT {ID} FROM k EXCEPT SELECT {ID} FROM d) AS a), \
         e AS ({change} m WHERE (t.tenant, t.kind, t.id, t.schema_version, t.fingerprint, \
             t.version) = (m.tenant, m.kind, m.id, m.schema_version, m.fingerprint, m.version) \
           RETURNING {returning})"
    )
}

/// Deletes the selected snapshots, except those that are pinned (unless `$N` overrules pins) and
/// those that a remaining delta needs.
///
/// - `l` locks all selected rows, so a pin that is set concurrently counts for its snapshot and for
///   the bases of it. A snapshot is `used` if a delta that is not selected is based on it.
/// - `n` are the bases of remaining deltas; `b` adds their bases in turn, as far as they are
///   selected.
/// - `k` are the rows to delete.
///
/// The statement does not see a delta that is put concurrently. Such a delta may lose its base, and
/// is then a miss.
///
/// Wrong estimates must not make the statement quadratic in the number of selected snapshots, so
/// rows are found by index or place. `n` contains arrays, which the planner expects to be short. It
/// then expects `b` to fit a hash table, which `NOT IN` needs.
fn statement(names: &Names, selected: &Selected<'_>) -> Statement {
    let Names { snapshots, .. } = names;
    let (pins_at, guard_at) = (selected.next(), selected.next() + 1);
    let condition = selected.condition();
    let columns = format!(
        ", base, pins IS NULL OR ${pins_at}::bool AS free, \
         EXISTS (SELECT FROM {snapshots} AS t WHERE {KEY} \
           AND t.schema_version = s.schema_version AND t.fingerprint = s.fingerprint \
           AND t.base = s.version AND t.version > s.version AND NOT ({condition})) AS used"
    );
    let change = change(
        &format!("DELETE FROM {snapshots} AS t USING"),
        "octet_length(header)::int8 + octet_length(payload) AS bytes",
    );
    Statement::new(|guard| {
        let locked = selected.locked(names, &columns, &format!("${guard_at} = {guard}"), "UPDATE");
        format!(
            "WITH RECURSIVE l AS MATERIALIZED ({locked}), \
             n AS MATERIALIZED (SELECT array_agg(schema_version) AS a, \
               array_agg(fingerprint) AS b, array_agg(version) AS c FROM (\
                 SELECT {ID} FROM l WHERE used UNION ALL \
                 SELECT schema_version, fingerprint, base FROM l \
                 WHERE base < version AND NOT free) AS a), \
             b AS (\
               SELECT u.* FROM n, unnest(n.a, n.b, n.c) AS u ({ID}) \
               UNION \
               SELECT schema_version, fingerprint, (SELECT t.base FROM {snapshots} AS t \
                 WHERE {KEY} AND t.schema_version = b.schema_version \
                   AND t.fingerprint = b.fingerprint AND t.version >= b.version \
                   AND t.version <= b.version AND t.base < t.version \
                 ORDER BY t.version LIMIT 1) \
               FROM b WHERE ({condition}) IS TRUE), \
             k AS MATERIALIZED (SELECT {ID}, row FROM l WHERE free AND ({ID}) NOT IN \
               (SELECT * FROM b WHERE version IS NOT NULL)), \
             {change} \
             SELECT {guard}, count(*), coalesce(sum(bytes), 0)::int8, \
               (SELECT count(*) FROM l WHERE NOT free), \
               (SELECT count(*) FROM l WHERE free) - (SELECT count(*) FROM k) \
             FROM (SELECT bytes FROM d UNION ALL SELECT bytes FROM e) AS a"
        )
    })
}

/// Reads the result of a statement that counts what it deleted.
pub(super) fn deleted(row: &PgRow) -> Result<Deleted, CallFailure> {
    Ok(Deleted::new(count(row.try_get(1)?), count(row.try_get(2)?)))
}

pub(super) struct Delete<'a> {
    pub(super) names: &'a Names,
    pub(super) key: &'a KeyText<'a>,
    pub(super) selection: Selection<'a>,
    pub(super) options: DeleteOptions,
}

impl Operation for Delete<'_> {
    type Output = Deleted;
    const NAME: &'static str = "delete snapshots";
    const EFFECT: StatementEffect = StatementEffect::Write;

    async fn run(&mut self, session: &mut Session<'_>) -> Result<Deleted, CallFailure> {
        let Some(selected) = Selected::of(self.selection) else { return Ok(Deleted::default()) };
        let statement = statement(self.names, &selected);
        let query = statement
            .query(session)
            .bind(&*self.key.tenant)
            .bind(&*self.key.kind)
            .bind(&*self.key.id);
        let query = selected.bind(query).bind(self.options.overrule_pins);
        let row = statement.one(query.bind(statement.guard()), session).await?;
        Ok(deleted(&row)?.kept(count(row.try_get(3)?), count(row.try_get(4)?)))
    }
}

/// Converts a count or a sum of lengths, which is never negative.
pub(super) fn count(column: i64) -> u64 {
    u64::try_from(column).unwrap_or(0)
}
