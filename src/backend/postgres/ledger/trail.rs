//! The audit trail of each tenant as rows.

use std::collections::BTreeMap;

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::call::{
    Bind, Call, READ, WRITE, encoded, optional_text, page, rows_limit, text, time, too_long, unread,
};
use crate::backend::postgres::error::damaged;
use crate::backend::postgres::key_text::KeyText;
use crate::backend::postgres::statement::{Statement, select};
use crate::backend::postgres::store::PostgresStore;
use crate::backend::postgres::version;
use crate::error::{Error, ErrorKind, Retry};
use crate::key::AggregateKey;
use crate::ledger::{AuditEntry, AuditHash, AuditHead, AuditOutcome, AuditRecord, AuditRequest};
use crate::store::Page;

/// The maximum number of records in one answer: about 50 MiB of the longest ones.
const MAX_RECORDS: usize = 1_000;
/// How many records one statement writes.
const BATCH: usize = 1_000;
/// The maximum number of times an append is attempted if it keeps losing the race to other nodes.
const ATTEMPTS: usize = 1_000;
const COLUMNS: &str = "sequence, at, kind, id, actor, action, version, reason, meta, idempotency, \
     failed, failure, previous, hash";

pub(super) async fn append_all(
    store: &PostgresStore,
    entries: &[AuditEntry],
) -> Result<Vec<u64>, Error> {
    let mut by_tenant: BTreeMap<&str, Vec<(usize, &AuditEntry)>> = BTreeMap::new();
    for (place, entry) in entries.iter().enumerate() {
        entry.check()?;
        let stored = match &entry.key {
            Some(key) => KeyText::of(key),
            None => KeyText::fitting(entry.tenant()),
        };
        stored.ok_or_else(too_long)?;
        by_tenant.entry(entry.tenant()).or_default().push((place, entry));
    }
    let mut sequences = vec![0; entries.len()];
    for (tenant, entries) in by_tenant {
        for batch in entries.chunks(BATCH) {
            let first = append(store, tenant, batch).await?;
            for (sequence, (place, _)) in (first..).zip(batch) {
                if let Some(slot) = sequences.get_mut(*place) {
                    *slot = sequence;
                }
            }
        }
    }
    Ok(sequences)
}

/// Appends `entries` to the trail of `tenant`, and returns the sequence of the first.
async fn append(
    store: &PostgresStore,
    tenant: &str,
    entries: &[(usize, &AuditEntry)],
) -> Result<u64, Error> {
    for _ in 0..ATTEMPTS {
        let mut head = head(store, tenant).await?;
        let first = head.sequence.saturating_add(1);
        let link = |(_, entry): &(usize, &AuditEntry)| {
            let record = head.append(AuditEntry::clone(entry));
            head = AuditHead { sequence: record.sequence, hash: record.hash };
            record
        };
        let records: Vec<_> = entries.iter().map(link).collect();
        if insert(store, tenant, first, &records).await? {
            return Ok(first);
        }
    }
    let message = format!("lost the race to another node {ATTEMPTS} times in a row: retry later");
    Err(Error::new(ErrorKind::Conflict, WRITE, message).with_retry(Retry::Later))
}

/// Returns the end of the trail of `tenant`.
async fn head(store: &PostgresStore, tenant: &str) -> Result<AuditHead, Error> {
    let sql = format!(
        "SELECT sequence, hash FROM {} WHERE tenant = $1 ORDER BY sequence DESC LIMIT 1",
        store.names().audit
    );
    let rows = store.ask(Call::ask(&sql, "", |query| query.bind(encoded(tenant)))).await?;
    let Some(row) = rows.first() else { return Ok(AuditHead::START) };
    Ok(AuditHead { sequence: sequence_of(row)?, hash: hash_of(row, 2)? })
}

