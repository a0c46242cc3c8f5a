//! [`PostgresMigrations`]: creates, updates and removes the tables.

use std::fmt;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor, Row};

use super::connection::{CallFailure, Connections, Operation, Session};
use super::error::{StatementEffect, code};
use super::immutable;
use super::names::{Names, literal};
use super::row_security::{Secure, TenantBinding};
use super::script::{lock, run};
use super::{publication_table, unsealed, views};
use crate::error::{Error, ErrorKind, Retry};
use crate::mark::Marks;

const NAME: &str = "migrate the database";

/// One migration, forward and back. Each direction is a list of statements.
struct Migration {
    up: fn(&Names) -> String,
    down: fn(&Names) -> String,
}

/// Migration 1 is the first. Released migrations never change; new ones are added at the end.
const MIGRATIONS: &[Migration] = &[
    Migration { up: snapshots_up, down: snapshots_down },
    Migration { up: ledger_up, down: ledger_down },
    Migration { up: times_up, down: times_down },
    Migration { up: marks_up, down: marks_down },
    Migration { up: created_up, down: created_down },
    Migration { up: immutable::up, down: immutable::down },
    Migration { up: views::up, down: views::down },
    Migration { up: unsealed::up, down: unsealed::down },
    Migration { up: publication_table::up, down: publication_table::down },
];

/// The number of the migration that adds unsealed audit entries.
const UNSEALED: u32 = 8;

/// Creates, updates and removes the tables of a [`PostgresStore`](super::PostgresStore).
///
/// Several nodes may run the migrations at once: one does the work, and the others wait for it, for
/// at most the timeout in the options. Each call is one transaction: it takes effect completely or
/// not at all, and a crash leaves nothing behind.
#[derive(Clone)]
pub struct PostgresMigrations {
    connections: Connections,
    names: Names,
}

impl PostgresMigrations {
    /// The number of the newest migration in this release.
    pub const LATEST: u32 = 9;

    pub(super) fn new(connections: Connections, names: Names) -> Self {
        Self { connections, names }
    }

    /// Migrates the database to [`LATEST`](Self::LATEST), from nothing or from any older migration.
    /// Returns the number of the migration that the database was at before.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if a newer release has migrated the database. Nothing is changed.
    pub async fn run(&self) -> Result<u32, Error> {
        self.run_to(Self::LATEST).await
    }

    /// Migrates the database to exactly the migration `target`, forward or back; 0 removes
    /// everything, including the snapshots. Returns the number of the migration that the database
    /// was at before.
    ///
    /// # Errors
    /// The same errors as [`run`](Self::run), and [`ErrorKind::InvalidInput`] if `target` is above
    /// [`LATEST`](Self::LATEST).
    pub async fn run_to(&self, target: u32) -> Result<u32, Error> {
        if target > Self::LATEST {
            let latest = Self::LATEST;
            return Err(Error::new(
                ErrorKind::InvalidInput,
                NAME,
                format!("there is no migration {target}: the newest is {latest}"),
            ));
        }
        let mut migrate =
            Migrate { names: &self.names, target, lock_timeout: self.connections.timeout };
        self.connections.run(&mut migrate).await
    }

    /// Enables row-level security: every connection sees, counts and changes the rows of one tenant
    /// only, whatever its code requests. A connection that is bound to no tenant sees no rows, and
    /// no connection sees the empty tenant. Superusers and roles with `BYPASSRLS` are exempt; the
    /// owner of the tables is not.
    ///
    /// Requires [`LATEST`](Self::LATEST) and the role that owns the tables. The roles of the
    /// tenants need no rights beyond `SELECT`, `INSERT`, `UPDATE` and `DELETE`.
    pub async fn enable_row_security(&self, binding: TenantBinding) -> Result<(), Error> {
        self.secure(Some(binding)).await
    }

    /// Disables row-level security: the reverse of
    /// [`enable_row_security`](Self::enable_row_security).
    pub async fn disable_row_security(&self) -> Result<(), Error> {
        self.secure(None).await
    }

