//! [`Folder`]: files that are replaced as a whole, and removed only if an index names them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::export_index::{ExportEntry, ExportIndex};
use crate::service::http::replace_file::replace_file;

const INDEX: &str = "index.json";
/// The index while it is written.
const INDEX_WRITTEN: &str = "index.json.tmp";

/// The folder of one kind of a project.
pub(super) struct Folder {
    path: PathBuf,
    /// What an earlier export wrote.
    before: Option<ExportIndex>,
}

impl Folder {
    /// Opens or creates the folder of a kind. One that has files, but no index of an export, is
    /// refused: it belongs to somebody else.
    pub(super) fn open(path: PathBuf, project: &str, kind: &str) -> io::Result<Self> {
        fs::create_dir_all(&path)?;
        let before =
            match fs::read(path.join(INDEX)) {
                Ok(bytes) => Some(ExportIndex::parse(&bytes).ok_or_else(|| {
                    refused(&path, "its index.json was not written by this export")
                })?),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(error),
            };
        let folder = Self { path, before };
        if folder.before.is_none() {
            for entry in fs::read_dir(&folder.path)? {
                // What is left of a first index that was interrupted.
                if entry?.file_name().as_encoded_bytes() != INDEX_WRITTEN.as_bytes() {
                    return Err(refused(&folder.path, "it has files of others"));
                }
            }
            // Written first, so that the files of a run that is interrupted are known to be ours.
            folder.replace(INDEX, &ExportIndex::new(project, kind).to_bytes())?;
        }
        Ok(folder)
    }

    /// Writes a file unless it has this content already. Returns whether it was written.
    pub(super) fn put(&self, name: &str, content: &[u8], entry: &ExportEntry) -> io::Result<bool> {
        let path = self.path.join(name);
        let known = self.before.as_ref().and_then(|index| index.files.get(name));
        let has_size = |bytes: u64| fs::metadata(&path).is_ok_and(|found| found.len() == bytes);
        if known.is_some_and(|known| known.sha256 == entry.sha256 && has_size(known.bytes)) {
            return Ok(false);
        }
        self.replace(name, content)?;
        Ok(true)
    }

    /// Removes the files that an export wrote, and returns how many. The folder and an empty index
    /// stay. A folder without an index of an export is left alone.
    pub(super) fn clear(path: PathBuf) -> io::Result<u64> {
        let bytes = match fs::read(path.join(INDEX)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            bytes => bytes?,
        };
        let Some(before) = ExportIndex::parse(&bytes) else { return Ok(0) };
        let index = before.emptied();
        Self { path, before: Some(before) }.finish(&index)
    }

    /// Removes the files that only the earlier index names, and writes the index. Returns how many were
    /// removed.
    pub(super) fn finish(self, index: &ExportIndex) -> io::Result<u64> {
        let mut removed = 0;
        for name in self.before.iter().flat_map(|before| before.files.keys()) {
            // A name that this code would not have written is left alone, such as one of another
            // folder.
            let is_json = Path::new(name).extension().is_some_and(|extension| extension == "json");
            let is_own = is_json && !name.contains(['/', '\\']);
            if is_own && !index.files.contains_key(name) {
                match fs::remove_file(self.path.join(name)) {
                    Ok(()) => removed += 1,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
        // Last: the next run after an interruption still knows which files to remove.
        if self.before.as_ref() != Some(index) {
            self.replace(INDEX, &index.to_bytes())?;
        }
        Ok(removed)
    }

    fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        replace_file(&self.path.join(name), content, None)
    }
}

fn refused(path: &Path, why: &str) -> io::Error {
    let message = format!("the folder {} is not used: {why}", path.display());
    io::Error::new(io::ErrorKind::AlreadyExists, message)
}
