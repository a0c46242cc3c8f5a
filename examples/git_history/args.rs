//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::Arg::{Long, Short, Value};
use lexopt::ValueExt;

use crate::error::Error;

pub(crate) const HELP: &str = "\
Rebuild the tree of any commit of a git repository from snapshots, and check it.

Usage: cargo run --release --example git_history -- [PATH] [OPTIONS]

  PATH           the repository, or a directory inside it. Without PATH, this
                 directory if it is a repository of at least 500 commits, else
                 a demo history of 5,000 commits in a temporary repository

  --rev REV      the branch, tag or commit whose first-parent history is the
                 event log (default: HEAD)
  --every N      take snapshots at most N commits apart (default: 100, or
                 fewer, for at least 20 snapshots)
  --store WHERE  where the snapshots are kept: file:DIR keeps them in the
                 directory DIR, so that the next run only reads what is new;
                 memory forgets them. Default: a temporary directory, removed
                 at the end
  --incremental  store most snapshots as the difference to an earlier one (needs
                 --features zstd)
  --replay       fold the whole history too, to compare. Done anyway if there
                 were no snapshots yet
  --verify K     check K random versions and K random instants against
                 git ls-tree (default: 200)
  --seed S       the number that the demo history and the random checks are
                 made from (default: 1)
  --at WHEN      rebuild and check only this: a version (the number of a
                 commit, the oldest is 1), or a time like 2024-05-01T12:00:00Z
  -h, --help     show this text

With --features cli, the command of snapfold works on the trees:

  diff v10 v20 [PATH] [OPTIONS]                    what changed between commits
  bisect --path-appears FILE [PATH] [OPTIONS]      the commit that added FILE
  tool [PATH] [OPTIONS] -- COMMAND...              any command, such as ls

Exit code: 0 if all is well, 1 if a rebuilt tree is wrong, 2 if it cannot run.
";

/// The user's options.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Args {
    pub(crate) path: Option<PathBuf>,
    /// `None` means HEAD.
    pub(crate) rev: Option<OsString>,
    pub(crate) every: Option<u64>,
    pub(crate) store: Store,
    /// Whether snapshots are stored as deltas.
    pub(crate) incremental: bool,
    /// Whether to fold the whole history even if there are snapshots of it.
    pub(crate) replay: bool,
    pub(crate) verify: u64,
    pub(crate) seed: u64,
    pub(crate) at: Option<At>,
}

/// Where the snapshots are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    Directory(PathBuf),
    Memory,
    /// A directory that is removed at the end.
    Temporary,
}

/// A point of the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    /// After this many commits.
    Version(u64),
    /// Seconds since 1970. git's times have no fractions, so rounding down loses nothing.
    Instant(i64),
}

