//! Stores that come with the crate. No backend knows another, and the engine knows none.

#[cfg(feature = "file")]
pub mod file;
#[cfg(feature = "memory")]
pub(crate) mod memory;
#[cfg(feature = "object-store")]
pub mod object_store;
#[cfg(feature = "postgres")]
pub mod postgres;
