//! The command `snapfold` with the trees of a repository inside: `git_history diff`, `bisect` and
//! `tool`.

use std::ffi::OsString;
use std::process::ExitCode;

use snapfold::cli::CommandLine;
use snapfold::manager::Kinds;

use crate::args::Args;
use crate::engine::Rebuilder;
use crate::error::Error;
use crate::place::Place;
use crate::{Source, distance};

/// What to do with a history.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ToolArgs {
    /// Where the history and its snapshots are.
    pub(crate) args: Args,
    /// The command of `snapfold`, without kind and id.
    command: Vec<OsString>,
    /// Its arguments after kind and id.
    rest: Vec<OsString>,
    /// Whether the command names kind and id itself.
    is_whole: bool,
}

impl ToolArgs {
    /// Parses the arguments after the program name. `None` if they do not begin with a command, or
    /// if the help is asked for.
    pub(crate) fn parse(args: &[OsString]) -> Result<Option<Self>, Error> {
        let Some((first, rest)) = args.split_first() else { return Ok(None) };
        let usage = |text: &str| Err(Error::Usage(text.to_owned()));
        let (command, rest, own, is_whole) = match (first.to_str(), rest) {
            (Some("diff"), [from, to, own @ ..]) => {
                (vec![first.clone()], vec![version(from), version(to)], own.to_vec(), false)
            }
            (Some("diff"), _) => return usage("diff needs two versions, such as v10 v20"),
            (Some("bisect"), [option, path, own @ ..]) if option == "--path-appears" => {
                let Some(path) = path.to_str() else {
                    return usage("--path-appears needs a path of UTF-8");
                };
                let part = format!("[{path:?}]").into();
                (vec![first.clone()], vec![part], own.to_vec(), false)
            }
            (Some("bisect"), _) => return usage("bisect needs --path-appears FILE"),
            (Some("tool"), rest) => {
                let at = rest.iter().position(|arg| arg == "--").unwrap_or(rest.len());
                let (own, command) = rest.split_at(at);
                let command = command.iter().skip(1).cloned().collect();
                (command, Vec::new(), own.to_vec(), true)
            }
            _ => return Ok(None),
        };
        let args = Args::parse(own)?;
        Ok(args.map(|args| Self { args, command, rest, is_whole }))
    }

    /// Takes the missing snapshots, and runs the command.
    pub(crate) async fn run(self, source: &Source, place: &Place) -> Result<ExitCode, Error> {
        let history = &source.history;
        let rebuilder = Rebuilder::new(history, place.store(), self.args.incremental)?;
        rebuilder.take_new_snapshots(distance(history, &self.args), history.len()).await?;
        let mut arguments = vec![OsString::from("git_history")];
        arguments.extend(self.command);
        if !self.is_whole {
            let key = rebuilder.key();
            // An id may begin with a hyphen.
            arguments.extend(["--", key.kind(), key.id()].map(OsString::from));
        }
        arguments.extend(self.rest);
        let kinds = Kinds::new().with(rebuilder.engine())?;
        let tool = CommandLine::new().kinds(kinds).store(place.store());
        Ok(ExitCode::from(tool.execute(arguments).await))
    }
}

/// `v10` is version 10.
fn version(text: &OsString) -> OsString {
    let number = text.to_str().and_then(|text| text.strip_prefix('v'));
    let number = number.filter(|number| number.parse::<u64>().is_ok());
    number.map_or_else(|| text.clone(), OsString::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Option<ToolArgs>, Error> {
        let args: Vec<_> = line.split_whitespace().map(OsString::from).collect();
        ToolArgs::parse(&args)
    }

    #[test]
    fn commands_are_told_from_a_path() {
        for line in ["", "path", "--rev diff", "diffs v1 v2"] {
            assert_eq!(parse(line).unwrap(), None, "{line}");
        }
        let diff = parse("diff v10 20 path --store memory").unwrap().unwrap();
        assert_eq!(
            (diff.command, diff.rest),
            (vec!["diff".into()], vec!["10".into(), "20".into()])
        );
        assert_eq!(diff.args.path, Some("path".into()));
        let bisect = parse("bisect --path-appears src/lib.rs").unwrap().unwrap();
        assert_eq!(bisect.rest, [OsString::from("[\"src/lib.rs\"]")]);
        let tool = parse("tool path -- ls --json").unwrap().unwrap();
        assert_eq!((tool.command, tool.is_whole), (vec!["ls".into(), "--json".into()], true));
        for line in ["diff v1", "bisect", "bisect x y", "diff 1 2 --frob"] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }
}
