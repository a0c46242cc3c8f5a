//! Runs the installed `git` so that its output depends only on the repository.
//!
//! Only plumbing commands are used, because user settings for display (renames, colors, signatures,
//! pagers) do not affect them. Settings that do affect them are disabled here.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

use crate::error::Error;

/// Variables with which a caller (such as a hook) makes git use another repository. `git rev-parse
/// --local-env-vars` lists them. Variables that carry configuration are kept, because a user may
/// need them to open the repository.
const LOCATION: [&str; 11] = [
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
];

/// The installed `git`, run in one directory.
#[derive(Clone, Debug)]
pub(crate) struct Git {
    directory: PathBuf,
}

impl Git {
    pub(crate) fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// `git <args>`, in English, without pager, prompt, or replaced objects (with `git replace`,
    /// the history and the trees of its commits could contradict each other).
    fn command<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let mut command = Command::new("git");
        command.arg("-C").arg(&self.directory);
        command.args(["--no-pager", "--no-replace-objects", "--no-optional-locks"]);
        command.args(args);
        command.envs([("LC_ALL", "C"), ("GIT_TERMINAL_PROMPT", "0")]);
        // Otherwise glibc returns the memory after each object that git packs, which takes half of
        // the time.
        command.env("MALLOC_TOP_PAD_", "16777216");
        for name in LOCATION {
            command.env_remove(name);
        }
        command
    }

    /// The output of a short command, or the first line of its error message.
    pub(crate) fn ask<S: AsRef<OsStr>>(
        &self,
        args: &[S],
    ) -> Result<Result<Vec<u8>, String>, Error> {
        let output = self.command(args).stdin(Stdio::null()).output().map_err(spawn_error)?;
        if output.status.success() {
            return Ok(Ok(output.stdout));
        }
        Ok(Err(complaint(&output.stderr, output.status)))
    }

    /// Starts a command whose output is streamed. The caller writes its input through
    /// [`Running::stdin`], if requested.
    pub(crate) fn start(&self, args: &[&str], stdin: Stdio) -> Result<Running, Error> {
        // Error messages go to a file, so that the command never blocks on them.
        let stderr = tempfile::tempfile().map_err(Error::io("creating a temporary file"))?;
        let to_stderr = stderr.try_clone().map_err(Error::io("opening a temporary file"))?;
        let mut child = self
            .command(args)
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(to_stderr)
            .spawn()
            .map_err(spawn_error)?;
        let stdout = child.stdout.take().ok_or_else(|| Error::Git {
            command: args.join(" "),
            reason: "its output is not connected".to_owned(),
        })?;
        Ok(Running {
            command: args.first().copied().unwrap_or_default().to_owned(),
            stdin: child.stdin.take(),
            stdout: BufReader::with_capacity(64 * 1024, stdout),
            stderr,
            child,
        })
    }
}

/// A running `git`. Dropping it ends the process.
#[derive(Debug)]
pub(crate) struct Running {
    command: String,
    pub(crate) stdin: Option<ChildStdin>,
    pub(crate) stdout: BufReader<ChildStdout>,
    stderr: File,
    child: Child,
}

impl Running {
    /// Waits for the end of a command whose output has been read. Returns an error if it failed.
    pub(crate) fn finish(mut self) -> Result<(), Error> {
        drop(self.stdin.take());
        let status = self.child.wait().map_err(Error::io("waiting for git"))?;
        if status.success() {
            return Ok(());
        }
        Err(Error::Git { command: self.command.clone(), reason: self.complaint(status) })
    }

    /// The error for missing output: ends the command and quotes its error message, or `otherwise`
    /// if it has none.
    pub(crate) fn failed(&mut self, otherwise: &str) -> Error {
        drop(self.stdin.take());
        let _ = self.child.kill();
        let reason = match self.child.wait() {
            Ok(status) if status.code().is_some_and(|code| code != 0) => self.complaint(status),
            _ => otherwise.to_owned(),
        };
        Error::Git { command: self.command.clone(), reason }
    }

    fn complaint(&mut self, status: ExitStatus) -> String {
        let mut text = Vec::new();
        let _ = self.stderr.rewind();
        let _ = (&self.stderr).take(4096).read_to_end(&mut text);
        complaint(&text, status)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only if the command has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// External text in one line: no control characters, but all other bytes.
pub(crate) fn printable(text: &[u8]) -> String {
    text.escape_ascii().to_string()
}

fn spawn_error(source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::NotFound => Error::NoGit,
        _ => Error::Io { doing: "starting git", source },
    }
}

/// The line that gives the reason of a failure; warnings before it and hints after it are less
/// useful.
fn complaint(stderr: &[u8], status: ExitStatus) -> String {
    let text = String::from_utf8_lossy(stderr);
    let reason = |line: &'_ str| {
        let reason = line.strip_prefix("fatal: ").or_else(|| line.strip_prefix("error: "));
        reason.map(str::to_owned)
    };
    match text.lines().find_map(reason).or_else(|| text.lines().next().map(str::to_owned)) {
        Some(reason) => reason.chars().filter(|c| !c.is_control()).collect(),
        None => format!("failed ({status})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_cannot_point_at_another_repository() {
        let command = Git::new(".").command(&["rev-parse", "--local-env-vars"]);
        let removed = |name: &OsStr| command.get_envs().any(|it| it == (name, None));
        let local = Git::new(".").ask(&["rev-parse", "--local-env-vars"]).unwrap().unwrap();
        for name in String::from_utf8(local).unwrap().lines() {
            let other = name.starts_with("GIT_CONFIG")
                || ["GIT_IMPLICIT_WORK_TREE", "GIT_NO_REPLACE_OBJECTS"].contains(&name);
            assert!(other || removed(name.as_ref()), "{name}");
        }
    }

    #[test]
    fn a_complaint_is_its_first_line_without_the_prefix() {
        let failed = Git::new(".").command(&["frobnicate"]).output().unwrap().status;
        for (text, expected) in [
            ("fatal: no such thing\nhint: try\n", "no such thing"),
            ("warning: odd\nerror: bad \x1b[31m thing\n", "bad [31m thing"),
            ("killed by something\n", "killed by something"),
        ] {
            assert_eq!(complaint(text.as_bytes(), failed), expected);
        }
        assert!(complaint(b"", failed).starts_with("failed ("));
    }
}
