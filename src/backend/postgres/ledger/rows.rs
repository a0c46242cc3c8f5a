//! The rows of an audit trail, and the statements that append them.

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::call::{READ, WRITE, encoded, optional_text, text, time, too_long, unread};
use super::columns::{ENTRY_ARRAYS, EntryValues};
use crate::backend::postgres::call::{Bind, Call};
use crate::backend::postgres::error::damaged;
use crate::backend::postgres::key_text::KeyText;
use crate::backend::postgres::names::{Names, literal};
use crate::backend::postgres::statement::{Statement, select};
use crate::backend::postgres::unsealed::ENTRY_COLUMNS;
use crate::backend::postgres::version;
use crate::error::{Error, ErrorKind, Retry};
use crate::key::AggregateKey;
use crate::ledger::{AuditEntry, AuditHash, AuditHead, AuditOutcome, AuditRecord};

/// How many records one statement writes.
pub(super) const BATCH: usize = 1_000;

/// Returns the SQL for whether the tenant `$1` has entries that this connection can seal. A replica
/// and a role that may only read show what is sealed.
pub(super) fn is_sealable(names: &Names) -> String {
    let Names { unsealed, .. } = names;
    let name = literal(unsealed);
    format!(
        "EXISTS (SELECT FROM {unsealed} WHERE tenant = $1) \
         AND current_setting('transaction_read_only') = 'off' \
         AND has_table_privilege({name}, 'DELETE')"
    )
}

/// Checks that an entry can be stored.
pub(super) fn check(entry: &AuditEntry) -> Result<(), Error> {
    entry.check()?;
    let stored = match &entry.key {
        Some(key) => KeyText::of(key),
        None => KeyText::fitting(entry.tenant()),
    };
    stored.map(drop).ok_or_else(too_long)
}

pub(super) fn lost_race(attempts: u32) -> Error {
    let message = format!("lost the race to another node {attempts} times in a row: retry later");
    Error::new(ErrorKind::Conflict, WRITE, message).with_retry(Retry::Later)
}

/// Returns one row: whether entries of `tenant` wait for being sealed, and the sequence and hash of
/// the last record of its trail, if there is one.
pub(super) fn end(names: &Names, tenant: &str) -> Call<'static> {
    let (audit, is_sealable) = (&names.audit, is_sealable(names));
    let sql = format!(
        "SELECT {is_sealable} AS waiting, a.sequence, a.hash FROM (SELECT) AS o LEFT JOIN LATERAL (\
           SELECT sequence, hash FROM {audit} WHERE tenant = $1 ORDER BY sequence DESC LIMIT 1) \
         AS a ON true"
    );
    let tenant = encoded(tenant);
    Call::ask(&sql, "", move |query| query.bind(tenant.clone()))
}

/// Reads the other columns of [`end`].
pub(super) fn head_of(end: &PgRow) -> Result<AuditHead, Error> {
    let sequence: Option<i64> = end.try_get(2).map_err(unread)?;
    let Some(sequence) = sequence else { return Ok(AuditHead::START) };
    Ok(AuditHead { sequence: version::from_column(sequence), hash: hash_of(end, 3)? })
}

/// Continues the chain after `head`.
pub(super) fn linked(mut head: AuditHead, entries: Vec<AuditEntry>) -> Vec<AuditRecord> {
    let link = |entry| {
        let record = head.append(entry);
        head = AuditHead { sequence: record.sequence, hash: record.hash };
        record
    };
    entries.into_iter().map(link).collect()
}

/// Inserts all of `records`, or none if another node has taken the sequence of the first. Returns a
/// row if they were inserted. `places` are those of entries that were unsealed.
///
/// The node that inserts the first row also inserts the others. A node that appends at the same end
/// starts with the same row, and a node that appends after these rows has seen them.
pub(super) fn insertion(
    names: &Names,
    tenant: &str,
    records: &[AuditRecord],
    places: Vec<Option<i64>>,
) -> Call<'static> {
    let (table, columns) = (&names.audit, ENTRY_COLUMNS.join(", "));
    let columns = format!("{columns}, sequence, previous, hash, place");
    let statement = Statement::new(|guard| {
        format!(
            "WITH e AS (SELECT $16::text AS tenant, u.* FROM unnest({ENTRY_ARRAYS}, $12::int8[], \
               $13::bytea[], $14::bytea[], $15::int8[]) AS u ({columns})), \
             c AS (INSERT INTO {table} (tenant, {columns}) SELECT tenant, {columns} FROM e \
               WHERE sequence = $17 AND $18::int8 = {guard} \
               ON CONFLICT (tenant, sequence) DO NOTHING RETURNING sequence), \
             r AS (INSERT INTO {table} (tenant, {columns}) SELECT tenant, {columns} FROM e \
               WHERE sequence > (SELECT sequence FROM c)) {}",
            select(guard, "SELECT * FROM c", "")
        )
    });
    let guard = statement.guard();
    let values = EntryValues::of(&records.iter().map(|record| &record.entry).collect::<Vec<_>>());
    let sequences: Vec<_> =
        records.iter().map(|record| version::at_most(record.sequence)).collect();
    let first = sequences.first().copied();
    let hashes = |of: fn(&AuditRecord) -> &AuditHash| -> Vec<Vec<u8>> {
        records.iter().map(|record| of(record).as_bytes().to_vec()).collect()
    };
    let (previous, own) = (hashes(|record| &record.previous), hashes(|record| &record.hash));
    let tenant = encoded(tenant);
    let bind: Bind<'static> = Box::new(move |query| {
        values
            .bind(query)
            .bind(sequences.clone())
            .bind(previous.clone())
            .bind(own.clone())
            .bind(places.clone())
            .bind(tenant.clone())
            .bind(first)
            .bind(guard)
    });
    Call { statement, bind }
}

pub(super) fn hash_of(row: &PgRow, at: usize) -> Result<AuditHash, Error> {
    let bytes: &[u8] = row.try_get(at).map_err(unread)?;
    let bytes = bytes.try_into().map_err(|_| damaged(READ, "a hash that is not 32 bytes long"))?;
    Ok(AuditHash::from_bytes(bytes))
}

/// Reads the [`ENTRY_COLUMNS`] from the column `first` on.
pub(super) fn entry_of(row: &PgRow, first: usize, tenant: &str) -> Result<AuditEntry, Error> {
    let mut entry =
        AuditEntry::new(time(row, first)?, text(row, first + 3)?, text(row, first + 4)?)
            .in_tenant(tenant)
            .reason(text(row, first + 6)?)
            .meta(text(row, first + 7)?)
            .idempotency(text(row, first + 8)?);
    if let Some((kind, id)) = both(row, first + 1, "a kind without an id, or an id without a kind")?
    {
        entry = entry.about(AggregateKey::from_stored(tenant, &kind, &id)?);
    }
    if let Some((kind, message)) = both(row, first + 9, "half of a failure")? {
        entry = entry.outcome(AuditOutcome::failed(kind, message));
    }
    let version: Option<i64> = row.try_get(first + 5).map_err(unread)?;
    entry.version = version.map(i64::cast_unsigned);
    Ok(entry)
}

/// Reads two columns that are both NULL or both not. Nothing else of the row would show that one of
/// them was changed: the hash covers both or neither.
fn both(row: &PgRow, at: usize, damage: &str) -> Result<Option<(String, String)>, Error> {
    match (optional_text(row, at)?, optional_text(row, at + 1)?) {
        (Some(first), Some(second)) => Ok(Some((first, second))),
        (None, None) => Ok(None),
        _ => Err(damaged(READ, damage)),
    }
}
