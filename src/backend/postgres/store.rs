//! [`PostgresStore`]: a store in a PostgreSQL table.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};

use super::connection::Connections;
use super::delete::Delete;
use super::delete_many::{self, DeleteMany};
use super::error::{StatementEffect, classify};
use super::get_many::{self, GetMany};
use super::key_text::{self, KeyText};
use super::keys::Keys;
use super::list_many::{self, ListMany};
use super::lookup::{self, Get, GetStatements};
use super::marks::SetMark;
use super::migrations::PostgresMigrations;
use super::names::Names;
use super::options::PostgresOptions;
use super::page::{self, List};
use super::prune::{self, PruneAll, PruneChunk, PruneOne, PruneProgress};
use super::put::{self, Put, PutStatements};
use super::put_sql;
use super::rewrite::{self, RewriteSome};
use super::statement::Statement;
use super::version;
use crate::error::{Error, ErrorKind};
use crate::key::AggregateKey;
use crate::mark::MarkChange;
use crate::record::{Record, SnapshotMeta};
use crate::snapshot_id::SnapshotId;
use crate::store::{
    Capabilities, Cursor, DeleteOptions, Deleted, Erased, KeysRequest, ListRequest, Lookup, Page,
    PutOptions, PutOutcome, Query, Remains, Rewrite, Selection, SnapshotStore,
};

/// The longest wait for a connection from a pool that this store creates. sqlx adds it to the
/// current time and would panic on overflow.
const LONGEST_WAIT: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A store in a PostgreSQL table, for applications that run on more than one machine.
///
/// It uses the application's own pool. Writes also accept a connection ([`put_in`](Self::put_in),
/// [`delete_in`](Self::delete_in)), so a snapshot can be committed or rolled back with the events.
/// [`migrations`](Self::migrations) creates the tables. Each call is one statement. See
/// `docs/postgres.md`.
///
/// The parts of a key are limited to 2,400 bytes in total (U+0000 and U+0001 count twice), and
/// versions to `i64::MAX`. A `put` that exceeds these limits fails with
/// [`ErrorKind::InvalidInput`]. All other calls treat such keys and versions as absent.
///
/// Cloning is cheap, and clones share the same store.
///
/// # Cancellation
/// Dropping the future of a call closes its connection. The statement takes effect completely or
/// not at all.
#[derive(Clone)]
pub struct PostgresStore {
    inner: Arc<StoreInner>,
}

#[derive(Clone)]
pub(super) struct StoreInner {
    pub(super) connections: Connections,
    pub(super) names: Names,
    max_record_bytes: u64,
    get_latest: Statement,
    get_at_time: Statement,
    get_bases: Statement,
    get_many: Statement,
    list: Statement,
    list_many: Statement,
    delete_many: Statement,
    put_keep: Statement,
    put_replace: Statement,
    put_compare: Statement,
    rewrite: Statement,
    prune_one: Statement,
}

impl PostgresStore {
    /// Creates a store on the application's pool, with the default [`PostgresOptions`]. Does not
    /// connect.
    ///
    /// # Errors
    /// The same errors as [`with_options`](Self::with_options). The default options currently cause
    /// none.
    pub fn new(pool: PgPool) -> Result<Self, Error> {
        Self::with_options(pool, &PostgresOptions::new())
    }

