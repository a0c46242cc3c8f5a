//! The commands, each in a file of its own.
//!
//! To add one: write a file with its arguments (`clap::Args`, whose doc comments are the help) and a
//! method `run`, and add a variant and a line to [`ToolCommand`].

mod archive;
mod archive_moves;
mod audit;
mod bench;
mod bench_report;
mod bisect;
mod changes;
mod check;
mod check_aggregate;
mod completions;
mod deprecate;
mod diff;
mod erase;
mod explain;
mod export;
mod import;
mod keys;
mod ls;
mod ls_aggregates;
mod ls_snapshots;
mod man;
mod marks;
mod migrate;
#[cfg(feature = "clouds")]
mod objects;
mod payload;
mod picture;
mod point;
mod prune;
mod prune_plan;
mod rebuild;
mod refold;
mod rollback;
mod savepoint;
mod savepoint_members;
mod schedules;
mod show;
mod stats;
mod stream;
mod timeline;
mod verify;

use clap::Subcommand;

use super::failure::{CliFailure, CliFinding};
use super::session::CliSession;

/// A command with its arguments.
#[derive(Subcommand)]
pub(super) enum ToolCommand {
    Ls(ls::LsArguments),
    Show(show::ShowArguments),
    Timeline(timeline::TimelineArguments),
    Stats(stats::StatsArguments),
    Check(check::CheckArguments),
    Prune(prune::PruneArguments),
    Pin(marks::PinArguments),
    Unpin(marks::UnpinArguments),
    Retire(marks::RetireArguments),
    Restore(marks::RestoreArguments),
    Deprecate(deprecate::DeprecateArguments),
    Savepoint(savepoint::SavepointArguments),
    Erase(erase::EraseArguments),
    Archive(archive::ArchiveArguments),
    Export(export::ExportArguments),
    Import(import::ImportArguments),
    Audit(audit::AuditArguments),
    Schedules(schedules::SchedulesArguments),
    Verify(verify::VerifyArguments),
    Rebuild(rebuild::RebuildArguments),
    Explain(explain::ExplainArguments),
    Diff(diff::DiffArguments),
    Bisect(bisect::BisectArguments),
    Refold(refold::RefoldArguments),
    Rollback(rollback::RollbackArguments),
    Bench(bench::BenchArguments),
    Migrate(migrate::MigrateArguments),
    #[cfg(feature = "clouds")]
    Objects(objects::ObjectsArguments),
    Completions(completions::CompletionsArguments),
    Man(man::ManArguments),
}

impl ToolCommand {
    /// Runs the command. `tool` describes all of them.
    pub(super) async fn run(
        self,
        session: &mut CliSession,
        tool: clap::Command,
    ) -> Result<CliFinding, CliFailure> {
        match self {
            Self::Ls(arguments) => arguments.run(session).await,
            Self::Show(arguments) => arguments.run(session).await,
            Self::Timeline(arguments) => arguments.run(session).await,
            Self::Stats(arguments) => arguments.run(session).await,
            Self::Check(arguments) => arguments.run(session).await,
            Self::Prune(arguments) => arguments.run(session).await,
            Self::Pin(arguments) => arguments.run(session).await,
            Self::Unpin(arguments) => arguments.run(session).await,
            Self::Retire(arguments) => arguments.run(session).await,
            Self::Restore(arguments) => arguments.run(session).await,
            Self::Deprecate(arguments) => arguments.run(session).await,
            Self::Savepoint(arguments) => arguments.run(session).await,
            Self::Erase(arguments) => arguments.run(session).await,
            Self::Archive(arguments) => arguments.run(session).await,
            Self::Export(arguments) => arguments.run(session).await,
            Self::Import(arguments) => arguments.run(session).await,
            Self::Audit(arguments) => arguments.run(session).await,
            Self::Schedules(arguments) => arguments.run(session).await,
            Self::Verify(arguments) => arguments.run(session).await,
            Self::Rebuild(arguments) => arguments.run(session).await,
            Self::Explain(arguments) => arguments.run(session).await,
            Self::Diff(arguments) => arguments.run(session).await,
            Self::Bisect(arguments) => arguments.run(session).await,
            Self::Refold(arguments) => arguments.run(session).await,
            Self::Rollback(arguments) => arguments.run(session).await,
            Self::Bench(arguments) => arguments.run(session).await,
            Self::Migrate(arguments) => arguments.run(session).await,
            #[cfg(feature = "clouds")]
            Self::Objects(arguments) => Box::pin(arguments.run(session)).await,
            Self::Completions(arguments) => arguments.run(session, tool),
            Self::Man(arguments) => arguments.run(session, &tool),
        }
    }
}
