//! Where the application keeps its events: [`EventTable`].

use std::fmt::Write as _;

use super::event_row::EventColumns;
use super::names::quote;
use crate::error::{Error, ErrorKind};

/// Where the application keeps its events: the names of a table and its columns, or a query.
///
/// ```
/// use snapfold::EventTable;
///
/// // A table `events` with the columns aggregate_type, aggregate_id, version, recorded_at, payload.
/// let table = EventTable::new("events").kind("aggregate_type").id("aggregate_id");
/// // Anything else: a query that yields version, recorded_at, anchor, type and payload.
/// let query = EventTable::query(
///     "SELECT position + 1, created, event_id, NULL, data FROM messages
///      WHERE stream = {kind} || '-' || {id} AND position >= {after} AND position < {until}",
/// );
/// ```
///
/// With names, an index on (tenant, kind, id, version), without those columns that there are not,
/// makes a load cheap. A unique one also keeps two writers from writing the same version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventTable(Shape);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Shape {
    Named(Box<Columns>),
    Query(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Columns {
    schema: Option<String>,
    table: String,
    tenant: Option<String>,
    kind: Option<String>,
    id: String,
    id_type: &'static str,
    version: String,
    first: i64,
    recorded_at: String,
    recorded_as: RecordedAs,
    anchor: Option<String>,
    event_type: Option<String>,
    payload: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RecordedAs {
    Timestamptz,
    Micros,
}

/// How the SQL of a load writes the values that a tail depends on.
pub(super) struct Placeholders<'a> {
    pub(super) tenant: &'a str,
    pub(super) kind: &'a str,
    pub(super) id: &'a str,
    /// The version after which to read (exclusive).
    pub(super) after: &'a str,
    /// The version up to which to read (inclusive), if there is one.
    pub(super) until: Option<&'a str>,
    /// The time (microseconds as a `bigint`, and as a `timestamptz`) after which an event is the
    /// last one to read, if there is one.
    pub(super) until_time: Option<(&'a str, &'a str)>,
    /// What is selected beside the columns of the event, a comma before each.
    pub(super) extra: &'a str,
}

impl EventTable {
    /// The table `table`, found by the search path, with the columns `id`, `version` (of an
    /// integer type; the first event has 1), `recorded_at` (`timestamptz`) and `payload` (`bytea`,
    /// `text`, `json` or `jsonb`).
    pub fn new(table: impl Into<String>) -> Self {
        Self(Shape::Named(Box::new(Columns {
            schema: None,
            table: table.into(),
            tenant: None,
            kind: None,
            id: "id".into(),
            id_type: "text",
            version: "version".into(),
            first: 1,
            recorded_at: "recorded_at".into(),
            recorded_as: RecordedAs::Timestamptz,
            anchor: None,
            event_type: None,
            payload: "payload".into(),
        })))
    }

    /// A query of the application's own. It is trusted: never build it from foreign input.
    ///
    /// It yields five columns in this order: version (`bigint`), recorded at (`timestamptz`, or a
    /// `bigint` of microseconds), anchor (any type, or NULL), type of the event (`text`, or NULL),
    /// payload (`bytea`, `text`, `json` or `jsonb`). `{tenant}`, `{kind}` and `{id}` stand for the
    /// parts of the key (`text`), `{after}` and `{until}` for the bounds of the version (exclusive
    /// and inclusive, `bigint`). Order and limit are added to it.
    pub fn query(sql: impl Into<String>) -> Self {
        Self(Shape::Query(sql.into()))
    }

    fn with(mut self, set: impl FnOnce(&mut Columns)) -> Self {
        if let Shape::Named(columns) = &mut self.0 {
            set(columns);
        }
        self
    }

    /// The schema of the table. This and all that follows has no effect on a query.
    pub fn schema(self, schema: impl Into<String>) -> Self {
        self.with(|c| c.schema = Some(schema.into()))
    }

    /// The column of the tenant (`text`); without it, the table is read for every tenant.
    pub fn tenant(self, column: impl Into<String>) -> Self {
        self.with(|c| c.tenant = Some(column.into()))
    }

    /// The column of the kind (`text`); without it, the table is read for every kind.
    pub fn kind(self, column: impl Into<String>) -> Self {
        self.with(|c| c.kind = Some(column.into()))
    }

    /// The column of the id, of type `text`.
    pub fn id(self, column: impl Into<String>) -> Self {
        self.with(|c| c.id = column.into())
    }

    /// The column of the id, of type `uuid`. An id that is none fails the load.
    pub fn uuid_id(self, column: impl Into<String>) -> Self {
        self.with(|c| (c.id, c.id_type) = (column.into(), "uuid"))
    }

    /// The column of the version, and what it holds for the first event of an aggregate, usually 1
    /// or 0.
    pub fn version(self, column: impl Into<String>, first: i32) -> Self {
        self.with(|c| (c.version, c.first) = (column.into(), first.into()))
    }

    /// The column of the recorded time, of type `timestamptz`.
    pub fn recorded_at(self, column: impl Into<String>) -> Self {
        self.with(|c| {
            (c.recorded_at, c.recorded_as) = (column.into(), RecordedAs::Timestamptz);
        })
    }

    /// The column of the recorded time, of type `bigint`: microseconds since 1970, UTC.
    pub fn recorded_at_micros(self, column: impl Into<String>) -> Self {
        self.with(|c| (c.recorded_at, c.recorded_as) = (column.into(), RecordedAs::Micros))
    }

    /// The column that identifies an event for ever (an event id, a hash), of any type: snapshots
    /// are compared with it (R6).
    pub fn anchor(self, column: impl Into<String>) -> Self {
        self.with(|c| c.anchor = Some(column.into()))
    }

    /// The column of the type of event, handed to the decoder.
    pub fn event_type(self, column: impl Into<String>) -> Self {
        self.with(|c| c.event_type = Some(column.into()))
    }

    /// The column of the payload.
    pub fn payload(self, column: impl Into<String>) -> Self {
        self.with(|c| c.payload = column.into())
    }

    /// Which columns [`tail_sql`](Self::tail_sql) selects.
    pub(super) fn columns(&self) -> EventColumns {
        match &self.0 {
            Shape::Named(columns) => EventColumns {
                anchor: columns.anchor.is_some(),
                event_type: columns.event_type.is_some(),
            },
            Shape::Query(_) => EventColumns { anchor: true, event_type: true },
        }
    }

    /// Selects the [`columns`](Self::columns) of the events within the bounds, in order.
    pub(super) fn tail_sql(&self, at: &Placeholders<'_>) -> Result<String, Error> {
        match &self.0 {
            Shape::Named(columns) => columns.tail_sql(at),
            Shape::Query(sql) => {
                // The type of its time is not known here: only the limit bounds it by time.
                let (sql, extra) = (substitute(sql, at)?, at.extra);
                Ok(format!(
                    "SELECT q.version::int8, q.recorded_at, q.payload, q.anchor, q.type{extra} \
                     FROM ({sql}) AS q (version, recorded_at, anchor, type, payload) \
                     ORDER BY q.version"
                ))
            }
        }
    }

    /// Selects the lowest and the highest version of an aggregate.
    pub(super) fn range_sql(&self, at: &Placeholders<'_>) -> Result<String, Error> {
        let tail = self.tail_sql(at)?;
        match &self.0 {
            Shape::Named(columns) => columns.range_sql(at),
            Shape::Query(_) => Ok(format!(
                "SELECT min(t.version), max(t.version) FROM ({tail}) AS t (version, a, b, c, d)"
            )),
        }
    }
}

impl Columns {
    fn from(&self) -> Result<String, Error> {
        let table = quote("table", &self.table, 0)?;
        Ok(match &self.schema {
            Some(schema) => format!("{}.{table}", quote("schema", schema, 0)?),
            None => table,
        })
    }

    /// The conditions that select the events of an aggregate.
    fn of_key(&self, at: &Placeholders<'_>, alias: &str) -> Result<String, Error> {
        let mut conditions = Vec::new();
        for (column, value) in [(&self.tenant, at.tenant), (&self.kind, at.kind)] {
            if let Some(column) = column {
                conditions.push(format!("{alias}.{} = {value}", quote("column", column, 0)?));
            }
        }
        let (id, id_type) = (quote("column", &self.id, 0)?, self.id_type);
        conditions.push(format!("{alias}.{id} = {}::{id_type}", at.id));
        Ok(conditions.join(" AND "))
    }

    fn tail_sql(&self, at: &Placeholders<'_>) -> Result<String, Error> {
        let column = |name: &String| quote("column", name, 0);
        let optional = |name: &Option<String>| -> Result<String, Error> {
            name.as_ref().map_or(Ok(String::new()), |name| Ok(format!(", e.{}", column(name)?)))
        };
        let (from, version) = (self.from()?, column(&self.version)?);
        // A version counts from 1; the column counts from `first`.
        let shift = self.first - 1;
        let after = shifted(at.after, shift);
        let mut stop = String::new();
        if let Some(until) = at.until {
            stop = format!(" AND e.{version} <= {}", shifted(until, shift));
        }
        if let Some((micros, time)) = at.until_time {
            let bound = match self.recorded_as {
                RecordedAs::Micros => micros,
                RecordedAs::Timestamptz => time,
            };
            // The first event that was recorded later ends the tail, and belongs to it: the fold
            // sees it and knows that it is complete.
            let _ = write!(
                stop,
                " AND e.{version} <= coalesce((SELECT f.{version} FROM {from} f WHERE {} \
                   AND f.{version} > {after} AND f.{} > {bound} ORDER BY f.{version} LIMIT 1), \
                   9223372036854775807)",
                self.of_key(at, "f")?,
                column(&self.recorded_at)?,
            );
        }
        let selected = if shift == 0 {
            format!("e.{version}::int8")
        } else {
            format!("e.{version}::int8 - ({shift})")
        };
        Ok(format!(
            "SELECT {selected}, e.{}, e.{}{}{}{} FROM {from} e \
             WHERE {} AND e.{version} > {after}{stop} \
             ORDER BY e.{version}",
            column(&self.recorded_at)?,
            column(&self.payload)?,
            optional(&self.anchor)?,
            optional(&self.event_type)?,
            at.extra,
            self.of_key(at, "e")?,
        ))
    }

    fn range_sql(&self, at: &Placeholders<'_>) -> Result<String, Error> {
        let version = quote("column", &self.version, 0)?;
        let shift = self.first - 1;
        Ok(format!(
            "SELECT min(e.{version})::int8 - ({shift}), max(e.{version})::int8 - ({shift}) \
             FROM {} e WHERE {}",
            self.from()?,
            self.of_key(at, "e")?,
        ))
    }
}

/// The text `bound + shift`, which must not overflow for the highest version.
fn shifted(bound: &str, shift: i64) -> String {
    match shift {
        0 => bound.to_owned(),
        shift if shift < 0 => format!("({bound}) - {}", shift.unsigned_abs()),
        shift => format!("least({bound}, 9223372036854775807 - {shift}) + {shift}"),
    }
}

/// The application's query with its placeholders filled in.
fn substitute(sql: &str, at: &Placeholders<'_>) -> Result<String, Error> {
    for required in ["{id}", "{after}"] {
        if !sql.contains(required) {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "read events",
                format!("the query of the event table does not contain {required}"),
            ));
        }
    }
    let texts = [("{tenant}", at.tenant), ("{kind}", at.kind), ("{id}", at.id)];
    let numbers = [("{after}", at.after), ("{until}", at.until.unwrap_or("9223372036854775807"))];
    let mut sql = sql.to_owned();
    for (name, value) in texts {
        sql = sql.replace(name, &format!("{value}::text"));
    }
    for (name, value) in numbers {
        sql = sql.replace(name, &format!("({value})::int8"));
    }
    Ok(sql)
}
