//! [`ExportReport`].

/// What [`StaticExport::run`](super::StaticExport::run) did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExportReport {
    /// The number of aggregates that the folder contains now.
    pub files: u64,
    /// How many of their files were written, because they were missing or had other content.
    pub written: u64,
    /// The number of files that were removed, because their aggregates have no snapshot any more, or
    /// their project is [guarded](super::StaticExport::modes) by now.
    pub removed: u64,
    /// The total size of the files of states, in bytes.
    pub bytes: u64,
}
