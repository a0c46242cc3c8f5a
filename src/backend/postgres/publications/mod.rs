//! [`PostgresPublications`]: publications in PostgreSQL.

mod calls;
mod parts;
mod publication_store;
mod removals;
mod rows;

pub use publication_store::PostgresPublications;
