//! [`Arguments`]: the command line.

use clap::Parser;

use super::commands::ToolCommand;

/// What was given on the command line.
#[derive(Parser)]
#[command(
    name = "snapfold",
    version,
    about = ABOUT,
    long_about = LONG_ABOUT,
    after_help = EXIT_CODES,
    after_long_help = LONG_EXIT_CODES,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(super) struct Arguments {
    // The help is set below, because it contains URLs.
    #[arg(
        long,
        help_heading = COMMON,
        help = "The URL of the store: file:DIR or postgres://USER@HOST/DATABASE",
        global = true,
        value_name = "URL",
        env = "SNAPFOLD_STORE",
        hide_env_values = true
    )]
    pub(super) store: Option<String>,

    /// The tenant; without it, lists are of all tenants, and an ID is of the default tenant
    #[arg(long, help_heading = COMMON, global = true, value_name = "TENANT")]
    pub(super) tenant: Option<String>,

    /// Print JSON: one document, in one line
    #[arg(long, help_heading = COMMON, global = true)]
    pub(super) json: bool,

    /// Who makes a change, for marks and the audit trail; the name of the user by default
    #[arg(long, help_heading = COMMON, global = true, value_name = "NAME", hide_short_help = true)]
    pub(super) actor: Option<String>,

    /// The schema of the tables
    #[arg(
        long,
        help_heading = POSTGRES,
        global = true,
        value_name = "NAME",
        default_value = "public",
        hide_short_help = true
    )]
    pub(super) schema: String,

    /// The name of the table of snapshots
    #[arg(
        long,
        help_heading = POSTGRES,
        global = true,
        value_name = "NAME",
        default_value = "snapfold_snapshots",
        hide_short_help = true
    )]
    pub(super) table: String,

    /// The time limit for each call, including the wait for a connection
    #[arg(
        long,
        help_heading = POSTGRES,
        global = true,
        value_name = "SECONDS",
        default_value_t = 30,
        value_parser = clap::value_parser!(u64).range(1..=86_400),
        hide_short_help = true
    )]
    pub(super) timeout: u64,

    /// A pooler assigns a connection for each transaction
    #[arg(long, help_heading = POSTGRES, global = true, hide_short_help = true)]
    pub(super) pooler: bool,

    #[command(subcommand)]
    pub(super) command: ToolCommand,
}

const ABOUT: &str = "Look at the snapshots of a store, check and prune them, move and mark them";

const LONG_ABOUT: &str = "\
Look at the snapshots of a store, check and prune them, move and mark them.

The store is given as a URL, with --store or in the environment variable
SNAPFOLD_STORE:

  file:DIR                        a directory; commands that only look work
                                  while another process has it open
  postgres://USER@HOST/DATABASE   a database

The password of a database can be in the URL, in PGPASSWORD or in ~/.pgpass.
Other users of the machine can read command lines: set SNAPFOLD_STORE for a URL
with a password.";

const COMMON: &str = "Common options";
const POSTGRES: &str = "Options for PostgreSQL";

const EXIT_CODES: &str = "\
Exit codes: 0 fine, 1 something is wrong or absent, 2 wrong usage, 3 the store failed.
Begin with: snapfold --store file:DIR ls";

const LONG_EXIT_CODES: &str = "\
Exit codes:
  0  fine; also if the reader of the output went away (| head)
  1  something is wrong (damage, a broken trail), or what was asked for is
     absent
  2  wrong usage: an argument, a URL or a policy is invalid
  3  the store, the database or the output failed

Examples:
  snapfold --store file:DIR ls
  snapfold --store file:DIR ls account alice
  snapfold --store file:DIR timeline account alice --keep 'last 4, daily 7'
  snapfold --store file:DIR prune account --keep 'last 4, daily 7'
  snapfold --store file:DIR prune account --keep 'last 4, daily 7' --yes

Without --yes, prune only shows its plan.";
