//! `completions`: the completion script of a shell.

use clap::Args;
use clap_complete::Shell;

use crate::cli::failure::{CliFailure, CliFinding};
use crate::cli::session::CliSession;

/// Print the completion script for a shell
#[derive(Args)]
#[command(after_help = "Example: snapfold completions bash > /etc/bash_completion.d/snapfold")]
pub(crate) struct CompletionsArguments {
    /// The shell
    shell: Shell,
}

impl CompletionsArguments {
    pub(super) fn run(
        self,
        session: &mut CliSession,
        mut tool: clap::Command,
    ) -> Result<CliFinding, CliFailure> {
        let name = tool.get_name().to_owned();
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut tool, name, &mut script);
        session.screen.bytes(&script)?;
        Ok(CliFinding::Fine)
    }
}
