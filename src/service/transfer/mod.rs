//! Moving snapshots between stores: archives, and merges.
//!
//! - [`export`] writes the snapshots of a store to an archive, a single stream of bytes.
//! - [`import`] reads an archive into a store of any kind, which makes it a backup and a way from
//!   one backend to another. [`check_archive`] only reads it.
//! - [`merge`] copies from one store to another, for example after a split or a failover.
//!
//! All of them work while the stores are in use. Memory is bounded by the largest aggregate's list
//! of snapshots (not their records), and by a few records. `docs/format-archive.md` specifies the
//! bytes of an archive.
//!
//! ```
//! # #[cfg(feature = "memory")] {
//! # async fn backup() -> Result<(), snapfold::Error> {
//! use snapfold::MemoryStore;
//! use snapfold::service::transfer::{ExportOptions, TransferOptions, export, import};
//!
//! let store = MemoryStore::new();
//! let mut archive = Vec::new();
//! let exported = export(&store, &mut archive, &ExportOptions::new()).await?;
//! println!("{exported}");
//!
//! let restored = MemoryStore::new();
//! let imported = import(archive.as_slice(), &restored, &TransferOptions::new()).await?;
//! println!("{}", imported.report);
//! # Ok(())
//! # }
//! # }
//! ```

mod archive_reader;
mod export;
mod filter;
mod frame;
mod import;
mod merge;
mod options;
mod report;
mod sink;
mod walk;

pub use export::{ExportOptions, Exported, export};
pub use filter::TransferFilter;
pub use import::{ArchiveContents, Imported, check_archive, import};
pub use merge::merge;
pub use options::{OnConflict, TransferOptions};
pub use report::{TransferDifference, TransferNote, TransferReport};
