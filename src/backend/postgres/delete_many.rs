//! `delete_many`: deletes snapshots of several keys in few statements.

use std::collections::HashSet;

use sqlx::Row;

use super::connection::{CallFailure, Operation, Session};
use super::delete::count;
use super::error::{StatementEffect, damaged};
use super::key_text::KeyText;
use super::names::Names;
use super::statement::{Statement, select};
use super::version;
use crate::key::AggregateKey;
use crate::snapshot_id::SnapshotId;
use crate::store::{DeleteOptions, Deleted};

/// The maximum number of ids in one statement, unless a single key has more.
const MAX_IDS: usize = 10_000;

/// The columns that identify a snapshot.
const ROW: &str = "tenant, kind, id, schema_version, fingerprint, version";

/// Deletes as the statement of a single delete does, which explains `l`, `n`, `b`, `k`, `d`, `m`
/// and `e`. Here they contain the snapshots of all keys, so each row has its whole identity ([`ROW`])
/// and the number of its key. The result is one row for each key with stored snapshots: its number,
/// and how many snapshots and bytes were deleted, were pinned, and were needed.
///
/// `$1` to `$6` are arrays of the identities, in the order in which puts lock them, and `$7` is an
/// array of the numbers of their keys.
pub(super) fn statement(names: &Names) -> Statement {
    let Names { snapshots, .. } = names;
    let own = |row: &str, of: &str| {
        let parts = ["tenant", "kind", "id", "schema_version", "fingerprint"];
        let parts = parts.map(|part| format!("{row}.{part} = {of}.{part}"));
        parts.join(" AND ")
    };
    let (of_base, of_l) = (own("t", "b"), own("t", "s"));
    // With sub-selects the estimate does not depend on the number of ids, so the server can use one
    // plan for all.
    let ids = "(SELECT $1::text[]), (SELECT $2::text[]), (SELECT $3::text[]), \
         (SELECT $4::int8[]), (SELECT $5::int8[]), (SELECT $6::int8[])";
    let selected = format!("IN (SELECT * FROM unnest({ids}))");
    let row_of =
        |of: &str| ROW.split(", ").map(|c| format!("{of}.{c}")).collect::<Vec<_>>().join(", ");
    let (t_row, m_row) = (row_of("t"), row_of("m"));
    let bytes = "octet_length(header)::int8 + octet_length(payload) AS bytes";
    Statement::new(|guard| {
        let counts = "SELECT n, sum(snapshots)::int8, sum(bytes)::int8, sum(pinned)::int8, \
               sum(needed)::int8 \
             FROM (SELECT n, 0 AS snapshots, 0 AS bytes, (NOT free)::int AS pinned, \
                 free::int AS needed FROM l \
               UNION ALL SELECT n, 0, 0, 0, -1 FROM k \
               UNION ALL SELECT n, 1, bytes, 0, 0 FROM d \
               UNION ALL SELECT n, 1, bytes, 0, 0 FROM e) AS a \
             GROUP BY n";
        format!(
            "WITH RECURSIVE l AS MATERIALIZED (\
               SELECT s.* FROM unnest({ids}, (SELECT $7::int8[])) \
                 AS i (tenant, kind, id, schema_version, fingerprint, version, n) \
               CROSS JOIN LATERAL (SELECT i.n, {ROW}, ctid AS row, base, \
                   pins IS NULL OR $8::bool AS free, \
                   EXISTS (SELECT FROM {snapshots} AS t WHERE {of_l} AND t.base = s.version \
                     AND t.version > s.version AND ({t_row}) NOT {selected}) AS used \
                 FROM {snapshots} AS s WHERE {of_i} AND $9 = {guard} \
                   AND s.version >= i.version AND s.version <= i.version \
                 ORDER BY s.version LIMIT 1 FOR UPDATE) AS s), \
             n AS MATERIALIZED (SELECT array_agg(tenant) AS a, array_agg(kind) AS b, \
               array_agg(id) AS c, array_agg(schema_version) AS d, array_agg(fingerprint) AS e, \
               array_agg(version) AS f FROM (\
                 SELECT {ROW} FROM l WHERE used UNION ALL \
                 SELECT tenant, kind, id, schema_version, fingerprint, base FROM l \
                 WHERE base < version AND NOT free) AS a), \
             b AS (\
               SELECT u.* FROM n, unnest(n.a, n.b, n.c, n.d, n.e, n.f) AS u ({ROW}) \
               UNION \
               SELECT tenant, kind, id, schema_version, fingerprint, \
                 (SELECT t.base FROM {snapshots} AS t \
                 WHERE {of_base} AND t.version >= b.version AND t.version <= b.version \
                   AND t.base < t.version ORDER BY t.version LIMIT 1) \
               FROM b WHERE (({ROW}) {selected}) IS TRUE), \
             k AS MATERIALIZED (SELECT n, {ROW}, row FROM l WHERE free AND ({ROW}) NOT IN \
               (SELECT * FROM b WHERE version IS NOT NULL)), \
             d AS (DELETE FROM {snapshots} AS t USING k WHERE t.ctid = k.row \
               RETURNING k.n, {t_row}, {bytes}), \
             m AS MATERIALIZED (SELECT n, {ROW} FROM k EXCEPT SELECT n, {ROW} FROM d), \
             e AS (DELETE FROM {snapshots} AS t USING m WHERE ({t_row}) = ({m_row}) \
               RETURNING m.n, {bytes}) \
             {}",
            select(guard, counts, ""),
            of_i = own("s", "i"),
        )
    })
}

