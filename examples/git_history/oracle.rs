//! The oracle: git's own answer for the tree of a commit.
//!
//! `git ls-tree` reads the tree as it was committed, independent of the history before it. It
//! shares no code with the reader of that history, only the types of the entries.

use std::cmp::Ordering;
use std::io::BufRead;
use std::process::Stdio;

use crate::error::Error;
use crate::git::{Git, printable};
use crate::tree::{Entry, ObjectId, Tree};

/// Describes the first path at which `tree` differs from the tree of `commit`; `None` if they are
/// the same. Before the first commit (`commit` is `None`) the tree is empty.
pub(crate) fn difference(
    git: &Git,
    commit: Option<ObjectId>,
    tree: &Tree,
) -> Result<Option<String>, Error> {
    let mut ours = tree.iter().map(|(path, entry)| (path.as_bytes(), *entry)).peekable();
    let Some(commit) = commit else {
        return Ok(ours.next().map(|(path, entry)| describe(path, Some(entry), None)));
    };
    let commit = commit.to_string();
    let mut ls_tree = git.start(&["ls-tree", "-r", "-z", "--full-tree", &commit], Stdio::null())?;
    let mut line = Vec::new();
    // Both sides are sorted by the bytes of the paths: the side that is ahead has skipped a path.
    while ls_tree.stdout.read_until(0, &mut line).map_err(Error::io("reading git"))? > 0 {
        let Some((path, theirs)) = parse(&line) else {
            return Err(ls_tree.failed("its output makes no sense"));
        };
        let (our_path, our_entry) = match ours.peek() {
            Some(&(our_path, our_entry)) => (our_path, Some(our_entry)),
            None => (path, None),
        };
        match our_path.cmp(path) {
            Ordering::Less => return Ok(Some(describe(our_path, our_entry, None))),
            Ordering::Greater => return Ok(Some(describe(path, None, Some(theirs)))),
            Ordering::Equal if our_entry != Some(theirs) => {
                return Ok(Some(describe(path, our_entry, Some(theirs))));
            }
            Ordering::Equal => ours.next(),
        };
        line.clear();
    }
    ls_tree.finish()?;
    Ok(ours.next().map(|(path, entry)| describe(path, Some(entry), None)))
}

/// `<mode> <type> <id>`, a tab, the path, and a NUL.
fn parse(line: &[u8]) -> Option<(&[u8], Entry)> {
    let line = line.strip_suffix(b"\0")?;
    let tab = line.iter().position(|&byte| byte == b'\t')?;
    let (words, path) = line.split_at_checked(tab)?;
    let mut words = std::str::from_utf8(words).ok()?.split(' ');
    let mode = u32::from_str_radix(words.next()?, 8).ok()?;
    let id = ObjectId::from_hex(words.nth(1)?.as_bytes())?;
    Some((path.strip_prefix(b"\t")?, Entry { mode, id }))
}

fn describe(path: &[u8], ours: Option<Entry>, theirs: Option<Entry>) -> String {
    let words = |entry: Option<Entry>| entry.map_or("nothing".to_owned(), |it| it.to_string());
    let path = printable(path);
    format!("at \"{path}\" git has {}, the rebuilt tree has {}", words(theirs), words(ours))
}
