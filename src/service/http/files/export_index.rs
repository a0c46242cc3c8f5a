//! [`ExportIndex`]: which files an export has written, and what they contain.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The format of the index.
const FORMAT: u32 = 1;

/// The index of one kind of a project: `index.json` beside the files.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ExportIndex {
    format: u32,
    /// What wrote the files.
    generator: String,
    project: String,
    kind: String,
    /// By name of the file.
    pub(super) files: BTreeMap<String, ExportEntry>,
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ExportEntry {
    pub(super) id: String,
    pub(super) version: u64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) as_of: Option<String>,
    pub(super) bytes: u64,
    /// Of the content, in hexadecimal.
    pub(super) sha256: String,
}

impl ExportIndex {
    pub(super) fn new(project: &str, kind: &str) -> Self {
        Self {
            format: FORMAT,
            generator: concat!("snapfold ", env!("CARGO_PKG_VERSION")).to_owned(),
            project: project.to_owned(),
            kind: kind.to_owned(),
            files: BTreeMap::new(),
        }
    }

    /// The same without files.
    pub(super) fn emptied(&self) -> Self {
        Self::new(&self.project, &self.kind)
    }

    /// Reads an index. `None` if the bytes are none of this format.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok().filter(|index: &Self| index.format == FORMAT)
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }
}
