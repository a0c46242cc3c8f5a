//! [`PostgresPublications`]: publications in PostgreSQL.

mod calls;
mod parts;
mod publication_store;
mod rows;

pub use publication_store::PostgresPublications;
