//! [`EventTable`]: describes the application's event table.

use sqlx::postgres::PgColumn;

use super::event_columns::{Columns, RecordedAs};
use super::event_query::EventQuery;
use super::event_row::EventColumns;
use super::event_trouble::{BEGIN, END, check_types};
use super::key_type::KeyType;
use super::placeholders::Placeholders;
use crate::error::{Error, ErrorKind};
use crate::key::AggregateKey;

/// Describes the application's event table: its name and columns, or a query.
///
/// ```
/// use snapfold::postgres::EventTable;
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
/// To make loads cheap on a table that is described by its columns, create an index on (tenant,
/// kind, id, version), and omit the columns that the table does not have. If the index is unique,
/// it also prevents two writers from writing the same version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventTable {
    shape: TableShape,
    /// The tenant of all events, if no column holds it.
    owner: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum TableShape {
    Named(Box<Columns>),
    Query { sql: String, metadata: bool },
}

impl EventTable {
    /// Creates the description of a table with this name. The table is looked up in the search
    /// path, unless the name contains its schema, as in `schema.table` (see
    /// [`schema`](Self::schema) for names that contain dots). The default columns are `id`
    /// (`text`), `version` (any integer type; the first event has 1), `recorded_at` (`timestamptz`)
    /// and `payload` (`bytea`, `text`, `json` or `jsonb`).
    ///
    /// Behind a connection pooler, name the schema: the search path is a setting of a server
    /// connection, and clients share server connections.
    pub fn new(table: impl Into<String>) -> Self {
        Self::of(TableShape::Named(Box::new(Columns::new(table.into()))))
    }

    /// Creates the description of a query that the application has written. The query is trusted:
    /// never build it from untrusted input.
    ///
    /// The query must return five columns in this order: version (`bigint`), recorded at
    /// (`timestamptz`, or a `bigint` of microseconds), anchor (any type, or NULL), event type
    /// (`text`, or NULL), payload (`bytea`, `text`, `json` or `jsonb`). `{tenant}`, `{kind}` and
    /// `{id}` are replaced by the parts of the key (`text`), `{after}` and `{until}` by the bounds
    /// of the version (exclusive and inclusive, `bigint`, from 0 to `i64::MAX`). An order and a
    /// limit are added to the query. Comments, and a semicolon at the end, are removed.
    ///
    /// The first event has version 1, so `{after}` is 0 when it is to be read. If the query itself
    /// omits the first events, the engine cannot detect it.
    pub fn query(sql: impl Into<String>) -> Self {
        Self::of(TableShape::Query { sql: sql.into(), metadata: false })
    }

    fn of(shape: TableShape) -> Self {
        Self { shape, owner: String::new() }
    }

    fn with(mut self, set: impl FnOnce(&mut Columns)) -> Self {
        if let TableShape::Named(columns) = &mut self.shape {
            set(columns);
        }
        self
    }

    /// Sets the schema of the table. The table name is then used unchanged, even if it contains a
    /// dot. This method and all methods below except [`metadata`](Self::metadata) and
    /// [`of_tenant`](Self::of_tenant) have no effect on a query.
    pub fn schema(self, schema: impl Into<String>) -> Self {
        self.with(|c| c.schema = Some(schema.into()))
    }

    /// Sets the tenant of all events, for a source that has neither a tenant column nor `{tenant}`
    /// in the query: a table per tenant, or a table that row security restricts to one tenant.
    /// Defaults to the empty tenant. Reading a key of another tenant fails with
    /// [`ErrorKind::InvalidInput`].
    pub fn of_tenant(mut self, tenant: impl Into<String>) -> Self {
        self.owner = tenant.into();
        self
    }

    /// Sets the column that contains the tenant (`text`). Without it, all events belong to one
    /// tenant: see [`of_tenant`](Self::of_tenant).
    pub fn tenant(self, column: impl Into<String>) -> Self {
        self.tenant_as(column, KeyType::Text)
    }

    /// Sets the column that contains the tenant, and its type.
    pub fn tenant_as(self, column: impl Into<String>, of: KeyType) -> Self {
        self.with(|c| c.tenant = Some((column.into(), of)))
    }

    /// Sets the column that contains the kind (`text`). Without it, the table is read for every
    /// kind.
    pub fn kind(self, column: impl Into<String>) -> Self {
        self.kind_as(column, KeyType::Text)
    }

    /// Sets the column that contains the kind, and its type, such as an enum.
    pub fn kind_as(self, column: impl Into<String>, of: KeyType) -> Self {
        self.with(|c| c.kind = Some((column.into(), of)))
    }

    /// Sets the column that contains the id, of type `text`.
    pub fn id(self, column: impl Into<String>) -> Self {
        self.id_as(column, KeyType::Text)
    }

    /// Sets the column that contains the id, and its type. Loading a key whose id is not a value of
    /// that type fails with [`ErrorKind::InvalidInput`].
    pub fn id_as(self, column: impl Into<String>, of: KeyType) -> Self {
        self.with(|c| c.id = (column.into(), of))
    }

