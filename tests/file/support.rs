//! What the tests of file backends share: directories as values, and where to put them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The files of a directory: names and contents.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// A directory in memory where there is one: for tests that make thousands of small files.
pub(crate) fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()).unwrap()
}

/// What is in `dir`, which holds files only.
pub(crate) fn read(dir: &Path) -> Files {
    let files = fs::read_dir(dir).unwrap().map(|entry| {
        let entry = entry.unwrap();
        (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
    });
    files.collect()
}

/// Makes `dir` hold just `files`.
pub(crate) fn write(dir: &Path, files: &Files) {
    let _ = fs::remove_dir_all(dir);
    fs::create_dir(dir).unwrap();
    for (name, bytes) in files {
        fs::write(dir.join(name), bytes).unwrap();
    }
}
