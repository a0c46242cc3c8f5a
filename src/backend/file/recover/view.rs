//! [`view`]: the files of a store, taken without its lock, beside a process that may have it open.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::directory::{listing, read_manifest};
use crate::backend::file::disk::{Disk, DiskFile};
use crate::backend::file::errors::io_error;
use crate::backend::file::format::{Entry, Manifest, names};
use crate::error::{Error, ErrorKind, Retry};

/// How often the files are looked up if a writer removes some of them meanwhile.
const ATTEMPTS: usize = 64;

/// The files that belong to a store at one point in time.
///
/// A sealed segment never changes, and its file stays readable while it is open, even if compaction
/// removes it. So all of this stays as it is, except for the end of the unsealed segment.
pub(crate) struct DirView {
    pub(crate) manifest: Manifest,
    /// The names of the files in the directory.
    pub(crate) files: Vec<String>,
    /// The files of the manifest's segments, in its order. `None`: there is no such file.
    pub(crate) segments: Vec<(Entry, Option<Arc<dyn DiskFile>>)>,
    /// The names of segments that do not belong to the store.
    pub(crate) strangers: Vec<String>,
}

/// Opens the files that the manifest lists. Returns `None` if there is no manifest. Changes nothing.
///
/// A writer removes a file only after a manifest that does not list it is in force. So if a listed
/// file is missing, the manifest is read again, and only a file that is missing twice under the same
/// manifest is reported as missing. The first time, it may just have got its final name.
pub(crate) fn view(
    disk: &dyn Disk,
    dir: &Path,
    operation: &'static str,
) -> Result<Option<DirView>, Error> {
    let mut before = None;
    for _ in 0..ATTEMPTS {
        let Some(view) = look(disk, dir, operation)? else { return Ok(None) };
        let missing: Vec<_> = view.segments.iter().filter(|one| one.1.is_none()).collect();
        let missing: Vec<_> = missing.into_iter().map(|(entry, _)| entry.id).collect();
        let seen = Some((view.manifest.to_bytes(), missing));
        if seen.as_ref().is_some_and(|(_, missing)| missing.is_empty()) || seen == before {
            return Ok(Some(view));
        }
        before = seen;
    }
    Err(busy(operation, dir))
}

/// Returns the error for a store whose files change faster than they can be read.
pub(super) fn busy(operation: &'static str, dir: &Path) -> Error {
    let message = format!(
        "{}: the process that has the store open changed its files at every attempt: try again",
        dir.display()
    );
    Error::new(ErrorKind::Store, operation, message).with_retry(Retry::Later)
}

fn look(disk: &dyn Disk, dir: &Path, operation: &'static str) -> Result<Option<DirView>, Error> {
    // The list is older than the manifest: a file in it was listed before it got its name.
    let files = listing(disk, dir, operation)?;
    let Some(manifest) = read_manifest(disk, dir, &files, operation)? else { return Ok(None) };
    let mut segments = Vec::with_capacity(manifest.segments.len());
    for entry in &manifest.segments {
        let name = names::segment(entry.id);
        let file = open_either(disk, dir, &name)
            .map_err(|error| io_error(operation, &dir.join(&name), error))?;
        segments.push((*entry, file));
    }
    let known = |id: u32| {
        manifest.retired.contains(&id) || manifest.segments.iter().any(|entry| entry.id == id)
    };
    let strangers = files.iter().filter(|name| {
        // One that is gone has been compacted.
        names::segment_id(name).is_some_and(|id| !known(id))
            && disk.open(&dir.join(name), false).is_ok()
    });
    let strangers = strangers.cloned().collect();
    Ok(Some(DirView { manifest, files, segments, strangers }))
}

/// Opens a segment under its final name, or under its temporary one if it does not have the final
/// one yet.
fn open_either(disk: &dyn Disk, dir: &Path, name: &str) -> io::Result<Option<Arc<dyn DiskFile>>> {
    for name in [name, &names::temporary(name)] {
        match disk.open(&dir.join(name), false) {
            Ok(file) => return Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}
