//! The audit trail of each tenant as rows.

use std::collections::BTreeMap;

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::call::{READ, encoded, page, rows_limit, unread};
use super::rows::{self, BATCH, end, entry_of, hash_of, head_of, insertion, linked};
use super::sealer;
use crate::backend::postgres::call::Call;
use crate::backend::postgres::error::damaged;
use crate::backend::postgres::store::PostgresStore;
use crate::backend::postgres::unsealed::ENTRY_COLUMNS;
use crate::backend::postgres::version;
use crate::error::Error;
use crate::key::AggregateKey;
use crate::ledger::{AuditEntry, AuditRecord, AuditRequest};
use crate::store::Page;

/// The maximum number of records in one answer: about 50 MiB of the longest ones.
const MAX_RECORDS: usize = 1_000;
/// The maximum number of times an append is attempted if it keeps losing the race to other nodes.
const ATTEMPTS: u32 = 1_000;

pub(super) async fn append_all(
    store: &PostgresStore,
    entries: &[AuditEntry],
) -> Result<Vec<u64>, Error> {
    let mut by_tenant: BTreeMap<&str, Vec<(usize, &AuditEntry)>> = BTreeMap::new();
    for (place, entry) in entries.iter().enumerate() {
        rows::check(entry)?;
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
    let mut is_first = true;
    for _ in 0..ATTEMPTS {
        let rows = store.ask(end(store.names(), tenant)).await?;
        let end = rows.first().ok_or_else(|| damaged(READ, "no end of the trail"))?;
        // Once: an append must not wait for others that keep adding entries.
        if std::mem::take(&mut is_first) && is_waiting(end)? {
            sealer::seal(store, tenant).await?;
            continue;
        }
        let head = head_of(end)?;
        let entries = entries.iter().map(|(_, entry)| AuditEntry::clone(entry)).collect();
        let records = linked(head, entries);
        let places = vec![None; records.len()];
        let insertion = insertion(store.names(), tenant, &records, places);
        if !store.change(insertion).await?.is_empty() {
            return Ok(head.sequence.saturating_add(1));
        }
    }
    Err(rows::lost_race(ATTEMPTS))
}

/// Reads the first column of [`end`], and of a page of [`entries`].
fn is_waiting(row: &PgRow) -> Result<bool, Error> {
    row.try_get(1).map_err(unread)
}

pub(super) async fn entries(
    store: &PostgresStore,
    request: AuditRequest<'_>,
) -> Result<Page<AuditRecord, u64>, Error> {
    let (page, is_waiting) = sealed_entries(store, request).await?;
    // Entries that are sealed now come after all others, so they belong to the last page.
    if page.next.is_none() && is_waiting {
        sealer::seal(store, request.tenant).await?;
        return Ok(sealed_entries(store, request).await?.0);
    }
    Ok(page)
}

/// Returns a page, and whether there were unsealed entries in the trail at the same time.
async fn sealed_entries(
    store: &PostgresStore,
    request: AuditRequest<'_>,
) -> Result<(Page<AuditRecord, u64>, bool), Error> {
    let (after, limit) =
        (version::at_most(request.after), rows_limit(request.limit.min(MAX_RECORDS)));
    // Without an aggregate, the parameters are NULL.
    let of_key = if request.key.is_some() {
        "kind = $2 AND id = $3"
    } else {
        "num_nulls($2::text, $3::text) = 2"
    };
    let (names, columns) = (store.names(), ENTRY_COLUMNS.join(", "));
    let (audit, is_sealable) = (&names.audit, rows::is_sealable(names));
    let sql = format!(
        "SELECT w.waiting, e.* FROM (SELECT {is_sealable} AS waiting) AS w LEFT JOIN (\
           SELECT sequence, {columns}, previous, hash FROM {audit} \
           WHERE tenant = $1 AND {of_key} AND sequence > $4 ORDER BY sequence LIMIT $5) \
         AS e ON true"
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
    let first = rows.first().ok_or_else(|| damaged(READ, "no page"))?;
    let is_empty = first.try_get::<Option<i64>, _>(2).map_err(unread)?.is_none();
    let found = if is_empty { &[] } else { &*rows };
    let record = |row: &PgRow| record_of(row, request.tenant);
    Ok((page(found, limit, record, |record| record.sequence)?, is_waiting(first)?))
}

/// Reads a row of [`sealed_entries`].
fn record_of(row: &PgRow, tenant: &str) -> Result<AuditRecord, Error> {
    let sequence = row.try_get(2).map(version::from_column).map_err(unread)?;
    let entry = entry_of(row, 3, tenant)?;
    let hashes = 3 + ENTRY_COLUMNS.len();
    let (previous, hash) = (hash_of(row, hashes)?, hash_of(row, hashes + 1)?);
    Ok(AuditRecord::from_stored(sequence, previous, hash, entry))
}