    async fn secure(&self, binding: Option<TenantBinding>) -> Result<(), Error> {
        let (names, lock_timeout) = (&self.names, self.connections.timeout);
        self.connections.run(&mut Secure { names, binding, lock_timeout }).await
    }

    /// Returns the number of the migration that the database is at; 0 if there is none yet.
    pub async fn current(&self) -> Result<u32, Error> {
        self.connections.run(&mut Current(&self.names)).await
    }

    /// Checks that the database is at [`LATEST`](Self::LATEST).
    ///
    /// # Errors
    /// [`ErrorKind::Store`] if the database is at an older migration, or [`ErrorKind::Unsupported`]
    /// if it is at a newer one.
    pub async fn check(&self) -> Result<(), Error> {
        let current = self.current().await?;
        if current > Self::LATEST {
            return Err(too_new(current));
        }
        if current < Self::LATEST {
            let latest = Self::LATEST;
            return Err(Error::new(
                ErrorKind::Store,
                "check the database",
                format!(
                    "the database is at migration {current}, but this release needs {latest}: run \
                     the migrations"
                ),
            ));
        }
        Ok(())
    }
}

impl fmt::Debug for PostgresMigrations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresMigrations")
            .field("table", &self.names.migrations)
            .finish_non_exhaustive()
    }
}

fn too_new(current: u32) -> Error {
    let latest = PostgresMigrations::LATEST;
    Error::new(
        ErrorKind::Unsupported,
        NAME,
        format!(
            "the database is at migration {current}, but this release supports at most {latest}: \
             upgrade snapfold"
        ),
    )
}

struct Migrate<'a> {
    names: &'a Names,
    target: u32,
    lock_timeout: std::time::Duration,
}

impl Operation for Migrate<'_> {
    type Output = u32;
    const NAME: &'static str = NAME;
    const EFFECT: StatementEffect = StatementEffect::Write;

    async fn run(&mut self, session: &mut Session<'_>) -> Result<u32, CallFailure> {
        let mut transaction = session.connection.begin().await?;
        let names = self.names;
        lock(&mut transaction, names.lock, self.lock_timeout).await?;
        let before = current(&mut transaction, names).await?;
        if before > PostgresMigrations::LATEST {
            return Err(too_new(before).into());
        }
        if before == 0 && self.target > 0 {
            run(&mut transaction, &prepare_sql(names)).await?;
        }
        let steps = (1_u32..).zip(MIGRATIONS);
        if self.target >= before {
            for (number, step) in steps.filter(|(n, _)| (before + 1..=self.target).contains(n)) {
                let record =
                    format!("INSERT INTO {} (number) VALUES ({number});", names.migrations);
                run(&mut transaction, &format!("{record}{}", (step.up)(names))).await?;
            }
        } else {
            if (1..UNSEALED).contains(&self.target) && before >= UNSEALED {
                run(&mut transaction, &unsealed::check_empty(names)).await?;
            }
            let steps: Vec<_> =
                steps.filter(|(n, _)| (self.target + 1..=before).contains(n)).collect();
            for (number, step) in steps.into_iter().rev() {
                let forget = format!("DELETE FROM {} WHERE number = {number};", names.migrations);
                run(&mut transaction, &format!("{forget}{}", (step.down)(names))).await?;
            }
            if self.target == 0 {
                run(&mut transaction, &format!("DROP TABLE {}", names.migrations)).await?;
            }
        }
        transaction.commit().await?;
        Ok(before)
    }
}

struct Current<'a>(&'a Names);

impl Operation for Current<'_> {
    type Output = u32;
    const NAME: &'static str = "check the database";
    const EFFECT: StatementEffect = StatementEffect::Read;

    async fn run(&mut self, session: &mut Session<'_>) -> Result<u32, CallFailure> {
        current(session.connection, self.0).await
    }
}

