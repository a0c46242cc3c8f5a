//! `rewrite`: replaces records that are still as expected.

use sqlx::Row;

use super::connection::{CallFailure, Operation, Session};
use super::error::{StatementEffect, damaged};
use super::immutable::replaces;
use super::names::Names;
use super::put::{PutRow, bind, item};
use super::put_sql::{PRIMARY_KEY, input};
use super::statement::{Statement, select};
use crate::error::Error;
use crate::store::Rewrite;

const NAME: &str = "rewrite snapshots";

/// Locks the rows with the expected headers, in the order in which puts lock them, and replaces
/// their records. Returns the positions of those that were replaced. `$15` contains the expected
/// headers. The as-of times stay the same, so the order of times does as well.
pub(super) fn statement(names: &Names) -> Statement {
    let Names { snapshots, .. } = names;
    let is_expected = "t.header = ($15::bytea[])[i.place::int4]";
    let columns = ["created_at", "codec", "raw_bytes", "base", "header", "payload"];
    let set = columns.map(|column| format!("{column} = i.{column}")).join(", ");
    let replaces = replaces("t");
    let own = PRIMARY_KEY.split(", ").map(|part| format!("t.{part} = i.{part}"));
    let own = own.collect::<Vec<_>>().join(" AND ");
    Statement::new(|guard| {
        format!(
            "WITH {}, \
             l AS MATERIALIZED (SELECT i.place FROM i JOIN {snapshots} AS t ON {own} \
               WHERE {is_expected} ORDER BY i.place FOR UPDATE OF t), \
             n AS (UPDATE {snapshots} AS t SET {set}, {replaces} FROM i JOIN l USING (place) \
               WHERE {own} AND {is_expected} RETURNING i.place) \
             {}",
            input(guard, 16),
            select(guard, "SELECT place FROM n", "")
        )
    })
}

/// Checks rewrites, and sorts them by their identities.
pub(super) fn rows(
    rewrites: &[Rewrite],
    max_record_bytes: u64,
) -> Result<Vec<(PutRow, &Rewrite)>, Error> {
    Rewrite::check_all(rewrites)?;
    let row = |(place, rewrite): (usize, &'_ Rewrite)| {
        item(place, rewrite.record.clone(), max_record_bytes)
    };
    let rows = rewrites.iter().enumerate().map(row).zip(rewrites);
    let mut rows = rows.map(|(row, of)| Ok((row?, of))).collect::<Result<Vec<_>, Error>>()?;
    rows.sort_by(|(a, _), (b, _)| a.identity().cmp(&b.identity()));
    Ok(rows)
}

/// The rewrites of one statement.
pub(super) struct RewriteSome<'a> {
    pub(super) statement: &'a Statement,
    pub(super) items: &'a [(PutRow, &'a Rewrite)],
}

impl Operation for RewriteSome<'_> {
    /// The positions in the call of the rewrites that replaced a record.
    type Output = Vec<usize>;
    const NAME: &'static str = NAME;
    const EFFECT: StatementEffect = StatementEffect::Write;

    async fn run(&mut self, session: &mut Session<'_>) -> Result<Vec<usize>, CallFailure> {
        let rows: Vec<_> = self.items.iter().map(|(row, _)| row).collect();
        let expected: Vec<_> =
            self.items.iter().map(|(_, rewrite)| rewrite.expected_header()).collect();
        let query =
            bind(self.statement.query(session), &rows).bind(expected).bind(self.statement.guard());
        let mut replaced = Vec::new();
        for row in self.statement.all(query, session).await? {
            let at = usize::try_from(row.try_get::<i64, _>(1)?).ok();
            let row = at.and_then(|at| rows.get(at.checked_sub(1)?));
            replaced.push(row.ok_or_else(|| damaged(NAME, "an invalid position"))?.place);
        }
        Ok(replaced)
    }
}
