//! `migrate`: the tables in PostgreSQL.

use clap::Args;
use serde_json::json;

use crate::backend::postgres::PostgresMigrations;
use crate::cli::database::connect;
use crate::cli::failure::{CliFailure, CliFinding};
use crate::cli::session::CliSession;
use crate::cli::store_url::StoreUrl;

/// Create or update the tables of a store in PostgreSQL
///
/// Several processes may do this at once. It is one transaction. If it takes long, because a table is
/// large, raise --timeout. With --to, it migrates to another release's tables; going back loses what
/// the older tables cannot hold, and 0 removes everything, so both need --yes.
#[derive(Args)]
#[command(after_help = "Example: snapfold --store postgres://USER@HOST/DATABASE migrate --check")]
pub(crate) struct MigrateArguments {
    /// Only tell whether the database is up to date; exit code 1 if it is not
    #[arg(long, conflicts_with_all = ["to", "yes"])]
    check: bool,
    /// The number of the migration; the newest one by default
    #[arg(long, value_name = "NUMBER")]
    to: Option<u32>,
    /// Go back to an older migration
    #[arg(long, requires = "to")]
    yes: bool,
}

impl MigrateArguments {
    pub(super) async fn run(self, session: &mut CliSession) -> Result<CliFinding, CliFailure> {
        let StoreUrl::Postgres(url) = session.url()? else {
            let message = "only a database has migrations: stores in files update themselves";
            return Err(CliFailure::Usage(message.to_owned()));
        };
        let migrations = connect(&url, &session.options).await?.migrations();
        let latest = PostgresMigrations::LATEST;
        let before = migrations.current().await?;
        if self.check {
            print(session, before, before)?;
            return Ok(CliFinding::wrong_if(before != latest));
        }
        let target = self.to.unwrap_or(latest);
        if target < before && !self.yes {
            let message = format!(
                "the database is at migration {before}: going back to {target} loses data, add \
                 --yes if you mean it"
            );
            return Err(CliFailure::Usage(message));
        }
        let before = migrations.run_to(target).await?;
        print(session, before, target)?;
        Ok(CliFinding::Fine)
    }
}

fn print(session: &mut CliSession, before: u32, after: u32) -> Result<(), CliFailure> {
    let latest = PostgresMigrations::LATEST;
    if session.json {
        let document = json!({ "before": before, "after": after, "latest": latest });
        return Ok(session.screen.json(&document)?);
    }
    let text = match (before == after, after == latest) {
        (true, true) => format!("the database is up to date, at migration {after}"),
        (true, false) => format!("the database is at migration {after}; the newest is {latest}"),
        (false, _) => format!("migrated from {before} to {after}"),
    };
    Ok(session.screen.line(text)?)
}
