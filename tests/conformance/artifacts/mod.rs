//! Artifact stores.

mod memory;
