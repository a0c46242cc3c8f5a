//! [`inspect`]: compares the manifest of a store with its files.

use std::path::Path;

use crate::backend::file::disk::Disk;
use crate::backend::file::errors::corrupt;
use crate::backend::file::format::names;
use crate::backend::file::recover::view::{DirView, view};
use crate::error::Error;

/// The manifest of a store, compared with its files.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inspection {
    /// The unique id of the store.
    pub store: u128,
    /// The log files, in the order in which they were started.
    pub segments: Vec<SegmentInfo>,
    /// The names of other files in the directory.
    pub foreign: Vec<String>,
}

/// A log file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SegmentInfo {
    /// The name of the file.
    pub file: String,
    /// The length of the file in bytes, or `None` if the file is missing.
    pub bytes: Option<u64>,
    /// Whether the file is complete. At most one file is incomplete.
    pub sealed: bool,
    /// Whether the log file has an index file, which makes opening faster.
    pub indexed: bool,
}

pub(crate) fn inspect(disk: &dyn Disk, dir: &Path) -> Result<Inspection, Error> {
    let operation = "inspect a store";
    let view = view(disk, dir, operation)?.ok_or_else(|| {
        corrupt(operation, dir, "the directory does not contain a store: check the path")
    })?;
    let DirView { manifest, files, segments, .. } = view;
    let segments = segments.iter().map(|(entry, file)| SegmentInfo {
        bytes: file.as_ref().and_then(|file| file.len().ok()),
        sealed: entry.sealed,
        indexed: files.contains(&names::hints(entry.id)),
        file: names::segment(entry.id),
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
