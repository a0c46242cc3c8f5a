//! [`PublishResource`]: what a path of publications names.

/// What a path of publications names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum PublishResource {
    /// Begins a publication.
    Begin,
    List,
    One,
    Finalize,
    Abort,
    /// The content of an artifact.
    Artifact,
    /// Where an artifact is sent.
    Upload,
    /// Begins a publication, in the form of the published interface of snapshots.
    DocumentBegin,
    /// Finalises one, in the same form.
    DocumentFinalize,
}

impl PublishResource {
    /// Whether it begins a publication.
    pub(crate) const fn begins(self) -> bool {
        matches!(self, Self::Begin | Self::DocumentBegin)
    }

    /// Whether the body of a request names the project, instead of the path.
    pub(crate) const fn has_project_in_body(self) -> bool {
        matches!(self, Self::DocumentBegin | Self::DocumentFinalize)
    }

    /// Whether it is read.
    pub(crate) const fn is_read(self) -> bool {
        matches!(self, Self::List | Self::One | Self::Artifact)
    }
}