    /// Creates a store on the application's pool. Does not connect.
    ///
    /// By default, a pool tests each connection before use, which costs one round trip per call.
    /// With `test_before_acquire(false)`, a call on a slow network can take half as long, and this
    /// store still replaces a broken connection and repeats the call once.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if a name or limit in `options` is invalid.
    pub fn with_options(pool: PgPool, options: &PostgresOptions) -> Result<Self, Error> {
        let limit = PostgresOptions::MAX_RECORD_BYTES;
        if options.max_record_bytes > limit {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "open a store",
                format!(
                    "max_record_bytes is {}, but the limit is {limit}: lower it",
                    options.max_record_bytes
                ),
            ));
        }
        let names = Names::new(&options.schema, &options.table)?;
        Ok(Self {
            inner: Arc::new(StoreInner {
                get_latest: lookup::latest(&names),
                get_at_time: lookup::at_time(&names),
                get_bases: lookup::bases(&names),
                get_many: get_many::statement(&names),
                list: page::list(&names),
                list_many: list_many::statement(&names),
                delete_many: delete_many::statement(&names),
                put_keep: put_sql::keep(&names),
                put_replace: put_sql::replace(&names),
                put_compare: put_sql::compare(&names),
                rewrite: rewrite::statement(&names),
                prune_one: prune::one(&names),
                connections: Connections::new(pool, options.timeout, options.transaction_pooler),
                names,
                max_record_bytes: options.max_record_bytes,
            }),
        })
    }

    /// Creates a store on a new pool with the default [`PostgresOptions`]: see
    /// [`connect_with`](Self::connect_with).
    ///
    /// # Errors
    /// The same errors as [`connect_with`](Self::connect_with).
    pub async fn connect(url: &str) -> Result<Self, Error> {
        Self::connect_with(url, &PostgresOptions::new()).await
    }

    /// Creates a store on a new pool of up to 10 connections to the database at `url`. Connects and
    /// checks that the tables exist.
    ///
    /// # Errors
    /// The same errors as [`check`](Self::check), and [`ErrorKind::InvalidInput`] if `url` is not a
    /// valid connection string. Errors never contain the connection string.
    pub async fn connect_with(url: &str, options: &PostgresOptions) -> Result<Self, Error> {
        let connect = |error| classify("connect to PostgreSQL", StatementEffect::Read, &error);
        let mut target: PgConnectOptions = url.parse().map_err(connect)?;
        if options.transaction_pooler {
            // PgBouncer refuses this setting unless it is configured to ignore it. It affects
            // floats as text, which no statement here returns.
            target = target.extra_float_digits(None);
        }
        let pool = PgPoolOptions::new()
            .test_before_acquire(false)
            .acquire_timeout(options.timeout.min(LONGEST_WAIT))
            .connect_lazy_with(target);
        let store = Self::with_options(pool, options)?;
        store.check().await?;
        Ok(store)
    }

    /// Checks that the database is reachable and that its tables belong to this release.
    ///
    /// # Errors
    /// Any error that prevents a connection, [`ErrorKind::Store`] if a migration is missing, and
    /// [`ErrorKind::Unsupported`] if a newer release has migrated the database.
    pub async fn check(&self) -> Result<(), Error> {
        self.migrations().check().await
    }

    /// Returns the migrations that create, update and remove the tables.
    pub fn migrations(&self) -> PostgresMigrations {
        PostgresMigrations::new(self.connections().clone(), self.names().clone())
    }

    pub(super) fn names(&self) -> &Names {
        &self.inner.names
    }

    pub(super) fn connections(&self) -> &Connections {
        &self.inner.connections
    }

    /// Returns the pool.
    pub fn pool(&self) -> &PgPool {
        &self.inner.connections.pool
    }

    /// Returns a store whose calls bind their connection to `tenant` with the setting
    /// `snapfold.tenant`, for [`TenantBinding::Setting`](super::TenantBinding::Setting). The
    /// binding lasts for the transaction of the call, whatever its outcome. All tenants may share
    /// the pool, and it may be behind any connection pooler. A call takes two more round trips, and
    /// so does a hybrid load with this store
    /// ([`with_snapshots`](super::PostgresEvents::with_snapshots)).
    ///
    /// Calls on the caller's connection ([`put_in`](Self::put_in) and so on) use the binding of
    /// that connection: run `SET LOCAL snapfold.tenant = '..'` in the transaction.
    pub fn for_tenant(&self, tenant: &str) -> Self {
        let mut inner = StoreInner::clone(&self.inner);
        inner.connections.tenant = Some(key_text::encode(tenant).into());
        Self { inner: Arc::new(inner) }
    }

    /// Performs [`put`](SnapshotStore::put) on the caller's connection, or in its transaction: the
    /// snapshots become durable when the caller commits, and are discarded if it rolls back.
    ///
    /// # Errors
    /// The same errors as [`put`](SnapshotStore::put). After an error, PostgreSQL rejects further
    /// statements in the transaction until it is rolled back. To be able to continue, create a
    /// savepoint before the call and roll back to it. After a timeout, a statement may still be
    /// running on the connection: close it.
    pub async fn put_in(
        &self,
        connection: &mut PgConnection,
        records: Vec<Record>,
        options: PutOptions,
    ) -> Result<Vec<PutOutcome>, Error> {
        let mut put = self.put_operation(records, options)?;
        self.inner.connections.run_on(connection, &mut put).await
    }

    /// Performs [`get`](SnapshotStore::get) on the caller's connection, or in its transaction.
    pub async fn get_in(
        &self,
        connection: &mut PgConnection,
        query: Query<'_>,
    ) -> Result<Lookup, Error> {
        let Some(key) = KeyText::of(query.key) else { return Ok(Lookup::Absent) };
        let mut get = Get { statements: self.get_statements(), key: &key, query };
        self.inner.connections.run_on(connection, &mut get).await
    }

    /// Performs [`delete`](SnapshotStore::delete) on the caller's connection, or in its
    /// transaction.
    pub async fn delete_in(
        &self,
        connection: &mut PgConnection,
        key: &AggregateKey,
        selection: Selection<'_>,
        options: DeleteOptions,
    ) -> Result<Deleted, Error> {
        let Some(key) = KeyText::of(key) else { return Ok(Deleted::default()) };
        let names = &self.inner.names;
        let mut delete = Delete { names, key: &key, selection, options };
        self.inner.connections.run_on(connection, &mut delete).await
    }

    /// Performs [`mark`](SnapshotStore::mark) on the caller's connection, or in its transaction.
    pub async fn mark_in(
        &self,
        connection: &mut PgConnection,
        key: &AggregateKey,
        selection: Selection<'_>,
        change: MarkChange<'_>,
    ) -> Result<u64, Error> {
        change.check()?;
        let Some(key) = KeyText::of(key) else { return Ok(0) };
        let mut mark = SetMark { names: &self.inner.names, key: &key, selection, change };
        self.inner.connections.run_on(connection, &mut mark).await
    }

    /// Deletes all snapshots of `key` except pinned ones, bases of deltas, and the newest `keep`
    /// (at least 1) of each generation. Retired snapshots count as older than all others. Takes one
    /// statement. Unlike a retention policy, a prune cannot tell which snapshots are usable, so it
    /// may delete the newest usable one. Reserved kinds are not pruned. The result counts only
    /// deleted snapshots.
    pub async fn prune(&self, key: &AggregateKey, keep: u32) -> Result<Deleted, Error> {
        let Some(key) = KeyText::of(key) else { return Ok(Deleted::default()) };
        let mut prune = PruneOne { statement: &self.inner.prune_one, key: &key, keep: keep.max(1) };
        self.inner.connections.run(&mut prune).await
    }

    /// Performs [`prune`](Self::prune) for the next `aggregates` aggregates (at least 1) after the
    /// key `after`, in one statement. Call it again with [`PruneProgress::next`] as `after`, until
    /// `next` is `None`. Each call is one short transaction. 1,000 aggregates per call is a good
    /// size.
    pub async fn prune_chunk(
        &self,
        after: Option<&AggregateKey>,
        keep: u32,
        aggregates: u32,
    ) -> Result<PruneProgress, Error> {
        let aggregates = aggregates.max(1);
        let names = &self.inner.names;
        let mut prune = PruneChunk { names, after, keep: keep.max(1), aggregates };
        self.inner.connections.run(&mut prune).await
    }

    /// Performs [`prune`](Self::prune) for all aggregates in one statement. This is the fastest
    /// way, but it takes one long transaction. It is suitable for up to about ten million deleted
    /// snapshots, because the server keeps the position of each one (8 bytes) in memory. The
    /// timeout in the options applies.
    pub async fn prune_all(&self, keep: u32) -> Result<Deleted, Error> {
        let mut prune = PruneAll { names: &self.inner.names, keep: keep.max(1) };
        self.inner.connections.run(&mut prune).await
    }

    fn get_statements(&self) -> GetStatements<'_> {
        let inner = &*self.inner;
        GetStatements {
            latest: &inner.get_latest,
            at_time: &inner.get_at_time,
            bases: &inner.get_bases,
        }
    }

    fn put_operation(&self, records: Vec<Record>, options: PutOptions) -> Result<Put<'_>, Error> {
        let inner = &*self.inner;
        let statements = PutStatements {
            keep: &inner.put_keep,
            replace: &inner.put_replace,
            compare: &inner.put_compare,
        };
        Put::new(&inner.names, statements, records, options, inner.max_record_bytes)
    }
}

