//! [`FetchedRows`]: the rows of a hybrid source's statement.

use sqlx::postgres::PgRow;
use sqlx::{Row, ValueRef};

use super::connection::CallFailure;
use super::event_row::{RawEvent, version_of};
use super::event_table::EventTable;
use super::tail::Events;
use crate::record::Record;
use crate::store::{Found, Lookup};

/// The maximum number of events that come with a snapshot.
pub(super) const MAX_EVENTS: usize = 1_024;

/// No load starts from a retired snapshot.
pub(super) const USED: &str = " AND retirements IS NULL";

pub(super) struct FetchedRows {
    pub(super) lookup: Lookup,
    pub(super) events: Events,
}

impl FetchedRows {
    pub(super) fn take(&mut self, table: &EventTable, row: &PgRow) -> Result<(), CallFailure> {
        let Some(version) = version_of(row)? else {
            self.lookup = Lookup::OtherGeneration;
            return Ok(());
        };
        let version = table.version_in(Some(version))?;
        let record = row.try_get_raw(table.columns().count())?;
        if record.is_null() {
            self.events.add(RawEvent::of(row, table.columns(), version));
        } else {
            let record = record.as_bytes().map_err(sqlx::Error::Decode)?.to_vec();
            self.lookup = Lookup::Found(Found::new(version, Record::from_bytes(record)));
        }
        Ok(())
    }
}
