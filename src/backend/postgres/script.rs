//! Statements that run one by one, unprepared.

use sqlx::postgres::{PgConnection, PgTransaction};
use sqlx::{AssertSqlSafe, Executor};

use super::connection::CallFailure;

/// Allows only one transaction at a time with the same `lock` to continue.
pub(super) async fn lock(
    transaction: &mut PgTransaction<'_>,
    lock: i64,
    timeout: std::time::Duration,
) -> Result<(), CallFailure> {
    let millis = timeout.as_millis().clamp(1, 2_000_000_000);
    run(transaction, &format!("SET LOCAL lock_timeout = {millis}")).await?;
    run(transaction, &format!("SELECT pg_advisory_xact_lock({lock})")).await
}

/// Runs a list of statements, whatever they return.
///
/// Neither this nor any part of a migration prepares statements, so that migrations work behind any
/// pooler.
pub(super) async fn run(connection: &mut PgConnection, sql: &str) -> Result<(), CallFailure> {
    connection.execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))).await?;
    Ok(())
}
