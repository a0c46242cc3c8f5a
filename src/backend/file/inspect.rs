//! Looking at a closed store: [`inspect`] reads what its files say, [`verify`] reads all of them.

use std::path::Path;

use super::directory;
use super::disk::{Disk, Lock, read_whole};
use super::errors::{corrupt, io_error};
use super::examine::{check_hints, examine};
use super::format::names;
use super::format::{Bad, Entry, Head, Manifest};
use super::problem::Problem;
use crate::error::Error;

/// What the files of a closed store say about themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inspection {
    /// The number that tells this store from all others.
    pub store: u128,
    /// The files of the log, in the order in which they were begun.
    pub segments: Vec<SegmentInfo>,
    /// The names of files in the directory that are not the store's.
    pub foreign: Vec<String>,
}

/// One file of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SegmentInfo {
    /// The name of the file.
    pub file: String,
    /// Its length in bytes; `None` if it is missing.
    pub bytes: Option<u64>,
    /// Whether it is complete; at most one is not.
    pub sealed: bool,
    /// Whether there is an index file of it, which makes opening faster.
    pub indexed: bool,
}

/// What a look at every byte of a closed store has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verification {
    /// The number of records in the log, of live snapshots and dead ones.
    pub records: u64,
    /// The number of deletes in the log.
    pub deletes: u64,
    /// The number of changes of a snapshot's marks in the log, in force or not.
    pub marks: u64,
    /// The bytes at the end of the log that a crash has left, and that the next opening cuts off.
    pub torn_bytes: u64,
    /// What is wrong; empty if all is well.
    pub problems: Vec<Problem>,
}

/// Locks a store as far as the directory lets itself be written to.
fn hold(
    disk: &dyn Disk,
    dir: &Path,
    files: &[String],
    operation: &'static str,
) -> Result<Option<Box<dyn Lock>>, Error> {
    if files.iter().any(|name| name == names::LOCK) {
        return directory::lock(disk, dir, operation, false).map(Some);
    }
    Ok(None)
}

fn listing(disk: &dyn Disk, dir: &Path, operation: &'static str) -> Result<Vec<String>, Error> {
    disk.files(dir).map_err(|error| io_error(operation, dir, error))
}

pub(super) fn inspect(disk: &dyn Disk, dir: &Path) -> Result<Inspection, Error> {
    let operation = "inspect a store";
    let files = listing(disk, dir, operation)?;
    let _lock = hold(disk, dir, &files, operation)?;
    let manifest = directory::read_manifest(disk, dir, &files, operation)?
        .ok_or_else(|| corrupt(operation, dir, "there is no store in this directory"))?;
    let segments = manifest.segments.iter().map(|entry| {
        let file = names::segment(entry.id);
        let opened = disk.open(&dir.join(&file), false);
        SegmentInfo {
            bytes: opened.and_then(|file| file.len()).ok(),
            sealed: entry.sealed,
            indexed: files.contains(&names::hints(entry.id)),
            file,
        }
    });
    let segments = segments.collect();
    let ours = |name: &String| {
        names::is_temporary(name)
            || names::segment_id(name).is_some()
            || names::hints_id(name).is_some()
            || [names::LOCK, names::MANIFEST, names::RESERVE].contains(&name.as_str())
    };
    let mut foreign: Vec<_> = files.into_iter().filter(|name| !ours(name)).collect();
    foreign.sort_unstable();
    Ok(Inspection { store: u128::from_le_bytes(manifest.store), segments, foreign })
}

pub(super) fn verify(disk: &dyn Disk, dir: &Path) -> Result<Verification, Error> {
    let operation = "verify a store";
    let files = listing(disk, dir, operation)?;
    let _lock = hold(disk, dir, &files, operation)?;
    let mut found = Verification::default();
    let manifest = match directory::read_manifest(disk, dir, &files, operation) {
        Ok(Some(manifest)) => manifest,
        Ok(None) => {
            found.problems.push(Problem::new(names::MANIFEST, None, "the file is missing"));
            return Ok(found);
        }
        Err(error) if error.kind() == crate::error::ErrorKind::CorruptStore => {
            found.problems.push(Problem::new(names::MANIFEST, None, error.to_string()));
            return Ok(found);
        }
        Err(error) => return Err(error),
    };
    for name in &files {
        if let Some(id) = names::segment_id(name)
            && !manifest.segments.iter().any(|entry| entry.id == id)
            && !manifest.retired.contains(&id)
        {
            let what = format!("it is not listed in {}", names::MANIFEST);
            found.problems.push(Problem::new(name, None, what));
        }
    }
    for entry in &manifest.segments {
        verify_segment(disk, dir, &manifest, entry, &files, &mut found)
            .map_err(|error| io_error(operation, &dir.join(names::segment(entry.id)), error))?;
    }
    Ok(found)
}

fn verify_segment(
    disk: &dyn Disk,
    dir: &Path,
    manifest: &Manifest,
    entry: &Entry,
    files: &[String],
    found: &mut Verification,
) -> std::io::Result<()> {
    let name = names::segment(entry.id);
    let mut problem = |offset, what: &str| {
        found.problems.push(Problem::new(&name, offset, what));
    };
    let temporary = names::temporary(&name);
    let present = [&name, &temporary].into_iter().find(|name| files.contains(name));
    let Some(present) = present else {
        problem(None, "the file is missing");
        return Ok(());
    };
    let file = disk.open(&dir.join(present), false)?;
    match Head::parse(&file.read(0, 48)?) {
        Ok(head) if (head.store, head.id, head.salt) == (manifest.store, entry.id, entry.salt) => {}
        Ok(_) => problem(Some(0), "it belongs to another store or place"),
        Err(Bad::Foreign) => problem(Some(0), "it is not a segment"),
        Err(Bad::Newer(_)) => problem(Some(0), "its format is newer than this release"),
        Err(Bad::Damaged(what)) => problem(Some(0), what),
    }
    let examined = examine(&*file, &name, entry.salt, manifest.secret, Some(entry))?;
    found.records += examined.counts.records;
    found.deletes += examined.counts.deletes;
    found.marks += examined.counts.marks;
    found.torn_bytes += examined.torn_bytes;
    found.problems.extend(examined.problems);
    let hints = names::hints(entry.id);
    if files.contains(&hints) {
        let read = read_whole(disk, &dir.join(&hints)).ok();
        let scanned = &examined.hints;
        found.problems.extend(check_hints(&hints, read, scanned, entry.salt, manifest.secret));
    }
    Ok(())
}