    /// Sets the column that contains the id, of type `uuid`.
    pub fn uuid_id(self, column: impl Into<String>) -> Self {
        self.id_as(column, KeyType::Uuid)
    }

    /// Sets the column that contains the id, of type `bigint`, `integer` or `smallint`.
    pub fn bigint_id(self, column: impl Into<String>) -> Self {
        self.id_as(column, KeyType::Bigint)
    }

    /// Sets the column that contains the version, and its value for the first event of an
    /// aggregate, usually 1 or 0. A load fails if it finds an event with a lower number.
    pub fn version(self, column: impl Into<String>, first: i32) -> Self {
        self.with(|c| c.version = (column.into(), first))
    }

    /// Sets the column that contains the recorded time, of type `timestamptz`. A `timestamp`
    /// without time zone is refused, because its meaning depends on the session. `infinity` is read
    /// as [`Timestamp::MAX`](crate::Timestamp::MAX), `-infinity` as
    /// [`Timestamp::MIN`](crate::Timestamp::MIN).
    pub fn recorded_at(self, column: impl Into<String>) -> Self {
        self.with(|c| {
            (c.recorded_at, c.recorded_as) = (column.into(), RecordedAs::Timestamptz);
        })
    }

    /// Sets the column that contains the recorded time, of type `bigint`: microseconds since 1970,
    /// UTC.
    pub fn recorded_at_micros(self, column: impl Into<String>) -> Self {
        self.with(|c| (c.recorded_at, c.recorded_as) = (column.into(), RecordedAs::Micros))
    }

