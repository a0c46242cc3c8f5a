//! Snapshots in a directory: [`FileStore`], an append-only log with an index in memory.
//!
//! `docs/format-file-store.md` specifies every byte and every step of recovery.
//!
//! A write goes: `encode` on the caller's side, `queue` (group commit), `log` (one write and
//! one sync for the group), `index` (visible from then on). A read goes: `index`, then one
//! read of the record's bytes. `open` rebuilds the index from the segments; `compact` gives
//! the space of deleted snapshots back.

mod backup;
mod blocking;
mod compact;
mod config;
mod core;
mod directory;
mod disk;
mod errors;
mod examine;
#[cfg(test)]
mod faults;
mod format;
mod index;
mod inspect;
mod keeper;
mod load;
mod open;
mod plan;
mod problem;
mod read;
mod repair;
mod replay;
#[cfg(test)]
mod samples;
mod scan;
mod shut_down;
mod snapshot_store;
mod stats;
mod store;
mod submitted;
mod write;

pub use backup::BackedUp;
pub use compact::Compacted;
pub use config::{Durability, FileStoreConfig, ZeroAhead};
pub use inspect::{Inspection, SegmentInfo, Verification};
pub use problem::Problem;
pub use repair::RepairReport;
pub use stats::FileStoreStats;
pub use store::FileStore;
