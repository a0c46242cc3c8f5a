//! [`Resource`], what a path names, and [`Route`], a row of the table of routes.

use std::borrow::Cow;

use http::Method;

use super::guard::Permission;
#[cfg(feature = "publish")]
use super::publish::PublishResource;
use super::query_parameter::QueryParameter;
use super::segment;
use super::write::WriteAction;

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Resource {
    Entities,
    Entity,
    Versions,
    Version,
    Immutable,
    TimeMap,
    Diff,
    Snapshots,
    Download,
    /// The changes of a project, or of an aggregate.
    Events,
    Snapshot,
    /// The stored bytes of the same.
    Record,
    Job,
    Write(WriteAction),
    #[cfg(feature = "publish")]
    Publish(PublishResource),
    OpenApi,
    Health,
    Problem,
    Inspector,
}

impl Resource {
    /// Whether the media type is the same whatever a client accepts.
    pub(super) const fn has_one_media(self) -> bool {
        match self {
            Self::TimeMap
            | Self::Diff
            | Self::Download
            | Self::Events
            | Self::Record
            | Self::OpenApi
            | Self::Health
            | Self::Problem
            | Self::Inspector => true,
            #[cfg(feature = "publish")]
            Self::Publish(it) => matches!(it, PublishResource::Artifact | PublishResource::Upload),
            Self::Entities
            | Self::Entity
            | Self::Versions
            | Self::Version
            | Self::Immutable
            | Self::Snapshots
            | Self::Snapshot
            | Self::Job
            | Self::Write(_) => false,
        }
    }

    /// Whether the conditions of a request are evaluated as RFC 9110 says for a GET.
    pub(super) const fn has_conditions(self) -> bool {
        #[cfg(feature = "publish")]
        if let Self::Publish(resource) = self {
            return resource.is_read();
        }
        !matches!(self, Self::Health | Self::Download | Self::Events | Self::Write(_))
    }
}

/// A row of the table. Rows with one path differ in their methods.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) resource: Resource,
    /// The segments. Those in braces are parameters.
    pub(super) path: &'static str,
    pub(super) methods: &'static [Method],
    /// What a principal must be allowed to do. `None` needs no credentials: the resource tells
    /// nothing about what is stored.
    pub(super) permission: Option<Permission>,
    /// The parameters of the query.
    pub(super) query: &'static [QueryParameter],
    /// Its name in the OpenAPI document. Generated clients call a function by it.
    pub(super) operation: &'static str,
    pub(super) summary: &'static str,
}

impl Route {
    /// A path that fits, with the one form of each of its texts.
    pub(super) fn canonical(&self, path: &str) -> String {
        let segments =
            self.path.split('/').zip(path.split('/')).map(|(part, segment)| match part {
                "{project}" | "{kind}" | "{id}" => segment::decode(segment)
                    .map_or(Cow::Borrowed(segment), |(text, _)| segment::encode(&text).into()),
                _ => Cow::Borrowed(segment),
            });
        segments.collect::<Vec<_>>().join("/")
    }

    /// Whether a request has a body that is read.
    pub(super) fn takes_body(&self) -> bool {
        self.methods.contains(&Method::POST)
    }
}
