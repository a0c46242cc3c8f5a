//! [`DownloadManifest`]: what a download has, with hashes.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::line::{FoundBy, Line};
use crate::hex::hex;
use crate::timestamp::Timestamp;

/// What a download has. It stands at the end, so that a download without one is known to be a part.
pub(super) struct DownloadManifest {
    pub(super) project: String,
    pub(super) at: Timestamp,
    pub(super) kinds: BTreeMap<String, KindSummary>,
}

/// The aggregates of one kind.
pub(super) struct KindSummary {
    found_by: FoundBy,
    aggregates: u64,
    problems: u64,
    bytes: u64,
    hash: Sha256,
}

impl DownloadManifest {
    /// Adds a line.
    pub(super) fn add(&mut self, line: &Line) {
        let kind = line.key.kind();
        if !self.kinds.contains_key(kind) {
            self.kinds.insert(kind.to_owned(), KindSummary::new(line.found_by));
        }
        let Some(summary) = self.kinds.get_mut(kind) else { return };
        summary.aggregates = summary.aggregates.saturating_add(1);
        summary.problems = summary.problems.saturating_add(line.is_problem.into());
        summary.bytes = summary.bytes.saturating_add(line.text.len() as u64);
        summary.hash.update(&line.text);
    }

    /// The manifest as JSON on one line, without a line feed.
    pub(super) fn text(&self) -> String {
        let kinds: Map<String, Value> = self.kinds.iter().map(KindSummary::described).collect();
        let manifest = json!({
            "format": 1,
            "project": self.project,
            "at": self.at.to_string(),
            "kinds": kinds,
        });
        json!({ "manifest": manifest }).to_string()
    }
}

impl KindSummary {
    fn new(found_by: FoundBy) -> Self {
        Self { found_by, aggregates: 0, problems: 0, bytes: 0, hash: Sha256::new() }
    }

    fn described((kind, summary): (&String, &Self)) -> (String, Value) {
        let found_by = match summary.found_by {
            FoundBy::Everything => "events and snapshots",
            FoundBy::Snapshots => "snapshots",
        };
        let described = json!({
            "foundBy": found_by,
            "aggregates": summary.aggregates,
            "problems": summary.problems,
            "bytes": summary.bytes,
            "sha256": hex(&summary.hash.clone().finalize()),
        });
        (kind.clone(), described)
    }
}
