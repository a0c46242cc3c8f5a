//! [`PostgresOptions`]: where and how a [`PostgresStore`](super::PostgresStore) keeps snapshots.

use std::time::Duration;

/// Where and how a [`PostgresStore`](super::PostgresStore) keeps snapshots.
///
/// ```
/// use snapfold::postgres::PostgresOptions;
///
/// let options = PostgresOptions::new().schema("billing").table("account_snapshots");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PostgresOptions {
    /// The schema of all tables; `public` by default. Any name, also one with quotes.
    pub schema: String,
    /// The name of the table of snapshots; `snapfold_snapshots` by default, at most 51 bytes. The
    /// names of the other tables begin with it.
    pub table: String,
    /// How long one call may take, waiting for a connection included; 30 seconds by default. Then
    /// it fails with [`ErrorKind::Timeout`](crate::ErrorKind::Timeout), and the connection that it
    /// used is closed.
    pub timeout: Duration,
    /// The largest record that can be put, in bytes (inclusive); 64 MiB by default, at most
    /// [`PostgresOptions::MAX_RECORD_BYTES`]. PostgreSQL keeps several copies of a value in memory
    /// while it stores it.
    pub max_record_bytes: u64,
    /// Whether a connection pooler that gives each transaction another connection of the server is
    /// between the pool and PostgreSQL: PgBouncer with `pool_mode = transaction`, for example.
    /// `false` by default. Each call then is a transaction of its own, with statements that leave
    /// nothing behind: two more round trips, and each statement is planned anew.
    ///
    /// Not needed for `pool_mode = session`, nor for PgBouncer from 1.21 on where
    /// `max_prepared_statements` is above 0. Without it, a call whose statement was mixed up with
    /// another fails, with a retryable error that names this option: no answer of another
    /// statement is accepted, and nothing is written by it.
    pub transaction_pooler: bool,
}

impl PostgresOptions {
    /// The highest possible [`max_record_bytes`](Self::max_record_bytes): 256 MiB. PostgreSQL
    /// holds no value of 1 GiB, and a batch is sent as one value.
    pub const MAX_RECORD_BYTES: u64 = 256 << 20;

    /// The defaults.
    pub fn new() -> Self {
        Self {
            schema: "public".into(),
            table: "snapfold_snapshots".into(),
            timeout: Duration::from_secs(30),
            max_record_bytes: 64 << 20,
            transaction_pooler: false,
        }
    }

    /// The same with another [`schema`](Self::schema).
    pub fn schema(mut self, schema: impl Into<String>) -> Self {
        self.schema = schema.into();
        self
    }

    /// The same with another [`table`](Self::table).
    pub fn table(mut self, table: impl Into<String>) -> Self {
        self.table = table.into();
        self
    }

    /// The same with another [`timeout`](Self::timeout).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The same with another [`max_record_bytes`](Self::max_record_bytes).
    pub fn max_record_bytes(mut self, bytes: u64) -> Self {
        self.max_record_bytes = bytes;
        self
    }

    /// The same with another [`transaction_pooler`](Self::transaction_pooler).
    pub fn transaction_pooler(mut self, yes: bool) -> Self {
        self.transaction_pooler = yes;
        self
    }
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self::new()
    }
}
