//! [`Served`]: what a delivery serves, and how.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tokio::sync::Semaphore;

use super::cache_policy::CachePolicy;
use super::cursor::CursorSeal;
use super::guard::{AccessSums, Gate};
use super::links::Links;
use super::live::{LiveStreams, OpenStreams};
use super::problem::HttpProblem;
#[cfg(feature = "publish")]
use super::publish::Publishing;
use super::rendered_states::RenderedStates;
use super::write::Writes;
use crate::clock::Clock;
use crate::key::AggregateKey;
use crate::manager::{Kinds, SnapshotAdmin};

/// What a delivery serves, and how.
pub(super) struct Served {
    pub(super) kinds: Kinds,
    pub(super) prefix: String,
    pub(super) gate: Gate,
    pub(super) clock: Arc<dyn Clock>,
    /// `None` without an audit trail.
    pub(super) access: Option<Arc<AccessSums>>,
    pub(super) writes: Writes,
    pub(super) policy: CachePolicy,
    pub(super) policies: BTreeMap<String, CachePolicy>,
    /// The states now, as last rendered.
    pub(super) rendered: RenderedStates,
    pub(super) cursors: CursorSeal,
    /// A permit for each download that may run.
    pub(super) downloads: Arc<Semaphore>,
    /// `None` if no changes are announced.
    pub(super) live: Option<LiveStreams>,
    pub(super) streams: OpenStreams,
    /// Whether there are publications.
    pub(super) publishes: bool,
    #[cfg(feature = "publish")]
    pub(super) publishing: Option<Box<Publishing>>,
    /// The OpenAPI document, which anybody may ask for.
    pub(super) description: OnceLock<Bytes>,
    /// Whether there is the page of the inspector.
    pub(super) has_inspector: bool,
}

impl Served {
    /// The engine of an aggregate's kind.
    pub(super) fn admin(&self, key: &AggregateKey) -> Result<&Arc<dyn SnapshotAdmin>, HttpProblem> {
        let unknown = || HttpProblem::not_found("there is no such kind");
        self.kinds.get(key.kind()).ok_or_else(unknown)
    }

    /// What is needed to publish. Its routes are found only where it is there.
    #[cfg(feature = "publish")]
    pub(super) fn publishing(&self) -> Result<&Publishing, HttpProblem> {
        self.publishing
            .as_deref()
            .ok_or_else(|| HttpProblem::not_found("nothing is published here"))
    }

    pub(super) fn policy(&self, tenant: &str) -> &CachePolicy {
        self.policies.get(tenant).unwrap_or(&self.policy)
    }

    pub(super) fn links(&self, key: &AggregateKey) -> Links {
        Links::new(&self.prefix, key)
    }
}
