//! The errors, each as one clear line with an exit code.

use std::io;

/// Every error that ends the example early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The command line is invalid.
    #[error("{0} (--help shows the options)")]
    Usage(String),
    /// `git` is not installed.
    #[error("git was not found: install it, or add its directory to PATH")]
    NoGit,
    /// PATH is not a repository, or git refuses to open it.
    #[error("{path}: {reason}")]
    NotARepository { path: String, reason: String },
    /// `--rev` names nothing, or an object without a history.
    #[error("{rev}: no such commit in {path}")]
    UnknownRevision { rev: String, path: String },
    /// `--at` names a version beyond the head.
    #[error("version {version} is beyond the head of this history, version {head}")]
    BeyondHead { version: u64, head: u64 },
    /// git failed, or its output is not valid.
    #[error("git {command}: {reason}")]
    Git { command: String, reason: String },
    /// An I/O error.
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
    /// 1 means that a rebuilt tree is wrong; 2 that there was nothing to rebuild it from.
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
