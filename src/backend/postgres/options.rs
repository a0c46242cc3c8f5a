//! [`PostgresOptions`]: the tables, limits and timeouts of a
//! [`PostgresStore`](super::PostgresStore).

use std::time::Duration;

/// The tables, limits and timeouts of a [`PostgresStore`](super::PostgresStore).
///
/// ```
/// use snapfold::postgres::PostgresOptions;
///
/// let options = PostgresOptions::new().schema("billing").table("account_snapshots");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PostgresOptions {
    /// The schema of all tables; `public` by default. Any name is possible, including names with
    /// quotes.
    pub schema: String,
    /// The name of the snapshots table; `snapfold_snapshots` by default, at most 51 bytes. The
    /// names of the other tables start with it.
    pub table: String,
    /// The time limit for one call, including the wait for a connection; 30 seconds by default. A
    /// call that exceeds it fails with [`ErrorKind::Timeout`](crate::ErrorKind::Timeout), and its
    /// connection is closed.
    pub timeout: Duration,
    /// The largest record that can be put, in bytes (inclusive); 64 MiB by default, at most
    /// [`PostgresOptions::MAX_RECORD_BYTES`]. PostgreSQL keeps several copies of a value in memory
    /// while it stores it.
    pub max_record_bytes: u64,
    /// Whether a connection pooler between the pool and PostgreSQL assigns a server connection per
    /// transaction, such as PgBouncer with `pool_mode = transaction`. `false` by default. If
    /// `true`, each call is a separate transaction with unnamed statements: two more round trips,
    /// and each statement is planned again.
    ///
    /// Not needed for `pool_mode = session`, or for PgBouncer 1.21 or later if
    /// `max_prepared_statements` is above 0. If the option is needed but not set, a call whose
    /// statement was mixed up with another one fails with a retryable error that names this option.
    /// The call never accepts the answer to another statement, and it writes nothing.
    pub transaction_pooler: bool,
}

impl PostgresOptions {
    /// The upper limit of [`max_record_bytes`](Self::max_record_bytes): 256 MiB. PostgreSQL cannot
    /// hold values of 1 GiB, and a batch is sent as one value.
    pub const MAX_RECORD_BYTES: u64 = 256 << 20;

    /// Returns the default options.
    pub fn new() -> Self {
        Self {
            schema: "public".into(),
            table: "snapfold_snapshots".into(),
            timeout: Duration::from_secs(30),
            max_record_bytes: 64 << 20,
            transaction_pooler: false,
        }
    }

    /// Sets the [`schema`](Self::schema).
    pub fn schema(mut self, schema: impl Into<String>) -> Self {
        self.schema = schema.into();
        self
    }

    /// Sets the name of the [`table`](Self::table).
    pub fn table(mut self, table: impl Into<String>) -> Self {
        self.table = table.into();
        self
    }

    /// Sets the [`timeout`](Self::timeout).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets [`max_record_bytes`](Self::max_record_bytes).
    pub fn max_record_bytes(mut self, bytes: u64) -> Self {
        self.max_record_bytes = bytes;
        self
    }

    /// Sets [`transaction_pooler`](Self::transaction_pooler).
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
