//! Services that work on many aggregates, beside an application: the [`Scheduler`] runs what is
//! stored in a ledger, a [`Batch`] does one thing now, [`transfer`] moves snapshots between stores,
//! `http` serves states, `publish` takes artifacts from clients, and `webhook` sends messages to other
//! servers (with the features `http`, `publish` and `webhooks`).

#[cfg(feature = "progress")]
mod bar;
mod batch;
mod counts;
mod coverage;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "publish")]
pub mod publish;
mod savepoint;
mod scheduler;
mod sizes;
pub mod transfer;
mod watcher;
#[cfg(feature = "webhooks")]
pub mod webhook;
mod work;

#[cfg(feature = "progress")]
pub use bar::progress_bar;
#[cfg(feature = "cli")]
pub(crate) use bar::whole_rate;
pub use batch::{Batch, BatchProgress, BatchReport};
pub use counts::RunCounts;
pub use coverage::Coverage;
#[cfg(feature = "cli")]
pub(crate) use savepoint::{savepoint_name, savepoint_pin};
pub use scheduler::{
    MissedRuns, RunOutcome, RunReport, Scheduler, SchedulerEvent, SchedulerObserver,
    SchedulerStatistics,
};
pub use sizes::{SnapshotSizes, StoreSizes, store_sizes};
