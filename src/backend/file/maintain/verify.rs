//! [`verify`]: reads and checks every byte of a store.

use std::path::Path;

use super::examine::{check_hints, examine};
use crate::backend::file::disk::{Disk, DiskFile, read_whole};
use crate::backend::file::errors::io_error;
use crate::backend::file::format::{Bad, Entry, Head, names};
use crate::backend::file::problem::Problem;
use crate::backend::file::recover::view::{DirView, view};
use crate::error::Error;

/// The result of checking every byte of a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verification {
    /// The number of records in the log, live and dead.
    pub records: u64,
    /// The number of deletes in the log.
    pub deletes: u64,
    /// The number of mark changes in the log, including those that later changes replaced.
    pub marks: u64,
    /// The number of bytes that a crash left at the end of the log. The next open cuts them off. While
    /// the store is open, this includes the space that the writer has reserved there.
    pub torn_bytes: u64,
    /// The problems that were found.
    pub problems: Vec<Problem>,
}

pub(crate) fn verify(disk: &dyn Disk, dir: &Path) -> Result<Verification, Error> {
    let operation = "verify a store";
    let mut found = Verification::default();
    let view = match view(disk, dir, operation) {
        Ok(Some(view)) => view,
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
    for name in &view.strangers {
        let what = format!("the segment is not listed in {}", names::MANIFEST);
        found.problems.push(Problem::new(name, None, what));
    }
    for (entry, file) in &view.segments {
        let name = names::segment(entry.id);
        let Some(file) = file else {
            found.problems.push(Problem::new(&name, None, "the file is missing"));
            continue;
        };
        let mut verified = verify_segment(disk, dir, &view, entry, &**file);
        // A frame that was read while it was being written looks damaged, if the next one shows a
        // moment later that it was durable. Damage is still there when the segment is read again.
        if let Ok(first) = &verified
            && !entry.sealed
            && !first.problems.is_empty()
        {
            let again = verify_segment(disk, dir, &view, entry, &**file);
            verified = again.map(|mut again| {
                again.problems.retain(|problem| first.problems.contains(problem));
                again
            });
        }
        let verified = verified.map_err(|error| io_error(operation, &dir.join(&name), error))?;
        found.add(verified);
    }
    Ok(found)
}

impl Verification {
    fn add(&mut self, more: Self) {
        self.records += more.records;
        self.deletes += more.deletes;
        self.marks += more.marks;
        self.torn_bytes += more.torn_bytes;
        self.problems.extend(more.problems);
    }
}

fn verify_segment(
    disk: &dyn Disk,
    dir: &Path,
    DirView { manifest, files, .. }: &DirView,
    entry: &Entry,
    file: &dyn DiskFile,
) -> std::io::Result<Verification> {
    let name = names::segment(entry.id);
    let mut problems = Vec::new();
    let mut problem = |what: &str| problems.push(Problem::new(&name, Some(0), what));
    match Head::parse(&file.read(0, 48)?) {
        Ok(head) if (head.store, head.id, head.salt) == (manifest.store, entry.id, entry.salt) => {}
        Ok(_) => problem("the segment belongs to another store or has another name"),
        Err(Bad::Foreign) => problem("the file is not a segment"),
        Err(Bad::Newer(_)) => {
            problem("the segment format is newer than this release of snapfold supports");
        }
        Err(Bad::Damaged(what)) => problem(what),
    }
    // Read first, because a writer may continue both the segment and its index file.
    let hints = names::hints(entry.id);
    let listed = files.contains(&hints);
    let hints_read = listed.then(|| read_whole(disk, &dir.join(&hints)));
    let examined = examine(file, &name, entry.salt, manifest.secret, Some(entry))?;
    problems.extend(examined.problems);
    match hints_read {
        // A writer has removed it together with the segment, which is still open here.
        Some(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {}
        Some(read) => {
            let scanned = &examined.hints;
            let (salt, secret) = (entry.salt, manifest.secret);
            problems.extend(check_hints(&hints, read.ok(), scanned, salt, secret));
        }
        None => {}
    }
    Ok(Verification {
        records: examined.counts.records,
        deletes: examined.counts.deletes,
        marks: examined.counts.marks,
        torn_bytes: examined.torn_bytes,
        problems,
    })
}
