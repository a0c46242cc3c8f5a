//! Services that work on many aggregates, beside an application: the [`Scheduler`] runs what is
//! stored in a ledger, and a [`Batch`] does one thing now.

mod batch;
mod counts;
mod scheduler;
mod work;

pub use batch::{Batch, BatchProgress, BatchReport};
pub use counts::RunCounts;
pub use scheduler::{
    MissedRuns, RunOutcome, RunReport, Scheduler, SchedulerEvent, SchedulerObserver,
    SchedulerStatistics,
};
