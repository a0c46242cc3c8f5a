//! `archive`: moves old snapshots to a second store, and back.

use clap::{Args, Subcommand};

use super::archive_moves::{ArchiveMove, ArchiveRestore};
use crate::cli::failure::{CliFailure, CliFinding};
use crate::cli::session::CliSession;
use crate::retention::Policy;

/// Move old snapshots to an archive store, or back
///
/// An archive store is any other store, usually a slower and cheaper one. An application sees the
/// snapshots in both if it opens them together, as a `TieredStore`; otherwise it loads old versions
/// from older snapshots or from the events. Stop the application meanwhile, unless it only loads and
/// stores new snapshots. For files to keep or to send, see `export`.
#[derive(Args)]
#[command(after_help = "Example: snapfold --store file:DIR archive move account --to file:OLD \
                        --keep 'within 90d'")]
pub(crate) struct ArchiveArguments {
    #[command(subcommand)]
    command: ArchiveCommand,
}

#[derive(Subcommand)]
enum ArchiveCommand {
    /// Show how many snapshots a retention policy would move to the archive; move them with --yes
    ///
    /// What the policy keeps stays in the store, and the rest moves, with its marks. The policy is
    /// written as for `prune`. Pinned snapshots, the newest undamaged one of each generation, and the
    /// bases of deltas that stay, stay too. Each snapshot is copied, read back and compared before it
    /// is deleted from the store. If the command was interrupted, repeat it.
    #[command(
        after_help = "Example: snapfold --store file:DIR archive move account --to file:OLD \
                            --keep 'last 4, monthly 12' --yes"
    )]
    Move {
        /// The kind of aggregate
        kind: String,
        /// The id of an aggregate; without it, all of the kind
        id: Option<String>,
        // Set here, because it contains a URL.
        #[arg(
            long,
            value_name = "URL",
            help = "The URL of the archive store; a directory is created if it is missing"
        )]
        to: String,
        /// Which snapshots stay in the store, such as 'last 4, daily 7' or 'within 90d'
        #[arg(long, value_name = "POLICY")]
        keep: Policy,
        /// Move the others
        #[arg(long)]
        yes: bool,
        /// Why, for the audit trail
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
    },
    /// Show how many snapshots are in the archive; move them back to the store with --yes
    ///
    /// The bases that deltas need come with them. Damaged snapshots stay in the archive.
    #[command(after_help = "Example: snapfold --store file:DIR archive restore account alice \
                            --from file:OLD --version 1200 --yes")]
    Restore {
        /// The kind of aggregate
        kind: String,
        /// The id of an aggregate; without it, all of the kind
        id: Option<String>,
        /// The URL of the archive store
        #[arg(long, value_name = "URL")]
        from: String,
        /// Only the snapshots at this version
        #[arg(long, value_name = "N", requires = "id")]
        version: Option<u64>,
        /// Move them
        #[arg(long)]
        yes: bool,
        /// Why, for the audit trail
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
    },
}

impl ArchiveArguments {
    pub(super) async fn run(self, session: &mut CliSession) -> Result<CliFinding, CliFailure> {
        match self.command {
            ArchiveCommand::Move { kind, id, to, keep, yes, reason } => {
                session.context = session.context.clone().reason(reason);
                ArchiveMove { kind, id, to, keep, yes }.run(session).await
            }
            ArchiveCommand::Restore { kind, id, from, version, yes, reason } => {
                session.context = session.context.clone().reason(reason);
                ArchiveRestore { kind, id, from, version, yes }.run(session).await
            }
        }
    }
}
