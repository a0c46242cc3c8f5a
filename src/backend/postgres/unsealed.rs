//! The migration that adds audit entries of open transactions.

use super::names::{Names, literal};
use super::views;

/// The columns of an entry, which are the same before and after it is sealed.
pub(super) const ENTRY_COLUMNS: [&str; 11] = [
    "at",
    "kind",
    "id",
    "actor",
    "action",
    "version",
    "reason",
    "meta",
    "idempotency",
    "failed",
    "failure",
];

/// Adds the table of entries that are not part of a chain yet. The server lets one go only if the
/// same entry is in the audit table, under its place. The index makes sure that it is there once.
pub(super) fn up(names: &Names) -> String {
    let Names { unsealed, audit, by_place, moves_only, .. } = names;
    let row = |row: &str| ENTRY_COLUMNS.map(|column| format!("{row}.{column}")).join(", ");
    let (sealed, own) = (row("a"), row("OLD"));
    let body = format!(
        "BEGIN
           IF TG_OP = 'DELETE' THEN
             IF EXISTS (SELECT FROM {audit} AS a WHERE a.tenant = OLD.tenant
                 AND a.place = OLD.place AND ({sealed}) IS NOT DISTINCT FROM ({own})) THEN
               RETURN OLD;
             END IF;
           END IF;
           RAISE insufficient_privilege USING MESSAGE =
             'the audit log is append-only: an entry leaves this table only when it is sealed';
         END"
    );
    let body = literal(&body);
    format!(
        r#"CREATE TABLE {unsealed} (
             tenant text COLLATE "C" NOT NULL,
             place bigint GENERATED ALWAYS AS IDENTITY,
             at bigint NOT NULL,
             kind text COLLATE "C",
             id text COLLATE "C",
             actor text NOT NULL,
             action text NOT NULL,
             version bigint,
             reason text NOT NULL,
             meta text NOT NULL,
             idempotency text NOT NULL,
             failed text,
             failure text,
             PRIMARY KEY (tenant, place)
           );
           ALTER TABLE {audit} ADD COLUMN place bigint;
           CREATE UNIQUE INDEX {by_place} ON {audit} (tenant, place) WHERE place IS NOT NULL;
           CREATE FUNCTION {moves_only}() RETURNS trigger LANGUAGE plpgsql AS {body};
           CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON {unsealed}
             FOR EACH ROW EXECUTE FUNCTION {moves_only}();
           CREATE TRIGGER append_only_all BEFORE TRUNCATE ON {unsealed}
             FOR EACH STATEMENT EXECUTE FUNCTION {moves_only}();
           COMMENT ON TABLE {unsealed} IS
             'Audit entries of callers'' transactions that are not in a hash chain yet.';
           COMMENT ON COLUMN {audit}.place IS 'the place of the entry before it was sealed';
           {}"#,
        views::audit_view(names, Some(unsealed)),
    )
}

/// Fails if an entry would be lost. For migrations that keep the trails.
pub(super) fn check_empty(names: &Names) -> String {
    let Names { unsealed, .. } = names;
    let body = format!(
        "BEGIN
           IF EXISTS (SELECT FROM {unsealed}) THEN
             RAISE object_not_in_prerequisite_state USING MESSAGE =
               'there are unsealed audit entries: call PostgresStore::seal_audit first';
           END IF;
         END"
    );
    format!("DO LANGUAGE plpgsql {};", literal(&body))
}

pub(super) fn down(names: &Names) -> String {
    let Names { unsealed, audit, moves_only, .. } = names;
    format!(
        "{} DROP TABLE {unsealed}; DROP FUNCTION {moves_only}();
         ALTER TABLE {audit} DROP COLUMN place;",
        views::audit_view(names, None)
    )
}
