//! [`PostgresPublications`]: publications in PostgreSQL.

#[cfg(feature = "publish")]
mod calls;
#[cfg(feature = "publish")]
mod parts;
#[cfg(feature = "publish")]
mod publication_store;
#[cfg(feature = "publish")]
mod rows;
pub(super) mod tables;

#[cfg(feature = "publish")]
pub use publication_store::PostgresPublications;