async fn current(connection: &mut PgConnection, names: &Names) -> Result<u32, CallFailure> {
    let sql = format!("SELECT to_regclass({}) IS NOT NULL", literal(&names.migrations));
    let exists: bool = connection.fetch_one(sqlx::raw_sql(AssertSqlSafe(sql))).await?.try_get(0)?;
    if !exists {
        return Ok(0);
    }
    let sql = format!("SELECT coalesce(max(number), 0) FROM {}", names.migrations);
    let number: i32 = match connection.fetch_one(sqlx::raw_sql(AssertSqlSafe(sql))).await {
        // The table existed just now, so another process has reverted the last migration in
        // between.
        Err(error) if code(&error).as_deref() == Some("42P01") => return Ok(0),
        row => row?.try_get(0)?,
    };
    u32::try_from(number).map_err(|_| {
        Error::new(ErrorKind::CorruptStore, NAME, "the number of the last migration is negative")
            .with_retry(Retry::Never)
            .into()
    })
}

/// Creates the schema, if it is missing (which requires a privilege), and the table of migrations.
fn prepare_sql(names: &Names) -> String {
    let Names { schema, migrations, .. } = names;
    let literal = schema.replace('\'', "''");
    let statement = format!("CREATE SCHEMA {schema}").replace('\'', "''");
    format!(
        "DO LANGUAGE plpgsql 'BEGIN IF to_regnamespace({}) IS NULL THEN EXECUTE {}; END IF; END';\
         CREATE TABLE IF NOT EXISTS {migrations} (\
           number integer PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now());",
        in_body(&literal),
        in_body(&statement),
    )
}

/// Escapes a literal (with its quotes already doubled) for the quoted body of a `DO` block.
fn in_body(literal: &str) -> String {
    format!("''{}''", literal.replace('\'', "''"))
}

fn snapshots_up(names: &Names) -> String {
    let Names { snapshots, .. } = names;
    format!(
        r#"CREATE TABLE {snapshots} (
             tenant text COLLATE "C" NOT NULL,
             kind text COLLATE "C" NOT NULL,
             id text COLLATE "C" NOT NULL,
             schema_version bigint NOT NULL,
             fingerprint bigint NOT NULL,
             version bigint NOT NULL CHECK (version > 0),
             as_of bigint NOT NULL,
             created_at bigint NOT NULL,
             raw_bytes bigint NOT NULL,
             codec integer NOT NULL,
             pinned boolean NOT NULL,
             header bytea NOT NULL,
             payload bytea NOT NULL,
             PRIMARY KEY (tenant, kind, id, schema_version, fingerprint, version)
           );
           ALTER TABLE {snapshots} ALTER COLUMN header SET STORAGE EXTERNAL;
           ALTER TABLE {snapshots} ALTER COLUMN payload SET STORAGE EXTERNAL;
           COMMENT ON TABLE {snapshots} IS 'Snapshots of snapfold. A record is header || payload.';
           COMMENT ON COLUMN {snapshots}.as_of IS 'microseconds since 1970, UTC';
           COMMENT ON COLUMN {snapshots}.created_at IS 'microseconds since 1970, UTC';"#
    )
}

fn snapshots_down(names: &Names) -> String {
    format!("DROP TABLE {};", names.snapshots)
}