/// The deletes of one statement, in which each key occurs once.
pub(super) struct DeleteMany<'a> {
    statement: &'a Statement,
    options: DeleteOptions,
    /// With their positions in the call.
    items: Vec<(usize, KeyText<'a>, SnapshotId)>,
}

impl<'a> DeleteMany<'a> {
    /// Splits the deletes into statements, so that each is a short transaction. The deletes of a
    /// key that occurs several times are in successive statements.
    pub(super) fn split(
        statement: &'a Statement,
        selected: &[(&'a AggregateKey, &'a [SnapshotId])],
        options: DeleteOptions,
    ) -> Vec<Self> {
        let mut parts = Vec::new();
        let (mut keys, mut items) = (HashSet::new(), Vec::new());
        for (place, (key, ids)) in selected.iter().enumerate() {
            if items.len() + ids.len() > MAX_IDS || keys.contains(key) {
                parts.push(std::mem::take(&mut items));
                keys.clear();
            }
            keys.insert(*key);
            let stored = ids.iter().filter(|id| id.version <= version::MAX);
            items.extend(stored.map(|id| (*key, id.generation, id.version, place)));
        }
        parts.push(items);
        let text = |(key, generation, version, place)| {
            Some((place, KeyText::of(key)?, SnapshotId { generation, version }))
        };
        let part = |mut items: Vec<_>| {
            // Puts lock their records in this order, so the two wait for each other and do not
            // deadlock.
            items.sort_unstable();
            items.dedup();
            // Nothing is stored under a key that is too long.
            let items: Vec<_> = items.into_iter().filter_map(text).collect();
            (!items.is_empty()).then_some(Self { statement, options, items })
        };
        parts.into_iter().filter_map(part).collect()
    }
}

impl Operation for DeleteMany<'_> {
    /// The results of the keys with stored snapshots, with their positions in the call.
    type Output = Vec<(usize, Deleted)>;
    const NAME: &'static str = "delete snapshots";
    const EFFECT: StatementEffect = StatementEffect::Write;

    async fn run(&mut self, session: &mut Session<'_>) -> Result<Self::Output, CallFailure> {
        fn column<'i, 'k: 'i, T>(
            items: &'i [(usize, KeyText<'k>, SnapshotId)],
            of: impl Fn(&'i KeyText<'k>, &SnapshotId) -> T,
        ) -> Vec<T> {
            items.iter().map(|(_, key, id)| of(key, id)).collect()
        }
        let items = &*self.items;
        let places = items.iter().map(|(place, ..)| i64::try_from(*place).unwrap_or(i64::MAX));
        let query = self
            .statement
            .query(session)
            .bind(column(items, |key, _| key.tenant.to_string()))
            .bind(column(items, |key, _| key.kind.to_string()))
            .bind(column(items, |key, _| key.id.to_string()))
            .bind(column(items, |_, id| i64::from(id.generation.schema_version)))
            .bind(column(items, |_, id| version::fingerprint_column(id.generation.fingerprint)))
            .bind(column(items, |_, id| version::at_most(id.version)))
            .bind(places.collect::<Vec<_>>())
            .bind(self.options.overrule_pins)
            .bind(self.statement.guard());
        let rows = self.statement.all(query, session).await?;
        let mut deleted = Vec::with_capacity(rows.len());
        for row in &rows {
            let place = usize::try_from(row.try_get::<i64, _>(1)?)
                .map_err(|_| damaged(Self::NAME, "an invalid position"))?;
            let of_key = Deleted::new(count(row.try_get(2)?), count(row.try_get(3)?));
            deleted.push((place, of_key.kept(count(row.try_get(4)?), count(row.try_get(5)?))));
        }
        Ok(deleted)
    }
}
