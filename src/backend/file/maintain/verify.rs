//! [`verify`]: reads and checks every byte of a closed store.

use std::path::Path;

use super::examine::{check_hints, examine};
use crate::backend::file::disk::{Disk, read_whole};
use crate::backend::file::errors::io_error;
use crate::backend::file::format::{Bad, Entry, Head, Manifest, names};
use crate::backend::file::problem::Problem;
use crate::backend::file::recover::directory;
use crate::error::Error;

/// The result of checking every byte of a closed store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verification {
    /// The number of records in the log, live and dead.
    pub records: u64,
    /// The number of deletes in the log.
    pub deletes: u64,
    /// The number of mark changes in the log, including those that later changes replaced.
    pub marks: u64,
    /// The number of bytes that a crash left at the end of the log. The next open cuts them off.
    pub torn_bytes: u64,
    /// The problems that were found.
    pub problems: Vec<Problem>,
}

pub(crate) fn verify(disk: &dyn Disk, dir: &Path) -> Result<Verification, Error> {
    let operation = "verify a store";
    let files = directory::listing(disk, dir, operation)?;
    let _lock = directory::hold(disk, dir, &files, operation)?;
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
            let what = format!("the segment is not listed in {}", names::MANIFEST);
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
        Ok(_) => problem(Some(0), "the segment belongs to another store or has another name"),
        Err(Bad::Foreign) => problem(Some(0), "the file is not a segment"),
        Err(Bad::Newer(_)) => {
            problem(Some(0), "the segment format is newer than this release of snapfold supports");
        }
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
