//! Snapshots in PostgreSQL, and events read from it.

mod connection;
mod delete;
mod error;
mod event_columns;
mod event_query;
mod event_row;
mod event_table;
mod event_trouble;
mod events;
mod hybrid;
mod key_text;
mod key_type;
mod keys;
mod ledger;
mod lookup;
mod migrations;
mod names;
mod options;
mod page;
mod prune;
mod put;
mod row_security;
mod statement;
mod store;
mod tail;
mod version;

pub use event_row::EventRow;
pub use event_table::EventTable;
pub use events::PostgresEvents;
pub use hybrid::PostgresHybrid;
pub use key_type::KeyType;
pub use migrations::PostgresMigrations;
pub use options::PostgresOptions;
pub use prune::PruneProgress;
pub use row_security::TenantBinding;
pub use store::PostgresStore;
