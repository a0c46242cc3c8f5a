//! Row-level security: a connection sees only the rows of one tenant.

use sqlx::Connection;

use super::connection::{CallFailure, Operation, Session};
use super::error::StatementEffect;
use super::names::Names;
use super::script::{lock, run};

/// How the server determines the tenant of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TenantBinding {
    /// The tenant is the name of the role: `current_user`. Code on the connection cannot change to
    /// a role that was not granted to it.
    Role,
    /// The tenant is the setting `snapfold.tenant`.
    /// [`PostgresStore::for_tenant`](super::PostgresStore::for_tenant) sets it for each call.
    /// Without a connection pooler, it can also be set in the options of one pool per tenant, or
    /// with `ALTER ROLE .. SET`. Code that can run arbitrary SQL can change it.
    Setting,
}

/// Enables (`Some`) or disables the policies.
pub(super) struct Secure<'a> {
    pub(super) names: &'a Names,
    pub(super) binding: Option<TenantBinding>,
    pub(super) lock_timeout: std::time::Duration,
}

impl Operation for Secure<'_> {
    type Output = ();
    const NAME: &'static str = "change row-level security";
    const EFFECT: StatementEffect = StatementEffect::Write;

    async fn run(&mut self, session: &mut Session<'_>) -> Result<(), CallFailure> {
        let mut transaction = session.connection.begin().await?;
        lock(&mut transaction, self.names.lock, self.lock_timeout).await?;
        let Names { snapshots, schedules, daily, audit, unsealed, publications, removals, .. } =
            self.names;
        for table in [snapshots, schedules, daily, audit, unsealed, publications, removals] {
            run(&mut transaction, &table_sql(table, self.binding)).await?;
        }
        transaction.commit().await?;
        Ok(())
    }
}

fn table_sql(table: &str, binding: Option<TenantBinding>) -> String {
    let drop = format!("DROP POLICY IF EXISTS snapfold_tenant ON {table};");
    let tenant = match binding {
        // An unset setting is NULL or empty; then no row is visible.
        Some(TenantBinding::Setting) => "nullif(current_setting('snapfold.tenant', true), '')",
        Some(TenantBinding::Role) => "current_user::text",
        None => {
            return format!(
                "{drop} ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY; \
                 ALTER TABLE {table} DISABLE ROW LEVEL SECURITY;"
            );
        }
    };
    format!(
        "{drop} ALTER TABLE {table} ENABLE ROW LEVEL SECURITY; \
         ALTER TABLE {table} FORCE ROW LEVEL SECURITY; \
         CREATE POLICY snapfold_tenant ON {table} \
           USING (tenant = {tenant}) WITH CHECK (tenant = {tenant});"
    )
}
