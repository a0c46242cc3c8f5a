//! Artifacts in object storage: [`ObjectStoreArtifacts`].

mod artifacts;
mod error;
mod segment;

pub use artifacts::{ObjectStoreArtifacts, ObjectUrl, ObjectUrlRules, ObjectUrlSigner};
