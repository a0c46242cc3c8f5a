//! Communicates with one long-running `git diff-tree --stdin`.
//!
//! A request is two lines: `<commit> <its first parent>`, and an empty one. git answers with the id
//! of the commit, the raw differences between the two trees, and the empty line, which it echoes
//! like every line that names no object, and flushes. So the end of each answer is visible, and one
//! process serves any number of small reads.
//!
//! The request names the parent, so that merges need no special treatment, and the differences
//! always lead from one version to the next. The first commit has no parent (or, in a shallow
//! clone, no known one), and is compared with the empty tree.

use std::io::{BufRead, Read, Write};
use std::process::Stdio;

use crate::error::Error;
use crate::git::{Git, Running};
use crate::tree::{Change, Entry, ObjectId, Path};

/// Plumbing ignores most user settings; the options disable the rest.
const DIFF_TREE: &[&str] = &[
    "diff-tree",
    "--stdin",
    "-r",
    "-z",
    "--root",
    "--raw",
    // Also answer for commits without changes.
    "--always",
    "--no-abbrev",
    "--no-renames",
    "--ignore-submodules=none",
];

/// Only memory limits the length of git's paths. Real paths are shorter than this.
const LONGEST_FIELD: u64 = 1 << 20;

#[derive(Debug)]
pub(crate) struct DiffTree {
    git: Running,
}

impl DiffTree {
    /// The maximum number of requests without an answer. Their lines (132 bytes each with SHA-256)
    /// fit into the smallest possible pipe (4 KiB), so writing them never blocks, whatever git
    /// does.
    pub(crate) const AHEAD: u64 = 30;

    pub(crate) fn start(git: &Git) -> Result<Self, Error> {
        Ok(Self { git: git.start(DIFF_TREE, Stdio::piped())? })
    }

    /// Requests the changes of each commit, compared with its parent.
    pub(crate) fn request(
        &mut self,
        commits: impl Iterator<Item = (ObjectId, Option<ObjectId>)>,
    ) -> Result<(), Error> {
        let lines: String = commits
            .map(|(id, parent)| match parent {
                Some(parent) => format!("{id} {parent}\n\n"),
                None => format!("{id}\n\n"),
            })
            .collect();
        let Some(stdin) = &mut self.git.stdin else {
            return Err(self.git.failed("its input is closed"));
        };
        stdin.write_all(lines.as_bytes()).map_err(|_| self.git.failed("it ended too early"))
    }

    /// Receives the answer to the oldest open request, which must be for commit `id`.
    pub(crate) fn receive(&mut self, id: ObjectId) -> Result<Vec<Change>, Error> {
        match receive(&mut self.git.stdout, id) {
            Some(changes) => Ok(changes),
            None => Err(self.git.failed(&format!("no sensible answer for commit {id}"))),
        }
    }
}

/// `None` if the answer is truncated or invalid.
fn receive(from: &mut impl BufRead, id: ObjectId) -> Option<Vec<Change>> {
    // git prints nothing here for an object that it cannot read.
    if from.fill_buf().ok()?.first() == Some(&b'\n') {
        return None;
    }
    let mut field = Vec::new();
    read_field(from, &mut field)?;
    if ObjectId::from_hex(&field)? != id {
        return None;
    }
    let mut changes = Vec::new();
    loop {
        let mut first = [0];
        from.read_exact(&mut first).ok()?;
        match first {
            [b'\n'] => return Some(changes),
            [b':'] => {}
            _ => return None,
        }
        read_field(from, &mut field)?;
        let new = parse_new(&field)?;
        read_field(from, &mut field)?;
        // The new mode of a removal is zero.
        let entry = (new.mode != 0).then_some(new);
        changes.push(Change { path: Path::from(&*field), entry });
    }
}

/// Reads up to the next NUL, which ends every field and is part of none.
fn read_field(from: &mut impl BufRead, field: &mut Vec<u8>) -> Option<()> {
    field.clear();
    from.by_ref().take(LONGEST_FIELD).read_until(0, field).ok()?;
    (field.pop()? == 0).then_some(())
}

/// `<old mode> <new mode> <old id> <new id> <status>`, without the old ones.
fn parse_new(field: &[u8]) -> Option<Entry> {
    let mut words = std::str::from_utf8(field).ok()?.split(' ').skip(1);
    let mode = u32::from_str_radix(words.next()?, 8).ok()?;
    let id = ObjectId::from_hex(words.nth(1)?.as_bytes())?;
    Some(Entry { mode, id })
}
