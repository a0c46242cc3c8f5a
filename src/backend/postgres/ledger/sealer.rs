//! Audit entries of callers' transactions, and the sealer that moves them into the chains.

use sqlx::postgres::PgConnection;
use sqlx::{Connection, Row};

use super::call::{WRITE, encoded, text, unread};
use super::columns::{ENTRY_ARRAYS, EntryValues};
use super::rows;
use crate::backend::postgres::call::Call;
use crate::backend::postgres::connection::{CallFailure, Operation, Session};
use crate::backend::postgres::error::{StatementEffect, damaged};
use crate::backend::postgres::names::Names;
use crate::backend::postgres::script::lock;
use crate::backend::postgres::store::PostgresStore;
use crate::backend::postgres::unsealed::ENTRY_COLUMNS;
use crate::error::{Error, ErrorKind, Retry};
use crate::ledger::{AuditEntry, AuditHead};

/// The maximum number of times sealing is attempted if it keeps losing the race to appends.
const ATTEMPTS: u32 = 1_000;

/// The maximum number of tenants that one statement lists.
const TENANTS: usize = 10_000;

impl PostgresStore {
    /// Appends `entries` to the audit trails of their tenants on the caller's connection, or in its
    /// transaction: they become part of the trails if the caller commits, and are gone if it rolls
    /// back. No transaction waits for another one.
    ///
    /// The entries get their sequences when they are sealed, after the commit. That is done by the
    /// next [`append_all`](crate::ledger::Ledger::append_all) to the trail, by each call that reads
    /// the end of the trail, and by [`seal_audit`](Self::seal_audit). Until then the hash chain
    /// does not protect them, only the permissions and triggers of the database do. The entries of
    /// one call keep their order. Those of two transactions are in the order in which they are
    /// sealed, which may differ from the order of their times.
    ///
    /// # Errors
    /// The same errors as [`append_all`](crate::ledger::Ledger::append_all). Either all entries are
    /// appended or none. After an error, PostgreSQL rejects further statements in the transaction
    /// until it is rolled back.
    pub async fn append_in(
        &self,
        connection: &mut PgConnection,
        entries: &[AuditEntry],
    ) -> Result<(), Error> {
        for entry in entries {
            rows::check(entry)?;
        }
        if entries.is_empty() {
            return Ok(());
        }
        let values = EntryValues::of(&entries.iter().collect::<Vec<_>>());
        let tenants: Vec<_> = entries.iter().map(|entry| encoded(entry.tenant())).collect();
        let (table, columns) = (&self.names().unsealed, ENTRY_COLUMNS.join(", "));
        let sql = |meant: &str| {
            format!(
                "INSERT INTO {table} ({columns}, tenant) SELECT {columns}, tenant \
                 FROM unnest({ENTRY_ARRAYS}, $12::text[]) WITH ORDINALITY \
                   AS u ({columns}, tenant, place) WHERE {meant} ORDER BY u.place RETURNING 1"
            )
        };
        let call = Call::change("$13", sql, |query| values.bind(query).bind(tenants.clone()));
        let rows = self.change_in(connection, call).await?;
        if rows.len() == entries.len() {
            return Ok(());
        }
        Err(damaged(WRITE, "another number of entries than were appended"))
    }

    /// Seals the committed entries of [`append_in`](Self::append_in) in the trails of all tenants,
    /// or of the tenant that the connections are bound to. Returns how many entries it has sealed.
    ///
    /// Any number of nodes may call this at any time. One node at a time seals a trail, and each
    /// entry is sealed once. Call it at an interval, so that entries of quiet trails are sealed.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`] if another node has been sealing for the whole timeout of the store,
    /// or any error of the database. Entries that were sealed before the error stay sealed.
    pub async fn seal_audit(&self) -> Result<u64, Error> {
        let mut after = None;
        let mut sealed = 0;
        loop {
            let tenants = unsealed_tenants(self, after.as_deref()).await?;
            for tenant in &tenants {
                sealed += seal(self, tenant).await?;
            }
            after = tenants.last().cloned();
            if tenants.len() < TENANTS {
                return Ok(sealed);
            }
        }
    }
}

