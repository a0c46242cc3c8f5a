//! `rewrite`: replaces records that are still as expected.

use sqlx::Row;

use super::connection::{CallFailure, Operation, Session};
use super::error::{StatementEffect, damaged};
use super::names::Names;
use super::put::{PutRow, bind, item};
use super::put_sql::{PRIMARY_KEY, input};
use super::statement::{Statement, select};
use crate::error::Error;
use crate::store::Rewrite;

/// The maximum size of one statement, unless a single record is larger.
const MAX_STATEMENT_BYTES: usize = 32 << 20;

const NAME: &str = "rewrite snapshots";

/// Locks the rows with the expected headers, in the order in which puts lock them, and replaces
/// their records. Returns the positions of those that were replaced. `$15` contains the expected
/// headers. The as-of times stay the same, so the order of times does as well.
pub(super) fn statement(names: &Names) -> Statement {
    let Names { snapshots, .. } = names;
    let is_expected = "t.header = ($15::bytea[])[i.place::int4]";
    let columns = ["created_at", "codec", "raw_bytes", "base", "header", "payload"];
    let set = columns.map(|column| format!("{column} = i.{column}")).join(", ");
    let own = PRIMARY_KEY.split(", ").map(|part| format!("t.{part} = i.{part}"));
    let own = own.collect::<Vec<_>>().join(" AND ");
    Statement::new(|guard| {
        format!(
            "WITH {}, \
             l AS MATERIALIZED (SELECT i.place FROM i JOIN {snapshots} AS t ON {own} \
               WHERE {is_expected} ORDER BY i.place FOR UPDATE OF t), \
             n AS (UPDATE {snapshots} AS t SET {set} FROM i JOIN l USING (place) \
               WHERE {own} AND {is_expected} RETURNING i.place) \
             {}",
            input(guard, 16),
            select(guard, "SELECT place FROM n", "")
        )
    })
}

/// The rewrites of one statement.
pub(super) struct RewriteSome<'a> {
    statement: &'a Statement,
    /// In the order of their identities.
    items: Vec<(PutRow, &'a Rewrite)>,
}

impl<'a> RewriteSome<'a> {
    /// Checks the rewrites and splits them into statements, so that each is a short transaction.
    pub(super) fn split(
        statement: &'a Statement,
        rewrites: &'a [Rewrite],
        max_record_bytes: u64,
    ) -> Result<Vec<Self>, Error> {
        Rewrite::check_all(rewrites)?;
        let mut items = Vec::with_capacity(rewrites.len());
        for (place, rewrite) in rewrites.iter().enumerate() {
            items.push((item(place, rewrite.record.clone(), max_record_bytes)?, rewrite));
        }
        items.sort_by(|(a, _), (b, _)| a.identity().cmp(&b.identity()));
        let (mut parts, mut part, mut bytes) = (Vec::new(), Vec::new(), 0);
        for item in items {
            bytes += item.1.record.as_bytes().len();
            if bytes > MAX_STATEMENT_BYTES && !part.is_empty() {
                bytes = item.1.record.as_bytes().len();
                parts.push(Self { statement, items: std::mem::take(&mut part) });
            }
            part.push(item);
        }
        if !part.is_empty() {
            parts.push(Self { statement, items: part });
        }
        Ok(parts)
    }
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