#[async_trait]
impl SnapshotStore for PostgresStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new("postgres")
            .durable(true)
            .atomic_batches(true)
            .marks(true)
            .returns_bases(true)
            .rewrites(true)
            // The server may still finish a put that it received before the caller gave up.
            .ordered_deletes(false)
            .max_record_bytes(self.inner.max_record_bytes)
            .max_key_bytes(key_text::SURE_BYTES as u64)
            .max_version(version::MAX)
    }

    async fn put(
        &self,
        records: Vec<Record>,
        options: PutOptions,
    ) -> Result<Vec<PutOutcome>, Error> {
        let mut put = self.put_operation(records, options)?;
        if put.is_empty() {
            return Ok(Vec::new());
        }
        self.inner.connections.run(&mut put).await
    }

    async fn get(&self, query: Query<'_>) -> Result<Lookup, Error> {
        let Some(key) = KeyText::of(query.key) else { return Ok(Lookup::Absent) };
        let mut get = Get { statements: self.get_statements(), key: &key, query };
        self.inner.connections.run(&mut get).await
    }

    async fn list(
        &self,
        request: ListRequest<'_>,
    ) -> Result<Page<SnapshotMeta, SnapshotId>, Error> {
        let Some(key) = KeyText::of(request.key) else { return Ok(Page::new(Vec::new(), None)) };
        let mut list = List { statement: &self.inner.list, key: &key, request };
        self.inner.connections.run(&mut list).await
    }

    async fn keys(&self, request: KeysRequest<'_>) -> Result<Page<AggregateKey, Cursor>, Error> {
        let mut keys = Keys { names: &self.inner.names, request };
        self.inner.connections.run(&mut keys).await
    }

    async fn delete(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        options: DeleteOptions,
    ) -> Result<Deleted, Error> {
        let Some(key) = KeyText::of(key) else { return Ok(Deleted::default()) };
        let names = &self.inner.names;
        let mut delete = Delete { names, key: &key, selection, options };
        self.inner.connections.run(&mut delete).await
    }

    async fn get_many(&self, queries: &[Query<'_>]) -> Result<Vec<Lookup>, Error> {
        if queries.is_empty() {
            return Ok(Vec::new());
        }
        let (many, single) = (&self.inner.get_many, self.get_statements());
        self.inner.connections.run(&mut GetMany { many, single, queries }).await
    }

    async fn list_many(
        &self,
        requests: &[ListRequest<'_>],
    ) -> Result<Vec<Page<SnapshotMeta, SnapshotId>>, Error> {
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        let (many, single) = (&self.inner.list_many, &self.inner.list);
        self.inner.connections.run(&mut ListMany { many, single, requests }).await
    }

    async fn delete_many(
        &self,
        selected: &[(&AggregateKey, &[SnapshotId])],
        options: DeleteOptions,
    ) -> Result<Vec<Deleted>, Error> {
        let mut deleted = vec![Deleted::default(); selected.len()];
        for mut part in DeleteMany::split(&self.inner.delete_many, selected, options) {
            for (place, of_key) in self.inner.connections.run(&mut part).await? {
                if let Some(slot) = deleted.get_mut(place) {
                    *slot = of_key;
                }
            }
        }
        Ok(deleted)
    }

    async fn erase(&self, key: &AggregateKey) -> Result<Erased, Error> {
        let options = DeleteOptions::default().overrule_pins(true);
        let deleted = self.delete(key, Selection::All, options).await?;
        Ok(Erased::new(deleted, [Remains::DeadRows, Remains::Backups]))
    }

    async fn rewrite(&self, rewrites: Vec<Rewrite>) -> Result<Vec<bool>, Error> {
        let mut rewritten = vec![false; rewrites.len()];
        let rows = rewrite::rows(&rewrites, self.inner.max_record_bytes)?;
        // Each statement is a short transaction.
        for items in put::chunks(&rows, |(row, _)| row.bytes()) {
            let mut some = RewriteSome { statement: &self.inner.rewrite, items };
            for place in self.inner.connections.run(&mut some).await? {
                if let Some(slot) = rewritten.get_mut(place) {
                    *slot = true;
                }
            }
        }
        Ok(rewritten)
    }

    async fn mark(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        change: MarkChange<'_>,
    ) -> Result<u64, Error> {
        change.check()?;
        let Some(key) = KeyText::of(key) else { return Ok(0) };
        let mut mark = SetMark { names: &self.inner.names, key: &key, selection, change };
        self.inner.connections.run(&mut mark).await
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore")
            .field("table", &self.inner.names.snapshots)
            .finish_non_exhaustive()
    }
}