/// Returns the next tenants that have unsealed entries, in order.
async fn unsealed_tenants(
    store: &PostgresStore,
    after: Option<&str>,
) -> Result<Vec<String>, Error> {
    let sql = format!(
        "SELECT DISTINCT tenant FROM {} WHERE $1::text IS NULL OR tenant > $1 \
         ORDER BY tenant LIMIT {TENANTS}",
        store.names().unsealed
    );
    let call = Call::ask(&sql, "ORDER BY tenant", |query| query.bind(after.map(encoded)));
    store.ask(call).await?.iter().map(|row| text(row, 1)).collect()
}

/// Seals what is committed in the trail of `tenant`. Returns how many entries.
pub(super) async fn seal(store: &PostgresStore, tenant: &str) -> Result<u64, Error> {
    let (mut sealed, mut lost) = (0_u64, 0);
    while lost < ATTEMPTS {
        let timeout = store.connections().timeout;
        let mut batch = SealBatch { names: store.names(), tenant, timeout };
        match store.connections().run(&mut batch).await? {
            Some(count) => {
                sealed = sealed.saturating_add(count as u64);
                if count < rows::BATCH {
                    return Ok(sealed);
                }
            }
            None => lost += 1,
        }
    }
    Err(rows::lost_race(ATTEMPTS))
}

/// Seals one batch of entries, in one transaction.
///
/// Any order of sealing is safe: an entry whose transaction commits late is not passed over,
/// because each batch takes whatever entries are there, and not those after some place.
struct SealBatch<'a> {
    names: &'a Names,
    tenant: &'a str,
    timeout: std::time::Duration,
}

impl Operation for SealBatch<'_> {
    /// How many entries were sealed; `None` if another node appended at the same time.
    type Output = Option<usize>;
    const NAME: &'static str = "seal the audit trail";
    const EFFECT: StatementEffect = StatementEffect::Write;

    async fn run(&mut self, session: &mut Session<'_>) -> Result<Option<usize>, CallFailure> {
        let mut transaction = session.connection.begin().await?;
        lock(&mut transaction, self.names.seal_lock(self.tenant), self.timeout).await?;
        let within = &mut Session { connection: &mut transaction, prepared: session.prepared };
        let sealed = self.move_entries(within).await?;
        if sealed.is_some() {
            transaction.commit().await?;
        } else {
            transaction.rollback().await?;
        }
        Ok(sealed)
    }
}

impl SealBatch<'_> {
    async fn move_entries(&self, session: &mut Session<'_>) -> Result<Option<usize>, CallFailure> {
        let found = self.waiting().rows(session).await?;
        if found.is_empty() {
            return Ok(Some(0));
        }
        let mut head = rows::end(self.names, self.tenant).rows(session).await?;
        let head = head.pop().as_ref().map_or(Ok(AuditHead::START), rows::head_of)?;
        let mut entries = Vec::with_capacity(found.len());
        let mut places = Vec::with_capacity(found.len());
        for row in &found {
            entries.push(rows::entry_of(row, 2, self.tenant)?);
            places.push(row.try_get::<i64, _>(1).map_err(unread)?);
        }
        let records = rows::linked(head, entries);
        let moved = places.iter().copied().map(Some).collect();
        let insertion = rows::insertion(self.names, self.tenant, &records, moved);
        if insertion.rows(session).await?.is_empty() {
            return Ok(None);
        }
        // A separate statement: its trigger must see the sealed entries.
        let removed = self.removal(&places).rows(session).await?;
        if removed.len() == places.len() {
            return Ok(Some(places.len()));
        }
        let message = "unsealed entries were removed while they were sealed: repeat the call";
        Err(Error::new(ErrorKind::Conflict, Self::NAME, message).with_retry(Retry::Later).into())
    }

    /// The oldest unsealed entries.
    fn waiting(&self) -> Call<'static> {
        let (table, columns) = (&self.names.unsealed, ENTRY_COLUMNS.join(", "));
        let sql = format!(
            "SELECT place, {columns} FROM {table} WHERE tenant = $1 ORDER BY place LIMIT {}",
            rows::BATCH
        );
        let tenant = encoded(self.tenant);
        Call::ask(&sql, "ORDER BY place", move |query| query.bind(tenant.clone()))
    }

    fn removal(&self, places: &[i64]) -> Call<'static> {
        let table = &self.names.unsealed;
        let sql = |meant: &str| {
            format!(
                "DELETE FROM {table} WHERE tenant = $1 AND place = ANY($2) AND {meant} RETURNING 1"
            )
        };
        let (tenant, places) = (encoded(self.tenant), places.to_vec());
        Call::change("$3", sql, move |query| query.bind(tenant.clone()).bind(places.clone()))
    }
}
