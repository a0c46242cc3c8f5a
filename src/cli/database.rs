//! [`connect`]: a store in PostgreSQL by its URL.

use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::time::timeout;

use super::failure::CliFailure;
use crate::backend::postgres::{PostgresOptions, PostgresStore};

/// The most connections that a command opens.
const CONNECTIONS: u32 = 4;

/// Connects to the database at `url`. Its tables may be missing.
///
/// Connects once before the pool does, because a pool tries again until the time is over and then
/// reports only that.
pub(crate) async fn connect(
    url: &str,
    options: &PostgresOptions,
) -> Result<PostgresStore, CliFailure> {
    let mut target: PgConnectOptions = url.parse().map_err(|error: sqlx::Error| {
        CliFailure::Usage(format!("the URL of the database is not valid: {error}"))
    })?;
    if options.transaction_pooler {
        // PgBouncer refuses this setting unless it is configured to ignore it.
        target = target.extra_float_digits(None);
    }
    let place = match target.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", target.get_host(), target.get_port()),
    };
    let failed = |why: String| CliFailure::Failed(format!("cannot connect to {place}: {why}"));
    match timeout(options.timeout, target.connect()).await {
        Ok(Ok(connection)) => drop(connection),
        Ok(Err(error)) => return Err(failed(error.to_string())),
        Err(_) => return Err(failed("no answer in time, see --timeout".to_owned())),
    }
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(options.timeout)
        .connect_lazy_with(target);
    Ok(PostgresStore::with_options(pool, options)?)
}
