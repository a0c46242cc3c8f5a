//! `man`: the manual page.

use clap::Args;

use crate::cli::failure::{CliFailure, CliFinding};
use crate::cli::session::CliSession;

/// Print the manual page, of the tool or of one command
#[derive(Args)]
#[command(after_help = "Example: snapfold man prune | man -l -")]
pub(crate) struct ManArguments {
    /// The command
    command: Option<String>,
}

impl ManArguments {
    pub(super) fn run(
        self,
        session: &mut CliSession,
        tool: &clap::Command,
    ) -> Result<CliFinding, CliFailure> {
        let of = match &self.command {
            None => Some(tool.clone()),
            Some(name) => tool.find_subcommand(name).map(|command| {
                let command = command.clone().bin_name(format!("snapfold {name}"));
                command.display_name(format!("snapfold-{name}"))
            }),
        };
        let Some(of) = of else {
            let message = "there is no such command: --help lists all".to_owned();
            return Err(CliFailure::Usage(message));
        };
        let mut page = Vec::new();
        clap_mangen::Man::new(of).render(&mut page)?;
        session.screen.bytes(&page)?;
        Ok(CliFinding::Fine)
    }
}
