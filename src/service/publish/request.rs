//! [`PublishRequest`], what is asked for, and [`Published`], what came of it.

use std::collections::BTreeMap;

use crate::artifact::SignedUpload;
use crate::publication::{Publication, PublicationDetails, PublicationPart};

/// Asks for a new publication.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PublishRequest {
    /// What is said about it.
    pub details: PublicationDetails,
    /// The artifacts by name, with what is declared about each of them.
    pub parts: BTreeMap<String, PublicationPart>,
    /// Tells a repeated request from a new one: the same principal, project and key find the same
    /// publication. The key may be any text of 1 to [`MAX_KEY_BYTES`](Self::MAX_KEY_BYTES) bytes.
    pub key: Option<String>,
}

impl PublishRequest {
    /// The maximum length of a key in bytes (inclusive).
    pub const MAX_KEY_BYTES: usize = 1_024;

    /// Asks for a publication with these details, and no artifacts.
    pub fn new(details: PublicationDetails) -> Self {
        Self { details, parts: BTreeMap::new(), key: None }
    }

    /// Adds an artifact. What was stored of it is ignored.
    pub fn part(mut self, name: impl Into<String>, part: PublicationPart) -> Self {
        self.parts.insert(name.into(), part);
        self
    }

    /// Sets the [key](Self::key).
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Whether a publication was begun by such a request.
    pub(super) fn made(&self, publication: &Publication) -> bool {
        let declared = |part: &PublicationPart| PublicationPart { stored: None, ..part.clone() };
        let one = self.parts.iter().map(|(name, part)| (name, declared(part)));
        let other = publication.parts.iter().map(|(name, part)| (name, declared(part)));
        self.details == publication.details && one.eq(other)
    }
}

/// A publication that was begun, and how its artifacts are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Published {
    /// The publication.
    pub publication: Publication,
    /// How to send each of its artifacts. Empty if it has ended.
    pub uploads: BTreeMap<String, PartUpload>,
    /// Whether this call began it. Otherwise an earlier request with the same key did.
    pub is_new: bool,
}

/// How an artifact is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PartUpload {
    /// It is stored already, and need not be sent.
    Stored,
    /// The client sends it straight to the storage.
    Signed(SignedUpload),
    /// The application takes it, and calls [`Publisher::receive`](super::Publisher::receive).
    Direct,
}
