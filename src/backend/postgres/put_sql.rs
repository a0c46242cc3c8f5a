//! The statements of a `put`.

use super::immutable::replaces;
use super::names::Names;
use super::statement::{Statement, select};

const COLUMNS: &str = "tenant, kind, id, schema_version, fingerprint, version, as_of, \
     created_at, codec, raw_bytes, base, header, payload, disordered";

/// The header of the record in `t`, and its payload if it differs from that in `o`.
const STORED: &str = "t.header, CASE WHEN o.payload <> t.payload THEN t.payload END";

pub(super) const PRIMARY_KEY: &str = "tenant, kind, id, schema_version, fingerprint, version";

/// Returns the SQL for `i`: the records, if the parameter `last` is `guard`.
pub(super) fn input(guard: &str, last: u8) -> String {
    format!(
        "i AS MATERIALIZED (\
           SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::int8[], $5::int8[], \
             $6::int8[], $7::int8[], $8::int8[], $9::int4[], $10::int8[], $11::int8[], \
             $12::bytea[], $13::bytea[], $14::bool[]) \
           WITH ORDINALITY AS u ({COLUMNS}, place) WHERE ${last}::int8 = {guard})"
    )
}

/// Selects the [`COLUMNS`] of `i`. Records that are out of order are marked as disordered.
///
/// If no snapshot of a generation of an aggregate is disordered, as-of times rise with versions, so
/// a new snapshot is compared only with its two neighbours. If one is already disordered, all later
/// puts are marked too. A mark is removed with its snapshot. Two nodes that put at the same time do
/// not see each other: a load at a past time may then find a snapshot that is not the newest usable
/// one.
fn ordered(names: &Names) -> String {
    let Names { snapshots, .. } = names;
    let own = "t.tenant = i.tenant AND t.kind = i.kind AND t.id = i.id \
         AND t.schema_version = i.schema_version AND t.fingerprint = i.fingerprint";
    let columns = COLUMNS.trim_end_matches(", disordered");
    format!(
        "SELECT {columns}, disordered \
           OR EXISTS (SELECT FROM {snapshots} t WHERE {own} AND t.disordered) \
           OR coalesce((SELECT t.as_of > i.as_of FROM {snapshots} t \
             WHERE {own} AND t.version < i.version ORDER BY t.version DESC LIMIT 1), false) \
           OR coalesce((SELECT t.as_of < i.as_of FROM {snapshots} t \
             WHERE {own} AND t.version > i.version ORDER BY t.version LIMIT 1), false), \
           $15::text::jsonb, $16::text::jsonb \
         FROM i"
    )
}

/// Inserts, and returns a row for each record whose identity was taken. Those are all kept. The row
/// contains its position; whether the stored payload is the same, or null if it was stored while
/// this statement ran; the stored header; the stored payload if it differs; and true.
pub(super) fn keep(names: &Names) -> Statement {
    let Names { snapshots, .. } = names;
    let ordered = ordered(names);
    let taken = format!(
        "SELECT o.place, o.payload = t.payload, {STORED}, true FROM o \
         LEFT JOIN {snapshots} t USING ({PRIMARY_KEY})"
    );
    Statement::new(|guard| {
        format!(
            "WITH {}, \
             n AS (INSERT INTO {snapshots} ({COLUMNS}, pins, retirements) {ordered} \
               ON CONFLICT DO NOTHING RETURNING {PRIMARY_KEY}), \
             o AS MATERIALIZED (SELECT i.* FROM i WHERE ({PRIMARY_KEY}) NOT IN \
               (SELECT {PRIMARY_KEY} FROM n)) \
             {}",
            input(guard, 17),
            select(guard, &taken, "")
        )
    })
}

/// Inserts or replaces, but keeps pinned snapshots if the parameter before the last is true.
/// Returns rows like [`keep`], ending with whether the stored record is kept.
pub(super) fn replace(names: &Names) -> Statement {
    let Names { snapshots, .. } = names;
    let ordered = ordered(names);
    let taken = format!(
        "SELECT o.place, CASE WHEN o.stays THEN o.payload = t.payload END, \
           CASE WHEN o.stays THEN t.header END, \
           CASE WHEN o.stays AND o.payload <> t.payload THEN t.payload END, o.stays \
         FROM o LEFT JOIN {snapshots} t USING ({PRIMARY_KEY}) \
         WHERE o.stays OR t.header IS NOT NULL"
    );
    Statement::new(|guard| {
        format!(
            "WITH {}, \
             n AS (INSERT INTO {snapshots} AS s ({COLUMNS}, pins, retirements) {ordered} \
               ON CONFLICT ({PRIMARY_KEY}) DO UPDATE SET as_of = EXCLUDED.as_of, \
                 created_at = EXCLUDED.created_at, codec = EXCLUDED.codec, \
                 raw_bytes = EXCLUDED.raw_bytes, base = EXCLUDED.base, \
                 header = EXCLUDED.header, payload = EXCLUDED.payload, \
                 disordered = EXCLUDED.disordered, {}, {}, {} \
               WHERE s.pins IS NULL OR NOT $17::bool RETURNING {PRIMARY_KEY}), \
             o AS MATERIALIZED (SELECT i.*, ({PRIMARY_KEY}) NOT IN \
               (SELECT {PRIMARY_KEY} FROM n) AS stays FROM i) \
             {}",
            input(guard, 18),
            replaces("s"),
            merged("pins"),
            merged("retirements"),
            select(guard, &taken, "")
        )
    })
}

/// Returns the SQL that merges marks: a replacement keeps the existing marks and adds the new ones.
fn merged(column: &str) -> String {
    format!(
        "{column} = CASE WHEN EXCLUDED.{column} IS NULL THEN s.{column} \
           ELSE coalesce(s.{column}, '{{}}') || EXCLUDED.{column} END"
    )
}

/// Compares one record with the stored one of the same identity.
pub(super) fn compare(names: &Names) -> Statement {
    let Names { snapshots, .. } = names;
    let same = format!(
        "SELECT o.payload = t.payload, {STORED} \
         FROM {snapshots} t CROSS JOIN (SELECT $7::bytea AS payload) AS o \
         WHERE tenant = $1 AND kind = $2 AND id = $3 \
           AND schema_version = $4 AND fingerprint = $5 AND version = $6"
    );
    Statement::new(|guard| select(guard, &same, ""))
}