    /// Says that the table does not record times. States are then loaded now and at versions, and
    /// [`at_time`](crate::SnapshotEngine::at_time) fails with
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported).
    pub fn untimed(self) -> Self {
        self.with(|c| c.recorded_as = RecordedAs::Untimed)
    }

    /// Sets the column that permanently identifies an event, such as an event id or a hash. The
    /// column can be of any type. Each load compares the anchor in the snapshot with this column.
    pub fn anchor(self, column: impl Into<String>) -> Self {
        self.with(|c| c.anchor = Some(column.into()))
    }

    /// Sets the column that contains the event type, which is passed to the decoder.
    pub fn event_type(self, column: impl Into<String>) -> Self {
        self.with(|c| c.event_type = Some(column.into()))
    }

    /// Sets the column that contains the version of the event's schema, which is passed to the
    /// decoder as text: what upcasters of events look at. The column can be of any type.
    pub fn event_version(self, column: impl Into<String>) -> Self {
        self.with(|c| c.event_version = Some(column.into()))
    }

    /// Sets the column that contains the metadata (`bytea`, `text`, `json` or `jsonb`), which is
    /// passed to the decoder as [`EventRow::metadata`](super::EventRow::metadata). For a query,
    /// this method declares that the sixth column is the metadata, and the name is ignored.
    pub fn metadata(mut self, column: impl Into<String>) -> Self {
        match &mut self.shape {
            TableShape::Named(columns) => columns.metadata = Some(column.into()),
            TableShape::Query { metadata, .. } => *metadata = true,
        }
        self
    }

    /// Sets the column that contains the payload.
    pub fn payload(self, column: impl Into<String>) -> Self {
        self.with(|c| c.payload = column.into())
    }

    /// Returns the columns that [`tail_sql`](Self::tail_sql) selects.
    pub(super) fn columns(&self) -> EventColumns {
        match &self.shape {
            TableShape::Named(columns) => EventColumns {
                timed: columns.is_timed(),
                anchor: columns.anchor.is_some(),
                event_type: columns.event_type.is_some(),
                event_version: columns.event_version.is_some(),
                metadata: columns.metadata.is_some(),
            },
            TableShape::Query { metadata, .. } => EventColumns {
                timed: true,
                anchor: true,
                event_type: true,
                event_version: false,
                metadata: *metadata,
            },
        }
    }

    /// Checks everything that can be checked without the server.
    pub(super) fn check(&self) -> Result<(), Error> {
        match &self.shape {
            TableShape::Named(columns) => columns.check(),
            TableShape::Query { sql, .. } => EventQuery::parse(sql).map(drop),
        }
    }

    /// Checks that the parts of `key` are values of the columns that hold them, as far as possible
    /// without the server, and that the events belong to its tenant.
    pub(super) fn check_key(&self, key: &AggregateKey) -> Result<(), Error> {
        if self.owner().is_some_and(|owner| owner != key.tenant()) {
            let message = format!(
                "these events belong to tenant {:?}, but {key} belongs to another: name the \
                 tenant column (EventTable::tenant, {{tenant}} in a query), or set the tenant of \
                 all events (EventTable::of_tenant)",
                self.owner
            );
            return Err(Error::new(ErrorKind::InvalidInput, "read events", message));
        }
        match &self.shape {
            TableShape::Named(columns) => columns.check_key(key),
            TableShape::Query { .. } => Ok(()),
        }
    }

    /// Checks that the [`columns`](Self::columns) in a result have types that can be read.
    pub(super) fn check_types(&self, result: &[PgColumn]) -> Result<(), Error> {
        check_types(self.columns(), self.named(), result)
    }

    /// Returns the tenant of all events, if there is only one.
    pub(super) fn owner(&self) -> Option<&str> {
        let tells = match &self.shape {
            TableShape::Named(columns) => columns.tenant.is_some(),
            TableShape::Query { sql, .. } => sql.contains("{tenant}"),
        };
        (!tells).then_some(self.owner.as_str())
    }

    /// Returns the column names, or `None` for a query.
    pub(super) fn named(&self) -> Option<&Columns> {
        match &self.shape {
            TableShape::Named(columns) => Some(columns),
            TableShape::Query { .. } => None,
        }
    }

    /// Returns the `after` that reads all events. It is below 0 if that reveals an event whose
    /// number is too low.
    pub(super) fn start(&self) -> i64 {
        match &self.shape {
            TableShape::Named(_) => -(1 << 62),
            TableShape::Query { .. } => 0,
        }
    }

    /// Reads the version from the first column of an event.
    pub(super) fn version_in(&self, column: Option<i64>) -> Result<u64, Error> {
        let name = self.named().map_or("version", |columns| columns.version());
        let wrong = |what: String| {
            let message = format!("check EventTable: {what}");
            Error::new(ErrorKind::InvalidInput, "read events", message)
        };
        match (column, self.named()) {
            (None, _) => Err(wrong(format!("an event has NULL in column {name:?}"))),
            (Some(version @ 1..), _) => Ok(version.cast_unsigned()),
            (Some(version), Some(columns)) => {
                let first = columns.first();
                Err(wrong(format!(
                    "an event has {} in column {name:?}, but version({name:?}, {first}) says that \
                     the first event has {first}",
                    version.saturating_add(first - 1)
                )))
            }
            (Some(version), None) => Err(wrong(format!(
                "the query returns an event with version {version}, but versions must start at 1"
            ))),
        }
    }

    /// Checks the version of the first event found when all events were requested.
    ///
    /// # Errors
    /// [`ErrorKind::Unrecoverable`] if it is the second event of a table that counts from 1
    /// although [`version`](Self::version) is set to 0. A missing first event looks the same.
    pub(super) fn check_first(&self, version: u64) -> Result<(), Error> {
        match self.named() {
            Some(columns) if columns.first() == 0 && version == 2 => {
                let name = columns.version();
                Err(Error::new(
                    ErrorKind::Unrecoverable,
                    "read events",
                    format!(
                        "the lowest number in column {name:?} is 1, but version({name:?}, 0) says \
                         that the first event has 0: check EventTable if the column starts at 1, \
                         otherwise the first event is missing"
                    ),
                ))
            }
            _ => Ok(()),
        }
    }

    /// Selects the [`columns`](Self::columns) of the events within the bounds, in order.
    pub(super) fn tail_sql(&self, at: &Placeholders<'_>) -> Result<String, Error> {
        let sql = match &self.shape {
            TableShape::Named(columns) => columns.tail_sql(at)?,
            TableShape::Query { sql, metadata } => {
                // The type of the time column is unknown here, so only the limit bounds the read.
                let (sql, extra) = (substitute(sql, at)?, at.extra);
                let (own, named) = if *metadata { (", q.meta", ", meta") } else { ("", "") };
                format!(
                    "SELECT q.version::int8, q.recorded_at, q.payload, q.anchor, q.type{own}{extra} \
                     FROM ({sql}) AS q (version, recorded_at, anchor, type, payload{named}) \
                     ORDER BY q.version"
                )
            }
        };
        Ok(format!("{BEGIN}{sql}{END}"))
    }

    /// Selects the lowest and the highest version of an aggregate.
    pub(super) fn range_sql(&self, at: &Placeholders<'_>) -> Result<String, Error> {
        match &self.shape {
            TableShape::Named(columns) => Ok(format!("{BEGIN}{}{END}", columns.range_sql(at)?)),
            TableShape::Query { .. } => Ok(format!(
                "SELECT min(t.version), max(t.version) FROM ({}) AS t (version)",
                self.tail_sql(at)?
            )),
        }
    }
}

/// Fills in the placeholders of the application's query.
fn substitute(sql: &str, at: &Placeholders<'_>) -> Result<String, Error> {
    Ok(EventQuery::parse(sql)?.sql(|name| match name {
        "tenant" => format!("{}::text", at.tenant),
        "kind" => format!("{}::text", at.kind),
        "id" => format!("{}::text", at.id),
        "after" => format!("({})::int8", at.after),
        _ => format!("({})::int8", at.until.unwrap_or("9223372036854775807")),
    }))
}
