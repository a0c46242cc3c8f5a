//! What an operation keeps beside its snapshots: schedules, statistics, and an audit trail.

mod audit;
mod schedule;
mod statistics;

pub use audit::{AuditEntry, AuditLog, AuditRecord, AuditRequest};
pub use schedule::{Schedule, ScheduleStore};
pub use statistics::{DailyStatistics, Day, StatisticsStore};
