//! [`EventKeys`]: pages of the aggregates that have events.

use sqlx::Row;

use super::connection::{CallFailure, Operation, Session};
use super::error::StatementEffect;
use super::event_columns::Columns;
use super::event_table::EventTable;
use super::event_trouble::{BEGIN, END, explain};
use super::key_type::KeyType;
use super::names::quote;
use super::page::MAX_ITEMS;
use super::statement::{Statement, select};
use crate::error::{Error, ErrorKind};
use crate::key::AggregateKey;
use crate::store::{Cursor, KeysRequest, Page};

const OPERATION: &str = "list aggregates with events";

/// One page of keys. Its cost depends on the number of keys in it, not on their events: an index
/// search that starts after the previous key finds each key.
pub(super) struct EventKeys<'a> {
    request: KeysRequest<'a>,
    /// The kind of keys in a table without a kind column, if the request does not name one.
    kind: &'static str,
    statement: Statement,
    after: Option<AggregateKey>,
    table: &'a EventTable,
}

/// A part of the key that the table has a column for.
struct KeyPart<'a> {
    column: String,
    of: &'a KeyType,
    /// The parameter of the request's filter, if there is one.
    filter: Option<&'static str>,
    /// The parameter with this part of the previous page's last key.
    last: &'static str,
}

impl<'a> EventKeys<'a> {
    /// Returns `None` if no key can satisfy the request.
    pub(super) fn new(
        table: &'a EventTable,
        request: KeysRequest<'a>,
        kind: &'static str,
    ) -> Result<Option<Self>, Error> {
        let Some(columns) = table.named() else {
            let message = "EventTable::query cannot list aggregates: name the table and columns";
            return Err(Error::new(ErrorKind::Unsupported, OPERATION, message));
        };
        let of_another = |tenant| table.owner().is_some_and(|owner| owner != tenant);
        if request.tenant.is_some_and(of_another) {
            return Ok(None);
        }
        let after = request.after.map(Cursor::to_key).transpose()?;
        let texts = [request.tenant, request.kind].into_iter().flatten();
        let after_texts =
            after.iter().flat_map(|key| [key.tenant(), key.kind(), key.id()]).chain(texts);
        if after_texts.into_iter().any(|text| text.contains('\0')) {
            return Ok(None);
        }
        if let Some(key) = &after {
            columns.check_key(key)?;
        }
        for (what, text, column) in [
            ("tenant", request.tenant, columns.tenant.as_ref()),
            ("kind", request.kind, columns.kind.as_ref()),
        ] {
            if let (Some(text), Some((column, of))) = (text, column) {
                of.check(what, text, column)?;
            }
        }
        let statement = statement(columns, &request, after.is_some())?;
        Ok(Some(Self { request, kind, statement, after, table }))
    }
}

fn statement(
    columns: &Columns,
    request: &KeysRequest<'_>,
    goes_on: bool,
) -> Result<Statement, Error> {
    let part = |column: &'_ Option<(String, KeyType)>| column.clone();
    let (tenant, kind) = (part(&columns.tenant), part(&columns.kind));
    let id = Some(columns.id.clone());
    let mut parts = Vec::new();
    for (column, filter, last) in [
        (&tenant, request.tenant.map(|_| "$2"), "$4"),
        (&kind, request.kind.map(|_| "$3"), "$5"),
        (&id, None, "$6"),
    ] {
        if let Some((column, of)) = column {
            parts.push(KeyPart { column: quote("column", column, 0)?, of, filter, last });
        }
    }
    let from = columns.from()?;
    let list =
        |of: &dyn Fn(&KeyPart<'_>) -> String| parts.iter().map(of).collect::<Vec<_>>().join(", ");
    let names = list(&|part| format!("e.{}", part.column));
    let own = list(&|part| format!("k.{}", part.column));
    let mut within = vec!["true".to_owned()];
    for part in &parts {
        within.push(format!("e.{} IS NOT NULL", part.column));
        if let Some(filter) = part.filter {
            within.push(format!("e.{} = {}", part.column, part.of.cast(filter)?));
        }
    }
    let within = within.join(" AND ");
    let mut first = String::new();
    if goes_on {
        let bounds =
            parts.iter().map(|part| part.of.cast(part.last)).collect::<Result<Vec<_>, _>>()?;
        first = format!(" AND ({names}) > ({})", bounds.join(", "));
    }
    let find = |condition: &str| {
        format!("SELECT {names} FROM {from} e WHERE {within}{condition} ORDER BY {names} LIMIT 1")
    };
    let (first, next) = (find(&first), find(&format!(" AND ({names}) > ({own})")));
    let text = |column: &Option<(String, KeyType)>| match column {
        Some((column, _)) => Ok::<_, Error>(format!("k.{}::text", quote("column", column, 0)?)),
        None => Ok("NULL::text".to_owned()),
    };
    let (tenant, kind, id) = (text(&tenant)?, text(&kind)?, text(&id)?);
    let rows = format!("SELECT k.snapfold_n, {tenant}, {kind}, {id} FROM k");
    // Give every parameter a type, including those that the table does not use.
    let typed = "num_nulls($2::text, $3::text, $4::text, $5::text, $6::text) < 6";
    Ok(Statement::new(|guard| {
        let rows = format!("{rows} WHERE {typed}");
        let order = "ORDER BY snapfold_n";
        format!(
            "WITH RECURSIVE {BEGIN}k AS (\
               SELECT f.*, 1::int8 AS snapfold_n FROM ({first}) AS f \
               UNION ALL \
               SELECT f.*, k.snapfold_n + 1 FROM k CROSS JOIN LATERAL ({next}) AS f \
               WHERE k.snapfold_n < $1){END} \
             {}",
            select(guard, &rows, order)
        )
    }))
}

impl Operation for EventKeys<'_> {
    type Output = Page<AggregateKey, Cursor>;
    const NAME: &'static str = OPERATION;
    const EFFECT: StatementEffect = StatementEffect::Read;

    fn explain(&self, error: &sqlx::Error) -> Option<Error> {
        explain(Self::NAME, self.table.named(), self.statement.sql(), error)
    }

    async fn run(&mut self, session: &mut Session<'_>) -> Result<Self::Output, CallFailure> {
        let limit = self.request.limit.clamp(1, MAX_ITEMS);
        let after = self.after.as_ref();
        let query = self
            .statement
            .query(session)
            .bind(i64::try_from(limit + 1).unwrap_or(i64::MAX))
            .bind(self.request.tenant)
            .bind(self.request.kind)
            .bind(after.map(AggregateKey::tenant))
            .bind(after.map(AggregateKey::kind))
            .bind(after.map(AggregateKey::id));
        let rows = self.statement.all(query, session).await?;
        let mut keys = Vec::with_capacity(rows.len().min(limit));
        for row in rows.iter().take(limit) {
            let part = |at: usize| row.try_get::<Option<&str>, _>(at);
            let tenant = part(2)?.or(self.table.owner()).unwrap_or_default();
            // A table without the column is read for every kind.
            let kind = part(3)?.or(self.request.kind).unwrap_or(self.kind);
            keys.push(AggregateKey::from_parts(tenant, kind, part(4)?.unwrap_or_default())?);
        }
        let next = keys.last().filter(|_| rows.len() > limit).map(Cursor::of_key);
        Ok(Page::new(keys, next))
    }
}
