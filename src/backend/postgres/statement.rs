//! [`Statement`]: a statement that verifies that a result is its own.

use std::sync::Arc;

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::{AssertSqlSafe, Column, Postgres, Row, ValueRef};
use twox_hash::XxHash3_64;

use super::connection::{CallFailure, Session};

/// A statement with some of its parameters.
pub(super) type Bound<'q> = sqlx::query::Query<'q, Postgres, PgArguments>;

/// The text of a statement and its guard.
///
/// A connection pooler that may assign another server connection to each transaction can combine
/// the parameters of one statement with the text of another: clients refer to prepared statements
/// by names, and two clients use the same names. If the types fit, the server answers without an
/// error. So every statement has a guard, a number computed from its text, which includes the names
/// of its tables:
/// - the first column of the first row contains it, and there is always a row;
/// - a statement that writes also takes it as its last parameter, and writes nothing if the
///   parameter differs from the number in its text.
///
/// So the result of another statement is never accepted, and no statement writes with the
/// parameters of another.
#[derive(Clone, Debug)]
pub(super) struct Statement {
    sql: Arc<str>,
    guard: i64,
}

impl Statement {
    /// Creates the statement that `text` builds, given the guard as an SQL expression.
    pub(super) fn new(text: impl Fn(&str) -> String) -> Self {
        let guard = guard_of(&text(""));
        Self { sql: text(&literal(guard)).into(), guard }
    }

    /// Creates the statement that a fallible `text` builds.
    pub(super) fn try_new<E>(text: impl Fn(&str) -> Result<String, E>) -> Result<Self, E> {
        let guard = guard_of(&text("")?);
        Ok(Self { sql: text(&literal(guard))?.into(), guard })
    }

    pub(super) fn sql(&self) -> &str {
        &self.sql
    }

    /// Returns the guard, which is the last parameter of a statement that writes. Always below -1.
    pub(super) fn guard(&self) -> i64 {
        self.guard
    }

    /// Returns the query, without its parameters.
    pub(super) fn query<'q>(&self, session: &Session<'_>) -> Bound<'q> {
        sqlx::query(AssertSqlSafe(Arc::clone(&self.sql))).persistent(session.prepared)
    }

    /// Checks that `row` belongs to this statement. Call this before reading other columns: a row
    /// of another statement may have fewer.
    pub(super) fn check(&self, row: &PgRow) -> Result<(), CallFailure> {
        match row.try_get::<Option<i64>, _>(0) {
            Ok(Some(guard)) if guard == self.guard => Ok(()),
            _ => Err(CallFailure::Foreign),
        }
    }

    /// Checks that the columns after the first have the types that this client received when it
    /// prepared the statement. `row` is the first one of a [`typed`] statement with `count`
    /// columns.
    pub(super) fn check_types(row: &PgRow, count: usize) -> Result<(), CallFailure> {
        let told = (1..count).try_fold(0, |sum, at| {
            let oid = row.try_column(at)?.type_info().oid().map_or(0, |oid| i64::from(oid.0));
            Ok::<_, sqlx::Error>(sum ^ oid << shift(at))
        })?;
        let value = row.try_get_raw(count)?;
        let real = value.as_bytes().ok().and_then(|bytes| bytes.try_into().ok());
        if real.map(i64::from_be_bytes) == Some(told) { Ok(()) } else { Err(CallFailure::Retyped) }
    }

    /// Returns the single row of the result.
    pub(super) async fn one(
        &self,
        query: Bound<'_>,
        session: &mut Session<'_>,
    ) -> Result<PgRow, CallFailure> {
        let row =
            query.fetch_optional(&mut *session.connection).await?.ok_or(CallFailure::Foreign)?;
        self.check(&row)?;
        Ok(row)
    }

    /// Returns the rows of the result of a [`select`], with the guard in front of their own
    /// columns.
    pub(super) async fn all(
        &self,
        query: Bound<'_>,
        session: &mut Session<'_>,
    ) -> Result<Vec<PgRow>, CallFailure> {
        let mut rows = query.fetch_all(&mut *session.connection).await?;
        let first = rows.first().ok_or(CallFailure::Foreign)?;
        self.check(first)?;
        if first.try_get_raw(1)?.is_null() {
            rows.clear();
        }
        Ok(rows)
    }
}

/// Prepends `guard` to each row of `rows`, a query whose first column is never NULL. Without rows
/// the result is one row whose other columns are NULL. `order` is an `ORDER BY` over the columns of
/// `q`, or empty.
pub(super) fn select(guard: &str, rows: &str, order: &str) -> String {
    format!("SELECT {guard}, q.* FROM (SELECT) AS g LEFT JOIN ({rows}) AS q ON true {order}")
}

/// Selects the rows of `rows`, and one further column of bytes. `rows` is a query of `count`
/// columns whose first one is `guard` in one row. The further column is that of `rows` (its last
/// one, if `count` is one less than all). In the row of the guard, it is a number computed from the
/// types of the columns in between. The server computes the types at each call. A client that
/// prepared its statement before a column was altered knows other types.
pub(super) fn typed(guard: &str, count: usize, rows: &str, bytes: bool) -> String {
    let names = |upto: usize| (0..upto).map(|n| format!("c{n}")).collect::<Vec<_>>().join(", ");
    let types: Vec<_> = (1..count)
        .map(|at| format!("pg_typeof(u.c{at})::oid::int8 << {}", shift(at)))
        .map(|of| format!("({of})"))
        .collect();
    let (own, all) = if bytes { (" ELSE u.own", ", own") } else { ("", "") };
    format!(
        "SELECT {}, CASE u.c0 WHEN {guard} THEN int8send({}){own} END FROM ({rows}) AS u ({}{all})",
        names(count),
        types.join(" # "),
        names(count)
    )
}

/// Returns the bit shift of a column's type, so that columns are distinguished.
const fn shift(column: usize) -> usize {
    7 * (column - 1)
}

/// Computes a guard. It is negative, so that it differs from every version, count and position, and
/// far from the lowest number, so that it can be written as a literal.
fn guard_of(text: &str) -> i64 {
    -2 - (XxHash3_64::oneshot(text.as_bytes()) >> 2).cast_signed()
}

fn literal(guard: i64) -> String {
    format!("({guard})::int8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_statements_have_two_guards_and_one_has_the_same_everywhere() {
        let of = |table: &str| Statement::new(|guard| format!("SELECT {guard} FROM {table}"));
        let (a, b) = (of("a"), of("b"));
        assert_ne!(a.guard(), b.guard());
        assert_eq!(a.guard(), of("a").guard());
        assert!(a.guard() < -1 && b.guard() < -1);
        assert_eq!(a.sql(), format!("SELECT ({})::int8 FROM a", a.guard()));
    }
}
