//! `get`: finds the newest snapshot within bounds, in one statement.

use sqlx::postgres::PgRow;
use sqlx::{Row, ValueRef};

use super::connection::{CallFailure, Operation, Session};
use super::error::StatementEffect;
use super::key_text::KeyText;
use super::names::Names;
use super::statement::{Statement, select};
use super::version;
use crate::record::Record;
use crate::store::{Found, Lookup, Query};

/// Creates the statement without a bound on time. A row with version 0 means that only other
/// generations exist.
pub(super) fn latest(names: &Names) -> Statement {
    let Names { snapshots, .. } = names;
    let rows = format!(
        "SELECT version, header, payload, base FROM s \
         UNION ALL \
         SELECT 0, NULL, NULL, NULL WHERE NOT EXISTS (SELECT FROM s) AND EXISTS (\
           SELECT FROM {snapshots} \
           WHERE tenant = $1 AND kind = $2 AND id = $3 AND version <= $6{BOUNDS})"
    );
    let newest = newest_sql(names, &format!(" AND version <= $6{BOUNDS}"));
    Statement::new(|guard| format!("WITH {newest} {}", select(guard, &rows, "")))
}

/// Not below a version, and not retired unless requested.
const BOUNDS: &str = " AND version >= $7::int8 AND (retirements IS NULL OR $8::bool)";

/// Creates the statement with a bound on time, `$7`.
pub(super) fn at_time(names: &Names) -> Statement {
    let rows = format!(
        "SELECT version, header, payload, base FROM s \
         UNION ALL \
         SELECT 0, NULL, NULL, NULL WHERE NOT EXISTS (SELECT FROM s) AND {OTHERS_AT_TIME}"
    );
    let used = " AND (retirements IS NULL OR $9::bool)";
    let newest = newest_at_time_sql(names, Some("$8::int8"), used);
    Statement::new(|guard| format!("WITH RECURSIVE {newest} {}", select(guard, &rows, "")))
}

/// Returns the SQL for `s`, the newest snapshot of a generation `within` bounds.
pub(super) fn newest_sql(names: &Names, within: &str) -> String {
    let Names { snapshots, .. } = names;
    format!(
        "s AS MATERIALIZED (\
           SELECT version, header, payload, base FROM {snapshots} \
           WHERE tenant = $1::text AND kind = $2::text AND id = $3::text \
             AND schema_version = $4 AND fingerprint = $5{within} \
           ORDER BY version DESC LIMIT 1)"
    )
}

/// Returns the SQL for `s`, the newest snapshot of a generation up to version `$6` and as-of time
/// `$7`, and for what [`OTHERS_AT_TIME`] needs. `lowest` is the lowest version, `used` a further
/// condition.
///
/// Within one history times rise with versions, so the last snapshot up to `$7` by time is also the
/// last one by version, and the index by time finds it directly. If events were restored to an
/// earlier state and continued, snapshots may belong to two histories. Then some are marked as
/// disordered (see `put`), and the newest ones are skipped one by one.
pub(super) fn newest_at_time_sql(names: &Names, lowest: Option<&str>, used: &str) -> String {
    let Names { snapshots, .. } = names;
    let key = "tenant = $1::text AND kind = $2::text AND id = $3::text";
    let own = format!("{key} AND schema_version = $4::int8 AND fingerprint = $5::int8");
    let next = |condition: &str| {
        format!(
            "SELECT schema_version, fingerprint FROM {snapshots} WHERE {key}{condition} \
             ORDER BY schema_version, fingerprint LIMIT 1"
        )
    };
    let own_bounds =
        lowest.map_or(String::new(), |lowest| format!(" AND version >= {lowest}")) + used;
    // An expression, so that the planner uses the index by time and not the one by version.
    let other =
        lowest.map_or(String::new(), |lowest| format!(" AND version + 0 >= {lowest}")) + used;
    let first = next("");
    let following = next(" AND (schema_version, fingerprint) > (g.schema_version, g.fingerprint)");
    format!(
        "l AS MATERIALIZED (\
           SELECT CASE WHEN EXISTS (SELECT FROM {snapshots} WHERE {own} AND disordered) \
             THEN $6::int8 \
             ELSE (SELECT least(version, $6::int8) FROM {snapshots} \
               WHERE {own} AND as_of <= $7::int8 \
               ORDER BY as_of DESC, version DESC LIMIT 1) END AS version), \
         {}, \
         g AS (({first}) UNION ALL SELECT f.* FROM g CROSS JOIN LATERAL ({following}) AS f), \
         x AS (SELECT FROM g WHERE (\
           SELECT true FROM {snapshots} t WHERE {key} AND t.schema_version = g.schema_version \
             AND t.fingerprint = g.fingerprint AND as_of <= $7 AND version <= $6{other} \
           ORDER BY as_of LIMIT 1))",
        newest_sql(
            names,
            &format!(" AND version <= (SELECT version FROM l) AND as_of <= $7{own_bounds}")
        )
    )
}

