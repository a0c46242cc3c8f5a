//! What can go wrong, each as one clear line, and the exit code it ends with.

use std::io;

/// Everything that ends the example early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The command line makes no sense.
    #[error("{0} (--help shows the options)")]
    Usage(String),
    /// There is no `git` to run.
    #[error("git was not found: install it, or add its directory to PATH")]
    NoGit,
    /// PATH is no repository, or one that git refuses to open.
    #[error("{path}: {reason}")]
    NotARepository { path: String, reason: String },
    /// `--rev` names nothing, or something that has no history.
    #[error("{rev}: no such commit in {path}")]
    UnknownRevision { rev: String, path: String },
    /// `--at` asks for a version that the history has not reached.
    #[error("version {version} is beyond the head of this history, version {head}")]
    BeyondHead { version: u64, head: u64 },
    /// git ran, and failed or said something that makes no sense.
    #[error("git {command}: {reason}")]
    Git { command: String, reason: String },
    /// The operating system refused something.
    #[error("{doing}: {source}")]
    Io { doing: &'static str, source: io::Error },
    /// The engine could not load or store.
    #[error("{}", chain(.0))]
    Engine(#[from] snapfold::Error),
    /// A rebuilt tree differs from the tree that git has.
    #[error("version {version} is not the tree of commit {commit}: {difference}")]
    Mismatch { version: u64, commit: String, difference: String },
}

impl Error {
    /// 1 says that a rebuilt tree is wrong; 2 that there was nothing to rebuild it from.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Mismatch { .. } => 1,
            _ => 2,
        }
    }

    /// For `map_err`: an I/O error that happened while `doing` something.
    pub(crate) fn io(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, source }
    }
}

/// An error and its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line
}
