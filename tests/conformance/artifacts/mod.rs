//! Artifact stores.

#[cfg(feature = "file")]
mod file;
mod memory;
#[cfg(feature = "object-store")]
mod object_store;
#[cfg(feature = "object-store")]
mod server;