impl Args {
    /// Parses the arguments after the program name. `None` if the user requests the help.
    pub(crate) fn parse(
        args: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Result<Option<Self>, Error> {
        let mut parsed = Self {
            path: None,
            rev: None,
            every: None,
            store: Store::Temporary,
            incremental: false,
            replay: false,
            verify: 200,
            seed: 1,
            at: None,
        };
        let mut parser = lexopt::Parser::from_args(args);
        while let Some(arg) = parser.next().map_err(usage)? {
            match arg {
                Value(path) if path.is_empty() => {
                    return Err(Error::Usage("PATH is empty".to_owned()));
                }
                Value(path) if parsed.path.is_none() => parsed.path = Some(path.into()),
                Long("rev") => parsed.rev = Some(parser.value().map_err(usage)?),
                Long("every") => match number(&mut parser, "--every")? {
                    0 => return Err(Error::Usage("--every must be at least 1".to_owned())),
                    every => parsed.every = Some(every),
                },
                Long("store") => parsed.store = store(&parser.value().map_err(usage)?)?,
                Long("incremental") => parsed.incremental = true,
                Long("replay") => parsed.replay = true,
                Long("verify") => parsed.verify = number(&mut parser, "--verify")?,
                Long("seed") => parsed.seed = number(&mut parser, "--seed")?,
                Long("at") => parsed.at = Some(at(&parser.value().map_err(usage)?)?),
                Short('h') | Long("help") => return Ok(None),
                _ => return Err(usage(arg.unexpected())),
            }
        }
        Ok(Some(parsed))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "made for map_err")]
fn usage(error: lexopt::Error) -> Error {
    Error::Usage(error.to_string())
}

fn number(parser: &mut lexopt::Parser, option: &str) -> Result<u64, Error> {
    let value = parser.value().map_err(usage)?;
    value.parse().map_err(|_| Error::Usage(format!("{option} {} is not a number", value.display())))
}

fn store(value: &OsString) -> Result<Store, Error> {
    match value.to_str().map(|text| text.strip_prefix("file:").ok_or(text)) {
        Some(Ok(directory)) if !directory.is_empty() => Ok(Store::Directory(directory.into())),
        Some(Err("memory")) => Ok(Store::Memory),
        _ => Err(Error::Usage(format!(
            "--store {} is neither memory nor file:DIR with a name of UTF-8",
            value.display()
        ))),
    }
}

fn at(value: &OsString) -> Result<At, Error> {
    let text = value.to_str().unwrap_or_default();
    if let Ok(version) = text.parse() {
        return Ok(At::Version(version));
    }
    match text.parse::<jiff::Timestamp>() {
        Ok(time) => Ok(At::Instant(time.as_microsecond().div_euclid(1_000_000))),
        Err(_) => Err(Error::Usage(format!(
            "--at {} is neither a version nor a time like 2024-05-01T12:00:00Z",
            value.display()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Option<Args>, Error> {
        Args::parse(line.split_whitespace())
    }

    #[test]
    fn every_option_is_read() {
        let line = "--rev v1 path --every=7 --store file:a/b --incremental --replay --verify 0 \
                    --seed 9 --at 12";
        let args = parse(line).unwrap().unwrap();
        let expected = Args {
            path: Some("path".into()),
            rev: Some("v1".into()),
            every: Some(7),
            store: Store::Directory("a/b".into()),
            incremental: true,
            replay: true,
            verify: 0,
            seed: 9,
            at: Some(At::Version(12)),
        };
        assert_eq!(args, expected);
        let args = parse("").unwrap().unwrap();
        assert_eq!((args.path, args.verify, args.at), (None, 200, None));
        assert_eq!((args.store, args.incremental, args.replay), (Store::Temporary, false, false));
        assert_eq!(parse("--store memory").unwrap().unwrap().store, Store::Memory);
        assert_eq!(parse("--rev x --help").unwrap(), None);
    }

    #[test]
    fn a_time_is_rounded_down_to_the_second_that_contains_it() {
        for (text, seconds) in [
            ("1970-01-01T00:00:01Z", 1),
            ("1970-01-01T01:00:01.9+01:00", 1),
            ("1969-12-31T23:59:59.5Z", -1),
        ] {
            assert_eq!(
                parse(&format!("--at {text}")).unwrap().unwrap().at,
                Some(At::Instant(seconds))
            );
        }
    }

    #[test]
    fn nonsense_is_refused_in_one_line() {
        for line in [
            "a b",
            "--every 0",
            "--every x",
            "--verify -1",
            "--seed",
            "--at yesterday",
            "--frob",
            "--store file:",
            "--store disk",
            "--store",
            "--replay=1",
            "--at 99999999999999999999",
            "--rev",
            "-x",
        ] {
            let error = parse(line).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}");
            assert_eq!(error.to_string().lines().count(), 1, "{line}");
        }
        assert!(Args::parse([""]).is_err());
    }

    #[test]
    fn the_help_fits_a_terminal() {
        assert!(HELP.lines().all(|line| line.len() <= 80));
    }
}
