//! [`Links`]: the URLs of an aggregate.

use std::fmt::Write as _;

use super::segment::encode;
use crate::key::AggregateKey;

/// Makes the URLs of an aggregate below a prefix.
#[derive(Clone, Debug)]
pub(super) struct Links {
    entity: String,
}

impl Links {
    pub(super) fn new(prefix: &str, key: &AggregateKey) -> Self {
        let [project, kind, id] = [key.tenant(), key.kind(), key.id()].map(encode);
        Self { entity: format!("{prefix}/projects/{project}/entities/{kind}/{id}") }
    }

    /// The state now.
    pub(super) fn entity(&self) -> &str {
        &self.entity
    }

    pub(super) fn versions(&self) -> String {
        format!("{}/versions", self.entity)
    }

    pub(super) fn version(&self, version: u64) -> String {
        format!("{}/versions/{version}", self.entity)
    }

    pub(super) fn immutable(&self, version: u64, digest: &str) -> String {
        format!("{}/versions/{version}/{digest}", self.entity)
    }

    pub(super) fn snapshots(&self) -> String {
        format!("{}/snapshots", self.entity)
    }

    /// A stored snapshot.
    pub(super) fn snapshot(&self, id: &str) -> String {
        format!("{}/snapshots/{id}", self.entity)
    }

    pub(super) fn time_map(&self) -> String {
        format!("{}/timemap", self.entity)
    }

    /// The value of the `Link` header of the state now (RFC 7089, RFC 5829).
    pub(super) fn of_entity(&self) -> String {
        format!(
            "<{0}>; rel=\"original timegate\", <{0}/timemap>; rel=\"timemap\"; \
             type=\"application/link-format\", <{0}/versions>; rel=\"version-history\"",
            self.entity
        )
    }

    /// The value of the `Link` header of the state at a version.
    pub(super) fn of_version(&self, version: u64) -> String {
        let mut text = self.of_entity();
        let _ = write!(text, ", <{}>; rel=\"latest-version\"", self.entity);
        if version > 1 {
            let before = self.version(version - 1);
            let _ = write!(text, ", <{before}>; rel=\"predecessor-version\"");
        }
        text
    }
}