/// Whether any generation has a snapshot within the bounds of [`newest_at_time_sql`].
pub(super) const OTHERS_AT_TIME: &str = "EXISTS (SELECT FROM x)";

/// The statements of a `get`.
#[derive(Clone, Copy)]
pub(super) struct GetStatements<'a> {
    pub(super) latest: &'a Statement,
    pub(super) at_time: &'a Statement,
    pub(super) bases: &'a Statement,
}

/// Creates the statement that selects the bases of the snapshot at version `$6`, starting with its
/// own base.
pub(super) fn bases(names: &Names) -> Statement {
    let Names { snapshots, .. } = names;
    let own = "t.tenant = $1::text AND t.kind = $2::text AND t.id = $3::text \
         AND t.schema_version = $4::int8 AND t.fingerprint = $5::int8";
    let columns = "t.version, t.header, t.payload, t.base";
    let most = Found::MAX_BASES;
    Statement::new(|guard| {
        format!(
            "WITH RECURSIVE c AS (\
               SELECT 1::int8 AS n, {columns} FROM {snapshots} t \
               WHERE {own} AND t.version = $6::int8 \
               UNION ALL \
               SELECT c.n + 1, {columns} FROM c JOIN {snapshots} t ON t.version = c.base \
               WHERE {own} AND c.base < c.version AND c.n < {most}) \
             {}",
            select(guard, "SELECT n, header, payload FROM c", "ORDER BY n")
        )
    })
}

/// Reads the snapshot in a row. `at` is the column of its version; header, payload and base follow.
/// A separate statement reads the bases, because few snapshots have any.
pub(super) async fn found(
    statement: &Statement,
    key: &KeyText<'_>,
    query: &Query<'_>,
    (row, at): (&PgRow, usize),
    session: &mut Session<'_>,
) -> Result<Found, CallFailure> {
    let version = row.try_get(at)?;
    let found = Found::new(version::from_column(version), record(row, at + 1)?);
    let base: Option<i64> = row.try_get(at + 3)?;
    let Some(base) = base.filter(|base| *base < version) else { return Ok(found) };
    let bound = statement
        .query(session)
        .bind(&*key.tenant)
        .bind(&*key.kind)
        .bind(&*key.id)
        .bind(i64::from(query.generation.schema_version))
        .bind(version::fingerprint_column(query.generation.fingerprint))
        .bind(base);
    let rows = statement.all(bound, session).await?;
    let bases = rows.iter().map(|row| record(row, 2)).collect::<Result<_, _>>()?;
    Ok(found.with_bases(bases))
}

pub(super) struct Get<'a> {
    pub(super) statements: GetStatements<'a>,
    pub(super) key: &'a KeyText<'a>,
    pub(super) query: Query<'a>,
}

impl Operation for Get<'_> {
    type Output = Lookup;
    const NAME: &'static str = "get a snapshot";
    const EFFECT: StatementEffect = StatementEffect::Read;

    async fn run(&mut self, session: &mut Session<'_>) -> Result<Lookup, CallFailure> {
        let Self { statements, key, query } = self;
        if query.at_least > version::MAX {
            return Ok(Lookup::Absent);
        }
        let statement = if query.as_of.is_some() { statements.at_time } else { statements.latest };
        let mut bound = statement
            .query(session)
            .bind(&*key.tenant)
            .bind(&*key.kind)
            .bind(&*key.id)
            .bind(i64::from(query.generation.schema_version))
            .bind(version::fingerprint_column(query.generation.fingerprint))
            .bind(version::at_most(query.at_most));
        if let Some(time) = query.as_of {
            bound = bound.bind(time.as_micros());
        }
        let bound = bound.bind(version::at_most(query.at_least)).bind(query.include_retired);
        let row = statement.one(bound, session).await?;
        Ok(match row.try_get::<Option<i64>, _>(1)?.map(version::from_column) {
            None => Lookup::Absent,
            Some(0) => Lookup::OtherGeneration,
            Some(_) => {
                Lookup::Found(found(statements.bases, key, query, (&row, 1), session).await?)
            }
        })
    }
}

/// Reads the record whose header and payload are the columns `at` and `at + 1`.
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
