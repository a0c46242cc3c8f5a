//! Snapshots and artifacts in object storage: [`ObjectStoreSnapshots`], [`ObjectStoreArtifacts`].
//!
//! `docs/format-object-store.md` specifies every object, and `docs/object-store.md` says which clouds
//! and servers are known to work, what each call costs, and which rights it needs.

mod artifacts;
mod bucket_store;
mod delete;
mod error;
mod get;
mod in_flight;
mod incoming;
mod index;
mod keys;
mod known;
mod layout;
mod open;
mod open_lists;
mod options;
mod pause;
mod put;
mod remote;
mod repair;
mod root;
mod segment;
mod store;
mod sweep;
mod update;

pub use artifacts::{ObjectStoreArtifacts, ObjectUrl, ObjectUrlRules, ObjectUrlSigner};
pub use options::ObjectStoreOptions;
pub use repair::RepairedObjects;
pub use store::ObjectStoreSnapshots;
pub use sweep::SweptObjects;
