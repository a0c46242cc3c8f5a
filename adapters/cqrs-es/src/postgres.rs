//! The events of postgres-es' table, read in one statement with the snapshot.

use cqrs_es::persist::{EventUpcaster, SerializedEvent};
use snapfold::postgres::{EventRow, EventTable, PostgresEvents};
use snapfold::{BoxError, Error};
use sqlx::PgPool;

use crate::upcast::Upcasters;

/// Describes the table of events as postgres-es creates it; its name is `events` by default.
pub fn event_table(name: impl Into<String>) -> EventTable {
    EventTable::new(name)
        .kind("aggregate_type")
        .id("aggregate_id")
        .version("sequence", 1)
        .untimed()
        .event_type("event_type")
        .event_version("event_version")
        .metadata("metadata")
}

/// Returns an event source for `table`, with upcasters of events. Set up the engine with its
/// [`with_snapshots`](PostgresEvents::with_snapshots):
///
/// ```no_run
/// use snapfold::SnapshotEngine;
/// use snapfold::postgres::PostgresStore;
/// use snapfold_cqrs_es::{RepositoryEvents, SnapfoldEventStore, State, postgres};
/// # use snapfold_cqrs_es::doc::{Account, Repository};
/// # async fn set_up(repository: Repository, pool: sqlx::PgPool) -> Result<(), snapfold::BoxError> {
/// // A pool of sqlx 0.9: the one of postgres-es is on 0.8.
/// let store = PostgresStore::new(pool.clone())?;
/// store.migrations().run().await?;
/// let events = postgres::events::<Account>(pool, postgres::event_table("events"), vec![])?;
/// let engine = SnapshotEngine::<State<Account>>::builder(events.clone(), store.clone())
///     .hybrid(events.with_snapshots(&store)?)
///     .build()?;
/// let store = SnapfoldEventStore::new(RepositoryEvents::new(repository), engine);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`InvalidInput`](snapfold::ErrorKind::InvalidInput) if a name in `table` is not valid.
pub fn events<A>(
    pool: PgPool,
    table: EventTable,
    upcasters: Vec<Box<dyn EventUpcaster>>,
) -> Result<PostgresEvents<A::Event>, Error>
where
    A: cqrs_es::Aggregate + 'static,
    A::Event: 'static,
{
    if upcasters.is_empty() {
        // Without upcasters, the payload is all that is needed.
        return PostgresEvents::new(pool, table, |row| Ok(serde_json::from_slice(row.payload)?));
    }
    let upcasters = Upcasters::new(upcasters);
    PostgresEvents::new(pool, table, move |row| decode::<A>(&upcasters, &row))
}

fn decode<A: cqrs_es::Aggregate>(
    upcasters: &Upcasters,
    row: &EventRow<'_>,
) -> Result<A::Event, BoxError> {
    let event = SerializedEvent::new(
        String::new(),
        usize::try_from(row.version)?,
        A::TYPE.to_owned(),
        row.event_type.unwrap_or_default().to_owned(),
        row.event_version.unwrap_or_default().to_owned(),
        serde_json::from_slice(row.payload)?,
        row.metadata.map_or_else(|| Ok(serde_json::json!({})), serde_json::from_slice)?,
    );
    Ok(upcasters.read::<A>(event)?.payload)
}
