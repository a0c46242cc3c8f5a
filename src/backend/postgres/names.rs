//! Names of tables in SQL: [`Names`], [`quote`].

use crate::error::{Error, ErrorKind};
use crate::key::AggregateKey;

/// PostgreSQL silently truncates longer names.
const MAX_NAME_BYTES: usize = 63;

/// The names of all tables, quoted, each with its schema.
#[derive(Clone, Debug)]
pub(super) struct Names {
    pub(super) schema: String,
    pub(super) snapshots: String,
    pub(super) migrations: String,
    pub(super) schedules: String,
    pub(super) daily: String,
    pub(super) audit: String,
    /// A function, without its parentheses.
    pub(super) append_only: String,
    /// A function, without its parentheses.
    pub(super) immutable: String,
    /// Audit entries that are not in a chain yet.
    pub(super) unsealed: String,
    /// Artifacts that are published together.
    pub(super) publications: String,
    /// Artifacts that are being removed.
    pub(super) removals: String,
    /// The index of publications by their request keys, without its schema.
    pub(super) by_request: String,
    /// Functions, without their parentheses.
    pub(super) moves_only: String,
    pub(super) is_plain: String,
    pub(super) to_json: String,
    pub(super) view: String,
    pub(super) audit_view: String,
    /// Indexes of the audit trails, without their schema.
    pub(super) by_actor: String,
    pub(super) by_at: String,
    pub(super) by_place: String,
    /// The index by time, without its schema.
    pub(super) by_time: String,
    /// The index of deltas by their bases, without its schema.
    pub(super) by_base: String,
    /// The index by creation time, without its schema.
    pub(super) by_created: String,
    /// The constraint that limits the marks of a row, unquoted.
    pub(super) marks_limit: String,
    /// Distinguishes the locks of two installations in one database.
    pub(super) lock: i64,
}

impl Names {
    /// Creates the names for the snapshot table `table` in `schema`. The other tables' names start
    /// with its name.
    pub(super) fn new(schema: &str, table: &str) -> Result<Self, Error> {
        let quoted_schema = quote("schema", schema, 0)?;
        quote("table", table, "_append_only".len())?;
        let name = |suffix: &str| -> Result<String, Error> {
            let table = quote("table", &format!("{table}{suffix}"), 0)?;
            Ok(format!("{quoted_schema}.{table}"))
        };
        let snapshots = name("")?;
        Ok(Self {
            lock: fnv1a(snapshots.as_bytes()),
            migrations: name("_migrations")?,
            schedules: name("_schedules")?,
            daily: name("_daily")?,
            audit: name("_audit")?,
            append_only: name("_append_only")?,
            immutable: name("_immutable")?,
            unsealed: name("_unsealed")?,
            publications: name("_publication")?,
            removals: name("_removal")?,
            by_request: quote("index", &format!("{table}_pub_request"), 0)?,
            moves_only: name("_moves_only")?,
            is_plain: name("_is_plain")?,
            to_json: name("_to_json")?,
            view: name("_view")?,
            audit_view: name("_audit_view")?,
            by_actor: quote("index", &format!("{table}_audit_actor"), 0)?,
            by_at: quote("index", &format!("{table}_audit_at"), 0)?,
            by_time: quote("index", &format!("{table}_by_time"), 0)?,
            by_base: quote("index", &format!("{table}_by_base"), 0)?,
            by_created: quote("index", &format!("{table}_by_created"), 0)?,
            by_place: quote("index", &format!("{table}_audit_place"), 0)?,
            marks_limit: format!("{table}_marks"),
            schema: quoted_schema,
            snapshots,
        })
    }

    /// Returns the number of the lock of whoever seals the audit trail of `tenant`.
    pub(super) fn seal_lock(&self, tenant: &str) -> i64 {
        fnv1a(format!("{}\0seal\0{tenant}", self.snapshots).as_bytes())
    }
}

/// Quotes `name` as an identifier, which cannot be interpreted as SQL, with room for `spare` bytes.
pub(super) fn quote(what: &str, name: &str, spare: usize) -> Result<String, Error> {
    let limit = MAX_NAME_BYTES - spare;
    let invalid = |why: String| Error::new(ErrorKind::InvalidInput, "name a table", why);
    if name.is_empty() || name.len() > limit {
        return Err(invalid(format!(
            "the {what} name is {} bytes long, but it must be 1 to {limit} bytes long",
            name.len()
        )));
    }
    if name.contains('\0') {
        return Err(invalid(format!("the {what} name contains a NUL character: remove it")));
    }
    Ok(format!("\"{}\"", name.replace('"', "\"\"")))
}

/// Returns `text` as a literal, independent of the server's setting for backslashes.
pub(super) fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// Returns the condition that a kind is not reserved for snapfold's internal documents.
pub(super) fn not_reserved(kind: &str) -> String {
    format!("NOT starts_with({kind}, '{}')", AggregateKey::RESERVED_PREFIX)
}

/// Computes a number for the advisory lock that is the same on every node and release.
fn fnv1a(bytes: &[u8]) -> i64 {
    let start: u64 = 0xcbf2_9ce4_8422_2325;
    bytes
        .iter()
        .fold(start, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
        .cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_so_that_no_name_is_sql() {
        let names = Names::new("s", "x\"; DROP TABLE y; --").unwrap();
        assert_eq!(names.snapshots, "\"s\".\"x\"\"; DROP TABLE y; --\"");
        assert_eq!(names.migrations, "\"s\".\"x\"\"; DROP TABLE y; --_migrations\"");
    }

    #[test]
    fn names_that_postgres_would_cut_or_refuse_are_refused_first() {
        for (schema, table) in
            [("", "t"), ("s", ""), ("s\0", "t"), ("s", &"t".repeat(52)), (&"s".repeat(64), "t")]
        {
            let error = Names::new(schema, table).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{schema:?} {table:?}");
        }
        assert!(Names::new("s", &"t".repeat(51)).is_ok());
    }
}
