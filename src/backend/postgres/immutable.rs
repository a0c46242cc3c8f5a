//! The migration that makes the server keep snapshots immutable.

use super::names::{Names, literal};

/// The columns that identify a snapshot. No `UPDATE` may change them.
const IDENTITY: [&str; 6] = ["tenant", "kind", "id", "schema_version", "fingerprint", "version"];

/// The columns that belong to the record. Only a counted replacement may change them.
const CONTENT: [&str; 7] =
    ["as_of", "created_at", "raw_bytes", "codec", "base", "header", "payload"];

/// The columns that count the replacements of a record.
const TRACE: [&str; 2] = ["replacements", "replaced_at"];

/// The assignment that a statement must contain to change the record of the row `row`.
pub(super) fn replaces(row: &str) -> String {
    format!("replacements = {row}.replacements + 1")
}

/// Rejects every `UPDATE` that names a column of the record, unless it also adds one to
/// `replacements`, and every `TRUNCATE`.
///
/// The trigger is bound to these columns, so an `UPDATE` of marks does not run it. It compares no
/// contents: that would read the payload.
pub(super) fn up(names: &Names) -> String {
    let Names { snapshots, immutable, .. } = names;
    let row = |row: &str| IDENTITY.map(|column| format!("{row}.{column}")).join(", ");
    let (new, old) = (row("NEW"), row("OLD"));
    let body = format!(
        "BEGIN
           IF TG_OP = 'TRUNCATE' THEN
             RAISE insufficient_privilege USING MESSAGE =
               'snapshots are not removed by TRUNCATE, which ignores pins: use DELETE, or \
                migrate to 0 to remove everything';
           END IF;
           IF NEW.replacements = OLD.replacements + 1 AND ({new}) = ({old}) THEN
             NEW.replaced_at := (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;
             RETURN NEW;
           END IF;
           RAISE insufficient_privilege USING MESSAGE =
             'snapshots are immutable, UPDATE may change only their marks: to repair a snapshot, \
              put it again with `replace`, or delete it';
         END"
    );
    let body = literal(&body);
    let columns = [&IDENTITY[..], &CONTENT, &TRACE].concat().join(", ");
    format!(
        "ALTER TABLE {snapshots} ADD COLUMN replacements integer NOT NULL DEFAULT 0,
           ADD COLUMN replaced_at bigint;
         CREATE FUNCTION {immutable}() RETURNS trigger LANGUAGE plpgsql AS {body};
         CREATE TRIGGER immutable BEFORE UPDATE OF {columns} ON {snapshots}
           FOR EACH ROW EXECUTE FUNCTION {immutable}();
         CREATE TRIGGER immutable_all BEFORE TRUNCATE ON {snapshots}
           FOR EACH STATEMENT EXECUTE FUNCTION {immutable}();
         COMMENT ON COLUMN {snapshots}.replacements IS
           'how many times the record was replaced in place';
         COMMENT ON COLUMN {snapshots}.replaced_at IS
           'the last replacement by the clock of the server, microseconds since 1970, UTC';"
    )
}

pub(super) fn down(names: &Names) -> String {
    let Names { snapshots, immutable, .. } = names;
    format!(
        "DROP TRIGGER immutable ON {snapshots}; DROP TRIGGER immutable_all ON {snapshots};
         DROP FUNCTION {immutable}();
         ALTER TABLE {snapshots} DROP COLUMN replacements, DROP COLUMN replaced_at;"
    )
}
