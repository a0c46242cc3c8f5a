//! [`Columns`]: the columns of an event table, and the SQL that reads them.

use std::fmt::Write as _;

use super::key_type::KeyType;
use super::names::quote;
use super::placeholders::Placeholders;
use crate::error::{Error, ErrorKind};
use crate::key::AggregateKey;

/// The names of a table and its columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    pub(super) schema: Option<String>,
    pub(super) table: String,
    pub(super) tenant: Option<(String, KeyType)>,
    pub(super) kind: Option<(String, KeyType)>,
    pub(super) id: (String, KeyType),
    /// The column of the version, and its value for the first event.
    pub(super) version: (String, i32),
    pub(super) recorded_at: String,
    pub(super) recorded_as: RecordedAs,
    pub(super) anchor: Option<String>,
    pub(super) event_type: Option<String>,
    pub(super) event_version: Option<String>,
    pub(super) metadata: Option<String>,
    pub(super) payload: String,
}

/// The type of the column that contains the recorded time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecordedAs {
    Timestamptz,
    Micros,
    /// There is no such column.
    Untimed,
}

impl Columns {
    pub(super) fn new(table: String) -> Self {
        Self {
            schema: None,
            table,
            tenant: None,
            kind: None,
            id: ("id".into(), KeyType::Text),
            version: ("version".into(), 1),
            recorded_at: "recorded_at".into(),
            recorded_as: RecordedAs::Timestamptz,
            anchor: None,
            event_type: None,
            event_version: None,
            metadata: None,
            payload: "payload".into(),
        }
    }

    pub(super) fn version(&self) -> &str {
        &self.version.0
    }

    /// Returns the value of the version column for the first event.
    pub(super) fn first(&self) -> i64 {
        self.version.1.into()
    }

    pub(super) fn is_timed(&self) -> bool {
        self.recorded_as != RecordedAs::Untimed
    }

    /// Returns the difference between the column's value and the version.
    fn shift(&self) -> i64 {
        self.first() - 1
    }

    /// Checks the names.
    pub(super) fn check(&self) -> Result<(), Error> {
        let at = Placeholders {
            tenant: "",
            kind: "",
            id: "",
            after: "",
            until: None,
            until_time: None,
            extra: "",
        };
        self.tail_sql(&at).map(drop)
    }

    pub(super) fn check_key(&self, key: &AggregateKey) -> Result<(), Error> {
        let tenant = self.tenant.as_ref().map(|column| ("tenant", key.tenant(), column));
        let kind = self.kind.as_ref().map(|column| ("kind", key.kind(), column));
        let id = Some(("id", key.id(), &self.id));
        for (what, part, (column, of)) in [tenant, kind, id].into_iter().flatten() {
            of.check(what, part, column)?;
        }
        Ok(())
    }

    /// Returns the quoted name of the table, with its schema if that is known.
    pub(super) fn from(&self) -> Result<String, Error> {
        let (schema, table) = match (&self.schema, self.table.split_once('.')) {
            (Some(schema), _) => (Some(schema.as_str()), self.table.as_str()),
            (None, Some((schema, table))) if table.contains('.') => {
                return Err(Error::new(
                    ErrorKind::InvalidInput,
                    "name a table",
                    format!(
                        "{schema}.{table} has more than one dot: set the schema with \
                         EventTable::schema, and pass only the table name"
                    ),
                ));
            }
            (None, Some((schema, table))) => (Some(schema), table),
            (None, None) => (None, self.table.as_str()),
        };
        let table = quote("table", table, 0)?;
        Ok(match schema {
            Some(schema) => format!("{}.{table}", quote("schema", schema, 0)?),
            None => table,
        })
    }

    /// Returns the conditions that select the events of an aggregate.
    fn of_key(&self, at: &Placeholders<'_>, alias: &str) -> Result<String, Error> {
        let tenant = self.tenant.as_ref().map(|column| (column, at.tenant));
        let kind = self.kind.as_ref().map(|column| (column, at.kind));
        let id = Some((&self.id, at.id));
        let mut conditions = Vec::new();
        for ((column, of), value) in [tenant, kind, id].into_iter().flatten() {
            let column = quote("column", column, 0)?;
            conditions.push(format!("{alias}.{column} = {}", of.cast(value)?));
        }
        Ok(conditions.join(" AND "))
    }

    /// Selects the events within the bounds, in order.
    pub(super) fn tail_sql(&self, at: &Placeholders<'_>) -> Result<String, Error> {
        let column = |name: &str| quote("column", name, 0);
        let optional = |name: &Option<String>| -> Result<String, Error> {
            name.as_ref().map_or(Ok(String::new()), |name| Ok(format!(", e.{}", column(name)?)))
        };
        let (from, version, shift) = (self.from()?, column(self.version())?, self.shift());
        let after = shifted(at.after, shift);
        let mut stop = String::new();
        if let Some(until) = at.until {
            stop = format!(" AND e.{version} <= {}", shifted(until, shift));
        }
        if let Some((micros, time)) = at.until_time.filter(|_| self.is_timed()) {
            let bound = if self.recorded_as == RecordedAs::Micros { micros } else { time };
            // The first event that was recorded later ends the tail and is part of it, so that the
            // fold can detect that the tail is complete.
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
        let recorded_at = if self.is_timed() {
            format!("e.{}", column(&self.recorded_at)?)
        } else {
            "NULL::timestamptz".to_owned()
        };
        Ok(format!(
            "SELECT {selected}, {recorded_at}, e.{}{}{}{}{}{} FROM {from} e \
             WHERE {} AND e.{version} > {after}{stop} \
             ORDER BY e.{version}",
            column(&self.payload)?,
            optional(&self.anchor)?,
            optional(&self.event_type)?,
            if self.event_version.is_some() {
                optional(&self.event_version)? + "::text"
            } else {
                String::new()
            },
            optional(&self.metadata)?,
            at.extra,
            self.of_key(at, "e")?,
        ))
    }

    /// Selects the lowest and the highest version.
    pub(super) fn range_sql(&self, at: &Placeholders<'_>) -> Result<String, Error> {
        let (version, shift) = (quote("column", self.version(), 0)?, self.shift());
        Ok(format!(
            "SELECT min(e.{version})::int8 - ({shift}), max(e.{version})::int8 - ({shift}) \
             FROM {} e WHERE {}",
            self.from()?,
            self.of_key(at, "e")?,
        ))
    }
}

/// Returns the SQL expression `bound + shift`, which must not overflow for the highest version.
fn shifted(bound: &str, shift: i64) -> String {
    match shift {
        0 => bound.to_owned(),
        shift if shift < 0 => format!("({bound}) - {}", shift.unsigned_abs()),
        shift => format!("least({bound}, 9223372036854775807 - {shift}) + {shift}"),
    }
}