fn ledger_up(names: &Names) -> String {
    let Names { schedules, daily, audit, append_only, .. } = names;
    let key = |null: &str| {
        ["kind", "id"].map(|part| format!(r#"{part} text COLLATE "C"{null}"#)).join(", ")
    };
    let (some, any) = (key(" NOT NULL"), key(""));
    format!(
        r#"CREATE TABLE {schedules} (
             tenant text COLLATE "C" NOT NULL,
             {some},
             single boolean NOT NULL CHECK (single OR id = ''),
             name text COLLATE "C" NOT NULL,
             cadence text,
             task text NOT NULL,
             enabled boolean NOT NULL,
             next_run bigint,
             created_at bigint NOT NULL,
             updated_at bigint NOT NULL,
             holder text,
             leased_until bigint,
             token bigint NOT NULL,
             PRIMARY KEY (tenant, kind, single, id, name)
           );
           CREATE INDEX ON {schedules} (next_run, tenant, kind, single, id, name) WHERE enabled;
           CREATE TABLE {daily} (
             tenant text COLLATE "C" NOT NULL,
             {some},
             day integer NOT NULL,
             created bigint NOT NULL,
             deleted bigint NOT NULL,
             bytes bigint NOT NULL,
             creation_micros bigint NOT NULL,
             PRIMARY KEY (tenant, kind, id, day)
           );
           CREATE TABLE {audit} (
             tenant text COLLATE "C" NOT NULL,
             sequence bigint NOT NULL CHECK (sequence > 0),
             at bigint NOT NULL,
             {any},
             actor text NOT NULL,
             action text NOT NULL,
             version bigint,
             reason text NOT NULL,
             meta text NOT NULL,
             idempotency text NOT NULL,
             failed text,
             failure text,
             previous bytea NOT NULL,
             hash bytea NOT NULL,
             PRIMARY KEY (tenant, sequence)
           );
           CREATE INDEX ON {audit} (tenant, kind, id, sequence) WHERE kind IS NOT NULL;
           CREATE FUNCTION {append_only}() RETURNS trigger LANGUAGE plpgsql AS
             'BEGIN RAISE insufficient_privilege USING MESSAGE =
                ''the audit log is append-only''; END';
           CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {audit}
             FOR EACH STATEMENT EXECUTE FUNCTION {append_only}();
           COMMENT ON TABLE {schedules} IS 'Times are microseconds since 1970, UTC.';
           COMMENT ON COLUMN {schedules}.single IS 'false: for all aggregates of the kind';
           COMMENT ON COLUMN {schedules}.cadence IS
             'every 90s, or a cron expression; NULL: removed, the row keeps its token';
           COMMENT ON COLUMN {schedules}.task IS
             'snapshot, snapshot all, verify, refold, or retention with what to keep';
           COMMENT ON COLUMN {schedules}.token IS 'fencing token of the last claim';
           COMMENT ON TABLE {daily} IS 'day: days since 1970-01-01, UTC';
           COMMENT ON TABLE {audit} IS
             'Each tenant has a hash chain of its own. Times are microseconds since 1970, UTC.';
           COMMENT ON COLUMN {audit}.kind IS 'NULL, as id: about no single aggregate';
           COMMENT ON COLUMN {audit}.failed IS 'NULL: it was done; else the kind of failure';"#
    )
}

fn ledger_down(names: &Names) -> String {
    let Names { schedules, daily, audit, append_only, .. } = names;
    format!("DROP TABLE {schedules}, {daily}, {audit}; DROP FUNCTION {append_only}();")
}

/// Adds what a load at a past time needs. Within a generation of one history, times rise with
/// versions. Snapshots between which times fall belong to two histories and are marked.
fn times_up(names: &Names) -> String {
    let Names { snapshots, by_time, .. } = names;
    let generation = "tenant, kind, id, schema_version, fingerprint";
    format!(
        "ALTER TABLE {snapshots} ADD COLUMN disordered boolean NOT NULL DEFAULT false;
         UPDATE {snapshots} t SET disordered = true FROM (
           SELECT ctid AS row, lag(as_of) OVER (
             PARTITION BY {generation} ORDER BY version) > as_of AS falls FROM {snapshots}) r
           WHERE t.ctid = r.row AND r.falls;
         CREATE INDEX {by_time} ON {snapshots} ({generation}, as_of, version);
         CREATE INDEX ON {snapshots} ({generation}) WHERE disordered;
         COMMENT ON COLUMN {snapshots}.disordered IS
           'as_of and version may not rise together in this generation of this aggregate';"
    )
}

fn times_down(names: &Names) -> String {
    let Names { schema, snapshots, by_time, .. } = names;
    format!("DROP INDEX {schema}.{by_time}; ALTER TABLE {snapshots} DROP COLUMN disordered;")
}

/// Adds the marks of a snapshot, which can change, and its base. `pins` and `retirements` each hold
/// an object that maps the name of a mark to its time, actor and note, or NULL. `base` repeats the
/// base in the header of a delta; no earlier release wrote one.
fn marks_up(names: &Names) -> String {
    let Names { snapshots, by_base, marks_limit, .. } = names;
    let limit = format!("\"{}\"", marks_limit.replace('"', "\"\""));
    let count = |column: &str| {
        format!(
            "jsonb_array_length(jsonb_path_query_array(coalesce({column}, '{{}}'), '$.keyvalue()'))"
        )
    };
    let (pins, retirements, most) = (count("pins"), count("retirements"), Marks::MAX);
    format!(
        "ALTER TABLE {snapshots} ADD COLUMN base bigint, ADD COLUMN pins jsonb,
           ADD COLUMN retirements jsonb;
         UPDATE {snapshots} SET pins = jsonb_build_object('pinned',
           jsonb_build_object('at', created_at, 'actor', '', 'note', '')) WHERE pinned;
         ALTER TABLE {snapshots} DROP COLUMN pinned, ADD CONSTRAINT {limit} CHECK (
           num_nonnulls(pins, retirements) = 0 OR {pins} + {retirements} <= {most});
         CREATE INDEX {by_base} ON {snapshots}
           (tenant, kind, id, schema_version, fingerprint, base) WHERE base IS NOT NULL;
         COMMENT ON COLUMN {snapshots}.pins IS
           'name: {{at: microseconds since 1970 UTC, actor, note}}; NULL if not pinned';
         COMMENT ON COLUMN {snapshots}.retirements IS 'as pins; NULL if not retired';"
    )
}

fn marks_down(names: &Names) -> String {
    let Names { snapshots, .. } = names;
    format!(
        "ALTER TABLE {snapshots} ADD COLUMN pinned boolean NOT NULL DEFAULT false;
         UPDATE {snapshots} SET pinned = true WHERE pins IS NOT NULL;
         ALTER TABLE {snapshots} ALTER COLUMN pinned DROP DEFAULT, DROP COLUMN base,
           DROP COLUMN pins, DROP COLUMN retirements;"
    )
}

/// Adds the index by creation time, unless somebody has created it before, without blocking writes.
/// No statement needs it, so releases before this migration are not affected.
fn created_up(names: &Names) -> String {
    let Names { schema, snapshots, by_created, .. } = names;
    let index = format!("{schema}.{by_created}");
    let create = format!("CREATE INDEX {by_created} ON {snapshots} (created_at)");
    let invalid = format!(
        "the index {index} is not a valid index on created_at: wait until it is built, or drop \
         it, and run the migrations again"
    );
    let [index, table, create, invalid] =
        [&index, snapshots, &create, &invalid].map(|text| in_body(&text.replace('\'', "''")));
    format!(
        "DO LANGUAGE plpgsql 'BEGIN
           IF to_regclass({index}) IS NULL THEN
             EXECUTE {create};
           ELSIF NOT EXISTS (
             SELECT FROM pg_index AS i JOIN pg_attribute AS a
               ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
             WHERE i.indexrelid = to_regclass({index}) AND i.indrelid = to_regclass({table})
               AND i.indisvalid AND i.indpred IS NULL AND a.attname = ''created_at'') THEN
             RAISE object_not_in_prerequisite_state USING MESSAGE = {invalid};
           END IF;
         END';"
    )
}

fn created_down(names: &Names) -> String {
    let Names { schema, by_created, .. } = names;
    format!("DROP INDEX IF EXISTS {schema}.{by_created};")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_migration_is_the_last_of_the_list() {
        assert_eq!(PostgresMigrations::LATEST as usize, MIGRATIONS.len());
    }
}
