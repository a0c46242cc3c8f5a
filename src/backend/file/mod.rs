//! Snapshots in a directory: [`FileStore`], an append-only log with an index in memory. And artifacts
//! in a directory, which is another one: [`FileArtifacts`].
//!
//! Only one process can open a directory for writing at a time, and any number can open it read-only
//! ([`FileStore::open_read_only`]) beside it. [`FileStore::open`] uses the default settings,
//! and [`FileStoreConfig`] sets durability, segment size and background work. The guide to the
//! [format](crate::guide::format_file_store) specifies every byte and every step of recovery.

// A module uses only the modules above it:
//
// | module | |
// |---|---|
// | `config`, `problem`, `stats` | what applications set, and what they get back |
// | `disk` | the operating system: files, syncs, the lock of a directory |
// | `format` | the byte formats: frames, manifest, index files, names, checksums |
// | `errors` | converts failures of the modules above into errors |
// | `artifacts` | another store, `FileArtifacts`; it shares only what is above |
// | `index` | the position of each snapshot, in memory |
// | `core` | the state of an open store: segments, the end of the log, manifest, locks |
// | `write` | puts, deletes and marks, one file for each stage from the check to the index |
// | `read` | get, list and keys |
// | `recover` | opens a store from its files |
// | `maintain` | the background thread, compaction, backup, verify, repair |
// | `store` | the handle, `FileStore` |

mod artifacts;
mod config;
mod core;
mod disk;
mod errors;
#[cfg(test)]
mod faults;
mod format;
mod index;
mod maintain;
#[cfg(test)]
mod meddling;
mod problem;
mod read;
mod recover;
#[cfg(test)]
mod samples;
mod stats;
mod store;
mod write;

pub use artifacts::FileArtifacts;
pub use config::{Durability, FileStoreConfig, ZeroAhead};
pub use maintain::backup::BackedUp;
pub use maintain::compact::Compacted;
pub use maintain::inspect::{Inspection, SegmentInfo};
pub use maintain::repair::RepairReport;
pub use maintain::verify::Verification;
pub use problem::Problem;
pub use stats::FileStoreStats;
pub use store::file_store::FileStore;