/// Inserts all of `records`, or none if another node has taken the sequence `first`. Returns
/// whether they were inserted.
///
/// The node that inserts the first row also inserts the others. A node that appends at the same end
/// starts with the same row, and a node that appends after these rows has seen them.
async fn insert(
    store: &PostgresStore,
    tenant: &str,
    first: u64,
    records: &[AuditRecord],
) -> Result<bool, Error> {
    let table = &store.names().audit;
    let statement = Statement::new(|guard| {
        format!(
            "WITH e AS (SELECT $1::text AS tenant, u.* FROM unnest($2::int8[], $3::int8[], \
               $4::text[], $5::text[], $6::text[], $7::text[], $8::int8[], $9::text[], \
               $10::text[], $11::text[], $12::text[], $13::text[], $14::bytea[], $15::bytea[]) \
               AS u ({COLUMNS})), \
             c AS (INSERT INTO {table} (tenant, {COLUMNS}) SELECT tenant, {COLUMNS} FROM e \
               WHERE sequence = $16 AND $17::int8 = {guard} \
               ON CONFLICT (tenant, sequence) DO NOTHING RETURNING sequence), \
             r AS (INSERT INTO {table} (tenant, {COLUMNS}) SELECT tenant, {COLUMNS} FROM e \
               WHERE sequence > (SELECT sequence FROM c)) {}",
            select(guard, "SELECT * FROM c", "")
        )
    });
    let guard = statement.guard();
    let numbers = |of: fn(&AuditRecord) -> i64| -> Vec<i64> { records.iter().map(of).collect() };
    let texts = |of: fn(&AuditEntry) -> &str| -> Vec<String> {
        records.iter().map(|record| encoded(of(&record.entry))).collect()
    };
    let options = |of: fn(&AuditEntry) -> Option<&str>| -> Vec<Option<String>> {
        records.iter().map(|record| of(&record.entry).map(encoded)).collect()
    };
    let hashes = |of: fn(&AuditRecord) -> &AuditHash| -> Vec<Vec<u8>> {
        records.iter().map(|record| of(record).as_bytes().to_vec()).collect()
    };
    let versions: Vec<_> =
        records.iter().map(|record| record.entry.version.map(u64::cast_signed)).collect();
    let bind: Bind<'_> = Box::new(|query| {
        query
            .bind(encoded(tenant))
            .bind(numbers(|record| version::at_most(record.sequence)))
            .bind(numbers(|record| record.entry.at.as_micros()))
            .bind(options(|entry| entry.key.as_ref().map(AggregateKey::kind)))
            .bind(options(|entry| entry.key.as_ref().map(AggregateKey::id)))
            .bind(texts(|entry| &entry.actor))
            .bind(texts(|entry| &entry.action))
            .bind(versions.clone())
            .bind(texts(|entry| &entry.reason))
            .bind(texts(|entry| &entry.meta))
            .bind(texts(|entry| &entry.idempotency))
            .bind(options(|entry| failure_of(entry).map(|(kind, _)| kind)))
            .bind(options(|entry| failure_of(entry).map(|(_, message)| message)))
            .bind(hashes(|record| &record.previous))
            .bind(hashes(|record| &record.hash))
            .bind(version::at_most(first))
            .bind(guard)
    });
    let rows = store.change(Call { statement, bind }).await?;
    Ok(!rows.is_empty())
}

fn failure_of(entry: &AuditEntry) -> Option<(&str, &str)> {
    match &entry.outcome {
        AuditOutcome::Ok => None,
        AuditOutcome::Failed { kind, message } => Some((kind, message)),
    }
}

pub(super) async fn entries(
    store: &PostgresStore,
    request: AuditRequest<'_>,
) -> Result<Page<AuditRecord, u64>, Error> {
    let (after, limit) =
        (version::at_most(request.after), rows_limit(request.limit.min(MAX_RECORDS)));
    // Without an aggregate, the parameters are NULL.
    let of_key = if request.key.is_some() {
        "kind = $2 AND id = $3"
    } else {
        "num_nulls($2::text, $3::text) = 2"
    };
    let sql = format!(
        "SELECT {COLUMNS} FROM {} WHERE tenant = $1 AND {of_key} AND sequence > $4 \
         ORDER BY sequence LIMIT $5",
        store.names().audit
    );
    let (kind, id) = (request.key.map(AggregateKey::kind), request.key.map(AggregateKey::id));
    let call = Call::ask(&sql, "ORDER BY sequence", |query| {
        query
            .bind(encoded(request.tenant))
            .bind(kind.map(encoded))
            .bind(id.map(encoded))
            .bind(after)
            .bind(limit + 1)
    });
    let rows = store.ask(call).await?;
    let record = |row: &PgRow| record_of(row, request.tenant);
    page(&rows, limit, record, |record| record.sequence)
}

fn sequence_of(row: &PgRow) -> Result<u64, Error> {
    row.try_get(1).map(version::from_column).map_err(unread)
}

fn hash_of(row: &PgRow, at: usize) -> Result<AuditHash, Error> {
    let bytes: &[u8] = row.try_get(at).map_err(unread)?;
    let bytes = bytes.try_into().map_err(|_| damaged(READ, "a hash that is not 32 bytes long"))?;
    Ok(AuditHash::from_bytes(bytes))
}

fn record_of(row: &PgRow, tenant: &str) -> Result<AuditRecord, Error> {
    let mut entry = AuditEntry::new(time(row, 2)?, text(row, 5)?, text(row, 6)?)
        .in_tenant(tenant)
        .reason(text(row, 8)?)
        .meta(text(row, 9)?)
        .idempotency(text(row, 10)?);
    if let Some((kind, id)) = optional_text(row, 3)?.zip(optional_text(row, 4)?) {
        entry = entry.about(AggregateKey::from_stored(tenant, &kind, &id)?);
    }
    if let Some((kind, message)) = optional_text(row, 11)?.zip(optional_text(row, 12)?) {
        entry = entry.outcome(AuditOutcome::failed(kind, message));
    }
    let version: Option<i64> = row.try_get(7).map_err(unread)?;
    entry.version = version.map(i64::cast_unsigned);
    let (previous, hash) = (hash_of(row, 13)?, hash_of(row, 14)?);
    Ok(AuditRecord::from_stored(sequence_of(row)?, previous, hash, entry))
}
