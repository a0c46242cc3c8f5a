//! Services that run beside an application: the [`Scheduler`].

mod scheduler;

pub use scheduler::{
    MissedRuns, RunCounts, RunOutcome, RunReport, Scheduler, SchedulerEvent, SchedulerObserver,
    SchedulerStatistics,
};
