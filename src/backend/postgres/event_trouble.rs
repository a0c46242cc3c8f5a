//! Translates the server's errors about an event table.

use sqlx::postgres::{PgColumn, PgDatabaseError, PgErrorPosition};
use sqlx::{Column, TypeInfo};

use super::error::{cause, code};
use super::event_columns::{Columns, RecordedAs};
use super::event_row::EventColumns;
use crate::error::{Error, ErrorKind};

/// The marks around the SQL that reads events.
pub(super) const BEGIN: &str = "/* events */ ";
pub(super) const END: &str = " /* end */";

/// Translates `error` for a table with these columns, or for a query, if it is caused by the part
/// of the statement `sql` that reads events.
pub(super) fn explain(
    operation: &'static str,
    table: Option<&Columns>,
    sql: &str,
    error: &sqlx::Error,
) -> Option<Error> {
    let code = code(error)?;
    let (begin, end) = (sql.find(BEGIN)?, sql.rfind(END)?);
    let column = match position(sql, error) {
        Some(at) if (begin..end).contains(&at) => {
            table.and_then(|_| column_at(sql.get(begin..)?, at - begin))
        }
        // If the query returns too few columns, the error has no position.
        None if code == "42P10" && table.is_none() => None,
        _ => return None,
    };
    let what = match (&*code, column) {
        ("42P01" | "3F000", _) => "no such table exists for the role of this pool".to_owned(),
        ("42704", _) => "there is no such type (see id_as, kind_as and tenant_as)".to_owned(),
        ("42703", Some(column)) => format!("the table has no column {column:?}"),
        ("42883" | "42846" | "42804" | "42725", Some(column)) => format!(
            "the column {column:?} does not have the configured type{}",
            advice(table, &column)
        ),
        ("42703" | "42883" | "42846" | "42804" | "42725" | "42601" | "42P10" | "42P18", _) => {
            "the server refused the query or one of its columns".to_owned()
        }
        _ => return None,
    };
    let message = format!("check EventTable: {what}");
    Some(Error::new(ErrorKind::InvalidInput, operation, message).with_source(cause(error)))
}

/// Returns the position in `sql` that the server reports.
fn position(sql: &str, error: &sqlx::Error) -> Option<usize> {
    let error = error.as_database_error()?.try_downcast_ref::<PgDatabaseError>()?;
    match error.position()? {
        PgErrorPosition::Original(at) => {
            sql.char_indices().nth(at.checked_sub(1)?).map(|(at, _)| at)
        }
        PgErrorPosition::Internal { .. } => None,
    }
}

fn advice(columns: Option<&Columns>, column: &str) -> &'static str {
    let Some(columns) = columns else { return "" };
    let key = [columns.tenant.as_ref(), columns.kind.as_ref(), Some(&columns.id)];
    if key.into_iter().flatten().any(|(name, _)| name == column) {
        ": use uuid_id or bigint_id, or (for enums) id_as, kind_as or tenant_as"
    } else if columns.version() == column {
        ": use an integer type for the version"
    } else if columns.is_timed() && columns.recorded_at == column {
        ": use recorded_at for timestamptz, or recorded_at_micros for bigint"
    } else {
        ""
    }
}

/// Returns the column that `sql` names at `at`, or the last one before it.
fn column_at(sql: &str, at: usize) -> Option<String> {
    let (before, from) = sql.split_at_checked(at)?;
    let is_name = |text: &str| text.starts_with("e.\"") || text.starts_with("f.\"");
    let start = if is_name(from) {
        at
    } else {
        before.rfind("e.\"").into_iter().chain(before.rfind("f.\"")).max()?
    };
    let mut rest = sql.get(start + 3..)?;
    let mut name = String::new();
    loop {
        let end = rest.find('"')?;
        name.push_str(rest.get(..end)?);
        rest = rest.get(end + 1..)?;
        match rest.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return Some(name),
        }
    }
}

/// Checks that the columns of a result have types that can be read.
pub(super) fn check_types(
    columns: EventColumns,
    named: Option<&Columns>,
    result: &[PgColumn],
) -> Result<(), Error> {
    let type_of = |at: usize| result.get(at).map_or("", |column| column.type_info().name());
    let wrong = |what: &str, name: Option<&str>, of: &str, wanted: &str| {
        let what = name.map_or_else(|| what.to_owned(), |name| format!("the column {name:?}"));
        let message = format!("check EventTable: {what} has the type {of}: {wanted}");
        Err(Error::new(ErrorKind::InvalidInput, "read events", message))
    };
    let recorded_as = named.map(|named| named.recorded_as);
    let time_column = named.map(|named| named.recorded_at.as_str());
    let what = "the recorded time of the query";
    match (type_of(EventColumns::RECORDED_AT), recorded_as) {
        ("TIMESTAMPTZ", None | Some(RecordedAs::Timestamptz))
        | ("INT8", None | Some(RecordedAs::Micros))
        | (_, Some(RecordedAs::Untimed)) => {}
        ("TIMESTAMP", _) => {
            return wrong(
                what,
                time_column,
                "timestamp without time zone",
                "its meaning depends on the session, so make it a timestamptz, or use \
                 EventTable::query with AT TIME ZONE",
            );
        }
        (of, _) => {
            return wrong(
                what,
                time_column,
                of,
                "use recorded_at for timestamptz, or recorded_at_micros for bigint",
            );
        }
    }
    let payload = type_of(EventColumns::PAYLOAD);
    if is_no_payload(payload) {
        let name = named.map(|named| named.payload.as_str());
        let wanted = "use bytea, text, json or jsonb";
        return wrong("the payload of the query", name, payload, wanted);
    }
    if let Some(at) = columns.metadata() {
        let of = type_of(at);
        if is_no_payload(of) {
            let name = named.and_then(|named| named.metadata.as_deref());
            let wanted = "use bytea, text, json or jsonb";
            return wrong("the metadata of the query", name, of, wanted);
        }
    }
    if let Some(at) = columns.event_type() {
        let of = type_of(at);
        if is_no_payload(of) || matches!(of, "BYTEA" | "JSON" | "JSONB") {
            let name = named.and_then(|named| named.event_type.as_deref());
            return wrong("the event type of the query", name, of, "use text");
        }
    }
    Ok(())
}

/// Returns whether a column of this type certainly does not contain a payload.
fn is_no_payload(of: &str) -> bool {
    matches!(
        of,
        "BOOL"
            | "INT2"
            | "INT4"
            | "INT8"
            | "FLOAT4"
            | "FLOAT8"
            | "NUMERIC"
            | "OID"
            | "UUID"
            | "DATE"
            | "TIME"
            | "TIMETZ"
            | "TIMESTAMP"
            | "TIMESTAMPTZ"
            | "INTERVAL"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_column_that_a_refusal_is_about_is_found() {
        let sql = "SELECT e.\"a\", e.\"b\"\"c\" FROM t e WHERE e.\"d\" = $1 AND f.\"x\" > 1";
        let at = |text: &str| sql.find(text).unwrap();
        for (position, column) in [
            (at("e.\"a"), "a"),
            (at("e.\"b"), "b\"c"),
            (at("FROM"), "b\"c"),
            (at("= $1"), "d"),
            (at("> 1"), "x"),
        ] {
            assert_eq!(column_at(sql, position).as_deref(), Some(column));
        }
        assert_eq!(column_at(sql, 0), None);
        assert_eq!(column_at("e.\"a", 0), None);
    }
}
